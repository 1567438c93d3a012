"""Models of semantic segmentation, as training leaves them."""

from collections.abc import Sequence
import pathlib

import gin
import numpy as np
from official.vision.modeling import factory
import tensorflow as tf
import tf_keras

from exporters import recipe
from exporters import segmentation
from scripts.small_instances import images


def built(
  exporter: segmentation.SemanticSegmentationExporter,
) -> tf_keras.Model:
  """Returns the model of an exporter, built by Model Garden alone."""
  shape = exporter.model.input_size
  model = factory.build_segmentation_model(
    tf_keras.layers.InputSpec(shape=[None, *shape]), exporter.model
  )
  # As the task does; before, there are no weights.
  model(tf_keras.Input(shape), training=False)
  images.randomize(model)
  # On average, no class is likelier than another, so pixels differ in theirs.
  rng = np.random.default_rng(0)
  coarse = rng.normal(size=[1, 4, 4, 3]).astype(np.float32)
  logits = model(tf.image.resize(coarse, exporter.image_size))["logits"]
  (bias,) = (v for v in model.head.variables if "output/bias" in v.name)
  bias.assign_sub(tf.reduce_mean(logits, axis=[0, 1, 2]))
  return model


def write_by_leaf(
  gin_file: str, bindings: Sequence[str], folder: pathlib.Path
) -> list[str]:
  """Writes a checkpoint of a leaf's own model; returns the binding for it."""
  gin.clear_config()
  exporter = recipe.load([gin_file], ["CHECKPOINT = ''", *bindings]).exporter
  gin.clear_config()
  assert isinstance(exporter, segmentation.SemanticSegmentationExporter)
  return images.write(built(exporter), folder)
