"""What the base says of exporters that people write, and of their values."""

import dataclasses

import pytest
import tensorflow as tf
import tf_keras

from exporters import base
from exporters import bert_preprocessor
from exporters import checks
from exporters import keras_model
from exporters.errors import ExportError
from exporters.life_cycle import exporting
from tests import small_bert


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scaled(base.CheckpointExporter):
  """A dense layer that is restored, and a scale.

  Attributes:
    scale: How the scale comes to be: "initializer" or "value".
    listed: Whether the scale is among the published variables.
  """

  scale: str = "value"
  listed: bool = False
  dropout: float = 0.1

  def build(self) -> base.Build:
    dense = tf_keras.layers.Dense(2, name="dense")
    dense.build([None, 3])
    holder = tf_keras.layers.Layer()
    if self.scale == "initializer":
      scale = holder.add_weight("scale", [2], initializer="ones")
    else:
      holder.scale = scale = tf.Variable([1.0, 1.0], name="scale")
    dropout = tf_keras.layers.Dropout(self.dropout)

    def call(inputs, training):
      return dropout(dense(inputs), training=training) * scale

    def reference(inputs, training):
      return (tf.matmul(inputs, dense.kernel) + dense.bias) * scale

    variables = [*dense.variables, *([scale] if self.listed else [])]
    published = base.Published(
      function=call,
      reference=reference,
      inputs=[tf.TensorSpec([None, 3], tf.float32, "inputs")],
      variables=variables,
      trainable_variables=dense.variables,
      hyperparameters={
        "dropout_rate": base.Hyperparameter(
          default=self.dropout, layers=[dropout], attribute="rate"
        )
      },
      trackables={"scale_holder": holder},
      samples=[tf.ones([1, 3]).numpy(), tf.ones([3, 3]).numpy()],
    )
    return base.Build(restores=[{"dense": dense}], published={"": published})


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
  dense = tf_keras.layers.Dense(2)
  dense.build([None, 3])
  prefix = str(tmp_path_factory.mktemp("checkpoint") / "ckpt")
  return tf.train.Checkpoint(dense=dense).write(prefix)


def export(tmp_path, exporter) -> tf.train.Checkpoint:
  path = tmp_path / "model"
  try:
    exporting.export(exporter, export_path=str(path), level=checks.NONE)
  except ExportError:
    assert not list(tmp_path.iterdir())
    raise
  return tf.saved_model.load(str(path))


def test_what_no_checkpoint_has_may_have_a_value(checkpoint, tmp_path):
  model = export(tmp_path, Scaled(checkpoint=checkpoint))
  assert list(model.scale_holder.scale.numpy()) == [1.0, 1.0]


@pytest.mark.parametrize(
  ("scale", "listed"),
  [("initializer", False), ("initializer", True), ("value", True)],
)
def test_what_is_published_must_be_restored(
  checkpoint, tmp_path, scale, listed
):
  exporter = Scaled(checkpoint=checkpoint, scale=scale, listed=listed)
  with pytest.raises(ExportError, match="'scale' is published, but nothing"):
    export(tmp_path, exporter)


@pytest.mark.parametrize(
  ("value", "reason"),
  [
    (1.5, "is between 0 and 1"),
    (1, "is between 0 and 1"),
    (-0.5, "is between 0 and 1"),
    ("x", r"must be Mapping\[str, float\]"),
    (True, r"must be Mapping\[str, float\]"),
  ],
)
def test_defaults_that_cannot_be(checkpoint, tmp_path, value, reason):
  with pytest.raises(ExportError, match=f"dropout_rate.*{reason}"):
    export(
      tmp_path,
      Scaled(
        checkpoint=checkpoint, hyperparameter_defaults={"dropout_rate": value}
      ),
    )


def test_a_default_may_be_a_whole_number(checkpoint, tmp_path):
  exporter = Scaled(
    checkpoint=checkpoint, hyperparameter_defaults={"dropout_rate": 0}
  )
  model = export(tmp_path, exporter)
  inputs = tf.ones([4, 3])
  quiet = model(inputs, training=True)
  tf.debugging.assert_near(quiet, model(inputs, training=False))
  # As a float still: a consumer may pass any rate.
  model(inputs, training=True, dropout_rate=0.5)


def test_defaults_are_not_for_keras(checkpoint, tmp_path):
  exporter = Scaled(
    checkpoint=checkpoint,
    hyperparameter_defaults={"dropout_rate": 0.3},
    keras_saved_model=True,
  )
  with pytest.raises(ExportError, match="leave out"):
    export(tmp_path, exporter)


@pytest.mark.parametrize(
  ("field", "value", "reason"),
  [
    ("do_lower_case", "False", "must be bool.*only text has quotes"),
    ("vocab_file", 3, "must be str or None"),
    ("default_seq_length", 19.5, "must be int"),
    ("default_seq_length", True, "must be int"),
    ("trainable", 1, "must be str or None"),
    ("hyperparameter_defaults", ["dropout_rate"], "must be Mapping"),
    ("sp_model_file", small_bert.config, "must be str or None"),
  ],
)
def test_a_field_of_another_type(field, value, reason):
  """A quoted bool would be true, whatever it says."""
  fields = {"do_lower_case": True, "vocab_file": "vocab.txt"} | {field: value}
  with pytest.raises(ExportError, match=f"{field} = .*{reason}"):
    bert_preprocessor.BertPreprocessorExporter(**fields)


def test_a_class_in_place_of_what_it_makes():
  with pytest.raises(ExportError, match="Write @Scaled"):
    bert_preprocessor.BertPreprocessorExporter(
      do_lower_case=True, vocab_file=Scaled
    )


def test_no_room_for_a_token(tmp_path):
  exporter = bert_preprocessor.BertPreprocessorExporter(
    do_lower_case=True,
    vocab_file=str(small_bert.write_vocabulary(tmp_path / "vocab.txt")),
    default_seq_length=2,
  )
  with pytest.raises(ExportError, match="no room for a token"):
    exporter.build()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Raising(base.Exporter):
  """Raises where it is told.

  Attributes:
    while_building: Or while it is traced.
  """

  while_building: bool

  def build(self) -> base.Build:
    if self.while_building:
      raise NotImplementedError("no such\nnormalization")

    def call(inputs):
      tf.debugging.assert_equal(inputs.shape[-1], 4, "of another width")
      return inputs

    published = base.Published(
      function=call,
      reference=call,
      inputs=[tf.TensorSpec([None, 3], tf.float32, "inputs")],
      training=False,
    )
    return base.Build(published={"": published})


@pytest.mark.parametrize(
  ("while_building", "reason"),
  [
    (True, "Cannot build the model .*: NotImplementedError: no such. Fix"),
    (False, "Cannot trace the model: InvalidArgumentError: of another width"),
  ],
)
def test_says_what_was_tried_and_what_was_raised(
  tmp_path, while_building, reason
):
  with pytest.raises(ExportError, match=reason):
    export(tmp_path, Raising(while_building=while_building))


def test_a_model_with_recurrent_layers(tmp_path):
  """Their graphs hold operations that no other layer has."""
  layers = tf_keras.layers
  model = tf_keras.Sequential(
    [
      tf_keras.Input([7, 5]),
      layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
      layers.GRU(3),
    ]
  )
  exporter = keras_model.KerasModelExporter(model_function=lambda: model)
  path = str(tmp_path / "model")
  exporting.export(exporter, export_path=path, level=checks.BASIC)


def test_what_is_compared_with_nothing_is_refused():
  spec = tf.TensorSpec([None, 3], tf.float32, "inputs")
  with pytest.raises(ExportError, match="no reference to be compared with"):
    base.Published(function=tf.identity, inputs=[spec])
