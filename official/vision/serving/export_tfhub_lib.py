"""Model Garden's functions that export its image classifiers, on `exporters`.

Their signatures are those of the module of this name in tf-models-official.
"""

from official.core import config_definitions as cfg
from official.vision import configs
from official.vision.configs import image_classification
from official.vision.modeling import factory
import tf_keras

from exporters import checks
from exporters.overlay import arguments
from exporters.overlay import garden_exporters
from exporters.overlay import image_models
from exporters.vision import images


def build_model(
  batch_size: int | None,
  input_image_size: list[int],
  params: cfg.ExperimentConfig,
  num_channels: int = 3,
  skip_logits_layer: bool = False,
) -> tf_keras.Model:
  """Builds the classifier of an experiment, on normalized images.

  Args:
    batch_size: The size of a batch; None: any.
    input_image_size: Height and width of the images.
    params: The experiment.
    num_channels: The number of the images' channels.
    skip_logits_layer: Whether to leave out the logits.

  Raises:
    ValueError: The experiment's task is not image classification.
  """
  return factory.build_classification_model(
    input_specs=tf_keras.layers.InputSpec(
      shape=[batch_size, *input_image_size, num_channels]
    ),
    model_config=_model_of(params),
    l2_regularizer=None,
    skip_logits_layer=skip_logits_layer,
  )


def export_model_to_tfhub(
  batch_size: int | None,
  input_image_size: list[int],
  params: cfg.ExperimentConfig,
  checkpoint_path: str,
  export_path: str,
  num_channels: int = 3,
  skip_logits_layer: bool = False,
  level: str = checks.NONE,
) -> None:
  """Exports the classifier of an experiment, or its feature vector.

  Args:
    batch_size: Has no effect: the model takes any batch size.
    input_image_size: Height and width of the images that the model was trained
      on.
    params: The experiment.
    checkpoint_path: A checkpoint of any kind.
    export_path: Where the SavedModel appears.
    num_channels: The number of the images' channels; 3.
    skip_logits_layer: Whether to export the feature vector instead.
    level: Which checks a fresh process makes.

  Raises:
    ValueError: The experiment's task is not image classification.
    ExportError: The model can't be exported.
  """
  if batch_size is not None:
    arguments.note(f"the model takes any batch size, not only {batch_size}.")
  _model_of(params)
  garden_exporters.export(
    image_models.exporter(
      params,
      [*input_image_size, num_channels],
      checkpoint_path,
      artifact=(
        images.FEATURE_VECTOR if skip_logits_layer else images.CLASSIFICATION
      ),
    ),
    export_path,
    level,
  )


def _model_of(
  params: cfg.ExperimentConfig,
) -> image_classification.ImageClassificationModel:
  if not isinstance(
    params.task, configs.image_classification.ImageClassificationTask
  ):
    raise ValueError(
      f"Export module not implemented for {type(params.task)} task."
    )
  return params.task.model
