"""Exports classifiers of Model Garden's `official.vision`, of any backbone."""

from __future__ import annotations

from collections.abc import Mapping
import copy
import dataclasses
from typing import Any, ClassVar

from official.vision.configs import image_classification
from official.vision.modeling import factory
from official.vision.ops import preprocess_ops
import tensorflow as tf
import tf_keras
from typing_extensions import override

from exporters import vision_task
from exporters.checkpoints import params_file
from exporters.errors import ExportError
from exporters.vision import encoded
from exporters.vision import images


@dataclasses.dataclass(frozen=True, kw_only=True)
class VisionExporter(vision_task.VisionTaskExporter, images.ImageExporter):
  """Publishes a classifier as `official.vision` trains it.

  Attributes:
    model: The architecture, as in the training's configuration; its
      `input_size` is that of the images that it was trained on.
  """

  model: image_classification.ImageClassificationModel

  # The type of backbone that a subclass exports.
  backbone: ClassVar[str]
  # Whether such a backbone takes only images of the size of its training.
  fixed_size: ClassVar[bool] = False
  # What height and width of its images must be multiples of.
  size_multiple: ClassVar[int] = 1

  @override
  def classifier(self) -> images.Classifier:
    config = copy.deepcopy(self.model)  # Building a ViT fills in some fields.
    height, width, channels = config.input_size
    size = [height, width] if self.fixed_size else [None, None]
    model = factory.build_classification_model(
      input_specs=tf_keras.layers.InputSpec(shape=[None, *size, channels]),
      model_config=config,
      l2_regularizer=self.l2_regularizer,
    )
    return images.Classifier(
      model=model,
      normalize=normalize,
      prepare=lambda image: encoded.central_crop(image, (height, width)),
      image_size=(height, width),
      fixed_size=self.fixed_size,
      size_multiple=self.size_multiple,
      restored=model.checkpoint_items,
    )

  @override
  def stated(self) -> Mapping[str, Any]:
    return {"task": {"model": params_file.stated(self.model.as_dict())}}

  @override
  def refuse_other_models(self) -> None:
    if self.model.backbone.type != self.backbone:
      raise ExportError(
        f"The gin file gives {type(self).__name__} a backbone of type "
        f"'{self.model.backbone.type}', but it exports only '{self.backbone}'."
      )
    size = self.model.input_size
    if len(size) != 3 or size[2] != 3 or not all(size):
      raise ExportError(
        f"input_size = {list(size)} must be [height, width, 3], the size of "
        "the images that the model was trained on."
      )


def normalize(images: tf.Tensor) -> tf.Tensor:
  """Turns RGB images in [0, 1] into what `official.vision` trains on.

  Args:
    images: float32 [batch, height, width, 3].

  Returns:
    The same shape and type; over ImageNet, mean 0 and standard deviation 1.
  """
  return preprocess_ops.normalize_image(
    images * 255.0,
    offset=preprocess_ops.MEAN_RGB,
    scale=preprocess_ops.STDDEV_RGB,
  )
