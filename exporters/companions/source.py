"""The SavedModel that companions are made from, and compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from exporters.checks import self_description
from exporters.errors import ExportError

SIGNATURE = "serving_default"

Arrays = dict[str, np.ndarray]


class Source:
  """A SavedModel's signature, with the shapes that its companions have.

  Attributes:
    stream: How it takes a stream: "piece", "axis" and "initial", as
      `saved_model.published.Stream` has them. None: it does not.
    shapes: The shape of each input of a companion, None where it is open.
  """

  def __init__(
    self,
    path: str,
    *,
    samples: Sequence[Arrays] | None,
    stream: Mapping[str, Any] | None,
    input_shapes: Mapping[str, Sequence[int | None]],
  ):
    """Loads the SavedModel at `path`.

    Args:
      path: Its directory.
      samples: Inputs by name. None: nothing is known, so they are made up.
      stream: How it takes a stream. None: it does not, or nothing is known.
      input_shapes: Shapes to fix, by input.

    Raises:
      ExportError: It has no signature to convert, or other inputs.
    """
    self._loaded = tf.saved_model.load(path)
    if SIGNATURE not in self._loaded.signatures:
      raise ExportError(
        f"The SavedModel has no signature '{SIGNATURE}', which companions are "
        "made from."
      )
    self._signature = self._loaded.signatures[SIGNATURE]
    _, self._specs = self._signature.structured_input_signature
    if not self._specs:
      raise ExportError(
        "The model takes no input, so a companion would compute nothing."
      )
    self.stream = stream or self_description.stream(self._loaded, self._specs)
    self._samples = samples or [
      _numpy(self_description.sample(self._loaded, batch)) for batch in (1, 3)
    ]
    self.shapes: dict[str, list[int | None]] = {
      name: list(spec.shape) for name, spec in self._specs.items()
    }
    self._fix(input_shapes)

  def _fix(self, given: Mapping[str, Sequence[int | None]]) -> None:
    """Fixes the shapes that are given, and all those of a stream."""
    for name in given:
      if name not in self.shapes:
        raise ExportError(
          f"Companions.input_shapes names '{name}', but the model's inputs are "
          f"{', '.join(self.shapes)}."
        )
    self.shapes |= {name: list(shape) for name, shape in given.items()}
    if not self.stream:
      return
    piece, axis = self.stream["piece"], self.stream["axis"]
    # One piece, as large as in the first sample.
    sizes = list(self._samples[0][piece].shape)
    sizes[0] = sizes[axis] = 1
    self.shapes[piece] = [
      fixed or size
      for fixed, size in zip(self.shapes[piece], sizes, strict=True)
    ]
    states = self.initial_states()
    self.shapes |= {name: list(state.shape) for name, state in states.items()}

  def initial_states(self) -> Arrays:
    """Returns the states before the first piece; {} if it takes no stream."""
    if not self.stream:
      return {}
    initial = self._loaded.signatures[self.stream["initial"]]
    (spec,) = initial.structured_input_signature[1].values()
    shape = tf.constant(self.shapes[self.stream["piece"]], spec.dtype)
    return _numpy(initial(shape))

  def call(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
    """Returns the outputs of the signature."""
    tensors = {
      name: tf.constant(inputs[name], spec.dtype)
      for name, spec in self._specs.items()
    }
    return _numpy(self._signature(**tensors))

  def cases(self) -> Iterator[tuple[Arrays, Arrays]]:
    """Yields inputs, and what the SavedModel returns for them.

    Of a stream, the calls for all pieces of the first sample.
    """
    if self.stream:
      yield from self.steps(self._samples[0][self.stream["piece"]])
      return
    for sample in self._samples:
      inputs = {
        name: fitted(sample[name], shape) for name, shape in self.shapes.items()
      }
      yield inputs, self.call(inputs)

  def steps(self, whole: np.ndarray) -> Iterator[tuple[Arrays, Arrays]]:
    """Yields the calls for a stream, piece by piece."""
    assert self.stream
    piece, axis = self.stream["piece"], self.stream["axis"]
    shape = list(self.shapes[piece])
    length = shape[axis] or 1
    shape[axis] = None
    whole = fitted(whole, shape)
    states = self.initial_states()
    for start in range(0, whole.shape[axis] - length + 1, length):
      part = np.take(whole, np.arange(start, start + length), axis)
      inputs = {**states, piece: part}
      outputs = self.call(inputs)
      yield inputs, outputs
      states = {name: outputs[name] for name in states}

  def save_fixed(self, path: str) -> bool:
    """Writes a SavedModel with these shapes, unless it would be the same."""
    if all(
      list(spec.shape) == self.shapes[name]
      for name, spec in self._specs.items()
    ):
      return False
    specs = {
      name: tf.TensorSpec(self.shapes[name], spec.dtype, name)
      for name, spec in self._specs.items()
    }
    module = tf.Module()
    module.model = self._loaded  # Which has the variables.
    module.call = tf.function(
      lambda inputs: self._signature(**inputs),
      input_signature=[specs],
      autograph=False,
    )
    tf.saved_model.save(module, path, signatures={SIGNATURE: module.call})
    return True


def fitted(array: np.ndarray, shape: Sequence[int | None]) -> np.ndarray:
  """Returns an array cut or repeated to a shape; None keeps a dimension."""
  for axis, size in enumerate(shape):
    if size is not None and size != array.shape[axis]:
      array = np.take(array, np.arange(size), axis, mode="wrap")
  return array


def _numpy(tensors: Mapping[str, Any]) -> Arrays:
  return {name: tensor.numpy() for name, tensor in tensors.items()}
