r"""Exports Mask R-CNN and Faster R-CNN: detectors that look at regions again.

  python -m exporters.mask_rcnn \
    --gin_file=configs/mask_rcnn/mask_rcnn_resnet50_fpn_coco.gin \
    --gin_bindings="CHECKPOINT = '/path/to/mask_rcnn/ckpt'" \
    --export_path=/tmp/mask_rcnn

  model = hub.load("/tmp/mask_rcnn")
  found = model.detect(images)  # float32 [batch, height, width, 3] in [0, 1],
                                # of the size of the training
  found["detection_boxes"]      # [batch, n, 4]: ymin, xmin, ymax, xmax, as
                                # shares of height and width
  found["detection_classes"]    # [batch, n]; 0 would be the background
  found["detection_scores"]     # [batch, n], falling
  found["num_detections"]       # [batch]: how many of n are not padding
  found["detection_masks"]      # [batch, n, side, side]: the probability that
                                # a part of the box is the object

All are float32; without `include_mask` there are no masks.
`model.image_bytes(files)` takes JPEG and PNG files of any size, and its boxes
are shares of those images. With masks they are not cut at the image's edge,
because a mask fills its box. For fine-tuning:

  layer = hub.KerasLayer("/tmp/mask_rcnn", trainable=True)
  outputs = layer(images)         # For each level of the pyramid, 2 say:
  outputs["rpn_scores_2"]         # [batch, h, w, anchors], logits
  outputs["rpn_boxes_2"]          # [batch, h, w, anchors * 4]
  outputs["rois"]                 # [batch, regions, 4], the regions proposed,
                                  # in pixels, and for each of them:
  outputs["class_outputs"]        # [batch, regions, classes], logits
  outputs["box_outputs"]          # [batch, regions, classes * 4]
  outputs["mask_outputs"]         # [batch, some, side, side], logits, of the
  outputs["mask_classes"]         # first regions and their likeliest classes

Gradients stop at `rois`, as in the training; which of them to learn from, and
what, is the loss's choice. The further stages of a cascade have outputs
`rois_1`, `class_outputs_1` and so on. `decoder_features_2` are what regions are
cut from. The papers: https://arxiv.org/abs/1703.06870,
https://arxiv.org/abs/1506.01497 and, of cascades,
https://arxiv.org/abs/2107.00057.
"""

if __name__ == "__main__":
  # The command starts here; the gin file imports this module by its name.
  from exporters.command_line import export_command

  export_command.run()

import contextlib
import dataclasses
from typing import Any

from official.vision.configs import maskrcnn
from official.vision.modeling import factory
from official.vision.ops import box_ops
import tensorflow as tf
import tf_keras
from typing_extensions import override

from exporters.errors import ExportError
from exporters.keras_models import tap
from exporters.vision import detection

_FEATURES = "decoder_features"
_RPN_SCORES, _RPN_BOXES = "rpn_scores", "rpn_boxes"
_ROIS, _CLASSES, _BOXES = "rois", "class_outputs", "box_outputs"
_MASKS, _MASK_CLASSES = "mask_outputs", "mask_classes"


class _RawOutputs(tf_keras.Model):
  """A Mask R-CNN up to what its heads say about the regions it proposes."""

  def __init__(self, model: Any, config: maskrcnn.MaskRCNN):
    super().__init__(name="mask_rcnn")
    # Without a decoder, regions are cut from all levels that there are.
    self.backbone, self.decoder = detection.features(
      model, model.backbone.output
    )
    self.rpn_head = model.rpn_head
    self.roi_generator = model.roi_generator
    self.roi_aligner = model.roi_aligner
    self.detection_head = model.detection_head
    self.mask_head = model.mask_head
    self.mask_roi_aligner = model.mask_roi_aligner
    self._masks = model.mask_head and config.mask_sampler.num_sampled_masks
    self._stage_weights = model._cascade_layer_to_weights
    self._config = config

  @override
  def call(
    self, images: tf.Tensor, training: bool | None = None
  ) -> dict[str, tf.Tensor]:
    batch = tf.shape(images)[0]
    shape = detection.image_shape(self._config, batch)
    features = self.backbone(images)
    if self.decoder:
      features = self.decoder(features)
    scores, boxes = self.rpn_head(features)
    outputs = _of_first_stage(features, scores, boxes)
    anchors = detection.anchors(self._config, images.shape[1:3], batch)
    rois, _ = self.roi_generator(boxes, scores, anchors, shape, training)
    first = rois
    for stage, head in enumerate(self.detection_head):
      rois = tf.stop_gradient(rois)
      class_outputs, box_outputs = head(self.roi_aligner(features, rois))
      outputs |= _of_stage(stage, rois, class_outputs, box_outputs)
      if stage + 1 < len(self.detection_head):
        rois = _refined(rois, box_outputs, self._stage_weights[stage], shape)
    if self._masks:
      rois = tf.stop_gradient(first[:, : self._masks])
      classes = _likeliest(outputs[_CLASSES][:, : self._masks])
      outputs[_MASK_CLASSES] = classes
      outputs[_MASKS] = self.mask_head(
        [self.mask_roi_aligner(features, rois), classes]
      )
    return outputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskRCNNExporter(detection.DetectionExporter):
  """Publishes a Mask R-CNN of `official.vision`, with or without masks.

  Cascades too, and with any backbone.

  Attributes:
    model: The architecture, as in the training's configuration; its
      `input_size` is that of the images that it was trained on.
  """

  model: maskrcnn.MaskRCNN

  @property
  @override
  def config(self) -> maskrcnn.MaskRCNN:
    return self.model

  @override
  def refuse_other_models(self) -> None:
    super().refuse_other_models()
    if self.model.detection_generator.nms_version == "v3":
      raise ExportError(
        "detection_generator.nms_version = 'v3' is for a RetinaNet; Model "
        "Garden's Mask R-CNN has 'v1', 'v2' and 'batched'."
      )
    stages = len(self.model.roi_sampler.cascade_iou_thresholds or ())
    if stages and not self.model.detection_head.class_agnostic_bbox_pred:
      raise ExportError(
        "A cascade has detection_head.class_agnostic_bbox_pred = True, as "
        "Model Garden trains it. Set it, or leave out "
        "roi_sampler.cascade_iou_thresholds."
      )

  @override
  def detector(self, config, input_specs, l2_regularizer) -> detection.Detector:
    model = factory.build_maskrcnn(input_specs, config, l2_regularizer)
    model.backbone.trainable = not self.freeze_backbone
    raw = _RawOutputs(model, config)
    detection.call_once(raw, input_specs)
    weights = model._cascade_layer_to_weights
    stages = len(model.detection_head)
    last = stages - 1

    def detections(outputs):
      batch = tf.shape(outputs[_ROIS])[0]
      shape = detection.image_shape(config, batch)
      class_outputs = outputs[_numbered(_CLASSES, last)]
      if config.detection_head.cascade_class_ensemble:
        class_outputs = (
          tf.add_n([outputs[_numbered(_CLASSES, i)] for i in range(stages)])
          / stages
        )
      found = dict(
        model.detection_generator(
          outputs[_numbered(_BOXES, last)],
          class_outputs,
          outputs[_numbered(_ROIS, last)],
          shape,
          weights[last],
          bbox_per_class=not config.detection_head.class_agnostic_bbox_pred,
        )
      )
      boxes = found["detection_boxes"]
      if config.outer_boxes_scale > 1.0:
        boxes = box_ops.compute_outer_boxes(
          boxes, shape[:, tf.newaxis], config.outer_boxes_scale
        )
        found["detection_outer_boxes"] = boxes
      if model.mask_head:
        _, found[detection.MASKS] = model._features_to_mask_outputs(
          detection.of_levels(_FEATURES, outputs),
          boxes,
          found["detection_classes"],
        )
      return found

    def raw_reference(images, image_shape):
      with contextlib.ExitStack() as stack:
        proposing = stack.enter_context(tap.tapped(model.roi_generator))
        looking = [
          stack.enter_context(tap.tapped(head)) for head in model.detection_head
        ]
        found, _ = model._call_box_outputs(images, image_shape, training=False)
      features = found[_FEATURES]
      outputs = _of_first_stage(features, found[_RPN_SCORES], found[_RPN_BOXES])
      rois = first = proposing.outputs[0]
      for stage, looked in enumerate(looking):
        class_outputs, box_outputs = looked.outputs
        outputs |= _of_stage(stage, rois, class_outputs, box_outputs)
        if stage < last:
          rois = _refined(rois, box_outputs, weights[stage], image_shape)
      if model.mask_head:
        some = config.mask_sampler.num_sampled_masks
        classes = _likeliest(outputs[_CLASSES][:, :some])
        outputs[_MASK_CLASSES] = classes
        outputs[_MASKS], _ = model._features_to_mask_outputs(
          features, first[:, :some], classes
        )
      return outputs

    return detection.Detector(
      model=model,
      raw=raw,
      detections=detections,
      raw_reference=raw_reference,
    )


def _of_first_stage(
  features: detection.Outputs,
  scores: detection.Outputs,
  boxes: detection.Outputs,
) -> dict[str, tf.Tensor]:
  outputs = detection.by_level(_FEATURES, features)
  outputs |= detection.by_level(_RPN_SCORES, scores)
  return outputs | detection.by_level(_RPN_BOXES, boxes)


def _of_stage(stage: int, rois, class_outputs, box_outputs) -> dict[str, Any]:
  return {
    _numbered(_ROIS, stage): rois,
    _numbered(_CLASSES, stage): class_outputs,
    _numbered(_BOXES, stage): box_outputs,
  }


def _numbered(name: str, stage: int) -> str:
  return f"{name}_{stage}" if stage else name


def _refined(rois, box_outputs, weights, image_shape) -> tf.Tensor:
  """Returns the regions that a stage of a cascade hands to the next."""
  refined = box_ops.decode_boxes(
    tf.cast(box_outputs, tf.float32), rois, weights=weights
  )
  return box_ops.clip_boxes(refined, image_shape[:, tf.newaxis])


def _likeliest(class_outputs: tf.Tensor) -> tf.Tensor:
  """Returns the likeliest class of each region but for the background."""
  return tf.argmax(class_outputs[..., 1:], axis=-1, output_type=tf.int32) + 1
