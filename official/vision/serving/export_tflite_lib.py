"""Model Garden's functions that convert to LiteRT, on `exporters.companions`.

Their signatures are those of the module of this name in tf-models-official.
"""

from collections.abc import Iterator
import copy
import os
import tempfile
from typing import Any

from official.core import base_task
from official.core import config_definitions as cfg
import tensorflow as tf
import tf_keras

from exporters.overlay import garden_lite
from exporters.overlay import hidden

_GARDEN = hidden.module(__name__)


def create_representative_dataset(
  params: cfg.ExperimentConfig, task: base_task.Task | None = None
) -> tf.data.Dataset:
  """Returns the experiment's training data, one image at a time, in order.

  The images are cut as for evaluation. As for training, each time would give
  other ones.

  Args:
    params: The experiment; it stays as it is.
    task: Its task. None: as the experiment says.

  Raises:
    ValueError: There are no images for such a task.
  """
  params = copy.deepcopy(params)
  data = params.task.train_data
  data.is_training = False
  data.deterministic = True
  data.drop_remainder = False
  return _GARDEN.create_representative_dataset(params, task)


def representative_dataset(
  params: cfg.ExperimentConfig,
  task: base_task.Task | None = None,
  calibration_steps: int = 2000,
) -> Iterator[list[tf.Tensor]]:
  """Yields images of the experiment's training data, [1, height, width, 3].

  Args:
    params: The experiment.
    task: Its task. None: as the experiment says.
    calibration_steps: How many, at most.
  """
  dataset = create_representative_dataset(params, task)
  for image, _ in dataset.take(calibration_steps):
    if image.shape[-1] == 3:
      yield [image]


def convert_tflite_model(
  saved_model_dir: str | None = None,
  concrete_function: Any = None,
  model: tf_keras.Model | None = None,
  quant_type: str | None = None,
  params: cfg.ExperimentConfig | None = None,
  task: base_task.Task | None = None,
  calibration_steps: int | None = 2000,
  denylisted_ops: list[str] | None = None,
  calibration_file: str | None = None,
) -> bytes:
  """Returns a model for LiteRT.

  Args:
    saved_model_dir: A SavedModel.
    concrete_function: In its place, a concrete function.
    model: In its place, a Keras model.
    quant_type: How it is quantized, as `garden_lite.FORMS` has it. None: not.
    params: The experiment, for integers: the source of `calibration_file`.
    task: Its task. None: as the experiment says.
    calibration_steps: How many images of the experiment to calibrate with.
    denylisted_ops: Operators that stay in float32.
    calibration_file: A `.npz` with images, in place of the experiment's.

  Raises:
    ValueError: There is no model, or no such `quant_type`.
    ExportError: The model can't be converted.
  """
  if quant_type and quant_type not in garden_lite.FORMS:
    raise ValueError(f"quantization type {quant_type} is not supported.")

  def images():
    return (
      image
      for (image,) in representative_dataset(
        params, task, calibration_steps or 2000
      )
    )

  with tempfile.TemporaryDirectory() as work:
    path = saved_model_dir or _saved(
      concrete_function, model, os.path.join(work, "saved_model")
    )
    made = garden_lite.make(
      path,
      work,
      quant_type=quant_type,
      images=images if params else None,
      calibration_file=calibration_file,
      float_operators=denylisted_ops or (),
      prove=False,
    )
    with open(made.path, "rb") as f:
      return f.read()


def _saved(
  concrete_function: Any, model: tf_keras.Model | None, path: str
) -> str:
  """Saves what is not a SavedModel yet; returns its directory."""
  if concrete_function is not None:
    module = tf.Module()
    module.variables_of_function = concrete_function.variables
    tf.saved_model.save(
      module, path, signatures={"serving_default": concrete_function}
    )
  elif model is not None:
    tf.saved_model.save(model, path)
  else:
    raise ValueError(
      "`saved_model_dir`, `model` or `concrete_function` must be specified."
    )
  return path
