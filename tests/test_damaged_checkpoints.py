"""Checkpoints that are damaged, or that someone made to do harm: one error."""

import contextlib
import functools
import json
import pathlib
import shutil
import struct

import h5py
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.core.protobuf import tensor_bundle_pb2
from tensorflow.core.protobuf import trackable_object_graph_pb2

from exporters import checkpoints
from exporters.errors import ExportError
from exporters.inspection import gin_file
from exporters.inspection import identity as identity_lib
from scripts import inspect
from scripts.fuzz import table
from tests import checkpoint_files
from tests import command
from tests import numpy_bert
from tests import small_bert

_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


@functools.cache
def model():
  return small_bert.encoder()


def restore(path) -> None:
  checkpoint = checkpoints.open_checkpoint(str(path))
  checkpoints.restore(checkpoint, {"encoder": model(), "model": model()})


def refusal(path) -> str:
  """Returns the error, at opening or when a model is restored."""
  with pytest.raises(ExportError) as error:
    restore(path)
  return str(error.value)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> pathlib.Path:
  """A checkpoint of each kind of TensorFlow's, and a Hugging Face folder."""
  folder = tmp_path_factory.mktemp("checkpoints")
  tensors = numpy_bert.tensors("bert")
  checkpoint_files.tf1(folder / "tf1", tensors)
  tf.train.Checkpoint(encoder=model()).write(str(folder / "tf2"))
  module = tf.Module()
  module.v = [tf.Variable(v, name=v.name[:-2]) for v in model().variables]
  tf.saved_model.save(module, str(folder / "saved_model"))
  checkpoint_files.hugging_face(
    folder / "hugging_face", "bert", numpy_bert.CONFIGS["bert"], tensors
  )
  return folder


@pytest.fixture
def copied(root, tmp_path) -> pathlib.Path:
  return shutil.copytree(root, tmp_path / "copy")


def bundle_entry(*sizes: int, parts: int = 0) -> bytes:
  """Returns the entry of a tensor of this shape, in an index."""
  entry = tensor_bundle_pb2.BundleEntryProto(dtype=1)
  for size in sizes:
    entry.shape.dim.add(size=size)
  for _ in range(parts):
    entry.slices.add().extent.add(length=2)
  return entry.SerializeToString()


class TestTruncated:
  @pytest.mark.parametrize("size", [100, 0])
  @pytest.mark.parametrize(
    ("path", "prefix"),
    [
      ("tf1", "tf1"),
      ("tf2", "tf2"),
      ("saved_model", "saved_model/variables/variables"),
    ],
  )
  def test_data(self, copied, path, prefix, size):
    data = copied / f"{prefix}.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:size])
    assert "truncated or damaged" in refusal(copied / path)

  @pytest.mark.parametrize(
    ("what", "entry"),
    [
      ("an entry that does not parse", b"\x12\xff"),
      ("an impossible shape", bundle_entry(-1)),
      ("an impossible shape", bundle_entry(1 << 62, 2)),
      ("an impossible shape", bundle_entry(*[1] * 300)),
      ("a part of a tensor twice", bundle_entry(4, parts=2)),
    ],
  )
  def test_index_that_would_end_the_process(self, copied, what, entry):
    """TensorFlow's reader would: by a failed check of its own."""
    index = copied / "tf2.index"
    index.write_bytes(table.around(table.of_entries({b"": b"", b"v": entry})))
    assert what in refusal(copied / "tf2")

  @pytest.mark.parametrize(
    ("what", "block"),
    [
      ("a block that does not parse", b"\xff" * 4),
      ("a block that is not there", b""),
      ("an entry that does not parse", b"\x01\x01\x00a" + bytes(8)),
      ("a number that does not parse", b"\xff" * 12 + bytes(8)),
      (
        "entries are not in order",
        table.of_entries({b"b": bundle_entry(1), b"a": bundle_entry(1)}),
      ),
    ],
  )
  def test_index_of_other_blocks(self, copied, what, block):
    (copied / "tf2.index").write_bytes(table.around(block))
    assert what in refusal(copied / "tf2")

  def test_index_whose_names_would_fill_the_memory(self, copied):
    """Each has all letters of the one before it, and one more."""
    first, names = b"\x00\x01\x00a", bytearray()
    for length in range(1, 20_000):
      names += table.varint(length) + b"\x01\x00a"
    block = first + bytes(names) + struct.pack("<II", 0, 1)
    (copied / "tf2.index").write_bytes(table.around(block))
    assert "names are larger than any model's" in refusal(copied / "tf2")

  def test_index_with_a_wrong_byte(self, copied):
    """Says so, or is read, since a byte of a checksum may not matter."""
    index = copied / "tf2.index"
    content = index.read_bytes()
    for place in range(0, len(content), len(content) // 50):
      index.write_bytes(
        content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]
      )
      with contextlib.suppress(ExportError):
        restore(copied / "tf2")


def saved_model_pb(*ids: int, nodes: int = 1) -> bytes:
  proto = saved_model_pb2.SavedModel()
  graph = proto.meta_graphs.add().object_graph_def
  return _with_children(proto, graph, ids, nodes)


def object_graph(*ids: int, nodes: int = 1) -> bytes:
  graph = trackable_object_graph_pb2.TrackableObjectGraph()
  return _with_children(graph, graph, ids, nodes)


def _with_children(proto, graph, ids, nodes) -> bytes:
  for _ in range(nodes):
    graph.nodes.add()
  for node_id in ids:
    graph.nodes[0].children.add(node_id=node_id, local_name="encoder")
  return proto.SerializeToString()


class TestGraphsOfObjects:
  @pytest.mark.parametrize(
    "content",
    [
      b"junk" * 99,
      b"",
      saved_model_pb(nodes=0),
      saved_model_pb(9999),
      saved_model_pb(-1),
    ],
    ids=["junk", "empty", "no nodes", "9999", "-1"],
  )
  def test_saved_model(self, copied, content):
    (copied / "saved_model/saved_model.pb").write_bytes(content)
    assert "truncated or damaged" in refusal(copied / "saved_model")

  def test_truncated_saved_model(self, copied):
    path = copied / "saved_model/saved_model.pb"
    path.write_bytes(path.read_bytes()[:-10])
    assert "truncated or damaged" in refusal(copied / "saved_model")

  @pytest.mark.parametrize("kind", ["tf2", "saved_model"])
  @pytest.mark.parametrize(
    "content",
    [
      b"junk" * 99,
      b"",
      object_graph(9999),
      object_graph(-1),
      1.5,
      [b"", b""],
    ],
    ids=["junk", "empty", "9999", "-1", "float", "vector"],
  )
  def test_object_graph(self, root, tmp_path, kind, content):
    path = tmp_path / kind
    prefix = path
    if kind == "saved_model":
      shutil.copytree(root / kind, path)
      prefix = path / "variables/variables"
    tf.raw_ops.SaveV2(
      prefix=str(prefix),
      tensor_names=[_GRAPH],
      shape_and_slices=[""],
      tensors=[tf.constant(content)],
    )
    assert "truncated or damaged" in refusal(path)


class TestValues:
  @pytest.mark.parametrize("dtype", [np.int8, np.bool_, np.int64])
  @pytest.mark.parametrize("kind", ["hugging_face", "tf1"])
  def test_no_floating_point_numbers(self, tmp_path, kind, dtype):
    tensors = numpy_bert.tensors("bert")
    name = "bert.encoder.layer.0.output.dense.bias"
    tensors[name] = np.ones(tensors[name].shape, dtype)
    path = tmp_path / kind
    if kind == "tf1":
      checkpoint_files.tf1(path, tensors)
    else:
      sizes = numpy_bert.CONFIGS["bert"]
      checkpoint_files.hugging_face(path, "bert", sizes, tensors)
    message = refusal(path)
    assert (
      f"\n  transformer/layer_0/output/bias: {np.dtype(dtype)}\n" in message
    )

  @pytest.mark.parametrize(
    ("name", "other"),
    [
      ("bert.pooler.dense.bias", "pooler.dense.bias"),
      ("bert.embeddings.LayerNorm.weight", "bert.embeddings.LayerNorm.gamma"),
    ],
  )
  def test_two_of_one_name(self, copied, name, other):
    path = copied / "hugging_face/model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    tensors[other] = tensors[name] + 1
    safetensors.numpy.save_file(tensors, path)
    assert "twice" in refusal(path)

  def test_two_of_one_name_in_tf1(self, tmp_path):
    tensors = numpy_bert.tensors("bert")
    tensors["pooler.dense.bias"] = tensors["bert.pooler.dense.bias"] + 1
    checkpoint_files.tf1(tmp_path / "tf1", tensors)
    assert "twice" in refusal(tmp_path / "tf1")

  def test_decoder_bias_that_is_tied(self, copied):
    path = copied / "hugging_face/model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    want = tensors["cls.predictions.bias"]
    tensors["cls.predictions.decoder.bias"] = want.copy()
    safetensors.numpy.save_file(tensors, path)
    found = checkpoints.open_checkpoint(str(path)).tensors
    np.testing.assert_array_equal(found["cls.predictions.bias"].read(), want)

  @pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "F4"])
  def test_types_of_quantization(self, copied, dtype):
    entry = {"dtype": dtype, "shape": [2], "data_offsets": [0, 2]}
    if dtype == "F4":
      entry["data_offsets"] = [0, 1]
    header = json.dumps({"x": entry}).encode()
    path = copied / "hugging_face/model.safetensors"
    size = len(header).to_bytes(8, "little")
    path.write_bytes(size + header + bytes(entry["data_offsets"][1]))
    assert refusal(path)

  @pytest.mark.parametrize("kind", ["saved_model", "hugging_face", "tf1", "h5"])
  def test_averages_of_what_has_none(self, copied, kind):
    model().save_weights(copied / "h5", save_format="h5")
    with pytest.raises(ExportError, match="no averaged weights"):
      checkpoints.open_checkpoint(str(copied / kind), averages=True)

  def test_the_file_that_is_named(self, copied):
    folder = copied / "hugging_face"
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    other = {name: value + 1 for name, value in tensors.items()}
    checkpoint_files.torch_zip(folder / "pytorch_model.bin", other)
    for name, wanted in (
      ("pytorch_model.bin", other),
      ("model.safetensors", tensors),
      ("", tensors),
    ):
      found = checkpoints.open_checkpoint(str(folder / name)).tensors
      np.testing.assert_array_equal(
        found["pooler.dense.bias"].read(), wanted["bert.pooler.dense.bias"]
      )


class TestWaysOut:
  """Nothing outside of a folder is read, whoever wrote the files in it."""

  @pytest.mark.parametrize(
    "path", ["../x", "/x", "..", ".", "a/b", "\ud800", 3]
  )
  def test_modules(self, copied, path):
    folder = copied / "hugging_face"
    modules = [{"type": "x.Pooling", "path": path}]
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ExportError, match="name of a folder"):
      _ = checkpoints.open_checkpoint(str(folder)).sentence_embedding
    modules[0]["type"] = "x.Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ExportError, match="name of a folder"):
      checkpoints.open_checkpoint(str(folder))

  @pytest.mark.parametrize(
    "content",
    [
      b'model_checkpoint_path: "../outside"',
      b'model_checkpoint_path: "/outside"',
      b'model_checkpoint_path: ".."',
      b'model_checkpoint_path: "/far/away/tf2"',
      b'model_checkpoint_path: "\xff"',
      b"\xff" * 99,
      b"",
    ],
    ids=range(7),
  )
  def test_checkpoint_file(self, copied, tmp_path, content):
    folder = tmp_path / "training"
    folder.mkdir()
    for file in copied.glob("tf2.*"):
      shutil.copy(file, folder)
      shutil.copy(file, tmp_path / file.name.replace("tf2", "outside"))
    (folder / "checkpoint").write_bytes(content)
    restore(folder)
    found = checkpoints.open_checkpoint(str(folder))
    assert [pathlib.Path(file).name for file in found.files] == [
      "tf2.index",
      "tf2.data-00000-of-00001",
    ]


class TestPatterns:
  """A `[` in a path is no pattern."""

  def test_hugging_face(self, copied):
    folder = copied.rename(copied.parent / "[1]") / "hugging_face"
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text("{}")
    restore(folder)
    files = checkpoints.open_checkpoint(str(folder)).files
    assert [file.removeprefix(f"{folder}/") for file in files] == [
      "config.json",
      "model.safetensors",
      "1_Pooling/config.json",
    ]

  @pytest.mark.parametrize("name", ["", "tf1", "tf2", "saved_model"])
  def test_what_only_tensorflow_reads(self, copied, name):
    path = copied.rename(copied.parent / "[1]") / name
    assert "Rename the folder" in refusal(path)


_DEEP = "[" * 100_000 + "]" * 100_000


class TestMetadata:
  @pytest.mark.parametrize(
    "text", [_DEEP, '{"vocab_size": ' + "1" * 5000 + "}", "[]", "\0"]
  )
  @pytest.mark.parametrize(
    "file", ["config.json", "model.safetensors.index.json"]
  )
  def test_json(self, copied, file, text):
    folder = copied / "hugging_face"
    (folder / file).write_text(text)
    path = folder if file == "config.json" else folder / file
    assert file in refusal(path)

  @pytest.mark.parametrize(
    "file",
    ["config.json", "model.safetensors", "pytorch_model.bin"],
  )
  def test_folder_in_place_of_a_file(self, copied, file):
    folder = copied / "hugging_face"
    (folder / file).unlink(missing_ok=True)
    (folder / file).mkdir()
    assert file in refusal(folder if file == "config.json" else folder / file)

  @pytest.mark.parametrize(
    "places",
    [
      {},
      [],
      None,
      *(
        {"x": x} for x in (3, [2], {}, "", ".", "..", "a/b.bin", "config.json")
      ),
      {"x": "\ud800.bin"},
    ],
  )
  def test_index(self, copied, places):
    path = copied / "hugging_face/model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": places}))
    assert "by file names" in refusal(path)

  @pytest.mark.parametrize(
    "modules",
    [[{}], ["a"], [{"type": 3}], [{"path": 3}], [{"type": "Pooling"}]],
  )
  def test_modules(self, copied, modules):
    folder = copied / "hugging_face"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ExportError, match=r"modules\.json"):
      _ = checkpoints.open_checkpoint(str(folder)).sentence_embedding

  @pytest.mark.parametrize(
    ("key", "value"),
    [
      ("hidden_size", "32"),
      ("hidden_size", float("nan")),
      ("hidden_size", True),
      ("num_hidden_layers", [2]),
      ("embedding_size", 1.5),
      ("vocab_size", None),
      ("hidden_dropout_prob", "0.1"),
      ("hidden_dropout_prob", float("nan")),
      ("quantization_config", {"bits": 8}),
    ],
  )
  def test_sizes(self, copied, key, value):
    path = copied / "hugging_face/config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {key: value}))
    assert key in refusal(copied / "hugging_face")


def _weights(file, layers, weights=()) -> h5py.Group:
  file.attrs["layer_names"] = layers
  group = file.create_group("a")
  group.attrs["weight_names"] = weights
  return group


def _group(file):
  _weights(file, ["a"], ["b"]).create_group("b")


def _datatype(file):
  _weights(file, ["a"], ["b"])["b"] = np.dtype("f4")


def _below_a_dataset(file):
  _weights(file, ["a/c/b"])["c"] = np.zeros(2)


def _layer_that_is_a_dataset(file):
  _weights(file, ["a/c"])["c"] = np.zeros(2)


def _empty(file):
  _weights(file, ["a"], ["b"])["b"] = h5py.Empty("f4")


def _texts(file):
  group = _weights(file, ["a"], ["b"])
  group.create_dataset("b", data=["x"], dtype=h5py.string_dtype())


def _compound(file):
  _weights(file, ["a"], ["b"])["b"] = np.zeros(2, [("x", "f4"), ("y", "i4")])


def _empty_attribute(file):
  file.attrs["layer_names"] = h5py.Empty("f4")


def _deep(file):
  group = _weights(file, ["a"])
  for _ in range(5000):
    group = group.create_group("g")


def _cycle(file):
  group = _weights(file, ["a"], ["b/x"])
  group["b"] = group


def _nothing_of_keras(file):
  file["x"] = np.zeros(2)


class TestH5:
  @pytest.mark.parametrize(
    "write",
    [
      _group,
      _datatype,
      _below_a_dataset,
      _layer_that_is_a_dataset,
      _empty,
      _texts,
      _compound,
      _empty_attribute,
      _deep,
      _cycle,
      _nothing_of_keras,
    ],
  )
  def test_no_weights(self, tmp_path, write):
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
      write(file)
    message = refusal(path)
    assert "as a Keras .h5 file" in message
    if write is _nothing_of_keras:
      assert "it has no 'model_weights'" in message


def _identity(path, **tensors) -> identity_lib.Identity:
  """Returns what a TF1 checkpoint of these tensors is."""
  names = [name.replace("__", "/") for name in tensors]
  tf.raw_ops.SaveV2(
    prefix=str(path),
    tensor_names=names,
    shape_and_slices=[""] * len(names),
    tensors=[tf.zeros(shape) for shape in tensors.values()],
  )
  return identity_lib.identify(str(path))


_LAYER = "bert__encoder__layer_0__attention__self__query__bias"
_WORDS = "bert__embeddings__word_embeddings"


class TestIdentified:
  @pytest.mark.parametrize(
    "tensors",
    [
      {_WORDS: [4], _LAYER: [2]},
      {_WORDS: [], _LAYER: [2]},
      {
        _WORDS: [4, 2],
        _LAYER: [2],
        "bert__embeddings__embedding_transformation__bias": [2],
      },
      {_WORDS: [4, 2]},
    ],
    ids=["1-D", "0-D", "no positions", "no layers"],
  )
  def test_odd_tables(self, tmp_path, tensors):
    identity = _identity(tmp_path / "ckpt", **tensors)
    gin_file.written(identity)

  def test_beside_a_folder_is_another_model(self, copied):
    (copied / "bert_config.json").write_text('{"num_hidden_layers": 77}')
    folder = identity_lib.identify(str(copied / "hugging_face"))
    assert folder.sizes["num_layers"] == numpy_bert.LAYERS
    assert identity_lib.identify(str(copied / "tf1")).sizes["num_layers"] == 77

  def test_lines_of_an_encoder_file(self, copied):
    config = {
      "type": "any",
      "any": {"x = 1\nimport os #": 1, "hidden_size": "8\n9", "y": [1]},
    }
    (copied / "bert_config.json").write_text(json.dumps(config))
    leaf = gin_file.written(identity_lib.identify(str(copied / "tf1")))
    assert "import os" not in leaf
    assert "hidden_size = 16\n" in leaf
    assert ".y = " not in leaf

  def test_one_number_is_no_template(self, tmp_path):
    identity = _identity(tmp_path / "ckpt", x=[])
    assert inspect._of_leaf(identity) is None

  def test_characters_that_a_terminal_obeys(self, tmp_path):
    _identity(tmp_path / "ckpt", **{"\x1b[31m\nred[/x]": [2]})
    shown = command.run("scripts.inspect", str(tmp_path / "ckpt")).stdout
    assert "\x1b" not in shown
    assert r"\x1b[31m\nred[" in shown

  def test_the_root_of_a_file_system(self):
    """It may hold anything, such as another test's pipe in /tmp."""
    done = command.run("scripts.inspect", "/", check=False)
    assert done.returncode == 1
    assert " '/" in done.stderr
    assert len(done.stderr.splitlines()) == 1
