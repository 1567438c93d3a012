"""Detectors of some thousand weights, as training leaves them."""

from collections.abc import Sequence
import pathlib

import gin
import numpy as np
from official.vision.configs import maskrcnn
from official.vision.configs import retinanet
from official.vision.tasks import maskrcnn as maskrcnn_task
from official.vision.tasks import retinanet as retinanet_task
import tf_keras

from exporters import recipe
from exporters.vision import detection
from scripts.small_instances import images


def write_by_leaf(
  gin_file: str, bindings: Sequence[str], folder: pathlib.Path
) -> list[str]:
  """Writes a checkpoint of a leaf's own model; returns the binding for it.

  The model is built by Model Garden's task alone.
  """
  gin.clear_config()
  exporter = recipe.load([gin_file], ["CHECKPOINT = ''", *bindings]).exporter
  gin.clear_config()
  assert isinstance(exporter, detection.DetectionExporter)
  model = garden_model(exporter.config)
  randomize(model)
  return images.write(model, folder)


def randomize(model: tf_keras.Model) -> None:
  """Moves every variable away from its initial value, so that it finds much.

  Initially, a RetinaNet finds nothing anywhere with a probability of 0.99.
  """
  images.randomize(model)
  rng = np.random.default_rng(1)
  for variable in model.variables:
    if "scores" in variable.name:
      raised = 4.0 if variable.shape.rank == 1 else 0.0
      variable.assign_add(rng.normal(raised, 0.5, variable.shape))
    elif "boxes" in variable.name:
      variable.assign_add(rng.normal(0.0, 0.1, variable.shape))


def garden_model(config: detection.ModelConfig) -> tf_keras.Model:
  """Returns the model of a configuration as Model Garden trains it."""
  if isinstance(config, maskrcnn.MaskRCNN):
    task = maskrcnn.MaskRCNNTask(model=config)
    return maskrcnn_task.MaskRCNNTask(task).build_model()
  task = retinanet.RetinaNetTask(model=config)
  model = retinanet_task.RetinaNetTask(task).build_model()
  # Without a decoder, Model Garden makes the head's variables in a first call.
  model(tf_keras.Input(config.input_size), training=True)
  return model
