"""Reads what the JSON of a Keras model says of it, of Keras 2 or Keras 3.

Nothing is built: a layer may be anyone's code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
import dataclasses
from typing import Any

import tf_keras
from tf_keras.src.layers import serialization

from exporters.keras_models import application_layers

# How deep models may be nested in each other.
_DEEPEST = 16
# Of Keras 3; what tf_keras knows, it says itself.
_OF_KERAS_3 = ("Functional", "Model", "NotEqual", "Operation")
# By the ends of fields' names, what finds the functions that a layer may have.
_FUNCTIONS = {
  "activation": tf_keras.activations.get,
  "_initializer": tf_keras.initializers.get,
  "_regularizer": tf_keras.regularizers.get,
  "_constraint": tf_keras.constraints.get,
}
# Layers that keep the last axis of their input, as all pooling and dropout do.
_KEEP = (
  "Activation",
  "ActivityRegularization",
  "BatchNormalization",
  "Identity",
  "LayerNormalization",
  "LeakyReLU",
  "ReLU",
  "Softmax",
)
_PROBABILITIES = ("softmax", "sigmoid")


@dataclasses.dataclass(frozen=True, kw_only=True)
class KerasConfig:
  """What is said of a model.

  Attributes:
    class_name: Such as "Functional".
    layers: How many layers it has, those of nested models too.
    inputs: Each with its name, shape and type.
    outputs: Each with its name, layer and size.
    classes: The size and the activation of a classifier's output, or "".
    with_code: The names of layers that hold Python code.
    custom: The names of classes that are not Keras's, as they must be
      registered.
    functions: The same of functions: activations, initializers and their like.
  """

  class_name: str
  layers: int
  inputs: Sequence[str]
  outputs: Sequence[str]
  classes: str
  with_code: Sequence[str]
  custom: Sequence[str]
  functions: Sequence[str]


def read(model: Mapping[str, Any], training: Any = None) -> KerasConfig | None:
  """Reads a model's configuration.

  Args:
    model: The JSON object with `class_name` and `config`.
    training: What the model was compiled with, if it was.

  Returns:
    What it says; None if it is not a configuration of a model.
  """
  model = _with_layers(model)
  if not _layers(model):
    return None
  every = [layer for layer, _ in _every_layer(model)]
  known = _Known()
  outputs = [
    _Output.of(known, model, name) for name in _ends(model, "output_layers")
  ]
  crossentropy = "crossentropy" in str(training).lower()
  (classes,) = {output.classes(crossentropy) for output in outputs[:1]} or {""}
  return KerasConfig(
    class_name=str(model.get("class_name")),
    layers=len(every),
    inputs=[
      _input(known.layer(model, name), name)
      for name in _ends(model, "input_layers")
    ],
    outputs=list(map(str, outputs)),
    classes=classes,
    with_code=[
      _name(layer) for layer in every if layer.get("class_name") == "Lambda"
    ],
    custom=sorted(
      {
        _registered_name(layer)
        for layer in (model, *every)
        if not _is_of_keras(str(layer.get("class_name")))
      }
    ),
    functions=sorted({name for layer in every for name in _functions(layer)}),
  )


def _is_of_keras(class_name: str) -> bool:
  return (
    serialization.get_builtin_layer(class_name) is not None
    or class_name in _OF_KERAS_3
    or class_name in application_layers.classes()
  )


def _registered_name(layer: Mapping[str, Any]) -> str:
  """Returns the name by which Keras looks for a class or a function."""
  return str(layer.get("registered_name") or layer.get("class_name"))


def _functions(layer: Mapping[str, Any]) -> Iterator[str]:
  """Yields the names of a layer's functions that Keras does not know."""
  config = layer.get("config")
  for field, value in config.items() if isinstance(config, Mapping) else ():
    ends = (end for end in _FUNCTIONS if field.endswith(end))
    find = _FUNCTIONS.get(next(ends, ""))
    if isinstance(value, Mapping) and value.get("class_name") == "function":
      value = value.get("config")
    elif isinstance(value, Mapping):
      value = value.get("registered_name") or value.get("class_name")
    if find and isinstance(value, str) and not _is_found(find, value):
      yield value


def _is_found(find: Callable[[str], Any], name: str) -> bool:
  try:
    # Some return a name that they don't know.
    return not isinstance(find(name), str) or _is_of_keras(name)
  # Keras's modules also hold what they import, such as "math", and fail on it.
  except (ValueError, AttributeError):
    return _is_of_keras(name)
  except TypeError:  # Known, and not without arguments.
    return True


class _Known:
  """Finds layers of models in a time that does not grow with their number."""

  def __init__(self) -> None:
    # By the identity of a model. It is kept, so that no other one gets it.
    self._layers: dict[int, tuple[Any, list[Any], dict[str, int]]] = {}

  def layer(self, model: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Returns a layer of a model; an empty one if there is none."""
    layers, places = self._of(model)
    return layers[places[name]] if name in places else {}

  def before(
    self, model: Mapping[str, Any], layer: Mapping[str, Any]
  ) -> Mapping[str, Any]:
    """Returns the layer whose output a layer takes first."""
    name = next(_histories(layer.get("inbound_nodes")), None)
    if name is not None:
      return self.layer(model, name)
    layers, places = self._of(model)
    place = places.get(_name(layer), 0)
    return layers[place - 1] if place else {}

  def _of(self, model: Mapping[str, Any]) -> tuple[list[Any], dict[str, int]]:
    if id(model) not in self._layers:
      layers = _layers(model)
      # Of several of one name, the first.
      places = {_name(la): i for i, la in reversed([*enumerate(layers)])}
      self._layers[id(model)] = model, layers, places
    _, layers, places = self._layers[id(model)]
    return layers, places


@dataclasses.dataclass(frozen=True)
class _Output:
  """An output: its layer, its size if that is known, and its activation."""

  name: str
  layer: str
  size: int | None
  activation: str

  @classmethod
  def of(cls, known: _Known, model: Mapping[str, Any], name: str) -> _Output:
    layer = found = known.layer(model, name)
    activation = ""
    for _ in range(_DEEPEST):
      activation = activation or _activation(found)
      inner = _ends(found, "output_layers") if _layers(found) else []
      if inner:
        model, found = found, known.layer(found, inner[0])
      elif _keeps_size(str(found.get("class_name"))):
        found = known.before(model, found)
      else:
        break
    config = found.get("config")
    config = config if isinstance(config, Mapping) else {}
    size = config.get("units") or config.get("filters")
    return cls(
      name,
      str(layer.get("class_name", "?")),
      size if type(size) is int and size > 0 else None,
      activation,
    )

  def __str__(self) -> str:
    size = f" [..., {self.size}]" if self.size else ""
    return f"{self.name}{size} ({self.layer})"

  def classes(self, crossentropy: bool) -> str:
    if not self.size:
      return ""
    if self.activation in _PROBABILITIES:
      return f"{self.size} ({self.activation})"
    return f"{self.size} (logits)" if crossentropy else ""


def _keeps_size(layer: str) -> bool:
  return layer in _KEEP or "Pooling" in layer or "Dropout" in layer


def _layers(model: Mapping[str, Any]) -> list[Mapping[str, Any]]:
  config = _with_layers(model).get("config")
  layers = config.get("layers") if isinstance(config, Mapping) else None
  if not isinstance(layers, list):
    return []
  return [layer for layer in layers if isinstance(layer, Mapping)]


def _with_layers(model: Mapping[str, Any]) -> Mapping[str, Any]:
  """Returns a model's configuration in the form of today.

  Until Keras 2.2.3, that of a Sequential was the list of its layers.
  """
  config = model.get("config")
  if not isinstance(config, list):
    return model
  return {**model, "config": {"layers": config}}


def _every_layer(
  model: Mapping[str, Any],
) -> Iterator[tuple[Mapping[str, Any], int]]:
  pending = [(layer, 1) for layer in _layers(model)]
  while pending:
    layer, depth = pending.pop()
    yield layer, depth
    # A wrapper, such as TimeDistributed, has its layer in its configuration.
    config = layer.get("config")
    wrapped = config.get("layer") if isinstance(config, Mapping) else None
    inner = [*_layers(layer), *([wrapped] if isinstance(wrapped, dict) else [])]
    if depth < _DEEPEST:
      pending += [(below, depth + 1) for below in inner]


def _name(layer: Mapping[str, Any]) -> str:
  config = layer.get("config")
  name = config.get("name") if isinstance(config, Mapping) else None
  return str(layer.get("name") or name or "?")


def _ends(model: Mapping[str, Any], key: str) -> list[str]:
  """Returns the names of a model's first or last layers."""
  layers = _layers(model)
  if not layers:
    return []
  named = [*_triples(_with_layers(model)["config"].get(key))]
  if not named:  # As in a Sequential.
    named = [_name(layers[0 if key == "input_layers" else -1])]
  return named


def _triples(nest: Any, depth: int = 0) -> Iterator[str]:
  """Yields the names in a nest of `[name, node, tensor]`."""
  if isinstance(nest, Mapping):
    nest = list(nest.values())
  if not isinstance(nest, list) or depth > _DEEPEST:
    return
  if nest and isinstance(nest[0], str):
    yield nest[0]
    return
  for entry in nest:
    yield from _triples(entry, depth + 1)


def _histories(nodes: Any, depth: int = 0) -> Iterator[str]:
  """Yields the names of the layers that a layer's calls take tensors of."""
  if isinstance(nodes, Mapping):  # Of Keras 3.
    history = nodes.get("keras_history")
    if isinstance(history, list) and history:
      yield str(history[0])
      return
    nodes = list(nodes.values())
  if not isinstance(nodes, list) or depth > _DEEPEST:
    return
  if nodes and isinstance(nodes[0], str):
    yield nodes[0]
    return
  for node in nodes:
    yield from _histories(node, depth + 1)


def _activation(layer: Mapping[str, Any]) -> str:
  if layer.get("class_name") == "Softmax":
    return "softmax"
  config = layer.get("config")
  found = config.get("activation") if isinstance(config, Mapping) else None
  if isinstance(found, Mapping):
    found = found.get("config")
  return found if isinstance(found, str) and found != "linear" else ""


def _input(layer: Mapping[str, Any], name: str) -> str:
  config = layer.get("config")
  config = config if isinstance(config, Mapping) else {}
  shape = config.get("batch_shape") or config.get("batch_input_shape")
  if not isinstance(shape, list):
    build = layer.get("build_config") or {}
    shape = build.get("input_shape") if isinstance(build, Mapping) else None
  dtype = config.get("dtype")
  if isinstance(dtype, Mapping):
    policy = dtype.get("config")
    dtype = policy.get("name") if isinstance(policy, Mapping) else None
  sizes = shape if isinstance(shape, list) else ["..."]
  dimensions = ", ".join("?" if size is None else str(size) for size in sizes)
  kinds = [kind for kind in ("ragged", "sparse") if config.get(kind)]
  return " ".join([name, f"[{dimensions}]", *kinds, str(dtype or "")]).strip()
