"""Averages of weights: taken wherever a training keeps them.

What an average has to be is computed here step by step, from the weights after
each step.
"""

import json
import re
import shutil
import zipfile

import h5py
import numpy as np
from official.modeling import optimization
import pytest
import tensorflow as tf
import tf_keras

from exporters import checkpoints
from exporters import keras_model
from exporters.errors import ExportError
from tests import checkpoint_files
from tests import closeness
from tests import numpy_bert
from tests import small_bert

_MOMENTUM = 0.5
_STEPS = 3
# How each kind of file of a compiled model is written, by the end of its path.
_FILES = {
  "ckpt": lambda model, path: tf.train.Checkpoint(
    model=model, optimizer=model.optimizer
  ).write(path),
  # The optimizer is the model's own attribute.
  "model_ckpt": lambda model, path: tf.train.Checkpoint(model=model).write(
    path
  ),
  "h5": lambda model, path: model.save(path),
  "keras": lambda model, path: model.save(path),
  "saved_model": lambda model, path: model.save(path, save_format="tf"),
}


def build(*, frozen: bool = False) -> tf_keras.Model:
  layers = [
    tf_keras.layers.Dense(3, input_shape=[2], trainable=not frozen),
    tf_keras.layers.BatchNormalization(),
    tf_keras.layers.Dense(1),
  ]
  return tf_keras.Sequential(layers)


class Training:
  """A model in the middle of its training, with its weights and averages."""

  def __init__(self, optimizer, model=None):
    self.model = model or build()
    self.model.compile(optimizer, "mse")
    rng = np.random.default_rng(0)
    averages = None
    for _ in range(_STEPS):
      before = self._trainable()
      self.model.train_on_batch(rng.normal(size=[4, 2]), np.ones([4, 1]))
      after = self._trainable()
      # It starts at the weights, and moves towards those after each step.
      averages = [
        _MOMENTUM * average + (1 - _MOMENTUM) * weight
        for average, weight in zip(averages or before, after, strict=True)
      ]
    self.weights = [v.numpy() for v in self.model.variables]
    places = {
      id(v): a
      for v, a in zip(self.model.trainable_variables, averages, strict=True)
    }
    self.averages = [places.get(id(v), v.numpy()) for v in self.model.variables]

  def _trainable(self):
    return [v.numpy() for v in self.model.trainable_variables]


def restored(path, averages, model=None):
  model = model or build()
  checkpoint = checkpoints.open_checkpoint(str(path), averages=averages)
  checkpoints.restore(checkpoint, {"model": model})
  return [variable.numpy() for variable in model.variables]


def assert_close(got, want):
  for g, w in zip(got, want, strict=True):
    np.testing.assert_allclose(g, w, rtol=1e-6)


@pytest.fixture(
  scope="module",
  params=[
    tf_keras.optimizers.Adam,
    tf_keras.optimizers.SGD,
    tf_keras.optimizers.AdamW,
    # As of mixed precision: the optimizer is inside of another.
    lambda *args, **kwargs: tf_keras.mixed_precision.LossScaleOptimizer(
      tf_keras.optimizers.Adam(*args, **kwargs)
    ),
  ],
  ids=["Adam", "SGD", "AdamW", "LossScaleOptimizer"],
)
def training(request):
  optimizer = request.param(0.1, use_ema=True, ema_momentum=_MOMENTUM)
  return Training(optimizer)


@pytest.fixture(scope="module", params=_FILES)
def path(request, training, tmp_path_factory):
  found = tmp_path_factory.mktemp("averages") / f"model.{request.param}"
  _FILES[request.param](training.model, str(found))
  return found


class TestTfKeras:
  """Optimizers of tf_keras with `use_ema`."""

  @pytest.mark.parametrize("averages", [None, True])
  def test_taken(self, training, path, averages):
    assert_close(restored(path, averages), training.averages)

  def test_left_alone(self, training, path):
    assert_close(restored(path, False), training.weights)

  def test_not_counted_as_weights(self, path):
    checkpoint = checkpoints.open_checkpoint(str(path))
    weights = checkpoint.tensors.keys() - checkpoint.training
    # Two Dense layers, batch normalization; perhaps the counter of saves.
    assert len(weights) == 2 + 4 + 2

  def test_of_the_last_epoch_are_in_the_weights(self, tmp_path):
    model = build()
    model.compile(tf_keras.optimizers.SGD(0.1, use_ema=True), "mse")
    model.fit(np.ones([4, 2]), np.ones([4, 1]), verbose=0)
    model.save_weights(tmp_path / "model.weights.h5")
    weights = [variable.numpy() for variable in model.variables]
    assert_close(restored(tmp_path / "model.weights.h5", None), weights)

  @pytest.mark.parametrize("averages", [None, True])
  def test_a_file_that_does_not_tell_is_asked_about(self, tmp_path, averages):
    optimizer = tf_keras.optimizers.SGD(
      0.1, use_ema=True, ema_momentum=_MOMENTUM
    )
    training = Training(optimizer)
    path = tmp_path / "model.weights.h5"
    training.model.save_weights(path)
    with pytest.raises(ExportError, match="perhaps has averages.*= False"):
      restored(path, averages)
    assert_close(restored(path, False), training.weights)

  def test_slots_of_other_shapes_are_no_averages(self, tmp_path):
    training = Training(tf_keras.optimizers.Adam(0.1))
    path = tmp_path / "model.weights.h5"
    training.model.save_weights(path)
    assert_close(restored(path, None), training.weights)

  @pytest.mark.parametrize("end", _FILES)
  def test_none_there(self, tmp_path, end):
    training = Training(tf_keras.optimizers.SGD(0.1, momentum=0.9))
    path = tmp_path / f"model.{end}"
    _FILES[end](training.model, str(path))
    assert_close(restored(path, None), training.weights)
    with pytest.raises(ExportError, match="has no averaged weights"):
      restored(path, True)


class TestKerasModel:
  """The exporter that publishes whole models."""

  @pytest.mark.parametrize("end", ["h5", "keras", "saved_model"])
  def test_published(self, tmp_path, end):
    training = Training(
      tf_keras.optimizers.Adam(0.1, use_ema=True, ema_momentum=_MOMENTUM)
    )
    path = str(tmp_path / f"model.{end}")
    _FILES[end](training.model, path)
    for wanted, weights in (
      (None, training.averages),
      (True, training.averages),
      (False, training.weights),
    ):
      exporter = keras_model.KerasModelExporter(
        model_file=path, average_weights=wanted
      )
      published = exporter.build().published[""]
      assert_close([v.numpy() for v in published.variables], weights)

  def test_none_there(self, tmp_path):
    build().save(tmp_path / "model.h5")
    exporter = keras_model.KerasModelExporter(
      model_file=str(tmp_path / "model.h5"), average_weights=True
    )
    with pytest.raises(ExportError, match="has no averaged weights"):
      exporter.build()

  def test_a_function_returns_what_it_wants(self):
    exporter = keras_model.KerasModelExporter(
      model_function=build, average_weights=True
    )
    with pytest.raises(ExportError, match="finalize_variable_values in it"):
      exporter.build()

  def test_text_among_the_weights(self, tmp_path):
    words = tf_keras.Input([1], dtype=tf.string)
    table = tf_keras.layers.StringLookup(vocabulary=["a", "b"])
    tf_keras.Model(words, table(words)).save(tmp_path / "model.keras")
    exporter = keras_model.KerasModelExporter(
      model_file=str(tmp_path / "model.keras")
    )
    assert not exporter.build().published[""].variables


class TestUncertain:
  """Which weight an average is of is not guessed by shapes."""

  @pytest.fixture
  def same_names(self):
    """Two inner models whose layers have the same names."""
    inputs = tf_keras.Input([2])
    inner = [
      tf_keras.Sequential([tf_keras.layers.Dense(2, name="same")])
      for _ in range(2)
    ]
    outputs = inner[1](inner[0](inputs))
    names = [v.name for v in tf_keras.Model(inputs, outputs).variables]
    assert len(set(names)) < len(names)
    return tf_keras.Model(inputs, outputs)

  @pytest.mark.parametrize("end", ["ckpt", "saved_model"])
  def test_two_weights_of_one_name(self, same_names, tmp_path, end):
    optimizer = tf_keras.optimizers.Adam(0.1, use_ema=True)
    same_names.compile(optimizer, "mse")
    same_names.train_on_batch(np.ones([4, 2]), np.ones([4, 2]))
    path = tmp_path / f"model.{end}"
    _FILES[end](same_names, str(path))
    with pytest.raises(ExportError, match="can't be told apart"):
      restored(path, None, tf_keras.models.clone_model(same_names))

  def test_frozen_layers_in_a_keras_file(self, tmp_path):
    optimizer = tf_keras.optimizers.Adam(0.1, use_ema=True)
    training = Training(optimizer, build(frozen=True))
    training.model.save(tmp_path / "model.keras")
    with pytest.raises(ExportError, match="frozen layers.*= False"):
      restored(tmp_path / "model.keras", None)
    assert_close(restored(tmp_path / "model.keras", False), training.weights)


def test_model_gardens_optimizer_factory(tmp_path):
  """Whose averages are slots, and start at zero."""
  factory = optimization.OptimizerFactory(
    optimization.OptimizationConfig(
      {
        "optimizer": {"type": "sgd", "sgd": {"momentum": 0.9}},
        "learning_rate": {
          "type": "constant",
          "constant": {"learning_rate": 0.1},
        },
        "ema": {"average_decay": 0.5, "dynamic_decay": False},
      }
    )
  )
  optimizer = factory.build_optimizer(factory.build_learning_rate())
  model = build()
  optimizer.shadow_copy(model)
  averages = [np.zeros(v.shape) for v in model.trainable_variables]
  for _ in range(_STEPS):
    optimizer.apply_gradients(
      [(tf.ones_like(v), v) for v in model.trainable_variables]
    )
    averages = [
      0.5 * average + 0.5 * v.numpy()
      for average, v in zip(averages, model.trainable_variables, strict=True)
    ]
  path = tf.train.Checkpoint(model=model, optimizer=optimizer).save(
    str(tmp_path / "ckpt")
  )
  got = build()
  checkpoints.restore(checkpoints.open_checkpoint(path), {"model": got})
  # By scale: an average may happen to be as good as zero.
  for variable, average in zip(got.trainable_variables, averages, strict=True):
    closeness.assert_close(variable.numpy(), average)


class TestTf1:
  """`tf.train.ExponentialMovingAverage`, in a graph of TF1."""

  @pytest.fixture(scope="class")
  def trained(self, tmp_path_factory):
    """A checkpoint of a BERT after a step, and its tensors before it."""
    folder = tmp_path_factory.mktemp("tf1")
    tensors = numpy_bert.tensors("bert")
    # What a checkpoint has under which name, and the values.
    checkpoint_files.tf1(folder / "before", tensors)
    reader = tf.train.load_checkpoint(str(folder / "before"))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
      variables = [
        tf.compat.v1.get_variable(name, initializer=reader.get_tensor(name))
        for name in reader.get_variable_to_shape_map()
        if name.partition("/")[0] in ("bert", "cls") and "adam" not in name
      ]
      step = tf.group(*(v.assign_add(tf.ones_like(v)) for v in variables))
      average = tf.train.ExponentialMovingAverage(0.75)
      with tf.control_dependencies([step]):
        train = average.apply(variables)
      session.run(tf.compat.v1.global_variables_initializer())
      session.run(train)
      saver = tf.compat.v1.train.Saver()
      path = saver.save(session, str(folder / "model.ckpt"))
    return path, tensors

  @pytest.mark.parametrize(
    ("averages", "moved"), [(None, 0.25), (True, 0.25), (False, 1)]
  )
  def test_taken(self, trained, averages, moved):
    path, tensors = trained
    model = small_bert.encoder()
    checkpoint = checkpoints.open_checkpoint(path, averages=averages)
    checkpoints.restore(checkpoint, {"encoder": model})
    (bias,) = [v for v in model.variables if "pooler_transform/bias" in v.name]
    want = tensors["bert.pooler.dense.bias"] + moved
    np.testing.assert_allclose(bias, want, rtol=1e-5)
    # As many weights as tensors before the step.
    assert len(checkpoint.tensors) - len(checkpoint.training) == len(tensors)

  def _renamed(self, trained, tmp_path, names):
    """Writes the checkpoint with other names, or further ones, of tensors."""
    reader = tf.train.load_checkpoint(trained[0])
    tensors = {}
    for name in reader.get_variable_to_shape_map():
      for other in names(name):
        tensors[other] = reader.get_tensor(name)
    checkpoint_files.save_tf1(tmp_path / "model.ckpt", tensors)
    return str(tmp_path / "model.ckpt")

  def test_a_name_that_was_taken(self, trained, tmp_path):
    """TF1 numbers a name that the graph had already."""
    path = self._renamed(
      trained, tmp_path, lambda name: [re.sub("Average$", "Average_1", name)]
    )
    model = small_bert.encoder()
    checkpoint = checkpoints.open_checkpoint(path)
    checkpoints.restore(checkpoint, {"encoder": model})
    (bias,) = [v for v in model.variables if "pooler_transform/bias" in v.name]
    want = trained[1]["bert.pooler.dense.bias"] + 0.25
    np.testing.assert_allclose(bias, want, rtol=1e-5)

  def test_two_averages_of_one_weight(self, trained, tmp_path):
    path = self._renamed(
      trained,
      tmp_path,
      lambda name: {name, re.sub("Average$", "Average_1", name)},
    )
    with pytest.raises(ExportError, match="can't be told apart"):
      checkpoints.restore(
        checkpoints.open_checkpoint(path), {"encoder": small_bert.encoder()}
      )

  def test_none_there(self, trained):
    before = trained[0].replace("model.ckpt", "before")
    with pytest.raises(ExportError, match="has no averaged weights"):
      checkpoints.open_checkpoint(before, averages=True)


class TestKerasFile:
  """`.keras` files that no export should trust."""

  @pytest.fixture
  def path(self, tmp_path):
    build().save(tmp_path / "model.keras")
    return tmp_path / "model.keras"

  def rewritten(self, path, compression=zipfile.ZIP_STORED, **contents):
    """Writes an archive again, with other contents of some members."""
    other = path.with_name("other.keras")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
      for name in old.namelist():
        content = contents.get(name.partition(".")[0], old.read(name))
        if content is not None:
          new.writestr(name, content, compression)
    return other

  def refusal(self, path) -> str:
    with pytest.raises(ExportError) as error:
      restored(path, None)
    return str(error.value)

  def test_of_keras_3(self, path):
    metadata = json.dumps({"keras_version": "3.15.1"})
    other = self.rewritten(path, metadata=metadata)
    assert "saved by Keras 3.15.1" in self.refusal(other)

  @pytest.mark.parametrize(
    "contents",
    [
      {"metadata": b"{"},
      {"metadata": b"[]"},
      {"metadata": b"\xff"},
      {"config": b"[" * 99999},
      {"config": None},
      {"model": None},
      {"model": b"no HDF5"},
    ],
  )
  def test_damaged_members(self, path, contents):
    message = self.refusal(self.rewritten(path, **contents))
    assert "truncated or damaged" in message
    assert len(message) < 500

  def test_compressed(self, path):
    other = self.rewritten(path, zipfile.ZIP_DEFLATED)
    assert "does not compress" in self.refusal(other)

  def test_truncated(self, path):
    path.write_bytes(path.read_bytes()[:-50])
    assert "truncated or damaged" in self.refusal(path)

  @pytest.mark.parametrize("config", [b"{}", b'{"compile_config": 3}'])
  def test_config_of_another_form(self, path, config):
    assert restored(self.rewritten(path, config=config), None)


def test_an_optimizer_whose_datasets_lie_elsewhere(tmp_path):
  """HDF5 can link to other files; what is linked is not read."""
  optimizer = tf_keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=_MOMENTUM)
  training = Training(optimizer)
  training.model.save(tmp_path / "model.h5")
  shutil.copy(tmp_path / "model.h5", tmp_path / "other.h5")
  with h5py.File(tmp_path / "other.h5", "a") as file:
    del file["optimizer_weights"]
    file["optimizer_weights"] = h5py.ExternalLink(
      "model.h5", "/optimizer_weights"
    )
  assert_close(restored(tmp_path / "other.h5", None), training.weights)
