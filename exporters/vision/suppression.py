"""Model Garden's suppression of boxes that overlap, in smaller graphs.

Model Garden repeats it in the graph for each class, or for each image of a
batch whose size it must know. Here loops go through classes or images, so the
graph of 90 classes is hardly larger than that of one, and a batch may have any
size. The numbers are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
import contextlib
from typing import Any
from unittest import mock

from official.vision.modeling.layers import detection_generator
from official.vision.ops import box_ops
from official.vision.ops import nms
import tensorflow as tf


@contextlib.contextmanager
def class_by_class() -> Iterator[None]:
  """Has detection generators of version "v2" loop while a block calls them."""
  with mock.patch.object(
    detection_generator, "_generate_detections_v2_class_aware", _of_classes
  ):
    yield


@contextlib.contextmanager
def image_by_image() -> Iterator[None]:
  """Does the same for version "v1", which takes batches of one size only."""
  with mock.patch.object(
    detection_generator, "_generate_detections_v1", _of_images
  ):
    yield


def _of_images(
  boxes: tf.Tensor,
  scores: tf.Tensor,
  attributes: Mapping[str, tf.Tensor] | None = None,
  *,
  max_num_detections: int,
  **settings: Any,
) -> tuple[Any, ...]:
  """Takes and returns what the function does that it stands in for."""
  attributes = dict(attributes or {})
  size = max_num_detections

  def of_one(inputs):
    return detection_generator._generate_detections_per_image(
      *inputs, max_num_detections=size, **settings
    )

  return tf.map_fn(
    of_one,
    (boxes, scores, attributes),
    fn_output_signature=(
      tf.TensorSpec([size, 4], tf.float32),
      tf.TensorSpec([size], tf.float32),
      tf.TensorSpec([size], tf.int32),
      tf.TensorSpec([], tf.int32),
      {
        name: tf.TensorSpec([size, values.shape[-1]], values.dtype)
        for name, values in attributes.items()
      },
    ),
  )


def _of_classes(
  boxes: tf.Tensor,
  scores: tf.Tensor,
  pre_nms_top_k: int,
  pre_nms_score_threshold: float,
  nms_iou_threshold: float,
  max_num_detections: int,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
  """Takes and returns what the function does that it stands in for."""
  batch = tf.shape(boxes)[0]
  _, anchors, classes = scores.shape
  of_all = boxes.shape[2] == 1  # Whether all classes have the same boxes.
  scores, indices = detection_generator._select_top_k_scores(
    scores, min(anchors, pre_nms_top_k)
  )

  def of_one(inputs):
    i, scores_i, indices_i = inputs
    boxes_i = boxes[:, :, 0 if of_all else i, :]
    boxes_i = tf.gather(boxes_i, indices_i, batch_dims=1, axis=1)
    boxes_i, scores_i = box_ops.filter_boxes_by_scores(
      boxes_i, scores_i, min_score_threshold=pre_nms_score_threshold
    )
    return nms.sorted_non_max_suppression_padded(
      tf.cast(scores_i, tf.float32),
      tf.cast(boxes_i, tf.float32),
      max_num_detections,
      iou_threshold=nms_iou_threshold,
    )

  found_scores, found_boxes = tf.map_fn(
    of_one,
    (
      tf.range(classes),
      tf.transpose(scores, [2, 0, 1]),
      tf.transpose(indices, [2, 0, 1]),
    ),
    fn_output_signature=(
      tf.TensorSpec([None, max_num_detections], tf.float32),
      tf.TensorSpec([None, max_num_detections, 4], tf.float32),
    ),
  )
  every = classes * max_num_detections
  found_scores = tf.reshape(
    tf.transpose(found_scores, [1, 0, 2]), [batch, every]
  )
  found_boxes = tf.reshape(
    tf.transpose(found_boxes, [1, 0, 2, 3]), [batch, every, 4]
  )
  best, places = tf.nn.top_k(found_scores, k=max_num_detections, sorted=True)
  return (
    tf.gather(found_boxes, places, batch_dims=1, axis=1),
    tf.ensure_shape(best, [None, max_num_detections]),
    places // max_num_detections,
    tf.reduce_sum(tf.cast(best > 0.0, tf.int32), axis=1),
  )
