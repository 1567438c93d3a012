"""Keras models as people have them: exported as their owner calls them.

What is right is computed by the model itself, loaded by tf_keras, or by hand.
"""

import dataclasses
import json
import pathlib
import re

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras.src.applications import convnext

from exporters import checks
from exporters import keras_model
from exporters.errors import ExportError
from exporters.inspection import report
from exporters.keras_models import functional
from exporters.keras_models import inputs as inputs_lib
from exporters.life_cycle import exporting
from tests import closeness
from tests import command

layers = tf_keras.layers


def export(model, folder: pathlib.Path, level=checks.BASIC, **fields):
  """Exports a model, by way of a file unless it says otherwise."""
  file = folder / "model.keras"
  model.save(file)
  exporter = keras_model.KerasModelExporter(model_file=str(file), **fields)
  path = str(folder / "exported")
  done = exporting.export(exporter, export_path=path, level=level)
  return tf.saved_model.load(path), done


def owners(folder: pathlib.Path) -> tf_keras.Model:
  """Returns the model of the file, loaded by its own loader."""
  return tf_keras.models.load_model(folder / "model.keras", compile=False)


def _ragged() -> tf_keras.Model:
  words = tf_keras.Input([None], ragged=True, dtype=tf.int32)
  states = layers.LSTM(3)(layers.Embedding(10, 4)(words))
  return tf_keras.Model(words, layers.Dense(2)(states))


def _sparse() -> tf_keras.Model:
  features = tf_keras.Input([6], sparse=True)
  return tf_keras.Model(features, layers.Dense(2)(features))


def test_a_ragged_input_stays_ragged(tmp_path):
  loaded, _ = export(_ragged(), tmp_path)
  words = tf.ragged.constant([[3, 4, 5], [6]], tf.int32)
  want = owners(tmp_path)(words)
  closeness.assert_close(loaded(words), want)
  # As tensors, for servers.
  served = loaded.signatures["serving_default"](
    inputs_values=words.flat_values, inputs_row_splits=words.row_splits
  )
  closeness.assert_close(served["default"], want)


def test_a_sparse_input_stays_sparse(tmp_path):
  loaded, _ = export(_sparse(), tmp_path)
  features = tf.sparse.from_dense([[0.0, 2, 0, 0, 1, 0], [0, 0, 0, 0, 0, 3]])
  want = owners(tmp_path)(features)
  closeness.assert_close(loaded(features), want)
  served = loaded.signatures["serving_default"](
    inputs_indices=features.indices,
    inputs_values=features.values,
    inputs_dense_shape=features.dense_shape,
  )
  closeness.assert_close(served["default"], want)


class TestConvNeXt:
  """Of Keras's own layers, which no file of it can be loaded without."""

  @pytest.fixture(scope="class")
  @classmethod
  def model(cls) -> tf_keras.Model:
    return convnext.ConvNeXt(
      depths=[1, 1, 1, 1],
      projection_dims=[4, 4, 8, 8],
      input_shape=(32, 32, 3),
      weights=None,
      classes=3,
    )

  @pytest.mark.parametrize("name", ["model.keras", "model.h5"])
  def test_outputs_are_the_models_own(self, model, tmp_path, name):
    file = str(tmp_path / name)
    model.save(file)
    exporter = keras_model.KerasModelExporter(model_file=file)
    path = str(tmp_path / "exported")
    exporting.export(exporter, export_path=path, level=checks.BASIC)
    images = tf.random.stateless_uniform([2, 32, 32, 3], [1, 2], 0.0, 255.0)
    closeness.assert_close(tf.saved_model.load(path)(images), model(images))

  def test_has_no_classes_of_its_own(self, model, tmp_path):
    file = tmp_path / "model.h5"
    model.save(file)
    found = report.read(str(file))
    assert "custom classes" not in dict(found.facts)
    assert found.gin is None  # A command is enough.

  def test_a_class_that_is_registered_wins(self, model, tmp_path):
    class LayerScale(convnext.LayerScale):
      def call(self, x):
        return 2.0 * super().call(x)

    file = str(tmp_path / "model.h5")
    model.save(file)
    with tf_keras.utils.custom_object_scope({"LayerScale": LayerScale}):
      exporter = keras_model.KerasModelExporter(model_file=file)
      published = exporter.build().published[""]
    assert published.reference is not None
    images = tf.random.stateless_uniform([2, 32, 32, 3], [1, 2], 0.0, 255.0)
    got = published.reference(images, training=False)
    assert np.abs(got - model(images)).max() > 0


@tf_keras.utils.register_keras_serializable("tests")
class Doubled(tf_keras.Model):
  """A functional model whose call is not that of its layers."""

  def call(self, inputs, training=False):
    return 2.0 * super().call(inputs, training=training)


def _doubled() -> tf_keras.Model:
  inputs = tf_keras.Input([3])
  return Doubled(inputs, layers.Dense(2, name="scores")(inputs))


def test_an_overridden_call_is_kept(tmp_path):
  model = _doubled()
  exporter = keras_model.KerasModelExporter(model_function=lambda: model)
  path = str(tmp_path / "exported")
  exporting.export(exporter, export_path=path, level=checks.BASIC)
  inputs = tf.ones([2, 3])
  kernel, bias = model.layers[-1].get_weights()
  closeness.assert_close(
    tf.saved_model.load(path)(inputs), 2 * (np.ones([2, 3]) @ kernel + bias)
  )


def _masked() -> tf_keras.Model:
  words = tf_keras.Input([None], dtype=tf.int32)
  vectors = layers.Embedding(10, 4, mask_zero=True, name="vectors")(words)
  states = layers.LSTM(3, name="states")(vectors)
  return tf_keras.Model(words, layers.Dense(2, name="scores")(states))


def test_a_mask_that_crosses_the_cut_is_an_error(tmp_path):
  with pytest.raises(ExportError, match="'states' gets a mask from the layers"):
    export(_masked(), tmp_path, input_layer="states")


def test_a_mask_behind_the_cut_is_kept(tmp_path):
  loaded, _ = export(_masked(), tmp_path, output_layer="states")
  words = tf.constant([[1, 2, 0, 0], [3, 4, 5, 6]])
  model = owners(tmp_path)
  vectors = model.get_layer("vectors")(words)
  mask = tf.constant([[True, True, False, False], [True] * 4])
  want = model.get_layer("states")(vectors, mask=mask)
  closeness.assert_close(loaded(words), want)


@pytest.mark.parametrize("cut", ["whole", "input_layer", "output_layer"])
def test_a_broken_rebuild_fails_its_checks(tmp_path, monkeypatch, cut):
  """Whatever is published, the reference is the owner's model, called whole."""
  inputs = tf_keras.Input([4])
  middle = layers.Dense(4, activation="relu", name="middle")(inputs)
  model = tf_keras.Model(inputs, layers.Dense(2, name="scores")(middle))
  fields = (
    {} if cut == "whole" else {cut: "scores" if "in" in cut else "middle"}
  )
  sliced = keras_model.KerasModelExporter._sliced

  def broken(self, whole):
    part = sliced(self, whole)
    return tf_keras.Model(part.inputs, part.outputs[0] * 1.001)

  monkeypatch.setattr(keras_model.KerasModelExporter, "_sliced", broken)
  with pytest.raises(
    ExportError, match="same numbers as the reference: failed"
  ):
    export(model, tmp_path, **fields)
  assert not (tmp_path / "exported").exists()


def test_a_batch_size_that_is_fixed_stays_fixed(tmp_path):
  inputs = tf_keras.Input(batch_shape=[2, 4])
  loaded, _ = export(tf_keras.Model(inputs, layers.Dense(2)(inputs)), tmp_path)
  want = owners(tmp_path)(tf.ones([2, 4]))
  closeness.assert_close(loaded(tf.ones([2, 4])), want)


def test_a_sample_that_is_too_small(tmp_path):
  inputs = tf_keras.Input([None, None, 3])
  shrunk = layers.AveragePooling2D(64)(inputs)
  model = tf_keras.Model(inputs, layers.Conv2D(2, 3)(shrunk))
  with pytest.raises(ExportError, match="KerasModelExporter.sample_sizes = "):
    export(model, tmp_path, sample_sizes=(32, 48))
  export(model, tmp_path)


def test_a_sample_of_which_nothing_is_left(tmp_path):
  """As of models that crop the context of what they are about."""
  inputs = tf_keras.Input([None, 4])
  model = tf_keras.Model(inputs, layers.Cropping1D(50)(inputs))
  with pytest.raises(ExportError, match=r"is empty \(\(1, 0, 4\)\).*sample_si"):
    export(model, tmp_path, sample_sizes=(32, 48))
  loaded, _ = export(model, tmp_path)
  assert loaded(tf.zeros([1, 101, 4])).shape == [1, 1, 4]


class TestSampleSizes:
  @pytest.mark.parametrize(
    ("cropped", "expected"),
    [(0, 32), (31, 32), (32, 40), (63, 64), (64, 80), (10_000, 10_240)],
  )
  def test_are_enough(self, cropped, expected):
    inputs = tf_keras.Input([None, 4])
    model = tf_keras.Model(inputs, layers.Cropping1D((0, cropped))(inputs))
    assert inputs_lib.sample_sizes(model) == (expected, expected + 16)

  def test_of_several_inputs_and_outputs(self):
    sound, image = tf_keras.Input([None, 4]), tf_keras.Input([None, 8, 3])
    outputs = {
      "a": layers.Conv1D(3, 50)(sound),
      "b": layers.GlobalMaxPool2D()(image),
    }
    model = tf_keras.Model({"sound": sound, "image": image}, outputs)
    assert inputs_lib.sample_sizes(model) == (56, 72)

  def test_of_what_no_size_is_enough_for(self):
    """Its reference will say so."""
    inputs = tf_keras.Input([None, 4])
    model = tf_keras.Model(inputs, inputs[:, :0])
    assert inputs_lib.sample_sizes(model) == (32, 48)

  def test_are_not_asked_of_a_model_that_leaves_none_open(self):
    inputs = tf_keras.Input([4])
    model = tf_keras.Model(inputs, layers.Dense(2)(inputs))
    assert inputs_lib.sample_sizes(model) == (32, 48)


def test_an_operation_of_other_devices_is_named(tmp_path):
  """Of a recurrent layer that is made for GPUs alone."""
  inputs = tf_keras.Input([10, 4])
  states = tf.compat.v1.keras.layers.CuDNNLSTM(2)(inputs)
  model = tf_keras.Model(inputs, states)
  exporter = keras_model.KerasModelExporter(model_function=lambda: model)
  path = str(tmp_path / "exported")
  with pytest.raises(
    ExportError, match="on this machine's processor.*CudnnRNN"
  ):
    exporting.export(exporter, export_path=path, level=checks.BASIC)


def test_a_tower_that_is_called_on_two_inputs(tmp_path):
  """In a batch of one, its outputs are all zeros, and so are the gradients."""
  inputs = [tf_keras.Input([4]), tf_keras.Input([4])]
  tower = tf_keras.Sequential(
    [tf_keras.Input([4]), layers.Dense(3), layers.BatchNormalization()]
  )
  similar = layers.Dot(1, normalize=True)([tower(each) for each in inputs])
  model = tf_keras.Model(inputs, similar)
  _, done = export(model, tmp_path, level=checks.ALL)
  passed = {
    result.check
    for result in done.artifacts[0].results
    if result.status == checks.PASSED
  }
  assert {"a training step", "batch_norm_momentum"} <= passed


@pytest.mark.parametrize("frozen", [1, 2])
def test_batch_normalization_that_is_frozen_keeps_its_averages(
  tmp_path, frozen
):
  """As where the features of a larger model are reused."""
  inputs = tf_keras.Input([4])
  norms = [layers.BatchNormalization(), layers.BatchNormalization()]
  hidden = norms[0](layers.Normalization(mean=1.0, variance=4.0)(inputs))
  model = tf_keras.Model(inputs, norms[1](layers.Dense(3)(hidden)))
  for layer in norms[:frozen]:
    layer.trainable = False
  loaded, _ = export(model, tmp_path, level=checks.ALL)
  loaded(tf.random.uniform([8, 4]), training=True)
  # Frozen, a mean stays 0.
  means = [v for v in loaded.variables if "moving_mean" in v.name]
  assert [not np.any(mean) for mean in means] == [True, frozen == 2]


@pytest.mark.parametrize("layer", [layers.LSTM, layers.GRU])
def test_a_recurrent_layer_with_dropout(layer, tmp_path):
  """In a file of which the layer was called in more than one graph."""
  words = tf_keras.Input([6])
  vectors = layers.Embedding(10, 4)(words)
  states = layer(3, dropout=0.2, recurrent_dropout=0.2)(vectors)
  model = tf_keras.Model(words, layers.Dense(2)(states))
  inputs = np.arange(6, dtype=np.float32)[np.newaxis]
  for _ in range(2):
    tf.function(lambda: model(inputs, training=True)).get_concrete_function()
  path = str(tmp_path / "exported")
  exporter = keras_model.KerasModelExporter(model_function=lambda: model)
  exporting.export(exporter, export_path=path, level=checks.BASIC)
  loaded = tf.saved_model.load(path)
  closeness.assert_close(loaded(inputs), model(inputs))
  assert np.any(loaded(inputs, training=True) != loaded(inputs))


def test_a_loop_that_a_persistent_tape_cannot_record(tmp_path):
  """A loaded model's loop; Keras's own SavedModels have the same."""
  vectors = tf_keras.Input([6, 4])
  states = layers.SimpleRNN(3)(vectors)
  model = tf_keras.Model(vectors, layers.Dense(2)(states))
  _, done = export(model, tmp_path, level=checks.ALL)
  (result,) = [
    result
    for result in done.artifacts[0].results
    if result.check == "gradients of a persistent tape"
  ]
  assert result.status == checks.NOT_APPLICABLE
  assert "cannot record a loop" in str(result)


@pytest.mark.parametrize("form", ["False", "True"])
def test_recurrent_layers_give_the_same_bytes(form, tmp_path):
  """Keras gives their implementations random ids."""
  vectors = tf_keras.Input([6, 4])
  states = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(vectors)
  outputs = layers.GRU(3)(layers.GRU(3, return_sequences=True)(states))
  tf_keras.Model(vectors, outputs).save(tmp_path / "model.keras")
  found = []
  for name in ("first", "again"):
    command.export(
      "keras_model",
      "configs/keras_model/keras_model.gin",
      tmp_path / name,
      "--checks=none",
      bindings=[
        f"MODEL_FILE = '{tmp_path}/model.keras'",
        f"keras_model.KerasModelExporter.keras_saved_model = {form}",
      ],
    )
    found.append((tmp_path / name / "saved_model.pb").read_bytes())
  ids = re.findall(rb"(?:lstm|gru)_[0-9a-f]{8}-[0-9a-f-]{27}", found[0])
  assert len(set(ids)) >= 4
  # If Keras's own form differs, then not by these.
  assert re.findall(rb"(?:lstm|gru)_[0-9a-f]{8}-[0-9a-f-]{27}", found[1]) == ids
  assert found[0] == found[1]


def _as_of_2017(path: pathlib.Path) -> None:
  """Rewrites what an .h5 file says as Keras 2.0.8 said it."""
  with h5py.File(path, "r+") as file:
    config = json.loads(file.attrs["model_config"])
    config["config"] = config["config"]["layers"][1:]
    first, *_ = config["config"]
    first["config"]["batch_input_shape"] = [None, 6]
    for layer in config["config"]:
      wrapped = layer["config"].get("layer", layer)
      wrapped["config"].pop("reset_after", None)
    file.attrs["model_config"] = json.dumps(config)
    file.attrs["keras_version"] = "2.0.8"


def test_a_file_of_2017(tmp_path):
  """Without what later versions say: names of models, kinds of GRUs."""
  old = {"reset_after": False, "recurrent_activation": "hard_sigmoid"}
  model = tf_keras.Sequential(
    [
      tf_keras.Input([6]),
      layers.Embedding(10, 4),
      layers.Bidirectional(layers.GRU(3, return_sequences=True, **old)),
      layers.GRU(3, **old),
      layers.Dense(2, activation="softmax"),
    ]
  )
  file = tmp_path / "model.h5"
  model.save(file)
  _as_of_2017(file)
  described = report.read(str(file))
  assert dict(described.facts) == {
    "kind": "Keras 2.0.8 model (.h5)",
    "model": "Sequential of 5 layers",
    "input": f"{model.layers[0].name} [?, 6] float32",
    "output": f"{model.layers[-1].name} [..., 2] (Dense)",
    "classes": "2 (softmax)",
    "parameters": f"{model.count_params():,}",
    "dtype": "float32",
  }
  exporter = keras_model.KerasModelExporter(model_file=str(file))
  path = str(tmp_path / "exported")
  exporting.export(exporter, export_path=path, level=checks.NONE)
  inputs = np.arange(12, dtype=np.float32).reshape([2, 6]) % 10
  closeness.assert_close(tf.saved_model.load(path)(inputs), model(inputs))


def test_a_function_that_nobody_registered_is_named(tmp_path):
  inputs = tf_keras.Input([6])
  model = tf_keras.Model(inputs, layers.Dense(2, activation=_twice)(inputs))
  model.save(tmp_path / "model.h5")
  exporter = keras_model.KerasModelExporter(
    model_file=str(tmp_path / "model.h5")
  )
  with pytest.raises(
    ExportError, match="Unknown activation function.*a module that registers"
  ):
    exporter.build()


def _twice(x: tf.Tensor) -> tf.Tensor:
  return 2.0 * x


def test_probabilities_that_are_nearly_0_and_1(tmp_path):
  inputs = tf_keras.Input([2])
  model = tf_keras.Model(inputs, layers.Dense(3, "softmax")(inputs))
  model.set_weights([np.ones([2, 3]), np.array([0.0, 30.0, 60.0])])
  _, done = export(model, tmp_path, checks.ALL)
  results = {r.check: r for r in done.artifacts[0].results}
  assert results["a training step"].status == checks.PASSED


def test_weights_alone_are_called_so(tmp_path):
  inputs = tf_keras.Input([2])
  model = tf_keras.Model(inputs, layers.Dense(3)(inputs))
  model.save_weights(tmp_path / "model.h5")
  exporter = keras_model.KerasModelExporter(
    model_file=str(tmp_path / "model.h5")
  )
  with pytest.raises(ExportError, match=r"in the file\).*not only weights"):
    exporter.build()
  said = report.read(str(tmp_path / "model.h5"))
  assert "weights alone" in said.advice
  assert "model_function" in said.advice


def _lookup() -> tf_keras.Model:
  colours = tf_keras.Input([1], dtype=tf.string)
  numbers = layers.StringLookup(vocabulary=["red", "green"])(colours)
  vectors = layers.Flatten()(layers.Embedding(6, 3)(numbers))
  return tf_keras.Model(colours, layers.Dense(2)(vectors))


def _vectorized() -> tf_keras.Model:
  words = layers.TextVectorization(max_tokens=20, output_sequence_length=6)
  words.adapt(["the cat sat", "Hello, world!"])
  text = tf_keras.Input([], dtype=tf.string)
  vectors = layers.Embedding(20, 4)(words(text))
  pooled = layers.GlobalAveragePooling1D()(vectors)
  return tf_keras.Model(text, layers.Dense(2)(pooled))


@pytest.mark.parametrize(
  ("build", "inputs"),
  [
    (_lookup, [["green"], ["blue"], ["red"]]),
    (_vectorized, ["the cat sat", "a dog", ""]),
  ],
)
def test_a_table_travels_with_the_model(tmp_path, build, inputs):
  loaded, _ = export(build(), tmp_path, checks.ALL)
  want = owners(tmp_path)(tf.constant(inputs))
  closeness.assert_close(loaded(tf.constant(inputs)), want)


def test_random_augmentation_is_for_training_alone(tmp_path):
  images = tf_keras.Input([8, 8, 3])
  flipped = layers.RandomFlip("horizontal")(images)
  model = tf_keras.Model(images, layers.Flatten()(flipped))
  loaded, _ = export(model, tmp_path, checks.ALL)
  rng = np.random.default_rng(0)
  sample = tf.constant(rng.random([16, 8, 8, 3], np.float32))
  np.testing.assert_array_equal(loaded(sample), tf.reshape(sample, [16, -1]))
  trained = tf.reshape(loaded(sample, training=True), sample.shape)
  mirrored = tf.reverse(sample, axis=[2])
  kinds = {
    "same": int(tf.reduce_sum(tf.cast(_equal(trained, sample), tf.int32))),
    "mirrored": int(
      tf.reduce_sum(tf.cast(_equal(trained, mirrored), tf.int32))
    ),
  }
  assert sum(kinds.values()) == 16
  assert all(kinds.values())


def _equal(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
  return tf.reduce_all(one == other, axis=[1, 2, 3])


def test_a_layer_that_carries_its_state_is_named(tmp_path):
  inputs = tf_keras.Input(batch_shape=[2, 4, 3])
  states = layers.LSTM(3, stateful=True, name="memory")(inputs)
  with pytest.raises(ExportError, match="'memory' carries its state from one"):
    export(tf_keras.Model(inputs, states), tmp_path)


@tf_keras.utils.register_keras_serializable("tests")
class WithLoss(layers.Layer):
  def call(self, inputs):
    self.add_loss(tf.reduce_mean(inputs**2))
    return inputs


@tf_keras.utils.register_keras_serializable("tests")
class Block(layers.Layer):
  """A regularized weight of its own beside that of a layer in it."""

  def __init__(self, **kwargs):
    super().__init__(**kwargs)
    self.dense = layers.Dense(4, kernel_regularizer="l2")

  def build(self, shape):
    self.scale = self.add_weight(
      name="scale", shape=[4], initializer="ones", regularizer="l2"
    )
    super().build(shape)

  def call(self, inputs):
    return self.dense(inputs) * self.scale


def test_losses_that_depend_on_inputs_are_left_out_aloud(tmp_path):
  inputs = tf_keras.Input([5])
  dense = layers.Dense(4, activity_regularizer="l2", kernel_regularizer="l2")
  model = tf_keras.Model(inputs, layers.Dense(2)(WithLoss()(dense(inputs))))
  loaded, done = export(model, tmp_path, checks.ALL)
  kernel = owners(tmp_path).layers[1].kernel
  # By hand: 0.01 times the sum of the squares.
  assert [float(loss()) for loss in loaded.regularization_losses] == [
    pytest.approx(0.01 * float(np.sum(np.square(kernel))), rel=1e-5)
  ]
  ((remark,),) = (artifact.remarks for artifact in done.artifacts)
  assert "(2 of them)" in remark


def test_a_composite_layer_keeps_its_own_regularizer(tmp_path):
  inputs = tf_keras.Input([5])
  model = tf_keras.Model(inputs, layers.Dense(2)(Block()(inputs)))
  loaded, _ = export(model, tmp_path)
  block = owners(tmp_path).layers[1]
  want = [
    0.01 * float(np.sum(np.square(weight)))
    for weight in (block.scale, block.dense.kernel)
  ]
  got = sorted(float(loss()) for loss in loaded.regularization_losses)
  closeness.assert_close(got, sorted(want))


@pytest.fixture
def _float32_again():
  yield
  tf_keras.mixed_precision.set_global_policy("float32")


@pytest.mark.usefixtures("_float32_again")
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("last", ["float32", None])
def test_mixed_precision(tmp_path, policy, last):
  """Rates are of the type that dropout computes in."""
  tf_keras.mixed_precision.set_global_policy(policy)
  images = tf_keras.Input([8, 8, 3])
  features = layers.BatchNormalization()(layers.Conv2D(4, 3)(images))
  dropped = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(features))
  model = tf_keras.Model(images, layers.Dense(2, dtype=last)(dropped))
  loaded, _ = export(model, tmp_path, checks.ALL)
  sample = tf.ones([64, 8, 8, 3])
  want = owners(tmp_path)(sample)
  got = loaded(sample)
  assert got.dtype == want.dtype == model.outputs[0].dtype
  np.testing.assert_array_equal(
    tf.cast(got, tf.float32), tf.cast(want, tf.float32)
  )
  quiet = [loaded(sample, training=True, dropout_rate=0.0) for _ in range(2)]
  np.testing.assert_array_equal(*(tf.cast(t, tf.float32) for t in quiet))


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_code_in_a_file_runs_on_request_alone(tmp_path, suffix):
  inputs = tf_keras.Input([3])
  model = tf_keras.Model(inputs, layers.Lambda(lambda x: 2 * x)(inputs))
  file = str(tmp_path / f"model.{suffix}")
  model.save(file)
  safe = keras_model.KerasModelExporter(model_file=file)
  path = str(tmp_path / "exported")
  with pytest.raises(ExportError, match=r"holds code: .*safe_mode = False"):
    exporting.export(safe, export_path=path, level=checks.NONE)
  unsafe = dataclasses.replace(safe, safe_mode=False)
  exporting.export(unsafe, export_path=path, level=checks.BASIC)
  loaded = tf.saved_model.load(path)
  np.testing.assert_array_equal(loaded(tf.constant([[1.0, 2, 3]])), [[2, 4, 6]])


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_file_of_keras_3_is_named(tmp_path, suffix):
  model = keras.Sequential([keras.Input([5]), keras.layers.Dense(3)])
  file = str(tmp_path / f"model.{suffix}")
  model.save(file)
  exporter = keras_model.KerasModelExporter(model_file=file)
  with pytest.raises(ExportError, match="was saved by Keras 3") as raised:
    exporter.build()
  assert len(str(raised.value)) < 500


def test_outputs_keep_the_keys_that_the_model_gives_them(tmp_path):
  inputs = tf_keras.Input([3])
  outputs = {"zeta": layers.Dense(2)(inputs), "alpha": layers.Dense(1)(inputs)}
  loaded, _ = export(tf_keras.Model(inputs, outputs), tmp_path)
  want = owners(tmp_path)(tf.ones([1, 3]))
  got = loaded(tf.ones([1, 3]))
  assert got.keys() == want.keys() == {"zeta", "alpha"}
  for name in want:
    closeness.assert_close(got[name], want[name])
  signature = loaded.signatures["serving_default"]
  assert signature.structured_outputs.keys() == {"zeta", "alpha"}


def test_a_named_output_is_called_so_and_others_can_be(tmp_path):
  inputs = tf_keras.Input([3])
  model = tf_keras.Model(inputs, layers.Dense(2, name="scores")(inputs))
  (tmp_path / "own").mkdir()
  loaded, _ = export(model, tmp_path / "own", checks.NONE)
  signature = loaded.signatures["serving_default"]
  assert signature.structured_outputs.keys() == {"scores", "default"}
  two = [layers.Dense(2)(inputs), layers.Dense(1)(inputs)]
  loaded, _ = export(
    tf_keras.Model(inputs, two), tmp_path, output_names=["logits", "value"]
  )
  assert loaded(tf.ones([1, 3])).keys() == {"logits", "value"}


def test_names_for_more_outputs_than_there_are(tmp_path):
  inputs = tf_keras.Input([3])
  model = tf_keras.Model(inputs, layers.Dense(2)(inputs))
  with pytest.raises(ExportError, match="of which there are 1"):
    export(model, tmp_path, output_names=["one", "two"])


@pytest.mark.parametrize(
  "shape", [[8, 8, 1], [8, 8, 4], [4, 8, 8, 3], [16, 3], [5]]
)
def test_a_keras_model_claims_no_image_api(tmp_path, shape):
  """Grey images, more channels, videos, signals: with probabilities."""
  inputs = tf_keras.Input(shape)
  dense = layers.Dense(3, activation="softmax")(layers.Flatten()(inputs))
  loaded, _ = export(tf_keras.Model(inputs, dense), tmp_path)
  closeness.assert_close(
    tf.reduce_sum(loaded(tf.ones([2, *shape])), axis=1), [1, 1]
  )


def test_regularization_losses_of_a_model_without_any():
  model = tf_keras.Sequential([tf_keras.Input([3]), layers.Dense(2)])
  assert functional.regularization_losses(model) == ([], 0)
