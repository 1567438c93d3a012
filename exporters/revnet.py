r"""Exports RevNet: classifiers and their feature vectors.

  python -m exporters.revnet --gin_file=configs/revnet/revnet_56.gin \
    --gin_bindings="CHECKPOINT = '/path/to/revnet/ckpt'" \
    --export_path=/tmp/revnet_56

  classify = hub.load("/tmp/revnet_56/classification")
  classify(images)  # float32 [batch, height, width, 3] in [0, 1] to logits,
                    # float32 [batch, classes]
  layer = hub.KerasLayer("/tmp/revnet_56/feature_vector", trainable=True)
  layer(images)  # float32 [batch, features]

Height and width of images are multiples of 32. The paper:
https://arxiv.org/abs/1707.04585.
"""

if __name__ == "__main__":
  # The command starts here; the gin file imports this module by its name.
  from exporters.command_line import export_command

  export_command.run()

import dataclasses
import functools

from official.vision.modeling.layers import nn_blocks
import tensorflow as tf
import tf_keras
from typing_extensions import override

from exporters.vision import images
from exporters.vision import official_vision


@dataclasses.dataclass(frozen=True, kw_only=True)
class RevNetExporter(official_vision.VisionExporter):
  """Publishes a RevNet of `official.vision`.

  Its reversible layers keep their activations, as ordinary layers do. Training
  computes the same with more memory: a SavedModel can't hold the gradient that
  Model Garden defines for them, which depends on variables.
  """

  backbone = "revnet"
  # The stem and the stages halve the size five times, and what bypasses a stage
  # must halve it evenly.
  size_multiple = 32

  @override
  def classifier(self) -> images.Classifier:
    classifier = super().classifier()
    use_ordinary_gradients(classifier.model)
    return classifier


def use_ordinary_gradients(model: tf_keras.Model) -> None:
  """Makes reversible layers keep what their gradients need."""
  for layer in model.submodules:
    if isinstance(layer, nn_blocks.ReversibleLayer):
      layer.call = functools.partial(_reversible, layer)


def _reversible(layer, inputs: tf.Tensor, training=None) -> tf.Tensor:
  """Computes what `layer` does, with the ordinary gradient."""
  x1, x2 = tf.split(inputs, 2, axis=layer._axis)
  y1 = _residual(layer, layer._f, x1, x2, training)
  y2 = _residual(layer, layer._g, x2, y1, training)
  return tf.concat([y1, y2], axis=layer._axis)


def _residual(layer, inner, x: tf.Tensor, inputs: tf.Tensor, training):
  residual = inner(inputs, training=training)
  # By as much as the first of the two parts strides, for both.
  strides, channels = layer._f.strides, residual.shape[layer._axis]
  x = nn_blocks._maybe_downsample(x, channels, strides, layer._axis)
  return x + residual
