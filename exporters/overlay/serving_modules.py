"""Which module serves a task of `official.vision`, and which exporter has it.

To give a further task a call of its own beside Model Garden's signatures, add
its exporter to `TASKS`.
"""

from collections.abc import Callable, Sequence
import copy
import dataclasses
from typing import Any

from official.core import config_definitions as cfg
from official.vision import configs
from official.vision.serving import detection
from official.vision.serving import image_classification
from official.vision.serving import semantic_segmentation
from official.vision.serving import video_classification
import tensorflow as tf
import tf_keras
from typing_extensions import override

from exporters import base
from exporters import resnet_3d
from exporters.overlay import image_models
from exporters.vision import architectures
from exporters.vision import images

# Two keys of one function.
_SAME = {"serve_examples": "tf_example"}


class _OfPublished:
  """A module whose model is the call of what another exporter publishes."""

  # As Model Garden's `ExportModule` has them.
  _input_type: str
  inference_step: Callable[..., Any]

  @property
  def calls_published(self) -> bool:
    """Whether it gives the model what the published call takes."""
    return True

  def serving(self, key: str) -> Any:
    """Returns a module for one key of a function.

    Model Garden's goes by the input type for all keys, and so cuts an image
    that comes as a file twice if the input type is `image_tensor`.
    """
    key = _SAME.get(key, key)
    if key == self._input_type:
      return self
    other = copy.copy(self)
    other._input_type = key
    return other

  def traced_cheaply(self) -> Any:
    """Returns a module with the same inputs and names of outputs."""
    other = copy.copy(self)
    other.inference_step = lambda inputs: tf.zeros([1, 2])
    return other

  def _build_model(self) -> tf_keras.Model:
    return tf_keras.Sequential()  # The exporter builds it.


class ImageModule(_OfPublished, image_classification.ClassificationModule):
  """Gives the model images in [0, 1], which it normalizes itself."""

  @property
  @override
  def calls_published(self) -> bool:
    # For `tflite`, clients normalize the images.
    return self._input_type != "tflite"

  def _build_inputs(self, image: tf.Tensor) -> tf.Tensor:
    image = tf.cast(image, tf.float32)
    # Files are cut and resized where they are decoded.
    if self._input_type not in ("image_bytes", "tf_example"):
      image = self._crop_and_resize(image)
    return image / 255.0


class VideoModule(_OfPublished, video_classification.VideoClassificationModule):
  """Gives the model videos in [0, 1], whatever it was trained on."""

  def _build_model(self) -> tf_keras.Model:
    data = self.params.task.train_data
    self._num_frames, self._crop_size = data.feature_shape[:2]
    self._stride = data.temporal_stride
    self._min_resize = data.min_image_size
    self._output_audio = data.output_audio
    return super()._build_model()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
  """How a kind of task is served.

  Attributes:
    config: The class of its configuration.
    module: Model Garden's module, which builds the model itself.
    own_module: The module for a model that `exporter` builds; it may be the
      same if that calls `self.model`.
    exporter: Returns the exporter of a checkpoint, given the experiment, the
      size of the images and the checkpoint's path; None for a model that there
      is no exporter for.
  """

  config: type
  module: Callable[..., Any]
  own_module: Callable[..., Any] | None = None
  exporter: Callable[..., base.CheckpointExporter | None] | None = None


def _images(
  params: cfg.ExperimentConfig, size: Sequence[int], checkpoint: str
) -> base.CheckpointExporter | None:
  if params.task.model.backbone.type not in architectures.EXPORTERS:
    return None
  return image_models.exporter(
    params, [*size, 3], checkpoint, artifact=images.CLASSIFICATION
  )


def _videos(
  params: cfg.ExperimentConfig, size: Sequence[int], checkpoint: str
) -> base.CheckpointExporter | None:
  exporter = resnet_3d.ResNet3DExporter
  data = params.task.train_data
  kind = params.task.model.backbone.type
  if kind not in exporter.backbones or data.output_audio:
    return None
  return exporter(
    checkpoint=checkpoint,
    model=params.task.model,
    num_classes=data.num_classes,
    image_size=list(size[-2:]),
    l2_weight_decay=float(params.task.losses.l2_weight_decay),
    zero_centering_image=data.zero_centering_image,
  )


TASKS = (
  Task(
    config=configs.image_classification.ImageClassificationTask,
    module=image_classification.ClassificationModule,
    own_module=ImageModule,
    exporter=_images,
  ),
  Task(
    config=configs.video_classification.VideoClassificationTask,
    module=video_classification.VideoClassificationModule,
    own_module=VideoModule,
    exporter=_videos,
  ),
  Task(
    config=configs.retinanet.RetinaNetTask, module=detection.DetectionModule
  ),
  Task(config=configs.maskrcnn.MaskRCNNTask, module=detection.DetectionModule),
  Task(
    config=configs.semantic_segmentation.SemanticSegmentationTask,
    module=semantic_segmentation.SegmentationModule,
  ),
)


def of(params: cfg.ExperimentConfig) -> Task:
  """Returns how the task of an experiment is served.

  Raises:
    ValueError: It is not.
  """
  for task in TASKS:
    if isinstance(params.task, task.config):
      return task
  raise ValueError(
    f"Export module not implemented for {type(params.task)} task."
  )
