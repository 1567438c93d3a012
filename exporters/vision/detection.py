"""Exports a detector of Model Garden's `official.vision`.

  model(images)         # float32 [batch, height, width, 3], RGB in [0, 1], of
                        # the size of the training, to the raw outputs that it
                        # was trained by, a dict
  model.detect(images)  # the same to what was found, a dict of float32:
                        #   detection_boxes: [batch, n, 4], each [ymin, xmin,
                        #     ymax, xmax], as shares of height and width
                        #   detection_classes: [batch, n], 1 and up
                        #   detection_scores: [batch, n], falling
                        #   num_detections: [batch]; the rest of n is padding

The names, types and the meaning of boxes are those of the detectors that TF Hub
published. `serving_default` calls `detect`. `image_bytes` and `tf_example` take
images as files, of any size, and their boxes are shares of these images.

An architecture's module builds the detector; everything else is here.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Mapping, Sequence
import copy
import dataclasses
from typing import Any, Protocol

import numpy as np
from official.vision.ops import anchor
from official.vision.ops import preprocess_ops
import tensorflow as tf
import tf_keras
from typing_extensions import override

from exporters import base
from exporters import vision_task
from exporters.checkpoints import params_file
from exporters.errors import ExportError
from exporters.keras_models import functional
from exporters.saved_model import labels
from exporters.vision import encoded
from exporters.vision import official_vision
from exporters.vision import reversible
from exporters.vision import suppression

_API = "detector"
DETECT = "detect"
BOXES = ("detection_boxes", "detection_outer_boxes")
MASKS = "detection_masks"
_OTHERS = ("detection_classes", "detection_scores", "num_detections")
_NMS_VERSIONS = ("v1", "v2", "v3", "batched")
# The name of an attribute's values follows.
_ATTRIBUTES = "detection_attributes"

Outputs = Mapping[str, Any]


class ModelConfig(Protocol):
  """What the configurations of Model Garden's detectors have in common."""

  num_classes: int
  input_size: list[int]
  min_level: int
  max_level: int
  backbone: Any
  anchor: Any
  detection_generator: Any

  def as_dict(self) -> dict[str, Any]:
    """Returns all fields, nested."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Detector:
  """A detector as Model Garden trains it, not yet restored.

  Attributes:
    model: Model Garden's own.
    raw: Takes images as the training does; returns the raw outputs, a flat
      dict.
    detections: Takes the raw outputs of inference; returns what Model Garden's
      model finds, its boxes in pixels.
    raw_reference: Takes images as the training does, and their height and
      width; returns what Model Garden's model computes of `raw` at inference.
  """

  model: tf_keras.Model
  raw: tf_keras.Model
  detections: Callable[[Outputs], Outputs]
  raw_reference: Callable[[tf.Tensor, tf.Tensor], Outputs]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectionExporter(labels.Labelled, vision_task.VisionTaskExporter):
  """Publishes a detector as `official.vision` trains it.

  Images have the size of the training, which the anchors are laid out for.
  Class 0 is the background, which is never detected; so classes count from 1,
  and the labels name class 0 too.

  Attributes:
    freeze_backbone: Whether the training left the backbone as it was, as its
      configuration says. Consumers can't train it either then.
    keep_aspect_ratio: For images as files, whether the training's parser kept
      the ratio of height to width.
    signatures: Further signatures, and callables, for images that come as
      files: "image_bytes", "tf_example" or both; see `vision.encoded`.
  """

  freeze_backbone: bool = False
  keep_aspect_ratio: bool = True
  signatures: Sequence[str] = (encoded.IMAGE_BYTES,)

  @property
  @abc.abstractmethod
  def config(self) -> ModelConfig:
    """The architecture, as in the training's configuration."""

  @abc.abstractmethod
  def detector(
    self,
    config: ModelConfig,
    input_specs: tf_keras.layers.InputSpec,
    l2_regularizer: tf_keras.regularizers.Regularizer | None,
  ) -> Detector:
    """Builds the detector; nothing is restored yet."""

  @override
  def refuse_mistakes(self) -> None:
    encoded.refuse_unknown(self.signatures)
    self.refuse_background_alone()
    super().refuse_mistakes()

  @override
  def build(self) -> base.Build:
    self.refuse_mistakes()
    config = copy.deepcopy(self.config)  # Building may fill in some fields.
    detector = self.detector(
      config,
      tf_keras.layers.InputSpec(shape=[None, *self._canvas, 3]),
      self.l2_regularizer,
    )
    reversible.use_ordinary_gradients(detector.raw)
    return base.Build(
      restores=[{"model": detector.model, **detector.model.checkpoint_items}],
      published={"": self._published(detector)},
    )

  @override
  def refuse_other_models(self) -> None:
    config = self.config
    size = config.input_size
    if len(size) != 3 or size[2] != 3 or not all(size):
      raise ExportError(
        f"input_size = {list(size)} must be [height, width, 3], the size of "
        "the images that the model was trained on."
      )
    if config.num_classes < 2:
      raise ExportError(
        f"num_classes = {config.num_classes} leaves nothing to detect: class 0 "
        "is the background. Set it to that of the training, which counts the "
        "background."
      )
    generator = config.detection_generator
    if not generator.apply_nms:
      raise ExportError(
        "detection_generator.apply_nms = False leaves boxes that overlap. "
        "Leave it out; a call of the model gives the outputs before that step."
      )
    if generator.nms_version not in _NMS_VERSIONS:
      raise ExportError(
        f"detection_generator.nms_version = '{generator.nms_version}' must be "
        f"one of {', '.join(map(repr, _NMS_VERSIONS))}. With 'tflite', Model "
        "Garden's own model returns placeholders in place of boxes."
      )

  @override
  def stated(self) -> Mapping[str, Any]:
    model = params_file.stated(self.config.as_dict())
    data = {"parser": {"keep_aspect_ratio": self.keep_aspect_ratio}}
    return {"task": {"model": model, "validation_data": data}}

  @property
  def _image_size(self) -> tuple[int, int]:
    height, width, _ = self.config.input_size
    return height, width

  @property
  def _canvas(self) -> tuple[int, int]:
    """What images are padded to, so that each level halves the one before."""
    multiple = 2**self.config.max_level
    height, width = (-(-side // multiple) for side in self._image_size)
    return height * multiple, width * multiple

  def _as_trained(self, images: tf.Tensor) -> tf.Tensor:
    images = official_vision.normalize(images)
    if self._canvas == self._image_size:
      return images
    return tf.image.pad_to_bounding_box(images, 0, 0, *self._canvas)

  def _published(self, detector: Detector) -> base.Published:
    raw = detector.raw
    specs = tf.TensorSpec([None, *self._image_size, 3], tf.float32, "images")
    variables = raw.variables
    samples = self._samples()

    def whole(images, shape):
      return detector.model(images, image_shape=shape, training=False)

    detect = base.Published(
      function=lambda images, raw: self._named(
        self._found(detector, raw(images, False))
      ),
      inputs=[specs],
      training=False,
      parent="raw",
      signature=True,
      api=_API,
      variables=variables,
      samples=samples,
      reference=lambda images: self._named(self._by_model(whole, images)),
    )
    return base.Published(
      function=lambda images, training: raw(
        self._as_trained(images), training=training
      ),
      inputs=[specs],
      api=_API,
      image_size=self._image_size,
      hyperparameters=functional.hyperparameters(raw),
      variables=variables,
      trainable_variables=raw.trainable_variables,
      regularization_losses=functional.regularization_losses(raw)[0],
      assets=self.labels(self.config.num_classes),
      samples=samples,
      serving=DETECT,
      reference=lambda images, training: self._by_model(
        detector.raw_reference, images
      ),
      sub_objects={
        DETECT: detect,
        **{name: self._of_files(name, detect) for name in self.signatures},
      },
    )

  def _by_model(
    self, call: Callable[[tf.Tensor, tf.Tensor], Outputs], images: tf.Tensor
  ) -> Outputs:
    """Returns what the restored model, called by its own code, computes."""
    shape = tf.constant([self._image_size], tf.float32)
    with suppression.image_by_image():
      return call(
        self._as_trained(images), tf.tile(shape, [tf.shape(images)[0], 1])
      )

  def _found(self, detector: Detector, raw: Outputs) -> Outputs:
    with suppression.class_by_class(), suppression.image_by_image():
      return detector.detections(raw)

  def _named(self, found: Outputs) -> dict[str, tf.Tensor]:
    """Returns what is found as published detectors name and scale it."""
    sides = tf.constant([*self._image_size, *self._image_size], tf.float32)
    named = {
      name: tf.cast(found[name], tf.float32) / sides
      for name in BOXES
      if name in found
    }
    named |= {
      name: tf.cast(found[name], tf.float32)
      for name in (*_OTHERS, MASKS)
      if name in found
    }
    for name, values in (found.get(_ATTRIBUTES) or {}).items():
      named[f"{_ATTRIBUTES}_{name}"] = tf.cast(values, tf.float32)
    return named

  def _of_files(self, name: str, detect: base.Published) -> base.Published:
    """Returns the callable, which is also a signature, that takes files."""
    specs = (
      tf.TensorSpec([*self._image_size, 3], tf.float32),
      tf.TensorSpec([2], tf.float32),
    )

    def function(inputs, detect):
      images, shares = tf.map_fn(
        lambda file: self._fitted(encoded.decoded(file)),
        encoded.files(name, inputs),
        fn_output_signature=specs,
      )
      found = dict(detect(images))
      # A mask fills its box, so a box with a mask is not cut.
      whole = MASKS in found
      shares = tf.tile(shares, [1, 2])[:, tf.newaxis]
      for key in BOXES:
        if key in found:
          boxes = found[key] / shares
          found[key] = boxes if whole else tf.clip_by_value(boxes, 0.0, 1.0)
      return found

    assert detect.reference
    return base.Published(
      function=function,
      inputs=[tf.TensorSpec([None], tf.string, "inputs")],
      training=False,
      signature=True,
      built_on=DETECT,
      api=_API,
      variables=detect.variables,
      samples=[encoded.sample(name, batch) for batch in (1, 3)],
      reference=lambda inputs: function(inputs, detect.reference),
    )

  def _fitted(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Resizes an image of any size into the upper left of what the model takes.

    Args:
      image: float32 [height, width, 3] in [0, 255].

    Returns:
      The same in [0, 1] and of the model's size, the rest in the mean colour,
      which the model takes as zeros; and what share of the height and of the
      width the image got.
    """
    mean = tf.constant(preprocess_ops.MEAN_RGB, tf.float32)
    resized, info = preprocess_ops.resize_and_crop_image(
      image - mean,
      self._image_size,
      padded_size=self._image_size,
      keep_aspect_ratio=self.keep_aspect_ratio,
    )
    share = info[0] * info[2] / tf.constant(self._image_size, tf.float32)
    return (resized + mean) / 255.0, share

  def _samples(self) -> list[np.ndarray]:
    """Returns images of batch 1 and 3, coarse ones and noise."""
    rng = np.random.default_rng(0)
    samples = []
    for batch in (1, 3):
      coarse = tf.image.resize(rng.random([batch, 5, 4, 3]), self._image_size)
      noise = rng.random([batch, *self._image_size, 3])
      samples.append(np.asarray(0.75 * coarse + 0.25 * noise, np.float32))
    return samples


def call_once(
  raw: tf_keras.Model, input_specs: tf_keras.layers.InputSpec
) -> None:
  """Has a model make all of its variables."""
  # Otherwise AutoGraph rewrites the code of all layers, which takes time.
  call = tf.autograph.experimental.do_not_convert(raw)
  call(tf_keras.Input(input_specs.shape[1:]))


def anchors(
  config: ModelConfig, size: Sequence[int], batch: tf.Tensor
) -> dict[str, tf.Tensor]:
  """Returns the anchors of images by level, [batch, h, w, anchors * 4]."""
  generator = anchor.build_anchor_generator(
    min_level=config.min_level,
    max_level=config.max_level,
    num_scales=config.anchor.num_scales,
    aspect_ratios=config.anchor.aspect_ratios,
    anchor_size=config.anchor.anchor_size,
  )
  return {
    level: tf.tile(one[tf.newaxis], [batch, 1, 1, 1])
    for level, one in generator(size).items()
  }


def image_shape(config: ModelConfig, batch: tf.Tensor) -> tf.Tensor:
  """Returns the height and width of each image, float32 [batch, 2]."""
  height, width, _ = config.input_size
  return tf.tile(tf.constant([[height, width]], tf.float32), [batch, 1])


def by_level(name: str, levels: Mapping[str, tf.Tensor]) -> dict[str, Any]:
  """Returns the outputs of levels, with names that stand alone."""
  return {f"{name}_{level}": values for level, values in levels.items()}


def of_levels(name: str, outputs: Outputs) -> dict[str, tf.Tensor]:
  """Returns the outputs of levels by level: the reverse of `by_level`."""
  prefix = f"{name}_"
  return {
    level: values
    for level, values in (
      (key.removeprefix(prefix), values)
      for key, values in outputs.items()
      if key.startswith(prefix)
    )
    if level.isdigit()
  }


def features(
  model: Any, levels: Iterable[Any]
) -> tuple[tf_keras.Model, tf_keras.Model | None]:
  """Returns backbone and decoder without layers that nothing needs.

  Args:
    model: Model Garden's.
    levels: Those of the backbone that are needed if there is no decoder.
  """
  backbone, decoder = model.backbone, model.decoder
  if decoder is None:
    used = {str(level): backbone.output[str(level)] for level in levels}
    return _restricted(backbone, backbone.inputs, used), None
  inputs = dict(decoder.input)
  for level in decoder.input:
    rest = {key: inputs[key] for key in inputs if key != level}
    try:
      decoder = _restricted(decoder, rest, decoder.output)
    except ValueError:  # Something needs it.
      continue
    inputs = rest
  used = {level: backbone.output[level] for level in inputs}
  return _restricted(backbone, backbone.inputs, used), decoder


def _restricted(model: tf_keras.Model, inputs: Any, outputs: Any):
  return tf_keras.Model(inputs, outputs, name=model.name)
