"""Exports the legacy ResNet-50, by Model Garden's flags.

  python -m official.legacy.image_classification.resnet.tfhub_export \\
    --model_path=/path/to/checkpoint --export_path=/tmp/resnet_50

Writes `classification` and `feature-vector` by `exporters.resnet`.
"""

from absl import flags

from exporters import command
from exporters import garden_flags

_MODEL_PATH = flags.DEFINE_string(
  "model_path", None, "A checkpoint of any kind, such as an .h5 file."
)
_EXPORT_PATH = flags.DEFINE_string(
  "export_path", None, "The directory to write."
)
_PROBABILITIES = garden_flags.define_probabilities()
_CHECKS = command.define_checks()


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
    probabilities: Whether `classification` gives these in place of logits.
    level: Which checks a fresh process makes.
  """
  from official.legacy.image_classification.resnet import imagenet_preprocessing

  from exporters import garden
  from exporters import resnet

  exporter = resnet.LegacyResNet50Exporter(
    checkpoint=model_path,
    num_classes=imagenet_preprocessing.NUM_CLASSES,
    l2_weight_decay=1e-4,
  )
  garden.export(
    garden.ImageFolders(exporter=exporter, probabilities=probabilities),
    hub_destination,
    level,
  )


def main() -> None:
  command.prepare_tensorflow()
  from exporters import garden

  garden.require(model_path=_MODEL_PATH.value, export_path=_EXPORT_PATH.value)
  if not _PROBABILITIES.value:
    garden.note(garden_flags.LOGITS)
  export_tfhub(
    _MODEL_PATH.value,
    _EXPORT_PATH.value,
    probabilities=_PROBABILITIES.value,
    level=_CHECKS.value,
  )


if __name__ == "__main__":
  command.run(main, modules=[__name__, garden_flags.__name__])
