"""Detectors find what Model Garden's own serving module finds."""

import dataclasses
import pathlib

import numpy as np
from official.vision import configs
from official.vision.configs import backbones
from official.vision.configs import common
from official.vision.configs import decoders
from official.vision.configs import maskrcnn
from official.vision.configs import retinanet
from official.vision.serving import detection as serving
import pytest
import tensorflow as tf
import tf_keras

from exporters import checkpoints
from exporters import checks
from exporters import mask_rcnn
from exporters import resnet
from exporters import retinanet as retinanet_lib
from exporters.errors import ExportError
from exporters.life_cycle import checker
from exporters.life_cycle import exporting
from exporters.saved_model import reusable
from exporters.saved_model.published import Published
from scripts.small_instances import detectors
from scripts.small_instances import images as small_images
from tests.instances import small_exporter
from tests.test_encoded_images import example
from tests.test_encoded_images import photographs

_NAMES = {
  "detection_boxes",
  "detection_classes",
  "detection_scores",
  "num_detections",
}


@dataclasses.dataclass(frozen=True)
class Case:
  """A detector restored by both, Model Garden and the exporter."""

  exporter: detectors.detection.DetectionExporter
  published: Published
  # The model as it was trained, in the checkpoint.
  trained: tf_keras.Model

  @property
  def loaded(self):
    return reusable.reusable(self.published)

  def call(self, name: str = ""):
    found = self.loaded
    return (getattr(found, name) if name else found).__call__


def _mask_rcnn(**fields) -> maskrcnn.MaskRCNN:
  config = small_exporter(
    "mask_rcnn", "CHECKPOINT = '/nowhere'"
  ).model
  return config.replace(**fields)


def _retinanet(**fields) -> retinanet.RetinaNet:
  config = small_exporter(
    "retinanet", "CHECKPOINT = '/nowhere'"
  ).model
  return config.replace(**fields)


def _case(config, folder: pathlib.Path, **fields) -> Case:
  model = detectors.garden_model(config)
  detectors.randomize(model)
  prefix = tf.train.Checkpoint(model=model).write(str(folder / "ckpt"))
  of_masks = isinstance(config, maskrcnn.MaskRCNN)
  cls = (
    mask_rcnn.MaskRCNNExporter if of_masks else retinanet_lib.RetinaNetExporter
  )
  exporter = cls(
    checkpoint=prefix,
    model=config,
    l2_weight_decay=1e-4,
    signatures=["image_bytes", "tf_example"],
    **fields,
  )
  build = exporter.build()
  checkpoints.restore(exporter.opened, build.restores[0])
  return Case(exporter, build.published[""], model)


_ATTRIBUTES = [
  retinanet.AttributeHead(name="depth", size=1),
  retinanet.AttributeHead(name="colour", type="classification", size=3),
]
_OF_CLASSES = retinanet.DetectionGenerator(use_class_agnostic_nms=True)
_CASCADE = {
  "roi_sampler": maskrcnn.ROISampler(cascade_iou_thresholds=[0.6, 0.7]),
  "detection_head": maskrcnn.DetectionHead(
    num_convs=1,
    num_filters=8,
    fc_dims=16,
    class_agnostic_bbox_pred=True,
    cascade_class_ensemble=True,
  ),
}
_CONFIGS = {
  "retinanet": _retinanet,
  "retinanet_batched": lambda: _retinanet(
    detection_generator=retinanet.DetectionGenerator(nms_version="batched")
  ),
  "retinanet_across_classes": lambda: _retinanet(
    detection_generator=_OF_CLASSES
  ),
  "retinanet_with_weights": lambda: _retinanet(
    detection_generator=retinanet.DetectionGenerator(
      box_coder_weights=[10.0, 10.0, 5.0, 5.0]
    )
  ),
  "retinanet_v1": lambda: _retinanet(
    detection_generator=retinanet.DetectionGenerator(nms_version="v1")
  ),
  "mask_rcnn": _mask_rcnn,
  "faster_rcnn": lambda: _mask_rcnn(
    include_mask=False, mask_head=None, mask_sampler=None,
    mask_roi_aligner=None,
  ),
  "cascade": lambda: _mask_rcnn(**_CASCADE),
  "outer_boxes": lambda: _mask_rcnn(outer_boxes_scale=1.2),
}


@pytest.fixture(scope="module", params=list(_CONFIGS))
def case(request, tmp_path_factory) -> Case:
  return _case(_CONFIGS[request.param](), tmp_path_factory.mktemp("detector"))


def _served(case: Case, file: bytes) -> dict[str, np.ndarray]:
  """Returns what Model Garden's serving gives, boxes as shares of the image."""
  config = case.exporter.config
  of_masks = isinstance(config, maskrcnn.MaskRCNN)
  if of_masks:
    task = maskrcnn.MaskRCNNTask(model=config)
  else:
    task = retinanet.RetinaNetTask(
      model=config,
      export_config=retinanet.ExportConfig(output_normalized_coordinates=True),
    )
  module = serving.DetectionModule(
    configs.retinanet.cfg.ExperimentConfig(task=task),
    batch_size=1,
    input_image_size=list(config.input_size[:2]),
    input_type="image_bytes",
  )
  # Model Garden's loads all that it has, too.
  module.model.set_weights(case.trained.get_weights()) if False else None
  status = tf.train.Checkpoint(model=module.model).read(
    case.exporter.checkpoint
  )
  found = dict(module.inference_from_image_bytes(tf.constant([file])))
  status.expect_partial().assert_existing_objects_matched()
  (info,) = found.pop("image_info").numpy()
  if of_masks:
    for name in ("detection_boxes", "detection_outer_boxes"):
      if name in found:
        boxes = found[name] / np.tile(info[2] * info[0], 2)
        whole = "detection_masks" in found
        found[name] = boxes if whole else np.clip(boxes, 0.0, 1.0)
  return {name: np.asarray(value) for name, value in found.items()}


@pytest.mark.parametrize("photograph", range(4))
def test_finds_what_model_gardens_serving_finds(case, photograph):
  file = photographs()[photograph]
  want = _served(case, file)
  got = case.call("image_bytes")(tf.constant([file]))
  assert got.keys() >= want.keys() >= _NAMES
  assert want["num_detections"] > 3
  for name, values in want.items():
    assert got[name].dtype == tf.float32
    np.testing.assert_allclose(got[name], values, atol=2e-4, err_msg=name)
