"""The exporters of the image classifiers of Model Garden's experiments."""

from collections.abc import Sequence
import copy
import importlib

from official.core import config_definitions as cfg

from exporters.errors import ExportError
from exporters.vision import architectures
from exporters.vision import images


def exporter(
  params: cfg.ExperimentConfig,
  input_size: Sequence[int],
  checkpoint: str,
  *,
  artifact: str,
) -> images.ImageExporter:
  """Returns the exporter of an experiment's classifier.

  Args:
    params: The experiment.
    input_size: Height, width and channels of the images that the model was
      trained on.
    checkpoint: A checkpoint of any kind.
    artifact: What to publish: "classification" or "feature_vector".

  Raises:
    ExportError: There is none for its type of backbone.
  """
  model = copy.deepcopy(params.task.model)
  model.input_size = [*input_size]
  backbone = model.backbone.type
  if backbone not in architectures.EXPORTERS:
    raise ExportError(
      f"There is no exporter for a backbone of type '{backbone}', only for "
      f"{', '.join(architectures.EXPORTERS)}."
    )
  module, name = architectures.EXPORTERS[backbone]
  return getattr(importlib.import_module(module), name)(
    checkpoint=checkpoint,
    model=model,
    l2_weight_decay=params.task.losses.l2_weight_decay,
    artifacts=[artifact],
  )
