"""What people have for an image model: checkpoints, labels, their mistakes."""

import pathlib

import h5py
import numpy as np
from official.modeling import optimization
import pytest
import tensorflow as tf
import tf_keras

from exporters import base
from exporters import checkpoints
from exporters import keras_model
from exporters import recipe
from exporters import resnet
from exporters.errors import ExportError
from exporters.life_cycle import exporting
from exporters.vision import images
from scripts.small_instances import images as small_images
from scripts.small_instances import sizes


@pytest.fixture(scope="module")
def model():
  return small_images.resnet()


def assert_same_weights(got: tf_keras.Model, want: tf_keras.Model) -> None:
  for g, w in zip(got.variables, want.variables, strict=True):
    np.testing.assert_array_equal(g, w, err_msg=w.name)


def restored(path, **options) -> tf_keras.Model:
  """Restores a classifier with other weights from `path`."""
  fresh = small_images.resnet()
  small_images.randomize(fresh, seed=9)
  checkpoints.restore(
    checkpoints.open_checkpoint(str(path), **options),
    {"model": fresh, **fresh.checkpoint_items},
  )
  return fresh


class TestTrainingsCheckpoints:
  """As official.vision writes them."""

  def test_model_and_backbone_with_an_optimizer(self, model, tmp_path):
    optimizer = tf_keras.optimizers.SGD(momentum=0.9)
    optimizer.build(model.trainable_variables)
    path = tf.train.Checkpoint(
      model=model, optimizer=optimizer, backbone=model.backbone
    ).save(str(tmp_path / "ckpt"))
    assert_same_weights(restored(path), model)

  def test_weights_saved_by_keras(self, model, tmp_path):
    model.save_weights(tmp_path / "weights", save_format="tf")
    assert_same_weights(restored(tmp_path / "weights"), model)

  @pytest.fixture
  def averaged(self, tmp_path):
    """A checkpoint of a training that averages, its model and its averages."""
    model = small_images.resnet()
    optimizer = optimization.ExponentialMovingAverage(
      tf_keras.optimizers.legacy.SGD(0.1), trainable_weights_only=False
    )
    optimizer.shadow_copy(model)
    gradients = [tf.ones_like(v) for v in model.trainable_variables]
    for _ in range(2):
      optimizer.apply_gradients(
        zip(gradients, model.trainable_variables, strict=True)
      )
    averages = small_images.resnet()
    for variable, v in zip(averages.variables, model.variables, strict=True):
      variable.assign(optimizer.get_slot(v, "average"))
    return tf.train.Checkpoint(model=model, optimizer=optimizer), averages

  def test_averages_are_preferred(self, averaged, tmp_path):
    checkpoint, averages = averaged
    path = checkpoint.write(str(tmp_path / "ckpt"))
    assert_same_weights(restored(path), averages)
    different = checkpoint.model.variables[0] != averages.variables[0]
    assert np.all(different)

  def test_averages_can_be_left_alone(self, averaged, tmp_path):
    path = averaged[0].write(str(tmp_path / "ckpt"))
    assert_same_weights(restored(path, averages=False), averaged[0].model)

  def test_where_they_are_swapped_in_the_model_has_them(
    self, averaged, tmp_path
  ):
    checkpoint = averaged[0]
    path = checkpoint.write(str(tmp_path / "average_weights-2"))
    assert_same_weights(restored(path), checkpoint.model)

  def test_averages_that_are_not_there(self, model, tmp_path):
    path = tf.train.Checkpoint(model=model).write(str(tmp_path / "ckpt"))
    with pytest.raises(ExportError, match="has no averaged weights"):
      restored(path, averages=True)


class TestKerasH5:
  def test_weights(self, model, tmp_path):
    model.save_weights(tmp_path / "weights.h5")
    assert_same_weights(restored(tmp_path / "weights.h5"), model)

  def test_whole_model_of_whatever_name(self, tmp_path):
    def build():
      layers = [
        tf_keras.Input([4]),
        tf_keras.layers.Dense(3),
        tf_keras.layers.BatchNormalization(),
      ]
      return tf_keras.Sequential(layers)

    source = build()
    small_images.randomize(source)
    source.compile("adam", "mse")
    source.fit(np.ones([2, 4]), np.ones([2, 3]), verbose=0)
    source.save(tmp_path / "model.hdf5")
    fresh = build()  # With other names, `dense_1` for `dense`.
    match = checkpoints.restore(
      checkpoints.open_checkpoint(str(tmp_path / "model.hdf5")),
      {"model": fresh},
    )
    assert_same_weights(fresh, source)
    # Adam's step, and two moments for each of 4 weights.
    assert len(match.ignored) == 2 * 4 + 1

  def test_other_depth(self, tmp_path):
    small_images.resnet(depth=18).save_weights(tmp_path / "weights.h5")
    with pytest.raises(ExportError, match="does not fit this model"):
      restored(tmp_path / "weights.h5")

  def test_remote_file_system(self, model, tmp_path):
    model.save_weights(tmp_path / "weights.h5")
    remote = "ram://image_inputs/weights.h5"
    tf.io.gfile.makedirs("ram://image_inputs")
    tf.io.gfile.copy(tmp_path / "weights.h5", remote, overwrite=True)
    assert_same_weights(restored(remote), model)

  def test_cut_at_any_place(self, model, tmp_path):
    model.save_weights(tmp_path / "weights.h5")
    content = (tmp_path / "weights.h5").read_bytes()
    for length in (0, 4, 100, len(content) // 2, len(content) - 1):
      (tmp_path / "cut.h5").write_bytes(content[:length])
      with pytest.raises(ExportError, match=r"cut\.h5.*truncated or damaged"):
        restored(tmp_path / "cut.h5")

  def test_other_files_are_not_followed(self, model, tmp_path):
    model.save_weights(tmp_path / "weights.h5")
    with h5py.File(tmp_path / "weights.h5", "r+") as f:
      layer = f.attrs["layer_names"][-1]
      weight = f[layer].attrs["weight_names"][0]
      del f[layer][weight]
      f[layer][weight] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(ExportError, match="is a link"):
      restored(tmp_path / "weights.h5")


@pytest.fixture
def exporter():
  """Makes a small ResNet's exporter, with fields of the test's choice."""
  import gin

  def make(checkpoint: str, *bindings: str) -> base.Exporter:
    gin.clear_config()
    loaded = recipe.load(
      ["configs/resnet/resnet_50.gin"],
      [f"CHECKPOINT = '{checkpoint}'", *sizes.RESNET, *bindings],
    )
    gin.clear_config()
    return loaded.exporter

  return make


def refused(exporter: base.Exporter, tmp_path: pathlib.Path) -> str:
  """Returns the one error of an export that leaves nothing on the disk."""
  folder = tmp_path / "exports"
  with pytest.raises(ExportError) as e:
    exporting.export(exporter, export_path=str(folder / "model"), level="none")
  assert not folder.exists()
  return str(e.value)


@pytest.fixture(scope="module")
def checkpoint(model, tmp_path_factory):
  folder = tmp_path_factory.mktemp("ckpt")
  return tf.train.Checkpoint(model=model).write(str(folder / "ckpt"))


class TestMistakes:
  def test_checkpoint_of_another_depth(self, exporter, tmp_path):
    other = small_images.resnet(depth=18)
    path = tf.train.Checkpoint(model=other).write(str(tmp_path / "ckpt"))
    message = refused(exporter(path), tmp_path)
    assert "does not fit this model" in message
    assert "model has another size" in message

  def test_backbone_alone_has_no_classification(
    self, exporter, model, tmp_path
  ):
    path = tf.train.Checkpoint(backbone=model.backbone).write(
      str(tmp_path / "ckpt")
    )
    message = refused(exporter(path), tmp_path)
    assert "checkpoint of the backbone alone" in message
    assert "artifacts = ['feature_vector']" in message

  def test_backbone_alone_has_feature_vectors(self, exporter, model, tmp_path):
    path = tf.train.Checkpoint(backbone=model.backbone).write(
      str(tmp_path / "ckpt")
    )
    sliced = exporter(
      path, "resnet.ResNetExporter.artifacts = ['feature_vector']"
    )
    done = exporting.export(
      sliced, export_path=str(tmp_path / "model"), level="none"
    )
    (artifact,) = done.artifacts
    assert artifact.path == str(tmp_path / "model")
    assert artifact.parameters == model.backbone.count_params()

  @pytest.mark.parametrize(
    ("names", "background", "hint"),
    [
      (6, None, "background_label = 'background'"),
      (5, None, "Use the file"),
      (8, None, "names 8 classes, but the model has 7 logits. "),
      (7, "background", "leave background_label out"),
    ],
  )
  def test_labels_of_another_length(
    self, exporter, checkpoint, tmp_path, names, background, hint
  ):
    path = tmp_path / "labels.txt"
    path.write_text("".join(f"class {i}\n" for i in range(names)))
    message = refused(
      exporter(
        checkpoint,
        f"resnet.ResNetExporter.labels_file = '{path}'",
        f"resnet.ResNetExporter.background_label = {background!r}",
      ),
      tmp_path,
    )
    assert hint in message

  def test_background_label_goes_before_the_files(
    self, exporter, checkpoint, tmp_path
  ):
    path = tmp_path / "labels.txt"
    path.write_text("".join(f"class {i}\n" for i in range(1, 7)))
    build = exporter(
      checkpoint,
      f"resnet.ResNetExporter.labels_file = '{path}'",
      "resnet.ResNetExporter.background_label = 'background'",
    ).build()
    asset = build.published[images.CLASSIFICATION].assets["labels"]
    with tf.io.gfile.GFile(asset) as f:
      assert f.read().splitlines()[:2] == ["background", "class 1"]
    assert not build.published[images.FEATURE_VECTOR].assets

  @pytest.mark.parametrize(
    ("content", "message"),
    [
      (None, "does not exist"),
      (b"a\n\nb\n", "no name on line 2"),
      (b"a\n\xff\n", "not UTF-8: line 2"),
    ],
  )
  def test_labels_that_are_none(
    self, exporter, checkpoint, tmp_path, content, message
  ):
    path = tmp_path / "labels.txt"
    if content is not None:
      path.write_bytes(content)
    labels = f"resnet.ResNetExporter.labels_file = '{path}'"
    assert message in refused(exporter(checkpoint, labels), tmp_path)

  @pytest.mark.parametrize(
    ("binding", "message"),
    [
      ("resnet.ResNetExporter.artifacts = ['logits']", "must name"),
      (
        # In full: MaxViT's own configuration has a Backbone too.
        "official.vision.configs.backbones.Backbone.type = 'vit'",
        "backbone of type 'vit'",
      ),
      (f"{sizes.MODEL}.input_size = [32, 32]", "input_size"),
    ],
  )
  def test_recipe(self, exporter, checkpoint, tmp_path, binding, message):
    assert message in refused(exporter(checkpoint, binding), tmp_path)

  def test_h5_cut_in_half(self, tmp_path):
    content = b"\x89HDF\r\n\x1a\n" + bytes(1000)
    (tmp_path / "half.h5").write_bytes(content)
    legacy = resnet.LegacyResNet50Exporter(
      checkpoint=str(tmp_path / "half.h5"), num_classes=10, l2_weight_decay=1e-4
    )
    assert "truncated or damaged" in refused(legacy, tmp_path)


class TestKerasModels:
  @pytest.fixture
  def whole(self):
    left, right = tf_keras.Input([3], name="left"), tf_keras.Input([3])
    both = tf_keras.layers.Add(name="both")([left, right])
    hidden = tf_keras.layers.Dense(4, name="hidden")(both)
    last = tf_keras.layers.Dense(2, name="last")(hidden)
    return tf_keras.Model([left, right], [last, hidden])

  def test_several_inputs_and_outputs_have_names(self, whole):
    exporter = keras_model.KerasModelExporter(model_function=lambda: whole)
    published = exporter.build().published[""]
    names = list(published.inputs[0])
    assert names == whole.input_names
    sample = {name: tf.ones([2, 3]) for name in names}
    outputs = published.function(sample, training=False)
    last, _ = whole([tf.ones([2, 3])] * 2)
    np.testing.assert_array_equal(outputs["last"], last)
    assert set(outputs) == {"last", "hidden"}

  def test_slice_between_named_layers(self, whole):
    exporter = keras_model.KerasModelExporter(
      model_function=lambda: whole, input_layer="hidden", output_layer="last"
    )
    published = exporter.build().published[""]
    hidden, last = whole.get_layer("hidden"), whole.get_layer("last")
    inputs = tf.ones([2, 3])
    np.testing.assert_allclose(
      published.function(inputs, training=False),
      (inputs @ hidden.kernel + hidden.bias) @ last.kernel + last.bias,
      rtol=1e-6,
    )
    assert len(published.variables) == 4

  @pytest.mark.parametrize(
    ("fields", "message"),
    [
      ({"output_layer": "lost"}, "no layer 'lost'. Its layers are left"),
      (
        {"input_layer": "last", "output_layer": "hidden"},
        "cannot be computed from",
      ),
      ({"model_file": "x.keras"}, "Set exactly one of"),
    ],
  )
  def test_mistakes(self, whole, fields, message):
    exporter = keras_model.KerasModelExporter(
      model_function=lambda: whole, **fields
    )
    with pytest.raises(ExportError, match=message):
      exporter.build()

  @pytest.mark.parametrize("name", ["half.keras", "half.h5", "lost.keras"])
  def test_files_that_hold_no_model(self, whole, tmp_path, name):
    if not name.startswith("lost"):
      whole.save(tmp_path / name)
      content = (tmp_path / name).read_bytes()
      (tmp_path / name).write_bytes(content[: len(content) // 2])
    exporter = keras_model.KerasModelExporter(model_file=str(tmp_path / name))
    with pytest.raises(ExportError, match="Cannot load a tf_keras model"):
      exporter.build()
