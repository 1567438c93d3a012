r"""Exports RetinaNet: a detector that looks at an image once.

  python -m exporters.retinanet \
    --gin_file=configs/retinanet/retinanet_resnet50_fpn_coco.gin \
    --gin_bindings="CHECKPOINT = '/path/to/retinanet/ckpt'" \
    --export_path=/tmp/retinanet

  model = hub.load("/tmp/retinanet")
  found = model.detect(images)  # float32 [batch, height, width, 3] in [0, 1],
                                # of the size of the training
  found["detection_boxes"]      # [batch, n, 4]: ymin, xmin, ymax, xmax, as
                                # shares of height and width
  found["detection_classes"]    # [batch, n]; 0 would be the background
  found["detection_scores"]     # [batch, n], falling
  found["num_detections"]       # [batch]: how many of n are not padding

All are float32. `model.image_bytes(files)` takes JPEG and PNG files of any
size, and its boxes are shares of those images. For fine-tuning:

  layer = hub.KerasLayer("/tmp/retinanet", trainable=True)
  outputs = layer(images)       # For each level of the pyramid, 3 say:
  outputs["cls_outputs_3"]      # [batch, h, w, anchors * classes], logits
  outputs["box_outputs_3"]      # [batch, h, w, anchors * 4], offsets to anchors

With attribute heads there are `attribute_outputs_NAME_3` and, among what was
found, `detection_attributes_NAME`. The paper: https://arxiv.org/abs/1708.02002.
"""

if __name__ == "__main__":
  # The command starts here; the gin file imports this module by its name.
  from exporters.command_line import export_command

  export_command.run()

import dataclasses
from typing import Any

from official.vision.configs import retinanet
from official.vision.modeling import factory
import tensorflow as tf
import tf_keras
from typing_extensions import override

from exporters.errors import ExportError
from exporters.vision import detection

_SCORES, _BOXES = "cls_outputs", "box_outputs"
_ATTRIBUTES = "attribute_outputs"


class _RawOutputs(tf_keras.Model):
  """Backbone, decoder and head of a RetinaNet, without what follows."""

  def __init__(self, model: Any, config: retinanet.RetinaNet):
    super().__init__(name="retinanet")
    self.backbone, self.decoder = detection.features(
      model, range(config.min_level, config.max_level + 1)
    )
    self.head = model.head

  @override
  def call(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
    features = self.backbone(images)
    if self.decoder:
      features = self.decoder(features)
    scores, boxes, attributes = self.head(features)
    return _flat(scores, boxes, attributes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RetinaNetExporter(detection.DetectionExporter):
  """Publishes a RetinaNet of `official.vision`, with any backbone.

  Attributes:
    model: The architecture, as in the training's configuration; its
      `input_size` is that of the images that it was trained on.
  """

  model: retinanet.RetinaNet

  @property
  @override
  def config(self) -> retinanet.RetinaNet:
    return self.model

  @override
  def refuse_other_models(self) -> None:
    super().refuse_other_models()
    version = self.model.detection_generator.nms_version
    if self.model.head.attribute_heads and version != "v1":
      raise ExportError(
        f"detection_generator.nms_version = '{version}', but Model Garden "
        "gives attributes of what it finds with 'v1' only. Set it to 'v1'."
      )

  @override
  def detector(self, config, input_specs, l2_regularizer) -> detection.Detector:
    model = factory.build_retinanet(input_specs, config, l2_regularizer)
    model.backbone.trainable = not self.freeze_backbone
    raw = _RawOutputs(model, config)
    detection.call_once(raw, input_specs)
    names = [head.name for head in config.head.attribute_heads or []]

    def detections(outputs):
      boxes = detection.of_levels(_BOXES, outputs)
      batch = tf.shape(boxes[str(config.min_level)])[0]
      return model.detection_generator(
        boxes,
        detection.of_levels(_SCORES, outputs),
        detection.anchors(config, input_specs.shape[1:3], batch),
        detection.image_shape(config, batch),
        {
          name: detection.of_levels(f"{_ATTRIBUTES}_{name}", outputs)
          for name in names
        },
      )

    def raw_reference(images, image_shape):
      found = model(images, image_shape=image_shape, training=False)
      attributes = found.get(_ATTRIBUTES) or {}
      return _flat(found[_SCORES], found[_BOXES], attributes)

    return detection.Detector(
      model=model,
      raw=raw,
      detections=detections,
      raw_reference=raw_reference,
    )


def _flat(
  scores: detection.Outputs,
  boxes: detection.Outputs,
  attributes: detection.Outputs,
) -> dict[str, tf.Tensor]:
  outputs = detection.by_level(_SCORES, scores)
  outputs |= detection.by_level(_BOXES, boxes)
  for name, levels in attributes.items():
    outputs |= detection.by_level(f"{_ATTRIBUTES}_{name}", levels)
  return outputs
