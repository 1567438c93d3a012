"""Image models: what they compute, beside Model Garden's own."""

import json

import numpy as np
from official.legacy.image_classification.resnet import resnet_model
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from tensorflow_serving.apis import prediction_log_pb2
import tf_keras

from exporters.saved_model import files
from scripts import digits
from scripts.small_instances import images as small_images
from tests import closeness
from tests import command

DIGITS = command.ROOT / "tests/testdata/digits_resnet"
# ImageNet's, in [0, 1].
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STDDEV = np.array([0.229, 0.224, 0.225], np.float32)
# Of scale: how far an artifact may be from its source, traced; at batches of 1
# and 3 and, where the architecture allows it, at two sizes. Kernels round
# differently on different processors.
SAME = 5e-6


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
  path = tmp_path_factory.mktemp("digits") / "model"
  done = command.export(
    "resnet",
    "configs/resnet/digits_resnet.gin",
    path,
    bindings=["resnet.ResNetExporter.warmup_requests = True"],
  )
  figures = command.differences(done.stdout)
  assert len(figures) == 2
  assert max(figures) <= SAME
  return path


@pytest.fixture(scope="module")
def classify(exported):
  return hub.load(str(exported / "classification"))


@pytest.fixture(scope="module")
def held_out():
  return digits.load()[1]


@pytest.fixture(scope="module")
def source():
  """The digits' classifier, restored by TensorFlow itself."""
  model = _digits_model()
  tf.train.Checkpoint(model=model).read(str(DIGITS / "ckpt")).assert_consumed()
  return model


class TestDigits:
  """A ResNet that was really trained, exported whole and sliced."""

  def test_is_as_accurate_as_its_training_said(self, classify, held_out):
    accuracy = json.loads((DIGITS / "accuracy.json").read_text())
    logits = classify(held_out.images).numpy()
    right = int(np.sum(np.argmax(logits, axis=-1) == held_out.labels))
    assert right == accuracy["right"]
    assert len(held_out.labels) == accuracy["held_out_digits"]
    assert right >= 970

  @pytest.mark.parametrize("size", [(28, 28), (41, 36)])
  def test_gives_the_garden_models_logits(self, classify, source, size):
    images = np.random.default_rng(0).random([2, *size, 3], np.float32)
    normalized = (images - MEAN) / STDDEV
    closeness.assert_close(classify(images), source(normalized))

  def test_gives_what_the_last_layer_takes(self, exported, source, held_out):
    features = hub.load(str(exported / "feature_vector"))(held_out.images[:5])
    *_, dense = source.layers
    logits = features @ dense.kernel + dense.bias
    closeness.assert_close(
      logits, source((held_out.images[:5] - MEAN) / STDDEV)
    )

  def test_names_its_outputs(self, exported):
    for name, output in (
      ("classification", "logits"),
      ("feature_vector", "feature_vector"),
    ):
      signature = hub.load(str(exported / name)).signatures["serving_default"]
      assert set(signature.structured_outputs) == {output, "default"}
      (spec,) = signature.structured_input_signature[1].values()
      assert spec.shape.as_list() == [None, None, None, 3]

  def test_bytes_of_both_artifacts_repeat(self, exported, tmp_path):
    again = tmp_path / "elsewhere"
    leaf = "configs/resnet/digits_resnet.gin"
    command.export(
      "resnet",
      leaf,
      again,
      "--checks=none",
      bindings=["resnet.ResNetExporter.warmup_requests = True"],
    )
    files = [
      file.relative_to(exported)
      for file in sorted(exported.rglob("*"))
      if file.is_file()
    ]
    # Graph, fingerprint, index and data of the variables, requests for TF
    # Serving; and the labels.
    assert len(files) == 2 * 5 + 1
    for file in files:
      assert (exported / file).read_bytes() == (again / file).read_bytes()

  def test_brings_requests_to_warm_it_up(self, exported, classify):
    """One for each sample, which `serving_default` answers."""
    file = exported / "classification/assets.extra/tf_serving_warmup_requests"
    shapes = []
    for record in tf.data.TFRecordDataset(str(file)):
      log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
      request = log.predict_log.request
      assert request.model_spec.signature_name == "serving_default"
      inputs = {k: tf.make_ndarray(v) for k, v in request.inputs.items()}
      outputs = classify.signatures["serving_default"](
        **{name: tf.constant(value) for name, value in inputs.items()}
      )
      shapes.append((inputs["images"].shape, outputs["logits"].shape.as_list()))
    assert shapes == [((1, 28, 28, 3), [1, 10]), ((3, 21, 24, 3), [3, 10])]

  def test_brings_the_names_of_its_classes(self, classify):
    path = classify.labels.asset_path.numpy()
    with tf.io.gfile.GFile(path) as f:
      assert f.read().split() == (DIGITS / "labels.txt").read_text().split()

  def test_has_the_sources_regularization_losses(
    self, exported, classify, source
  ):
    want = sorted(float(loss) for loss in source.losses)
    got = sorted(float(loss()) for loss in classify.regularization_losses)
    closeness.assert_close(got, want)
    # Squares of 13 convolutions and of the dense kernel.
    assert len(want) == 14
    features = hub.load(str(exported / "feature_vector"))
    assert len(features.regularization_losses) == 13

  def test_batch_statistics_move_by_arithmetic(self, exported, held_out):
    """Of the stem, whose batch statistics one convolution gives."""
    images = held_out.images[::50]
    layer = hub.KerasLayer(
      str(exported / "feature_vector"),
      trainable=True,
      arguments={"batch_norm_momentum": 0.5},
    )
    kernel = next(w for w in layer.trainable_weights if w.shape[0] == 7)
    moving = [w for w in layer.non_trainable_weights if "moving_mean" in w.name]
    stem = moving[0]
    before = stem.numpy()
    outputs = tf.nn.conv2d((images - MEAN) / STDDEV, kernel, 2, "SAME")
    batch = tf.reduce_mean(outputs, axis=[0, 1, 2]).numpy()
    layer(images, training=False)
    np.testing.assert_array_equal(stem, before)
    layer(images, training=True)
    closeness.assert_close(stem, (before + batch) / 2, bound=1e-4)

  def test_features_transfer_to_another_task(self, exported, held_out):
    """Whether a digit is odd, from 1,000 examples and a new head."""
    train, _ = digits.load()
    few = slice(None, None, 4)
    dataset = tf.data.Dataset.from_tensor_slices(
      (train.images[few], train.labels[few] % 2)
    )
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential(
      [
        hub.KerasLayer(str(exported / "feature_vector"), trainable=True),
        tf_keras.layers.Dense(1),
      ]
    )
    model.compile(
      tf_keras.optimizers.Adam(1e-3),
      tf_keras.losses.BinaryCrossentropy(from_logits=True),
    )
    model.fit(dataset.shuffle(1000, seed=0).batch(50), epochs=3, verbose=0)
    odd = model.predict(held_out.images, verbose=0)[:, 0] > 0
    # 99.1% when this was written.
    assert np.mean(odd == held_out.labels % 2) >= 0.97


def _digits_model():
  from official.vision.configs import backbones
  from official.vision.configs import common
  from official.vision.configs import image_classification
  from official.vision.modeling import factory

  return factory.build_classification_model(
    tf_keras.layers.InputSpec(shape=[None, None, None, 3]),
    image_classification.ImageClassificationModel(
      num_classes=10,
      backbone=backbones.Backbone(
        type="resnet",
        resnet=backbones.ResNet(model_id=10, depth_multiplier=0.25),
      ),
      norm_activation=common.NormActivation(
        norm_momentum=0.9, norm_epsilon=1e-5, use_sync_bn=False
      ),
    ),
    tf_keras.regularizers.L2(small_images.L2),
  )


def test_legacy_resnet_50_of_any_size(tmp_path):
  """Both artifacts from an .h5 file; the Garden's model gives softmax at 224.

  That another size agrees with the source is among the checks of the export.
  """
  model = resnet_model.resnet50(1001)
  small_images.randomize(model)
  model.save_weights(tmp_path / "weights.h5")
  done = command.export(
    "resnet",
    "configs/resnet/legacy_resnet_50.gin",
    tmp_path / "model",
    "--checks=basic",
    bindings=[f"CHECKPOINT = '{tmp_path / 'weights.h5'}'"],
  )
  figures = command.differences(done.stdout)
  assert len(figures) == 2
  assert max(figures) <= SAME
  images = np.random.default_rng(0).random([1, 224, 224, 3], np.float32)
  want = model(images * 255 - np.array([123.68, 116.78, 103.94], np.float32))
  classify = hub.load(str(tmp_path / "model/classification"))
  closeness.assert_close(tf.nn.softmax(classify(images)), want)
  features = hub.load(str(tmp_path / "model/feature_vector"))
  dense = model.get_layer("fc1000")
  logits = features(images) @ dense.kernel + dense.bias
  closeness.assert_close(logits, classify(images))
  assert classify(images[:, :100, :90]).shape == [1, 1001]
  for artifact, losses in ((classify, 55), (features, 53)):
    assert len(artifact.regularization_losses) == losses
  # Model Garden's own command line, from here, gives the same.
  command.run(
    "official.legacy.image_classification.resnet.tfhub_export",
    f"--model_path={tmp_path}/weights.h5",
    f"--export_path={tmp_path}/by_flags",
    "--checks=none",
  )
  for name in ("classification", "feature-vector"):
    folder = tmp_path / "model" / name.replace("-", "_")
    for file in files.listed(str(folder)):
      want = (folder / file).read_bytes()
      assert (tmp_path / "by_flags" / name / file).read_bytes() == want
  # Half of what Model Garden's exporter writes for its one half, 2.8 MB.
  graph = tmp_path / "model/classification/saved_model.pb"
  assert graph.stat().st_size <= 1_400_000


def _parameters(blocks: tuple[int, ...], *, bottleneck: bool) -> int:
  """Counts a ResNet's numbers, by arithmetic, with 1,001 classes."""

  def convolution(size, inputs, outputs):  # With its batch normalization.
    return size * size * inputs * outputs + 4 * outputs

  total, inputs = convolution(7, 3, 64), 64
  for channels, count in zip((64, 128, 256, 512), blocks, strict=True):
    outputs = channels * (4 if bottleneck else 1)
    total += convolution(1, inputs, outputs)  # The shortcut.
    for _ in range(count):
      if bottleneck:
        total += convolution(1, inputs, channels)
        total += convolution(3, channels, channels)
        total += convolution(1, channels, outputs)
      else:
        total += convolution(3, inputs, channels)
        total += convolution(3, channels, channels)
      inputs = outputs
  return total + 1001 * (inputs + 1)


@pytest.mark.parametrize(
  ("depth", "blocks"),
  [
    (18, (2, 2, 2, 2)),
    (26, (3, 3, 3, 3)),
    (34, (3, 4, 6, 3)),
    (200, (3, 24, 36, 3)),
    (270, (4, 29, 53, 4)),
    (350, (4, 36, 72, 4)),
    (420, (4, 44, 87, 4)),
  ],
)
def test_other_depths_are_of_the_size_that_arithmetic_says(depth, blocks):
  import gin

  from exporters import checkpoints
  from exporters import recipe

  gin.clear_config()
  exporter = recipe.load(
    ["configs/resnet/resnet_50.gin"],
    ["CHECKPOINT = ''", f"backbones.ResNet.model_id = {depth}"],
  ).exporter
  gin.clear_config()
  with checkpoints.uninitialized():
    model = exporter.classifier().model
  assert model.count_params() == _parameters(blocks, bottleneck=depth > 34)
