"""Video classifiers of some thousand weights, as training leaves them."""

from collections.abc import Sequence
import pathlib

import gin
from official.vision.modeling import factory_3d
import tf_keras

from exporters import recipe
from exporters.video import official_vision
from scripts.small_instances import images


def write_by_leaf(
  gin_file: str, bindings: Sequence[str], folder: pathlib.Path
) -> list[str]:
  """Writes a checkpoint of a leaf's own model; returns the binding for it.

  As Model Garden trains it: a stream too takes videos alone, without states.
  """
  gin.clear_config()
  exporter = recipe.load([gin_file], ["CHECKPOINT = ''", *bindings]).exporter
  gin.clear_config()
  assert isinstance(exporter, official_vision.VideoClassificationExporter)
  model = factory_3d.build_model(
    exporter.model.model_type,
    tf_keras.layers.InputSpec(shape=[None, None, None, None, 3]),
    exporter.model,
    exporter.num_classes,
  )
  images.randomize(model)
  return images.write(model, folder)
