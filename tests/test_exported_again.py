"""An export's SavedModel as a checkpoint: it brings all that its source did."""

import dataclasses
import json
import pathlib

import numpy as np
from official.nlp.configs import encoders
import pytest
import sentencepiece
import tensorflow as tf

from exporters import bert
from exporters import checkpoints
from exporters import checks
from exporters.checkpoints import saved_graph
from exporters.checkpoints.sentence_embedding import SentenceEmbedding
from exporters.errors import ExportError
from exporters.life_cycle import exporting
from exporters.saved_model import description
from exporters.saved_model import files
from exporters.saved_model import reusable
from exporters.text import encoders as text_encoders
from scripts.small_instances import encoders as small_encoders
from scripts.small_instances import sentencepiece_model
from tests import checkpoint_files
from tests import closeness
from tests import command
from tests import numpy_bert
from tests import releases
from tests import small_bert
from tests import test_checkpoint_kinds

_TENSORS = numpy_bert.tensors("bert")


def sentence_encoder(
  folder: pathlib.Path, pooling: str = "mean_tokens", *, normalize: bool = True
) -> pathlib.Path:
  """Writes a folder as sentence-transformers does."""
  checkpoint_files.hugging_face(
    folder, "bert", numpy_bert.CONFIGS["bert"], _TENSORS
  )
  small_bert.write_vocabulary(folder / "vocab.txt")
  (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
  modules = [
    {"type": "sentence_transformers.models.Transformer", "path": ""},
    {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
  ]
  if normalize:
    modules.append({"type": "sentence_transformers.models.Normalize"})
  (folder / "modules.json").write_text(json.dumps(modules))
  (folder / "1_Pooling").mkdir()
  (folder / "1_Pooling/config.json").write_text(
    json.dumps({f"pooling_mode_{pooling}": True})
  )
  return folder


def exported(checkpoint, path, *bindings: str) -> dict[str, bytes]:
  """Exports in a process of its own; returns the files' contents.

  The vocabulary is that of the checkpoint.
  """
  command.export(
    "bert",
    small_bert.GIN_FILE,
    path,
    "--checks=none",
    bindings=[f"CHECKPOINT = '{checkpoint}'", "VOCAB_FILE = None", *bindings],
  )
  return {name: (path / name).read_bytes() for name in files.listed(str(path))}


class TestSameBytes:
  def test_of_a_sentence_encoder(self, tmp_path):
    folder = sentence_encoder(tmp_path / "folder")
    first = exported(folder, tmp_path / "first")
    again = exported(tmp_path / "first", tmp_path / "again")
    assert again == first
    assert first["assets/vocab.txt"] == (folder / "vocab.txt").read_bytes()

  def test_of_a_tf2_checkpoint_and_a_folder(self, tmp_path):
    """Three ways in: both, and the SavedModel that each made."""
    model = small_bert.encoder()
    restored = test_checkpoint_kinds.restored
    checkpoint_files.hugging_face(
      tmp_path / "folder",
      "bert",
      # The tanh GELU, as in Model Garden.
      numpy_bert.CONFIGS["bert"] | {"hidden_act": "gelu_new"},
      _TENSORS,
    )
    values = restored(tmp_path / "folder")
    for variable in model.variables:
      variable.assign(values[variable.name])
    (tmp_path / "tf2").mkdir()
    tf.train.Checkpoint(encoder=model).write(str(tmp_path / "tf2/ckpt"))
    small_bert.write_vocabulary(tmp_path / "folder/vocab.txt")
    small_bert.write_vocabulary(tmp_path / "tf2/vocab.txt")
    ways = {
      "folder": tmp_path / "folder",
      "tf2": tmp_path / "tf2/ckpt",
      "folder again": tmp_path / "out_folder",
      "tf2 again": tmp_path / "out_tf2",
    }
    vocabulary = f"VOCAB_FILE = '{tmp_path}/tf2/vocab.txt'"
    found = {
      name: exported(
        path,
        tmp_path / f"out_{name}",
        *([vocabulary] if name == "tf2" else []),
      )
      for name, path in ways.items()
    }
    assert found["folder again"] == found["folder"]
    assert found["tf2 again"] == found["tf2"] == found["folder"]

  def test_of_another_encoder_of_bert(self, tmp_path):
    """`bert_v2` names its variables otherwise than `bert`."""
    (tmp_path / "tf2").mkdir()
    model = small_encoders.encoder("bert_v2")
    tf.train.Checkpoint(encoder=model).write(str(tmp_path / "tf2/ckpt"))
    small_bert.write_vocabulary(tmp_path / "tf2/vocab.txt")
    as_v2 = (
      "encoders.EncoderConfig.type = 'bert_v2'",
      "encoders.EncoderConfig.bert_v2 = @encoders.BertEncoderConfig()",
      "encoders.BertEncoderConfig.num_layers = 1",
    )
    first = exported(
      tmp_path / "tf2/ckpt",
      tmp_path / "first",
      f"VOCAB_FILE = '{tmp_path}/tf2/vocab.txt'",
      *as_v2,
    )
    assert exported(tmp_path / "first", tmp_path / "again", *as_v2) == first

  @pytest.mark.parametrize("name", small_encoders.TYPES)
  def test_values_of_an_encoder_of_each_type(self, name, tmp_path):
    model = small_encoders.encoder(name)
    tf.train.Checkpoint(encoder=model).write(str(tmp_path / "ckpt"))
    vocab_file = small_bert.write_vocabulary(tmp_path / "vocab.txt")
    for checkpoint, again in (("ckpt", "first"), ("first", "again")):
      exporter = bert.BertExporter(
        checkpoint=str(tmp_path / checkpoint),
        encoder=small_encoders.config(name),
        vocab_file=str(vocab_file),
        do_lower_case=True,
      )
      build = exporter.build()
      checkpoints.restore(exporter.opened, build.restores[0])
      published = build.published[""]
      for got, want in zip(published.variables, model.variables, strict=True):
        np.testing.assert_array_equal(got, want)
      reusable.write(published, str(tmp_path / again))

  def test_of_sentencepiece(self, tmp_path):
    path = sentencepiece_model.write(tmp_path / "sp.model")
    size = sentencepiece.SentencePieceProcessor(str(path)).GetPieceSize()
    config = small_encoders.config("albert", vocab_size=size)
    model = encoders.build_encoder(config)
    small_bert.randomize(model, seed=1)
    tf.train.Checkpoint(encoder=model).write(str(tmp_path / "ckpt"))
    for checkpoint, name, sp_model_file in (
      ("ckpt", "first", str(path)),
      ("first", "again", None),
    ):
      exporter = bert.BertExporter(
        checkpoint=str(tmp_path / checkpoint),
        encoder=config,
        sp_model_file=sp_model_file,
        do_lower_case=True,
      )
      build = exporter.build()
      checkpoints.restore(exporter.opened, build.restores[0])
      reusable.write(build.published[""], str(tmp_path / name))
      asset = tmp_path / name / "assets/sp.model"
      assert asset.read_bytes() == path.read_bytes()


def published(path, **fields):
  exporter = bert.BertExporter(
    checkpoint=str(path),
    encoder=small_bert.config(),
    do_lower_case=True,
    **fields,
  )
  build = exporter.build()
  for items in build.restores:
    checkpoints.restore(exporter.opened, items)
  return build.published[""]


class TestSentences:
  @pytest.mark.parametrize("pooling", ["mean_tokens", "cls_token"])
  @pytest.mark.parametrize("normalize", [True, False])
  def test_pooling_comes_along(self, tmp_path, pooling, normalize):
    folder = sentence_encoder(tmp_path / "folder", pooling, normalize=normalize)
    reusable.write(published(folder), str(tmp_path / "first"))
    got = published(tmp_path / "first").function(
      small_bert.inputs(), training=False
    )
    ids, mask, types = (x.numpy() for x in small_bert.inputs().values())
    tokens = numpy_bert.outputs("bert", _TENSORS, ids, mask, types)
    sequence = tokens["sequence_output"]
    want = sequence[:, 0]
    if pooling == "mean_tokens":
      # The last token of each is padding.
      want = sequence[:, :-1].mean(axis=1)
    if normalize:
      want = want / np.sqrt((want**2).sum(axis=1, keepdims=True))
    closeness.assert_close(got["default"], want)

  def test_a_consumer_saved_it_in_something_else(self, tmp_path):
    folder = sentence_encoder(tmp_path / "folder")
    reusable.write(published(folder), str(tmp_path / "first"))
    model = tf.Module()
    model.encoder = tf.saved_model.load(str(tmp_path / "first"))
    model.head = tf.Variable(tf.zeros([16, 3]), name="classifier/kernel")
    tf.saved_model.save(model, str(tmp_path / "second"))
    first, second = (
      checkpoints.open_checkpoint(str(tmp_path / name))
      for name in ("first", "second")
    )
    assert second.sentence_embedding == first.sentence_embedding
    assert second.declared == first.declared
    assert first.declared == {
      "do_lower_case": True,
      "hidden_activation": "exporters>exact_gelu",
    }
    assert pathlib.Path(second.vocab_file).read_bytes() == (
      (folder / "vocab.txt").read_bytes()
    )

  def test_the_page_says_it(self, tmp_path):
    folder = sentence_encoder(tmp_path / "folder", "cls_token")
    reusable.write(published(folder), str(tmp_path / "first"))
    assert description.read(str(tmp_path / "first")).constants == {
      "do_lower_case": True,
      "sentence_mean_pooling": False,
      "sentence_normalized": True,
    }

  def test_one_that_does_not_say_how_is_refused(self, tmp_path):
    """As exports of sentence encoders once were."""
    folder = sentence_encoder(tmp_path / "folder")
    silent = dataclasses.replace(
      published(folder), constants={"do_lower_case": True}
    )
    reusable.write(silent, str(tmp_path / "first"))
    with pytest.raises(ExportError, match="has no .sentence_mean_pooling"):
      published(tmp_path / "first")

  def test_other_encoders_have_no_pooling(self, tmp_path):
    folder = sentence_encoder(tmp_path / "folder")
    (folder / "modules.json").unlink()
    reusable.write(published(folder), str(tmp_path / "first"))
    checkpoint = checkpoints.open_checkpoint(str(tmp_path / "first"))
    assert checkpoint.sentence_embedding is None
    found = description.read(str(tmp_path / "first")).constants
    assert found == {"do_lower_case": True}

  def saved(self, path, *constants):
    """Saves objects that hold such constants."""
    root = tf.Module()
    root.models = []
    for values in constants:
      model = tf.Module()
      for name, value in values.items():
        setattr(model, name, tf.Variable(value, trainable=False))
      root.models.append(model)
    tf.saved_model.save(root, str(path))
    return checkpoints.open_checkpoint(str(path))

  def test_two_models_that_differ(self, tmp_path):
    facts = {"sentence_mean_pooling": True, "sentence_normalized": True}
    checkpoint = self.saved(
      tmp_path / "model", facts, facts | {"sentence_normalized": False}
    )
    with pytest.raises(ExportError, match="different sentence_normalized"):
      _ = checkpoint.sentence_embedding

  def test_constants_of_another_type(self, tmp_path):
    facts = {"sentence_mean_pooling": "mean", "do_lower_case": [True]}
    checkpoint = self.saved(tmp_path / "model", facts)
    assert checkpoint.sentence_embedding is None
    assert checkpoint.declared == {}


class TestActivation:
  @pytest.mark.parametrize(
    "activation", ["gelu", "exporters>exact_gelu", "relu", "swish"]
  )
  def test_contradicted_by_the_gin_file(self, tmp_path, activation):
    model = small_bert.encoder(hidden_activation=activation)
    tf.train.Checkpoint(encoder=model).write(str(tmp_path / "ckpt"))
    vocab_file = str(small_bert.write_vocabulary(tmp_path / "vocab.txt"))
    exporter = bert.BertExporter(
      checkpoint=str(tmp_path / "ckpt"),
      encoder=small_bert.config(hidden_activation=activation),
      vocab_file=vocab_file,
      do_lower_case=True,
    )
    build = exporter.build()
    checkpoints.restore(exporter.opened, build.restores[0])
    reusable.write(build.published[""], str(tmp_path / "first"))
    declared = checkpoints.open_checkpoint(str(tmp_path / "first")).declared
    assert declared["hidden_activation"] == activation
    other = "relu" if activation != "relu" else "swish"
    again = bert.BertExporter(
      checkpoint=str(tmp_path / "first"),
      encoder=small_bert.config(hidden_activation=other),
      do_lower_case=True,
    )
    with pytest.raises(ExportError, match=f"'{other}' in the gin file, '"):
      again.build()

  def test_a_head_has_another(self, tmp_path):
    folder = sentence_encoder(tmp_path / "folder")
    reusable.write(published(folder), str(tmp_path / "first"))
    model = tf.Module()
    model.encoder = tf.saved_model.load(str(tmp_path / "first"))

    @tf.function(input_signature=[tf.TensorSpec([None, 16])])
    def head(x):
      with tf.name_scope("head/activation"):
        return tf.nn.relu(x)

    model.head = head
    tf.saved_model.save(model, str(tmp_path / "second"))
    declared = checkpoints.open_checkpoint(str(tmp_path / "second")).declared
    assert declared["hidden_activation"] == "exporters>exact_gelu"


class TestHostileGraphs:
  """Graphs that lead nowhere end the search, and nothing else."""

  @pytest.mark.parametrize(
    "inputs",
    [["a"], [], ["b"], ["b:output:9"], ["missing"], ["^a"], [":"]],
    ids=str,
  )
  @pytest.mark.parametrize("operation", ["Identity", "PartitionedCall"])
  def test_origin(self, inputs, operation):
    graph = tf.compat.v1.GraphDef()
    node = graph.node.add(name="a", op=operation, input=inputs)
    node.attr["f"].func.name = "f"
    function = graph.library.function.add()
    function.signature.name = "f"
    function.signature.output_arg.add(name="x")
    function.ret["x"] = "b:output:0"
    inner = function.node_def.add(name="b", op=operation, input=inputs)
    inner.attr["f"].func.name = "f"
    assert len(saved_graph.origin(graph, "a:0")) == 2


def test_real_weights(minilm, tmp_path):
  """all-MiniLM-L6-v2, a sentence encoder."""
  contents = []
  for checkpoint, name in ((minilm, "first"), (tmp_path / "first", "again")):
    path = tmp_path / name
    command.export(
      "bert",
      releases.MINILM,
      path,
      "--checks=none",
      bindings=[f"CHECKPOINT = '{checkpoint}'"],
    )
    contents.append(
      {f: (path / f).read_bytes() for f in files.listed(str(path))}
    )
  assert contents[1] == contents[0]


_published_outputs = text_encoders.Encoder.published_outputs


def _backwards(self, outputs):
  published = _published_outputs(self, outputs)
  return published | {"encoder_outputs": published["encoder_outputs"][::-1]}


@pytest.mark.parametrize(
  ("owner", "name", "broken"),
  [
    (
      SentenceEmbedding,
      "__call__",
      lambda self, tokens, mask: tf.reduce_mean(tokens, axis=1),
    ),
    (text_encoders.Encoder, "published_outputs", _backwards),
  ],
  ids=["a mean that counts padding", "the layers from last to first"],
)
def test_a_broken_rebuild_fails_its_checks(
  owner, name, broken, tmp_path, monkeypatch
):
  """Whatever is published, the reference is Model Garden's model, whole."""
  folder = sentence_encoder(tmp_path / "folder")
  exporter = bert.BertExporter(
    checkpoint=str(folder), encoder=small_bert.config(), do_lower_case=True
  )
  monkeypatch.setattr(owner, name, broken)
  with pytest.raises(
    ExportError, match="same numbers as the reference: failed"
  ):
    exporting.export(
      exporter, export_path=str(tmp_path / "out"), level=checks.BASIC
    )
  assert not (tmp_path / "out").exists()
