"""Exports video classifiers of Model Garden's `official.vision`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
import copy
import dataclasses
from typing import Any, ClassVar

from official.vision.configs import video_classification
from official.vision.modeling import factory_3d
import tf_keras
from typing_extensions import override

from exporters import vision_task
from exporters.checkpoints import params_file
from exporters.errors import ExportError
from exporters.video import videos


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoClassificationExporter(
  vision_task.VisionTaskExporter, videos.VideoExporter
):
  """Publishes a video classifier as `official.vision` trains it.

  Attributes:
    model: The architecture, as in the training's configuration.
    num_classes: The number of logits.
    image_size: Height and width of the videos that it was trained on.
    zero_centering_image: Whether the training had videos in [-1, 1], as its
      configuration says under `train_data`. The artifact takes [0, 1] anyway.
  """

  model: video_classification.VideoClassificationModel
  num_classes: int
  image_size: Sequence[int]
  zero_centering_image: bool = False

  # The types of backbones that a subclass exports.
  backbones: ClassVar[Sequence[str]]
  # Fields of a backbone that an export may set otherwise than the training.
  free_fields: ClassVar[Collection[str]] = ()

  @override
  def classifier(self) -> videos.Classifier:
    config = self.config()
    model = factory_3d.build_model(
      config.model_type,
      input_specs=tf_keras.layers.InputSpec(shape=videos.ANY_VIDEO),
      model_config=config,
      num_classes=self.num_classes,
      l2_regularizer=self.l2_regularizer,
    )
    height, width = self.image_size
    return videos.Classifier(
      model=model,
      image_size=(height, width),
      zero_centered=self.zero_centering_image,
      restored=model.checkpoint_items,
    )

  def config(self) -> video_classification.VideoClassificationModel:
    """Returns the configuration of the same model, for a SavedModel."""
    config = copy.deepcopy(self.model)
    norm = config.norm_activation
    norm.activation = without_custom_gradient(norm.activation)
    # A consumer has one replica, or a strategy of his own.
    norm.use_sync_bn = False
    return config

  @override
  def refuse_other_models(self) -> None:
    kind = self.model.backbone.type
    if kind not in self.backbones:
      raise ExportError(
        f"The gin file gives {type(self).__name__} a backbone of type "
        f"'{kind}', but it exports only "
        f"{' or '.join(map(repr, self.backbones))}."
      )
    if len(self.image_size) != 2 or not all(self.image_size):
      raise ExportError(
        f"image_size = {list(self.image_size)} must be [height, width], the "
        "size of the videos that the model was trained on."
      )

  @override
  def stated(self) -> Mapping[str, Any]:
    model = params_file.stated(self.model.as_dict(), self.free_fields)
    if self.model.norm_activation.activation is None:
      # A MoViNet's is its backbone's.
      del model["norm_activation"]["activation"]
    data = {"zero_centering_image": self.zero_centering_image}
    return {"task": {"model": model, "train_data": data}}


def without_custom_gradient(activation: str) -> str:
  """Returns the name of the same function, of plain operations."""
  return "simple_swish" if activation == "swish" else activation
