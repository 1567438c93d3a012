"""What tells of a machine or a person: in strings, wherever they stand."""

import json
import struct

import pytest
import sentencepiece
import tensorflow as tf

from exporters import checks
from exporters.checks import privacy


@pytest.mark.parametrize(
  ("text", "told"),
  [
    ("/home/alice/run/ckpt-1", "/home/alice/"),
    ("read '/home/alice/ckpt'.", "/home/alice/"),
    ("/Users/bob.b/models", "/Users/bob.b/"),
    ("/usr/local/google/home/carol/x", "/usr/local/google/home/carol/"),
    ("/root/model", "/root/model"),
    ("/tmp/tmpab12/vocab.txt", "/tmp/tmpab12"),
    ("/private/var/folders/zz/T/x", "/private/var/folders/zz"),
    ("/content/vocab.txt", "/content/vocab.txt"),
    ("/kaggle/working/model", "/kaggle/working/model"),
    (r"C:\Users\Dan D\x.txt", "C:\\Users\\Dan D\\"),
    (json.dumps(r"C:\Users\Eve\x"), r"C:\\Users\\Eve" + r"\\"[0]),
    ("file:///data/vocab.txt", "file:///data/vocab.txt"),
  ],
)
def test_anyones_folder(text, told):
  (found,) = privacy.in_any_folder(text)
  assert found.startswith(told)


@pytest.mark.parametrize(
  "text",
  [
    "",
    "model/home/alice/kernel",
    "encoder/tmp/x",
    "https://example.com/home/alice/page",
    "gs://bucket/Users/x/y",
    "/home",
    "/home/",
    "/root/",
    "/tmp/",
    "content/x",
    "/data/vocab.txt",
  ],
)
def test_no_ones_folder(text):
  assert privacy.in_any_folder(text) == set()


@pytest.mark.parametrize(
  ("name", "text", "told"),
  [
    ("vm", "made on vm", False),
    ("vm", "grpc://vm:8470", True),
    ("vm", "vm:8470", True),
    ("vm", "ann@vm", True),
    ("vm", "//vm/share", True),
    ("vm", "//vm2/share", False),
    ("bert", "bert/encoder/layer_0", False),
    ("bert", "bert", False),
    ("gpu-7", "made on gpu-7.", True),
    ("gpu-7", "gpu-7/encoder/layer_0", False),
    ("gpu-7", "gpu-71", False),
    ("gpu-7", "a-gpu-7", False),
    ("/data/x/", "at /data/x/ckpt", True),
    ("/data/x/", "model/data/x/ckpt", False),
    ("/data/ckpt", "/data/ckpt-1.index", True),
    ("/data/é/", json.dumps("/data/é/x"), True),
  ],
)
def test_this_machine(name, text, told):
  assert privacy.in_text(text, [name]) == ({name} if told else set())


def _saved(folder, constant=None, attribute=None) -> str:
  """Writes a SavedModel with a constant, or bytes in an attribute."""

  @tf.function(input_signature=[tf.TensorSpec([], tf.float32)])
  def call(x):
    if constant is not None:
      tf.constant(constant)
    return x

  module = tf.Module()
  module.call = call
  path = folder / "model"
  tf.saved_model.save(module, str(path))
  if attribute:
    file = path / "saved_model.pb"
    from tensorflow.core.protobuf import saved_model_pb2

    proto = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    node = proto.meta_graphs[0].graph_def.node[0]
    node.attr["config_proto"].s = attribute
    file.write_bytes(proto.SerializeToString())
  return str(path)


def test_a_constant(tmp_path):
  path = _saved(tmp_path, "/home/alice/corpus.txt")
  assert privacy.found(path, []) == ["'/home/alice/' in saved_model.pb"]


def test_bytes_of_floats_are_not_text(tmp_path):
  # By hand: 32 bytes that are also eight floats.
  text = b" grpc://vm:8470  /home/alice/x  "
  path = _saved(tmp_path, struct.unpack("<8f", text))
  content = (tmp_path / "model" / "saved_model.pb").read_bytes()
  assert text in content
  assert privacy.found(path, ["vm"]) == []


def test_a_vocabulary_in_the_graph(tmp_path):
  words = ["/tmp/core", "/home/alice/x", "file:///etc/passwd"]
  path = _saved(tmp_path, words)
  assert privacy.found(path, []) == []
  # But this machine's own paths would differ from machine to machine.
  assert privacy.found(path, ["/home/alice/"]) == [
    "'/home/alice/' in saved_model.pb"
  ]


@pytest.mark.parametrize("length", [10, ord("7"), ord("x")])
def test_a_message_within_an_attribute(tmp_path, length):
  """The byte before a string, its length, may look like a letter of it."""
  text = b"/home/alice/".ljust(length, b"x")
  path = _saved(tmp_path, attribute=b"\x0a" + bytes([len(text)]) + text)
  assert privacy.found(path, [])[0].startswith("'/home/alice/' in saved")


def test_keras_metadata(tmp_path):
  path = _saved(tmp_path)
  metadata = json.dumps({"config": {"vocabulary": "/Users/bob/words.txt"}})
  node = b"\x22" + bytes([len(metadata)]) + metadata.encode()
  message = b"\x0a" + bytes([len(node)]) + node
  (tmp_path / "model" / "keras_metadata.pb").write_bytes(message)
  assert privacy.found(path, []) == ["'/Users/bob/' in keras_metadata.pb"]


def test_assets(tmp_path):
  path = _saved(tmp_path)
  assets = tmp_path / "model" / "assets"
  (assets / "vocab.txt").write_text("[PAD]\n/home/alice/\n")
  assert privacy.found(path, []) == []
  (assets / "config.json").write_text('{"name_or_path": "/home/alice/bert"}')
  assert privacy.found(path, []) == ["'/home/alice/' in assets/config.json"]


def test_a_sentencepiece_model_says_where_it_was_trained(tmp_path):
  corpus = tmp_path / "corpus.txt"
  corpus.write_text("a bc def ghi\n" * 50)
  path = _saved(tmp_path)
  asset = tmp_path / "model" / "assets" / "sp.model"
  sentencepiece.SentencePieceTrainer.train(
    input=str(corpus),
    model_prefix=str(tmp_path / "sp"),
    vocab_size=13,
    minloglevel=2,
  )
  # With one more piece.
  piece = b"\x0a\x0f\x0a\x0d/home/alice/x"
  asset.write_bytes((tmp_path / "sp.model").read_bytes() + piece)
  # The corpus's path, and not the piece.
  told = f"'{tmp_path}' in assets/sp.model"
  assert privacy.found(path, [str(tmp_path)]) == [told]


def test_an_asset_that_is_no_message(tmp_path):
  path = _saved(tmp_path)
  asset = tmp_path / "model" / "assets" / "table"
  asset.write_bytes(b"\x00\xff/home/alice/corpus\x00\x01")
  assert privacy.found(path, []) == ["'/home/alice/' in assets/table"]


@pytest.mark.parametrize(
  "before",
  [
    b"",
    b"\x08\x96\x01",
    b"\x09" + b"\xff" * 8,
    b"\x0d" + b"\xff" * 4,
    b"\x12\x02\xff\xff",
    b"\xfa\x07\x01a",
  ],
)
def test_a_message_of_fields_of_any_kind(tmp_path, before):
  """Read as a run of letters, the path would be behind an "x": its length."""
  path = _saved(tmp_path)
  text = b"/home/alice/".ljust(ord("x"), b"y")
  message = before + b"\x0ax" + text
  (tmp_path / "model" / "keras_metadata.pb").write_bytes(message)
  assert privacy.found(path, []) == ["'/home/alice/' in keras_metadata.pb"]


def test_a_message_within_twenty_others(tmp_path):
  path = _saved(tmp_path)
  text = b"/home/alice/".ljust(ord("x"), b"y")
  content = b"\x0ax" + text
  for _ in range(20):
    size = len(content)
    content = b"\x0a" + bytes([size & 127 | 128, size >> 7]) + content
  (tmp_path / "model" / "keras_metadata.pb").write_bytes(content)
  assert privacy.found(path, []) == ["'/home/alice/' in keras_metadata.pb"]


@pytest.mark.parametrize(
  ("value", "expected"),
  [
    (b"\x00", (0, 1)),
    (b"\x7f\xff", (127, 1)),
    (b"\x80\x01", (128, 2)),
    (b"\xac\x02", (300, 2)),
    (b"\xff" * 9 + b"\x01", (2**64 - 1, 10)),
  ],
)
def test_a_number_of_seven_bits_a_byte(value, expected):
  """As protocol buffers have them; 300 is the example of their manual."""
  assert privacy._varint(value, 0) == expected
  assert privacy._varint(b"\xff" + value, 1) == (expected[0], expected[1] + 1)


@pytest.mark.parametrize("value", [b"", b"\x80", b"\xff" * 11])
def test_a_number_without_end_is_beyond_it(value):
  _, at = privacy._varint(value, 0)
  assert at > len(value)


def test_requests_in_assets_extra(tmp_path):
  path = _saved(tmp_path)
  extra = tmp_path / "model" / "assets.extra"
  extra.mkdir()
  (extra / "requests").write_bytes(b"\x00\xff/home/alice/corpus\x00\x01")
  assert privacy.found(path, []) == ["'/home/alice/' in assets.extra/requests"]


@pytest.mark.parametrize(
  ("stranger", "status"), [(True, checks.DEVIATES), (False, checks.FAILED)]
)
def test_in_a_strangers_model_it_is_reported(tmp_path, stranger, status):
  candidate = checks.Candidate(
    path=_saved(tmp_path, "/home/alice/corpus.txt"),
    scratch=str(tmp_path),
    private=[],
    level=checks.BASIC,
    keras=False,
    stranger=stranger,
    ask=lambda: (None, []),
  )
  made = checks.run(candidate, checks.BASIC, checks.FILES, {})
  assert made["no local path"].status == status
  assert "'/home/alice/' in saved_model.pb" in made["no local path"].detail
