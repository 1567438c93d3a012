"""Video classifiers of `official.vision` against Model Garden's own task."""

import copy
import dataclasses
import pathlib
import re

import gin
import numpy as np
from official.core import exp_factory
from official.core import train_utils
from official.modeling import optimization
from official.projects.movinet.configs import movinet as movinet_configs
from official.vision.configs import backbones_3d
from official.vision.ops import preprocess_ops_3d
from official.vision.tasks import video_classification
import pytest
import tensorflow as tf
import tf_keras

from exporters import base
from exporters import recipe
from exporters.errors import ExportError
from scripts.small_instances import INSTANCES
from scripts.small_instances import images as small_images
from tests import closeness
from tests import command
from tests.instances import exported_model
from tests.instances import small_exporter

_NAMES = ("resnet_3d", "resnet_3d_rs")
_EXPORTER = "resnet_3d.ResNet3DExporter"


def _experiment(exporter: base.Exporter):
  """Returns the configuration of a training of the same model."""
  experiment = exp_factory.get_exp_config("video_classification")
  task = experiment.task
  task.model = copy.deepcopy(exporter.model)
  task.losses.l2_weight_decay = exporter.l2_weight_decay
  for data in (task.train_data, task.validation_data):
    data.num_classes = exporter.num_classes
    data.zero_centering_image = exporter.zero_centering_image
  # The one for training differs from that for validation, as with Kinetics.
  task.train_data.feature_shape = (8, *exporter.image_size, 3)
  task.validation_data.feature_shape = (24, *exporter.image_size, 3)
  return experiment


def _garden(exporter: base.Exporter) -> tf_keras.Model:
  """Returns the model of Model Garden's own task, of random weights."""
  task = video_classification.VideoClassificationTask(
    _experiment(exporter).task
  )
  model = task.build_model()
  small_images.randomize(model)
  return model


def _restored_by_its_task(exporter: base.Exporter) -> tf_keras.Model:
  """Returns Model Garden's model, restored by Model Garden."""
  config = _experiment(exporter).task
  config.init_checkpoint = exporter.checkpoint
  task = video_classification.VideoClassificationTask(config)
  model = task.build_model()
  task.initialize(model)
  return model


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
  """Videos of bytes, as a decoder gives them."""
  shape = [2, 9, 32, 32, 3]
  return np.random.default_rng(1).integers(0, 256, shape, np.uint8)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict[str, str]:
  """The binding of a training's checkpoint, by name."""
  found = {}
  for name in _NAMES:
    found[name], *_ = INSTANCES[name].write_inputs(
      tmp_path_factory.mktemp(name)
    )
  return found


@pytest.mark.parametrize("zero_centering", [False, True])
@pytest.mark.parametrize("name", _NAMES)
def test_gives_what_the_task_gives(
  name, zero_centering, checkpoints, frames, tmp_path
):
  """From what its input pipeline makes of the same frames."""
  exporter = small_exporter(
    name,
    checkpoints[name],
    f"{_EXPORTER}.zero_centering_image = {zero_centering}",
  )
  model = exported_model(exporter, tmp_path / "model")
  garden = _restored_by_its_task(exporter)
  videos = preprocess_ops_3d.normalize_image(frames, zero_centering)
  assert (np.min(videos) < 0) == zero_centering
  want = tf.function(garden)({"image": videos})
  closeness.assert_close(
    model({"image": tf.constant(frames / np.float32(255))}), want
  )
  losses = [loss() for loss in model.regularization_losses]
  closeness.assert_close(np.sum(losses), np.sum(garden.losses))


def test_takes_any_length_and_size(checkpoints, tmp_path):
  exporter = small_exporter("resnet_3d", checkpoints["resnet_3d"])
  model = exported_model(exporter, tmp_path / "model")
  for shape in ((1, 1, 32, 32, 3), (2, 11, 45, 27, 3)):
    assert model({"image": tf.zeros(shape)}).shape == (shape[0], 7)


@pytest.mark.parametrize("name", [*_NAMES, "movinet_base", "movinet_stream"])
def test_restores_averages(name, frames, tmp_path):
  """Those of Model Garden's optimizer, in place of the last weights."""
  exporter = small_exporter(name, f"CHECKPOINT = '{tmp_path / 'ckpt'}'")
  model = _garden(exporter)
  optimizer = _averaging(model)
  parts = {"model": model, "backbone": model.backbone, "optimizer": optimizer}
  tf.train.Checkpoint(**parts).write(exporter.checkpoint)
  videos = tf.constant(frames / np.float32(255))
  last = model({"image": videos})
  for variable in model.variables:
    variable.assign(optimizer.get_slot(variable, "average"))
  want = tf.function(model)({"image": videos})
  assert np.abs(last - want).max() > 0.01 * np.abs(want).max()
  loaded = exported_model(exporter, tmp_path / "model")
  if name == "movinet_stream":
    states = loaded.init_states(tf.shape(videos))
    logits, _ = loaded({**states, "image": videos})
  else:
    logits = loaded({"image": videos})
  closeness.assert_close(logits, want)


def _averaging(model: tf_keras.Model) -> optimization.ExponentialMovingAverage:
  """Returns the optimizer of a training that averages, after two steps."""
  optimizer = optimization.ExponentialMovingAverage(
    tf_keras.optimizers.legacy.SGD(0.1), trainable_weights_only=False
  )
  optimizer.shadow_copy(model)
  for _ in range(2):
    optimizer.apply_gradients(
      [(0.1 * tf.ones_like(v), v) for v in model.trainable_variables]
    )
  return optimizer


@pytest.mark.parametrize("name", [*_NAMES, "movinet_base", "movinet_stream"])
def test_a_backbone_alone_lacks_the_head(name, tmp_path):
  exporter = small_exporter(name, f"CHECKPOINT = '{tmp_path / 'ckpt'}'")
  model = _garden(exporter)
  tf.train.Checkpoint(backbone=model.backbone).write(exporter.checkpoint)
  with pytest.raises(ExportError) as caught:
    exported_model(exporter, tmp_path / "model")
  error = str(caught.value)
  missing = re.findall(r"^  - (.*)$", error, re.M)
  in_head = len(model.trainable_variables) - len(
    model.backbone.trainable_variables
  )
  assert len(missing) == in_head
  assert not re.search(r"^  [+!]", error, re.M)
  assert "the backbone" in error


def test_all_endpoints_are_pooled_if_the_training_did_so(frames, tmp_path):
  exporter = small_exporter(
    "resnet_3d_rs",
    f"CHECKPOINT = '{tmp_path / 'ckpt'}'",
    "video_classification.VideoClassificationModel.aggregate_endpoints = True",
    "common.NormActivation.activation = 'swish'",
    "common.NormActivation.use_sync_bn = True",
  )
  model = _garden(exporter)
  tf.train.Checkpoint(model=model).write(exporter.checkpoint)
  videos = tf.constant(frames / np.float32(255))
  loaded = exported_model(exporter, tmp_path / "model")
  closeness.assert_close(
    loaded({"image": videos}), tf.function(model)({"image": videos})
  )


@pytest.mark.parametrize("causal", [False, True])
def test_movinet_with_the_head_of_official_vision(causal, frames, tmp_path):
  """As `movinet_kinetics600` trains it with another `model_type`."""
  exporter = small_exporter(
    "movinet_base",
    f"CHECKPOINT = '{tmp_path / 'ckpt'}'",
    "movinet_configs.MovinetModel.model_type = 'video_classification'",
    "movinet_configs.MovinetModel.require_endpoints = ('head',)",
    "movinet_configs.Movinet.output_states = False",
    f"movinet_configs.Movinet.causal = {causal}",
  )
  model = _garden(exporter)
  assert type(model).__name__ == "VideoClassificationModel"
  tf.train.Checkpoint(model=model).write(exporter.checkpoint)
  videos = tf.constant(frames / np.float32(255))
  loaded = exported_model(exporter, tmp_path / "model")
  closeness.assert_close(
    loaded({"image": videos}), tf.function(model)({"image": videos})
  )


def test_a_stream_is_zero_centered_too(frames, tmp_path):
  exporter = small_exporter(
    "movinet_stream",
    f"CHECKPOINT = '{tmp_path / 'ckpt'}'",
    "movinet.MoViNetExporter.zero_centering_image = True",
  )
  model = _garden(exporter)
  tf.train.Checkpoint(model=model).write(exporter.checkpoint)
  want = model({"image": preprocess_ops_3d.normalize_image(frames, True)})
  loaded = exported_model(exporter, tmp_path / "model")
  videos = tf.constant(frames / np.float32(255))
  states = loaded.init_states(tf.shape(videos))
  for frame in tf.split(videos, videos.shape[1], axis=1):
    logits, states = loaded({**states, "image": frame})
  closeness.assert_close(logits, want)


def _train(exporter: base.Exporter, folder: pathlib.Path, change=None) -> None:
  """Leaves what a training does: a checkpoint, and its configuration."""
  experiment = _experiment(exporter)
  if change:
    experiment.override(change)
  train_utils.serialize_config(experiment, str(folder))
  tf.train.Checkpoint(model=_garden(exporter)).write(exporter.checkpoint)


@pytest.mark.parametrize("name", [*_NAMES, "movinet_stream"])
def test_the_configuration_beside_a_checkpoint_agrees(name, tmp_path):
  exporter = small_exporter(name, f"CHECKPOINT = '{tmp_path / 'ckpt'}'")
  _train(exporter, tmp_path)
  assert "!!python/tuple" in (tmp_path / "params.yaml").read_text()
  exported_model(exporter, tmp_path / "model")


def test_the_configuration_beside_a_checkpoint_is_not_contradicted(tmp_path):
  exporter = small_exporter("resnet_3d", f"CHECKPOINT = '{tmp_path / 'ckpt'}'")
  change = {
    "task": {
      "train_data": {"zero_centering_image": True},
      "model": {"backbone": {"resnet_3d": {"stem_conv_temporal_stride": 1}}},
    }
  }
  _train(exporter, tmp_path, change)
  with pytest.raises(ExportError) as caught:
    exporter.build()
  assert str(caught.value).splitlines()[1:3] == [
    "  task.model.backbone.resnet_3d.stem_conv_temporal_stride = 2, but the "
    "training had 1",
    "  task.train_data.zero_centering_image = False, but the training had True",
  ]
  (tmp_path / "params.yaml").write_text("task: [")
  with pytest.raises(ExportError, match=r"Cannot parse .*params\.yaml"):
    exporter.build()


@pytest.mark.parametrize(
  ("binding", "reason"),
  [
    (
      "backbones_3d.Backbone3D.type = 'movinet'",
      "exports only 'resnet_3d' or 'resnet_3d_rs'",
    ),
    (f"{_EXPORTER}.image_size = [32]", r"image_size = \[32\] must be"),
  ],
)
def test_what_is_wrong_is_said_before_anything_is_built(binding, reason):
  with pytest.raises(ExportError, match=reason):
    small_exporter("resnet_3d", "CHECKPOINT = '/tmp'", binding).build()


def test_leaves_are_the_gardens_experiments():
  """The leaf of ResNet-3D-50 is what `exp_factory` registers."""
  gin.clear_config()
  leaf = str(command.ROOT / INSTANCES["resnet_3d"].leaf)
  exporter = recipe.load([leaf], ["CHECKPOINT = ''"]).exporter
  gin.clear_config()
  task = exp_factory.get_exp_config("video_classification_kinetics400").task
  assert exporter.model.as_dict() == task.model.as_dict()
  assert exporter.num_classes == task.train_data.num_classes
  assert exporter.l2_weight_decay == task.losses.l2_weight_decay
  assert exporter.zero_centering_image == task.train_data.zero_centering_image
  _, *size, _ = task.train_data.feature_shape
  assert list(exporter.image_size) == size


@pytest.mark.parametrize(
  ("config", "names"),
  [
    (backbones_3d.Backbone3D, {*_NAMES}),
    (movinet_configs.Backbone3D, {*_NAMES, "movinet"}),
  ],
)
def test_every_backbone_of_the_garden_is_exported(config, names):
  assert {field.name for field in dataclasses.fields(config)} == {
    "type",
    *names,
  }
