r"""Exports the legacy ResNet-50, with Model Garden's flags.

  python -m official.legacy.image_classification.resnet.tfhub_export \
    --model_path=/path/to/checkpoint --export_path=/tmp/resnet_50

Writes `classification` and `feature-vector`, exported by `exporters.resnet`.
"""

from absl import flags

from exporters.command_line import program
from exporters.overlay import image_flags

_MODEL_PATH = flags.DEFINE(
  program.PathParser(),
  "model_path",
  None,
  "The checkpoint, of any kind, such as an .h5 file.",
)
_EXPORT_PATH = flags.DEFINE(
  program.PathParser(), "export_path", None, "The directory to write."
)
_PROBABILITIES = image_flags.define_probabilities()
_CHECKS = program.define_checks()


def export_tfhub(
  model_path: str,
  hub_destination: str,
  *,
  probabilities: bool = False,
  level: str = "none",
) -> None:
  """Restores the classifier and exports it, whole and sliced.

  Args:
    model_path: A checkpoint of any kind.
    hub_destination: The directory above the two SavedModels.
    probabilities: Whether `classification` returns these instead of logits.
    level: Which checks a fresh process makes.
  """
  from official.legacy.image_classification.resnet import imagenet_preprocessing

  from exporters import resnet
  from exporters.overlay import garden_exporters

  exporter = resnet.LegacyResNet50Exporter(
    checkpoint=model_path,
    num_classes=imagenet_preprocessing.NUM_CLASSES,
    l2_weight_decay=1e-4,
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
    model_path=_MODEL_PATH.value, export_path=_EXPORT_PATH.value
  )
  if not _PROBABILITIES.value:
    arguments.note(image_flags.LOGITS)
  export_tfhub(
    _MODEL_PATH.value,
    _EXPORT_PATH.value,
    probabilities=_PROBABILITIES.value,
    level=_CHECKS.value,
  )


if __name__ == "__main__":
  program.run(main, modules=[__name__, image_flags.__name__])
