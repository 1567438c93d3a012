"""What layers hold besides weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tf_keras

from exporters.errors import ExportError

_TABLES = tf.saved_model.experimental.TrackableResource


def trackables(model: tf_keras.Model) -> dict[str, Any]:
  """Returns what calls of a model use besides its weights, by attribute.

  Lookup tables, such as those of `StringLookup`, and generators of random
  numbers, such as those of `RandomFlip`.

  Raises:
    ExportError: A layer carries a state from one call to the next.
  """
  for layer in _layers(model):
    if layer.stateful:
      raise ExportError(
        f"The layer '{layer.name}' carries its state from one call to the "
        "next (stateful=True), so what a consumer gets would depend on earlier "
        "calls. Build the model with stateful=False; the weights are the same."
      )
  found = {"tables": list(_tables(model)), "generators": [*_generators(model)]}
  return {name: held for name, held in found.items() if held}


def _layers(model: tf_keras.Model) -> Iterator[tf_keras.layers.Layer]:
  for module in model.submodules:
    if isinstance(module, tf_keras.layers.Layer):
      yield module


def _tables(model: tf_keras.Model) -> Iterator[Any]:
  for trackable in tf.train.TrackableView(model).descendants():
    if isinstance(trackable, _TABLES):
      yield trackable


def _generators(model: tf_keras.Model) -> Iterator[tf.random.Generator]:
  for layer in _layers(model):
    if isinstance(layer, tf_keras.__internal__.layers.BaseRandomLayer):
      # Keras makes it at the first call, and does not let anything track it.
      layer._random_generator._maybe_init()
      generator = getattr(layer._random_generator, "_generator", None)
      if generator is not None:
        yield generator
