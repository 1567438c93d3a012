"""Image classifiers of some thousand weights, as training leaves them.

Every variable is drawn at random, batch statistics too, so that one that is not
restored shows.
"""

from collections.abc import Sequence
import pathlib

import gin
import numpy as np
from official.vision.configs import backbones
from official.vision.configs import common
from official.vision.configs import image_classification
from official.vision.modeling import factory
import tensorflow as tf
import tf_keras

from exporters import recipe
from exporters.vision import images

# Half of the training's weight decay, as official.vision builds it.
L2 = 0.5e-4


def resnet(depth: int = 10) -> tf_keras.Model:
  """Returns a classifier of official.vision, built by Model Garden alone."""
  model = factory.build_classification_model(
    tf_keras.layers.InputSpec(shape=[None, None, None, 3]),
    image_classification.ImageClassificationModel(
      num_classes=7,
      backbone=backbones.Backbone(
        type="resnet",
        resnet=backbones.ResNet(model_id=depth, depth_multiplier=0.125),
      ),
      norm_activation=common.NormActivation(
        norm_momentum=0.9, norm_epsilon=1e-5, use_sync_bn=False
      ),
    ),
    tf_keras.regularizers.L2(L2),
  )
  randomize(model)
  return model


def randomize(model: tf_keras.Model, seed: int = 0) -> None:
  """Moves every variable away from its initial value."""
  rng = np.random.default_rng(seed)
  for variable in model.variables:
    noise = rng.uniform(0.01, 0.1, variable.shape)
    if variable.shape.rank > 1:  # Kernels: around what they are.
      noise *= rng.choice([-0.2, 0.2], variable.shape)
    variable.assign_add(noise)


def write(
  model: tf_keras.Model, folder: pathlib.Path, *bindings: str
) -> list[str]:
  """Writes a checkpoint; returns the bindings that name it, and `bindings`."""
  prefix = tf.train.Checkpoint(model=model).write(str(folder / "ckpt"))
  return [f"CHECKPOINT = '{prefix}'", *bindings]


def write_by_leaf(
  gin_file: str, bindings: Sequence[str], folder: pathlib.Path
) -> list[str]:
  """Writes a checkpoint of a leaf's own model; returns the binding for it."""
  gin.clear_config()
  exporter = recipe.load([gin_file], ["CHECKPOINT = ''", *bindings]).exporter
  gin.clear_config()
  assert isinstance(exporter, images.ImageExporter)
  model = exporter.classifier().model
  randomize(model)
  return write(model, folder)
