"""A small SavedModel with two outputs, and what is made of it."""

import pathlib

import numpy as np
import tensorflow as tf

from exporters.companions import making
from exporters.companions.settings import Companions

# Large enough for the converter to give it 8-bit weights.
WEIGHTS = np.random.default_rng(1).normal(size=[64, 32]).astype(np.float32)


def save(path: pathlib.Path) -> pathlib.Path:
  """Writes a SavedModel that has the outputs `left` and `right`."""
  module = tf.Module()
  module.left = tf.Variable(WEIGHTS)
  module.right = tf.Variable(WEIGHTS[::-1])

  def call(x):
    return {
      "left": tf.matmul(x, module.left),
      "right": tf.matmul(x, module.right),
    }

  signature = tf.function(
    call, input_signature=[tf.TensorSpec([None, 64], tf.float32, "x")]
  )
  tf.saved_model.save(module, str(path), signatures=signature)
  return path


def make(
  saved_model: pathlib.Path, folder: pathlib.Path, *kinds: str, **settings
) -> list[making.Companion]:
  """Makes companions in a folder."""
  folder.mkdir(exist_ok=True)
  wanted = Companions(kinds=kinds, **settings)
  return [*making.make(str(saved_model), wanted, str(folder)).companions]
