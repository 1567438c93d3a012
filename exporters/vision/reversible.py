"""Reversible layers of Model Garden's RevNet, for a SavedModel.

Their own gradient computes the activations anew, to save memory. It depends on
variables, so a SavedModel can't hold it. With the ordinary gradient, training
computes the same with more memory.
"""

from __future__ import annotations

import functools

from official.vision.modeling.layers import nn_blocks
import tensorflow as tf
import tf_keras


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
