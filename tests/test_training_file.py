"""The gin file of a training, as `scripts.inspect` writes it."""

import json

import gin
from official.core import exp_factory
from official.core import train_utils
from official.vision import registry_imports  # noqa: F401 - for its effect.
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from exporters import checkpoints
from exporters import recipe
from exporters.inspection import report
from exporters.inspection import training_file
from tests import closeness
from tests import command
from tests import documentation

# Those of the wheel that train a model from images to an answer.
_EXPERIMENTS = {
  "resnet_imagenet": "ResNetExporter",
  "resnet_rs_imagenet": "ResNetExporter",
  "revnet_imagenet": "RevNetExporter",
  "mobilenet_imagenet": "MobileNetExporter",
  "deit_imagenet_pretrain": "ViTExporter",
  "vit_imagenet_pretrain": "ViTExporter",
  "vit_imagenet_finetune": "ViTExporter",
  "retinanet": "RetinaNetExporter",
  "retinanet_resnetfpn_coco": "RetinaNetExporter",
  "retinanet_spinenet_coco": "RetinaNetExporter",
  "retinanet_mobile_coco": "RetinaNetExporter",
  "fasterrcnn_resnetfpn_coco": "MaskRCNNExporter",
  "maskrcnn_resnetfpn_coco": "MaskRCNNExporter",
  "maskrcnn_spinenet_coco": "MaskRCNNExporter",
  "cascadercnn_spinenet_coco": "MaskRCNNExporter",
  "maskrcnn_mobilenet_coco": "MaskRCNNExporter",
  "seg_deeplabv3_pascal": "SemanticSegmentationExporter",
  "seg_deeplabv3plus_pascal": "SemanticSegmentationExporter",
  "seg_resnetfpn_pascal": "SemanticSegmentationExporter",
  "mnv2_deeplabv3plus_cityscapes": "SemanticSegmentationExporter",
  "video_classification_kinetics400": "ResNet3DExporter",
  "movinet_kinetics600": "MoViNetExporter",
}


def _read(folder):
  """Returns the exporter of the gin file of a training."""
  checkpoint = tf.train.Checkpoint(step=tf.Variable(1)).save(
    str(folder / "ckpt")
  )
  text = training_file.written(checkpoints.open_checkpoint(checkpoint))
  path = folder / "training.gin"
  path.write_text(text)
  gin.clear_config()
  try:
    return recipe.load([str(path)], []).exporter
  finally:
    gin.clear_config()


def _plain(config):
  """Returns all fields, with lists in place of tuples."""
  return json.loads(json.dumps(config.as_dict()))


@pytest.mark.parametrize("name", _EXPERIMENTS)
def test_says_what_the_experiment_says(name, tmp_path):
  experiment = exp_factory.get_exp_config(name)
  train_utils.serialize_config(experiment, str(tmp_path))
  exporter = _read(tmp_path)
  assert type(exporter).__name__ == _EXPERIMENTS[name]
  task = experiment.task
  task.model.norm_activation.use_sync_bn = False
  assert _plain(exporter.model) == _plain(task.model)
  assert type(exporter.model) is type(task.model)
  assert exporter.l2_weight_decay == task.losses.l2_weight_decay


def test_what_is_not_usual_is_said_of_each_of_several(tmp_path):
  """Of four blocks of one class, of which only the first differs."""
  experiment = exp_factory.get_exp_config("video_classification_kinetics400")
  blocks = experiment.task.model.backbone.resnet_3d.block_specs
  for block, use in zip(blocks, (True, False, False, True), strict=True):
    block.use_self_gating = use
  train_utils.serialize_config(experiment, str(tmp_path))
  got = _read(tmp_path).model.backbone.resnet_3d.block_specs
  assert [*map(_plain, got)] == [*map(_plain, blocks)]


def test_a_training_is_exported_as_it_was_trained(tmp_path):
  model = documentation.write_image_training(tmp_path / "training")
  done = command.run("scripts.inspect", "--gin", str(tmp_path / "training"))
  path = tmp_path / "training.gin"
  path.write_text(done.stdout)
  command.run(
    "exporters.resnet",
    f"--gin_file={path}",
    f"--export_path={tmp_path / 'model'}",
    "--checks=none",
  )
  images = tf.random.uniform([2, 40, 33, 3])
  mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
  closeness.assert_close(
    hub.load(str(tmp_path / "model/classification"))(images),
    model((images - mean) / deviation, training=False),
  )


def test_another_model_gets_the_reason(tmp_path):
  documentation.write_image_training(tmp_path / "training")
  path = tmp_path / "training/params.yaml"
  path.write_text(path.read_text().replace("model_id: 10", "model_id: 18"))
  found = report.read(str(tmp_path / "training"))
  assert found.gin is None
  assert "What its params.yaml says is not exported: " in found.advice


@pytest.mark.parametrize(
  "text",
  [
    "task: []",
    "task: {model: {anchor: 3}}",
    "task: {model: {backbone: {type: resnet}, norm_activation: [a]}}",
    "task: {model: {backbone: [resnet]}}",
    "task: {model: {backbone: {type: 7}}}",
    "task: {model: {backbone: {type: resnet, resnet: 5}}}",
    'task: {model: {backbone: {type: resnet}, kernel_initializer: "a\\n@b()"}}',
  ],
)
def test_what_nobody_trained_is_not_written(text, tmp_path):
  documentation.write_image_training(tmp_path / "training")
  (tmp_path / "training/params.yaml").write_text(text)
  assert report.read(str(tmp_path / "training")).gin is None
