"""Which checks find something to look at, by what an artifact is and has.

A check that is not listed looks at every artifact.
"""

from exporters import checks
from scripts.small_instances import Instance
from scripts.small_instances import Kind

# What each kind has, whatever its instance: of these a check may need one.
_OF_KIND = {
  Kind.TEXT_ENCODER: {"text encoder", "numbers"},
  Kind.TEXT_PREPROCESSOR: {"text preprocessor", "strings"},
  Kind.TEXT_TASK: {"strings"},
  Kind.IMAGE_CLASSIFIER: {"images", "numbers"},
  Kind.VIDEO_CLASSIFIER: {"videos", "numbers"},
  Kind.DETECTOR: {"detector", "numbers"},
  Kind.IMAGE_SEGMENTER: {"masks", "numbers"},
  Kind.OTHER: {"numbers"},
}
_NEEDS = {
  "Dataset.map": "strings",
  "a training step": "variables",
  "batch statistics": "batch norm",
  "batch_norm_momentum": "batch norm",
  "detections": "detector",
  "dropout": "dropout",
  "first states": "stream",
  "gradients": "variables",
  "gradients in a tf.function": "variables",
  "gradients of a persistent tape": "variables",
  "hyperparameters": "hyperparameters",
  "image API": "images",
  "image by image": "detector",
  "keras.layers.TFSMLayer": "numbers",
  "masks": "masks",
  "piece by piece": "stream",
  "regularization losses": "regularization losses",
  "specification: images": "images",
  "specification: text encoder": "text encoder",
  "specification: text preprocessor": "text preprocessor",
  "specification: training": "training",
  "two replicas": "variables",
  "video API": "videos",
}


def not_applicable(instance: Instance) -> set[str]:
  """Returns the names of the checks that find nothing to look at."""
  has = _OF_KIND[instance.kind] | instance.has
  has |= {"variables"} if instance.trainable else set()
  return {
    check.name
    for check in checks.CHECKS
    if check.name in _NEEDS and _NEEDS[check.name] not in has
  }
