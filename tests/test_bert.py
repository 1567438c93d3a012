"""BERT: what a gin file may ask for, and which activation is computed."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text  # noqa: F401 - the preprocessor's operations.

from exporters import bert
from exporters import checks
from exporters.errors import ExportError
from exporters.life_cycle import exporting
from tests import closeness
from tests import small_bert


@pytest.fixture(scope="module")
def vocab_file(tmp_path_factory):
  folder = tmp_path_factory.mktemp("vocabulary")
  return str(small_bert.write_vocabulary(folder / "vocab.txt"))


@pytest.fixture(scope="module")
def pretrainer():
  return small_bert.pretrainer()


@pytest.fixture(scope="module")
def checkpoint(pretrainer, tmp_path_factory):
  """A pretrainer's checkpoint, with the three heads' items."""
  folder = tmp_path_factory.mktemp("checkpoint")
  items = tf.train.Checkpoint(**pretrainer.checkpoint_items)
  return items.save(str(folder / "ckpt"))


def export(tmp_path, *, level=checks.NONE, **fields):
  """Exports a small BERT in this process, and loads the result."""
  exporter = bert.BertExporter(
    **{"encoder": small_bert.config(), "do_lower_case": True} | fields
  )
  path = str(tmp_path / "model")
  exporting.export(exporter, export_path=path, level=level)
  return hub.load(path)


class TestSmall:
  """What a gin file may ask for."""

  def test_core_is_the_pretrainers_encoder(
    self, pretrainer, checkpoint, vocab_file, tmp_path
  ):
    model = export(tmp_path, checkpoint=checkpoint, vocab_file=vocab_file)
    inputs = small_bert.inputs()
    got, want = model(inputs), pretrainer.encoder_network(inputs)
    assert sorted(got) == [
      "default",
      "encoder_outputs",
      "pooled_output",
      "sequence_output",
    ]
    assert len(got["encoder_outputs"]) == 2
    for name in want:
      closeness.assert_close(got[name], want[name])
    closeness.assert_close(got["default"], want["pooled_output"])
    assert not hasattr(model, "mlm")

  def test_mlm_gives_the_pretrainers_logits(
    self, pretrainer, checkpoint, vocab_file, tmp_path
  ):
    model = export(
      tmp_path, checkpoint=checkpoint, vocab_file=vocab_file, with_mlm=True
    )
    inputs = small_bert.inputs(positions=True)
    got = model.mlm(inputs)
    assert got["mlm_logits"].shape == [2, 3, 40]
    closeness.assert_close(got["mlm_logits"], pretrainer(inputs)["mlm_logits"])
    # By hand: the encoder's 39, and bias, dense and layer norm of the head.
    assert len(model.trainable_variables) == 5 + 2 * 16 + 2
    assert len(model.mlm.trainable_variables) == 5 + 2 * 16 + 2 + 5

  def test_pooler_comes_from_the_next_sentence_head(
    self, pretrainer, checkpoint, vocab_file, tmp_path
  ):
    model = export(
      tmp_path,
      checkpoint=checkpoint,
      vocab_file=vocab_file,
      copy_pooler_dense_to_encoder=True,
    )
    (head,) = pretrainer.classification_heads
    outputs = model(small_bert.inputs())
    closeness.assert_close(
      outputs["pooled_output"], head.dense(outputs["sequence_output"][:, 0])
    )

  def test_trains_what_the_recipe_says(self, checkpoint, vocab_file, tmp_path):
    model = export(
      tmp_path,
      checkpoint=checkpoint,
      vocab_file=vocab_file,
      trainable="^(transformer/layer_1|pooler)",
    )
    assert len(model.trainable_variables) == 16 + 2
    assert len(model.variables) == 39

  def test_default_rate_is_a_field_of_the_recipe(
    self, checkpoint, vocab_file, tmp_path
  ):
    model = export(
      tmp_path,
      checkpoint=checkpoint,
      vocab_file=vocab_file,
      hyperparameter_defaults={
        "dropout_rate": 0.0,
        "attention_dropout_rate": 0.0,
      },
    )
    inputs = small_bert.inputs()
    quiet = [model(inputs, training=True)["default"] for _ in range(2)]
    np.testing.assert_array_equal(*quiet)
    loud = [
      model(inputs, training=True, dropout_rate=0.5)["default"]
      for _ in range(2)
    ]
    assert not np.array_equal(*loud)

  def test_no_rate_is_offered_where_training_had_none(
    self, checkpoint, vocab_file, tmp_path
  ):
    model = export(
      tmp_path,
      checkpoint=checkpoint,
      vocab_file=vocab_file,
      encoder=small_bert.config(attention_dropout_rate=0.0),
    )
    with pytest.raises(TypeError, match="attention_dropout_rate"):
      model(small_bert.inputs(), attention_dropout_rate=0.1)

  def test_misspelt_hyperparameter_is_refused(
    self, checkpoint, vocab_file, tmp_path
  ):
    with pytest.raises(ExportError, match="Did you mean 'dropout_rate'"):
      export(
        tmp_path,
        checkpoint=checkpoint,
        vocab_file=vocab_file,
        hyperparameter_defaults={"dropout_rat": 0.0},
      )

  @pytest.mark.parametrize(
    ("fields", "reason"),
    [
      (
        {"hidden_activation": "gelo"},
        "gin file describes: ValueError: .*gelo",
      ),
      ({"num_attention_heads": 0}, "gin file describes: ZeroDivisionError"),
      # Found before Model Garden sees it.
      ({"num_layers": "two"}, "num_layers = 'two' must be int"),
    ],
  )
  def test_an_architecture_that_cannot_be(
    self, checkpoint, vocab_file, tmp_path, fields, reason
  ):
    """Model Garden's own words, and what they are about."""
    with pytest.raises(ExportError, match=reason):
      export(
        tmp_path,
        checkpoint=checkpoint,
        vocab_file=vocab_file,
        encoder=small_bert.config(**fields),
      )

  def test_needs_a_vocabulary(self, checkpoint, tmp_path):
    with pytest.raises(ExportError, match="VOCAB_FILE"):
      export(tmp_path, checkpoint=checkpoint)


class TestActivation:
  """The artifact computes what the checkpoint's owner computed."""

  @pytest.mark.parametrize(
    ("stated", "hidden_act", "approximate"),
    [
      ("gelu", "gelu", False),
      ("gelu", "gelu_new", True),
      ("exporters>exact_gelu", "gelu", False),
    ],
  )
  def test_the_checkpoint_knows_which_gelu(
    self, minilm, tmp_path, stated, hidden_act, approximate
  ):
    _folder(minilm, tmp_path / "hf", hidden_act=hidden_act)
    exporter = bert.BertExporter(
      checkpoint=str(tmp_path / "hf"),
      encoder=_minilm_config(hidden_activation=stated),
      do_lower_case=True,
    )
    build = exporter.build()
    (layer,) = {
      layer
      for layer in build.restores[0]["encoder"].submodules
      if layer.name == "transformer/layer_0"
    }
    x = tf.constant([[-2.0, 0.5, 3.0]])
    closeness.assert_close(
      layer._intermediate_activation_layer(x),
      tf.nn.gelu(x, approximate=approximate),
    )

  def test_another_activation_is_a_contradiction(self, minilm, tmp_path):
    _folder(minilm, tmp_path / "hf", hidden_act="relu", num_attention_heads=6)
    exporter = bert.BertExporter(
      checkpoint=str(tmp_path / "hf"),
      encoder=_minilm_config(),
      do_lower_case=False,
    )
    with pytest.raises(ExportError) as error:
      exporter.build()
    for line in (
      "hidden_activation: 'gelu' in the gin file, 'relu' in the checkpoint",
      "num_attention_heads: 12 in the gin file, 6 in the checkpoint",
      "do_lower_case: False in the gin file, True in the checkpoint",
    ):
      assert line in str(error.value)


def _folder(source, target, **changes):
  """Makes a Hugging Face folder whose config.json differs from `source`'s."""
  target.mkdir()
  for file in source.iterdir():
    if file.name not in ("config.json", "1_Pooling"):
      (target / file.name).symlink_to(file)
  (target / "1_Pooling").symlink_to(source / "1_Pooling")
  config = json.loads((source / "config.json").read_text())
  (target / "config.json").write_text(json.dumps(config | changes))


def _minilm_config(**fields):
  return small_bert.config(
    **{
      "vocab_size": 30522,
      "hidden_size": 384,
      "num_layers": 6,
      "num_attention_heads": 12,
      "intermediate_size": 1536,
      "max_position_embeddings": 512,
    }
    | fields
  )
