"""Classifiers of Model Garden's `official.vision`, whatever their backbone."""

from __future__ import annotations

import copy
import dataclasses
from typing import ClassVar

from official.vision.configs import image_classification
from official.vision.modeling import factory
from official.vision.ops import preprocess_ops
import tensorflow as tf
import tf_keras

from exporters.errors import ExportError
from exporters.vision import images


@dataclasses.dataclass(frozen=True, kw_only=True)
class VisionExporter(images.ImageExporter):
  """Publishes a classifier as `official.vision` trains it.

  Attributes:
    model: The architecture, as in the training's configuration; its
      `input_size` is that of the images it was trained on.
    l2_weight_decay: The weight of its regularization losses, as in the
      training's configuration: half of it stands before each sum of squares.
  """

  model: image_classification.ImageClassificationModel
  l2_weight_decay: float

  # The type of backbone that an architecture's module is about.
  backbone: ClassVar[str]
  # Whether that takes images of one size only.
  fixed_size: ClassVar[bool] = False

  def classifier(self) -> images.Classifier:
    self._refuse_other_backbones()
    config = copy.deepcopy(self.model)  # Building a ViT completes it.
    height, width, channels = config.input_size
    size = [height, width] if self.fixed_size else [None, None]
    model = factory.build_classification_model(
      input_specs=tf_keras.layers.InputSpec(shape=[None, *size, channels]),
      model_config=config,
      # As the task does: TensorFlow's l2_loss halves, Keras's L2 does not.
      l2_regularizer=tf_keras.regularizers.L2(self.l2_weight_decay / 2)
      if self.l2_weight_decay
      else None,
    )
    return images.Classifier(
      model=model,
      normalize=normalize,
      image_size=(height, width),
      fixed_size=self.fixed_size,
      restored=model.checkpoint_items,
    )

  def _refuse_other_backbones(self) -> None:
    if self.model.backbone.type != self.backbone:
      raise ExportError(
        f"The gin file gives {type(self).__name__} a backbone of type "
        f"'{self.model.backbone.type}'; it exports '{self.backbone}'."
      )
    size = self.model.input_size
    if len(size) != 3 or size[2] != 3 or not all(size):
      raise ExportError(
        f"input_size = {list(size)} must be [height, width, 3], the size of "
        "the images that the model was trained on."
      )


def normalize(images: tf.Tensor) -> tf.Tensor:
  """Turns images in [0, 1] into what `official.vision` trains on."""
  return preprocess_ops.normalize_image(
    images * 255.0,
    offset=preprocess_ops.MEAN_RGB,
    scale=preprocess_ops.STDDEV_RGB,
  )
