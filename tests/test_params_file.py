"""What a training says of itself in `params.yaml`."""

import gin
from official.core import exp_factory
from official.core import train_utils
from official.vision import registry_imports  # noqa: F401 - for its effect.
import pytest
import tensorflow as tf

from exporters import recipe
from exporters.checkpoints import params_file
from exporters.errors import ExportError
from tests import command

_EXPERIMENTS = {
  "configs/resnet/resnet_50.gin": "resnet_imagenet",
  "configs/resnet/resnet_rs_50.gin": "resnet_rs_imagenet",
  "configs/revnet/revnet_56.gin": "revnet_imagenet",
  "configs/mobilenet/mobilenet_v2.gin": "mobilenet_imagenet",
  "configs/retinanet/retinanet_resnet50_fpn_coco.gin": (
    "retinanet_resnetfpn_coco"
  ),
  "configs/retinanet/retinanet_spinenet_mobile_49_coco.gin": (
    "retinanet_mobile_coco"
  ),
  "configs/mask_rcnn/faster_rcnn_resnet50_fpn_coco.gin": (
    "fasterrcnn_resnetfpn_coco"
  ),
  "configs/mask_rcnn/mask_rcnn_resnet50_fpn_coco.gin": (
    "maskrcnn_resnetfpn_coco"
  ),
}
# What Model Garden's files of experiments override, by their names.
_OVERRIDES = {
  # coco_spinenet49_mobile_tpu.yaml
  "configs/retinanet/retinanet_spinenet_mobile_49_coco.gin": {
    "norm_activation": {"activation": "hard_swish", "norm_epsilon": 0.001},
    "backbone": {"spinenet_mobile": {"model_id": "49", "se_ratio": 0.2}},
  },
  # r50fpn_640_coco_scratch_tpu4x4.yaml
  "configs/mask_rcnn/mask_rcnn_resnet50_fpn_coco.gin": {
    "anchor": {"anchor_size": 3.0},
    "min_level": 3,
    "max_level": 7,
    "norm_activation": {"norm_epsilon": 0.001},
  },
}


def _trained(leaf, folder, change=None):
  """Returns a leaf's exporter, of what a training of the Garden leaves."""
  experiment = exp_factory.get_exp_config(_EXPERIMENTS[leaf])
  for changed in (_OVERRIDES.get(leaf), change):
    experiment.override({"task": {"model": changed or {}}})
  train_utils.serialize_config(experiment, str(folder))
  checkpoint = tf.train.Checkpoint(step=tf.Variable(1)).write(
    str(folder / "ckpt")
  )
  gin.clear_config()
  exporter = recipe.load(
    [str(command.ROOT / leaf)], [f"CHECKPOINT = '{checkpoint}'"]
  ).exporter
  gin.clear_config()
  return exporter


@pytest.mark.parametrize("leaf", _EXPERIMENTS)
def test_leaves_agree_with_the_gardens_experiments(leaf, tmp_path):
  exporter = _trained(leaf, tmp_path)
  params_file.refuse_contradictions(exporter.opened, exporter.stated())


@pytest.mark.parametrize(
  ("leaf", "change", "said"),
  [
    (
      "configs/resnet/resnet_50.gin",
      {"norm_activation": {"activation": "swish"}},
      "norm_activation.activation = 'relu', but the training had 'swish'",
    ),
    (
      "configs/resnet/resnet_50.gin",
      {"norm_activation": {"norm_epsilon": 0.01}},
      "norm_activation.norm_epsilon = 1e-05, but the training had 0.01",
    ),
    (
      "configs/mobilenet/mobilenet_v2.gin",
      {"backbone": {"mobilenet": {"output_stride": 16}}},
      "backbone.mobilenet.output_stride = None, but the training had 16",
    ),
    (
      "configs/retinanet/retinanet_resnet50_fpn_coco.gin",
      {"anchor": {"anchor_size": 3.0}},
      "anchor.anchor_size = 4.0, but the training had 3.0",
    ),
    (
      "configs/mask_rcnn/mask_rcnn_resnet50_fpn_coco.gin",
      {"roi_aligner": {"sample_offset": 0.25}},
      "roi_aligner.sample_offset = 0.5, but the training had 0.25",
    ),
  ],
)
def test_what_weights_do_not_show_is_not_contradicted(
  leaf, change, said, tmp_path
):
  exporter = _trained(leaf, tmp_path, change)
  with pytest.raises(ExportError) as caught:
    exporter.build()
  assert f"task.model.{said}" in str(caught.value)


@pytest.mark.parametrize(
  "change",
  [
    {"input_size": [320, 320, 3]},
    {"norm_activation": {"norm_momentum": 0.9, "use_sync_bn": True}},
    {"detection_generator": {"max_num_detections": 7}},
  ],
)
def test_an_export_may_choose_what_the_training_only_trained_with(
  change, tmp_path
):
  leaf = "configs/retinanet/retinanet_resnet50_fpn_coco.gin"
  exporter = _trained(leaf, tmp_path, change)
  params_file.refuse_contradictions(exporter.opened, exporter.stated())
