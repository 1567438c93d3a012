"""Which module serves a task of `official.vision`, and which exporter has it.

To give a further task a call of its own beside Model Garden's signatures, add
its exporter to `TASKS`. The signatures of a classifier are built on that call.
Those of a detector or of segmentation prepare images and outputs otherwise, so
they are built on Model Garden's model, which has the same variables.
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
from exporters import mask_rcnn
from exporters import resnet_3d
from exporters import retinanet
from exporters import segmentation
from exporters import vision_task
from exporters.errors import ExportError
from exporters.overlay import arguments
from exporters.overlay import image_models
from exporters.vision import architectures
from exporters.vision import images

# Two keys of one function.
_SAME = {"serve_examples": "tf_example"}
# The suppressions of boxes by which Model Garden serves batches of any size.
_ANY_BATCH = ("batched", "v2", "v3")


class _OfExporter:
  """A module whose model another exporter builds."""

  # As Model Garden's `ExportModule` has it.
  _input_type: str

  @property
  def calls_published(self) -> bool:
    """Whether it gives the published call what that takes."""
    return False

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

  def served(self, model: tf_keras.Model) -> tf_keras.Model:
    """Returns the model to serve, given the one that the exporter built."""
    return model

  def traced_cheaply(self) -> Any:
    """Returns a module with the same inputs and names of outputs."""
    return self

  def _build_model(self) -> tf_keras.Model:
    return tf_keras.Sequential()  # The exporter builds it.


class _OfPublished(_OfExporter):
  """A module that calls what the exporter publishes, and nothing else."""

  inference_step: Callable[..., Any]

  @property
  @override
  def calls_published(self) -> bool:
    return True

  @override
  def traced_cheaply(self) -> Any:
    other = copy.copy(self)
    other.inference_step = lambda inputs: tf.zeros([1, 2])
    return other


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


class DetectionModule(_OfExporter, detection.DetectionModule):
  """Calls Model Garden's detector."""

  @override
  def served(self, model: tf_keras.Model) -> tf_keras.Model:
    """Returns it with the suppression of boxes that Model Garden serves.

    That may be another one than the training's, which is published.
    """
    config = model.get_config()
    generator = config["detection_generator"]
    version = self.params.task.model.detection_generator.nms_version
    served = generator.from_config(
      {**generator.get_config(), "nms_version": version}
    )
    return model.from_config({**config, "detection_generator": served})

  @override
  def _build_model(self) -> tf_keras.Model:
    generator = self.params.task.model.detection_generator
    # As Model Garden's module does.
    if self._batch_size is None and generator.nms_version not in _ANY_BATCH:
      generator.nms_version = "batched"
    return super()._build_model()


class SegmentationModule(_OfExporter, semantic_segmentation.SegmentationModule):
  """Calls Model Garden's segmentation model."""


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


def _detectors(
  params: cfg.ExperimentConfig, size: Sequence[int], checkpoint: str
) -> base.CheckpointExporter | None:
  task = params.task
  exporter = (
    mask_rcnn.MaskRCNNExporter
    if isinstance(task, configs.maskrcnn.MaskRCNNTask)
    else retinanet.RetinaNetExporter
  )
  data = task.validation_data or task.train_data
  multiple = 2**task.model.max_level
  if not task.train_data.parser.pad and any(side % multiple for side in size):
    _note_signatures_alone(
      f"Without padding, {list(size)} must be multiples of {multiple}."
    )
    return None
  return _if_accepted(
    exporter(
      checkpoint=checkpoint,
      model=_of_size(task.model, size),
      l2_weight_decay=float(task.losses.l2_weight_decay),
      freeze_backbone=task.freeze_backbone,
      keep_aspect_ratio=data.parser.keep_aspect_ratio,
      signatures=(),  # Model Garden's are there.
    )
  )


def _segmenters(
  params: cfg.ExperimentConfig, size: Sequence[int], checkpoint: str
) -> base.CheckpointExporter | None:
  task = params.task
  data, losses = task.train_data, task.losses
  return _if_accepted(
    segmentation.SemanticSegmentationExporter(
      checkpoint=checkpoint,
      model=_of_size(task.model, size),
      image_size=[*size],
      l2_weight_decay=float(losses.l2_weight_decay),
      mean=data.image_feature.mean,
      stddev=data.image_feature.stddev,
      preserve_aspect_ratio=data.preserve_aspect_ratio,
      use_binary_cross_entropy=losses.use_binary_cross_entropy,
      ignore_label=losses.ignore_label,
    )
  )


def _of_size(model: Any, size: Sequence[int]) -> Any:
  """Returns the configuration of a model for images of a size."""
  model = copy.deepcopy(model)
  model.input_size = [*size, 3]
  return model


def _if_accepted(
  exporter: vision_task.VisionTaskExporter,
) -> vision_task.VisionTaskExporter | None:
  """Returns an exporter unless it refuses a model that Model Garden serves."""
  try:
    exporter.refuse_other_models()
  except ExportError as error:
    _note_signatures_alone(str(error))
    return None
  return exporter


def _note_signatures_alone(reason: str) -> None:
  arguments.note(
    f"the SavedModel has Model Garden's signatures alone. {reason}"
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
    config=configs.retinanet.RetinaNetTask,
    module=detection.DetectionModule,
    own_module=DetectionModule,
    exporter=_detectors,
  ),
  Task(
    config=configs.maskrcnn.MaskRCNNTask,
    module=detection.DetectionModule,
    own_module=DetectionModule,
    exporter=_detectors,
  ),
  Task(
    config=configs.semantic_segmentation.SemanticSegmentationTask,
    module=semantic_segmentation.SegmentationModule,
    own_module=SegmentationModule,
    exporter=_segmenters,
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
