"""Calls of a functional tf_keras model, and what their outputs are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import re
from typing import Any

import tensorflow as tf
import tf_keras

from exporters.errors import ExportError


def call(model: tf_keras.Model, inputs: Any, *, training: bool) -> Any:
  """Calls a model with inputs by name, in the structure that it takes."""
  if isinstance(inputs, dict) and not isinstance(model.input, dict):
    inputs = [inputs[name] for name in model.input_names]
  return model(inputs, training=training)


def named(names: Sequence[str] | None, outputs: Any) -> Any:
  """Returns a call's outputs: one tensor, or a dict by their names."""
  flat = tf.nest.flatten(outputs)
  if names is None:
    (output,) = flat
    return output
  if isinstance(outputs, Mapping):
    # In the order of the model, which `tf.nest` would sort.
    flat = list(outputs.values())
  return dict(zip(names, flat, strict=True))


def keys(
  model: tf_keras.Model, stated: Sequence[str] | None
) -> Sequence[str] | None:
  """Returns the keys of the dict that a call returns; None for one tensor.

  Args:
    model: The model.
    stated: What to call its outputs. None: as it does itself.

  Raises:
    ExportError: There are more or fewer outputs than names.
  """
  structure = model.output
  is_one = not isinstance(structure, (Mapping, list, tuple))
  count = len(tf.nest.flatten(structure))
  if stated is not None and len(stated) != count:
    raise ExportError(
      f"output_names = {list(stated)} must name the model's outputs, of which "
      f"there are {count}."
    )
  if is_one:
    return None
  own = structure if isinstance(structure, Mapping) else model.output_names
  return list(stated or own)


def signature_names(
  model: tf_keras.Model, stated: Sequence[str] | None
) -> tuple[str, ...]:
  """Returns what the signature calls an output that is one tensor."""
  if stated:
    return (*stated, "default")
  name = model.output_names[0]
  return ("default",) if _is_made_up(name, model) else (name, "default")


def _is_made_up(name: str, model: tf_keras.Model) -> bool:
  """Whether Keras named an output layer, `dense_3` say, as nobody else did."""
  return any(
    re.fullmatch(rf"{_snake_case(type(layer).__name__)}(_\d+)?", name)
    for layer in model.layers
    if layer.name == name
  )


def _snake_case(name: str) -> str:
  """Returns a class's name as Keras makes names of it."""
  name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
  return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
