r"""Exports a legacy EfficientNet, with Model Garden's flags.

  python -m official.legacy.image_classification.efficientnet.tfhub_export \
    --model_name=efficientnet-b0 --model_path=/path/to/checkpoint \
    --export_path=/tmp/efficientnet_b0

Writes `classification` and `feature-vector`, exported by
`exporters.efficientnet`.
"""

from absl import flags

from exporters.command_line import program
from exporters.overlay import image_flags

_MODEL_NAME = flags.DEFINE_string(
  "model_name", None, "The model, such as 'efficientnet-b0'."
)
_MODEL_PATH = flags.DEFINE(
  program.PathParser(), "model_path", None, "The checkpoint, of any kind."
)
_EXPORT_PATH = flags.DEFINE(
  program.PathParser(), "export_path", None, "The directory to write."
)
_PROBABILITIES = image_flags.define_probabilities()
_CHECKS = program.define_checks()


def export_tfhub(
  model_path: str,
  hub_destination: str,
  model_name: str,
  *,
  probabilities: bool = False,
  level: str = "none",
) -> None:
  """Restores the classifier and exports it, whole and sliced.

  Args:
    model_path: A checkpoint of any kind.
    hub_destination: The directory above the two SavedModels.
    model_name: A key of Model Garden's `MODEL_CONFIGS`.
    probabilities: Whether `classification` returns these instead of logits.
    level: Which checks a fresh process makes.

  Raises:
    ExportError: There is no such model, or it can't be exported.
  """
  from official.legacy.image_classification.efficientnet import (
    efficientnet_model,
  )

  from exporters import efficientnet
  from exporters.errors import ExportError
  from exporters.overlay import garden_exporters

  models = efficientnet_model.MODEL_CONFIGS
  if model_name not in models:
    raise ExportError(
      f"There is no EfficientNet '{model_name}'; there are "
      f"{', '.join(sorted(models))}."
    )
  exporter = efficientnet.LegacyEfficientNetExporter(
    checkpoint=model_path, model=models[model_name]
  )
  garden_exporters.export(
    garden_exporters.ImageFolders(
      exporter=exporter, probabilities=probabilities
    ),
    hub_destination,
    level,
  )


def main() -> None:
  """Exports what the flags describe."""
  program.prepare_tensorflow()
  from exporters.overlay import arguments

  arguments.require(
    model_name=_MODEL_NAME.value,
    model_path=_MODEL_PATH.value,
    export_path=_EXPORT_PATH.value,
  )
  if not _PROBABILITIES.value:
    arguments.note(image_flags.LOGITS)
  export_tfhub(
    _MODEL_PATH.value,
    _EXPORT_PATH.value,
    _MODEL_NAME.value,
    probabilities=_PROBABILITIES.value,
    level=_CHECKS.value,
  )


if __name__ == "__main__":
  program.run(main, modules=[__name__, image_flags.__name__])
