"""Describes a loaded SavedModel that has no reference."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
import functools
import inspect
import math
import time
from typing import Any

import numpy as np
import tensorflow as tf

from .nests import encode

# Sizes for dimensions that a trace leaves open, but for the batch's, by rank.
# Rank 4 is images, rank 5 videos.
_OPEN = {2: (16,), 3: (16, 16), 4: (64, 64, 3), 5: (5, 64, 64, 3)}
_BATCH = 3
# By what to multiply these where that is too small, and the most elements.
_FACTORS = (1, 4, 16, 64, 256, 1024)
_MOST = 1 << 20
# The largest id to try, and after how many seconds a call is too slow for it.
_LARGEST = (1 << 20) - 1
_SLOW = 2.0
_TEXT = b"Hello, world!"


def stated(model: Any, arrays: list[Any]) -> dict[str, dict[str, Any]]:
  """Returns what `reference.stated` would return for a reference.

  Args:
    model: The loaded model.
    arrays: Gets samples, and the model's own outputs for them, appended.
  """
  found = {
    name: _stated(loaded, arrays, part=bool(name))
    for name, loaded in _callables(model)
  }
  found[""]["serving"] = _serving(model)
  return found


def _serving(model: Any) -> str:
  """Returns the callable whose outputs `serving_default` has the names of.

  "": it is the model itself, or none.
  """
  signature = getattr(model, "signatures", {}).get("serving_default")
  if signature is None or not callable(model):
    return ""
  named = signature.structured_outputs
  for name, loaded in _callables(model):
    (function, *_) = loaded.__call__.concrete_functions
    outputs = function.structured_outputs
    if isinstance(outputs, Mapping) and outputs.keys() == named.keys():
      return name
  return ""


def traces(loaded: Any) -> list[tuple[dict[str, Any], Any]]:
  """Returns the traces of a loaded function: keyword arguments, input specs."""
  found = []
  for function in getattr(loaded.__call__, "concrete_functions", []):
    args, kwargs = function.structured_input_signature
    names = inspect.getfullargspec(loaded.__call__).args
    keywords = dict(zip(names[1:], args[1:], strict=False)) | dict(kwargs)
    found.append((keywords, args[0] if args else None))
  return found


def _callables(model: Any) -> Iterator[tuple[str, Any]]:
  yield "", model
  # One level: TF Hub asks users to expect no more.
  for name, value in sorted(vars(model).items()):
    if (
      # Keras's `layer-7` and the like are not for users.
      name.isidentifier()
      and not name.startswith("_")
      and callable(value)
      and hasattr(value, "variables")
      and traces(value)
    ):
      yield name, value


def _stated(loaded: Any, arrays: list[Any], *, part: bool) -> dict[str, Any]:
  known = traces(loaded) if callable(loaded) else []
  names = inspect.getfullargspec(loaded.__call__).args if known else []
  cases, unbatched = [], []
  specs = known[0][1] if known else None
  try:
    called = None if specs is None else _call(loaded, loaded, specs, _BATCH)
  except tf.errors.InvalidArgumentError:
    # Of a part that takes files, such as images, no call is known.
    if not part or getattr(specs, "dtype", None) != tf.string:
      raise
    called = None
  if called is not None:
    inputs, outputs = called
    if isinstance(specs, Mapping):
      states = _states(loaded, inputs)
      # They fit a batch of three.
      unbatched = [n for n in states if specs[n].shape[:1] == [1]]
    cases = [
      {
        "arguments": [encode(inputs, arrays)],
        "outputs": encode(outputs, arrays),
      }
    ]
  return {
    "cases": cases,
    "takes_inputs": bool(cases),
    "training": "training" in names,
    "outputs": ["default"],
    "unbatched": unbatched,
    "signature": False,
    "stream": None,
    "variables": _names(loaded, "variables"),
    "trainable": _names(loaded, "trainable_variables"),
    "regularization_losses": [
      float(loss()) for loss in getattr(loaded, "regularization_losses", [])
    ],
    "hyperparameters": {},
  }


def stream(loaded: Any, names: Collection[str]) -> dict[str, Any] | None:
  """Returns how a model takes a stream, if a signature says so.

  Such a signature takes the shape of the one input that is not a state, and
  returns the states before the first piece.

  Args:
    loaded: The loaded model.
    names: The names of its inputs.

  Returns:
    The attributes of `saved_model.published.Stream`, by name.
  """
  for initial, signature in getattr(loaded, "signatures", {}).items():
    shapes = list(signature.structured_input_signature[1].values())
    states = signature.structured_outputs
    if (
      len(shapes) == 1
      and shapes[0].dtype.is_integer
      and isinstance(states, Mapping)
      and states.keys() < set(names)
      and len(states) == len(names) - 1
    ):
      (piece,) = set(names) - states.keys()
      # After the batch, as of videos.
      return {"piece": piece, "axis": 1, "initial": initial}
  return None


def sample(loaded: Any, *, batch: int, larger: bool = False) -> Any:
  """Returns a sample input of a model's signature, by the names of inputs.

  Of whole numbers, half are drawn from all that the model takes, half are 0 or
  1, so that tables of embeddings are used from end to end. Those of a mask are
  1, and 0 in the last quarter.

  Args:
    loaded: The loaded model.
    batch: The size of the batch, if it is open.
    larger: Whether to double the other sizes that are open, if the model takes
      them.
  """
  signature = loaded.signatures["serving_default"]
  _, specs = signature.structured_input_signature
  factors = (2, *_FACTORS) if larger else _FACTORS
  inputs, _ = _call(lambda x: signature(**x), loaded, specs, batch, factors)
  states = _states(loaded, inputs)
  for name in sorted(inputs.keys() - states.keys()):
    value = inputs[name]
    if value.dtype.is_integer and value.shape.rank:
      inputs[name] = _varied(signature, inputs, name)
  return inputs


def _varied(signature: Any, inputs: Mapping[str, Any], name: str) -> tf.Tensor:
  """Returns other whole numbers for one of a model's inputs."""
  value = inputs[name]
  if "mask" in name and value.shape.rank > 1:
    length = value.shape[-1]
    kept = tf.range(length) < length - length // 4
    return tf.broadcast_to(tf.cast(kept, value.dtype), value.shape)

  def outputs(number: int) -> list[np.ndarray] | None:
    started = time.monotonic()
    filled = tf.fill(value.shape, _cast(number, value))
    try:
      found = signature(**{**inputs, name: filled})
    except (tf.errors.OpError, ValueError):
      return None
    # It may be the length of a loop.
    if time.monotonic() - started > _SLOW:
      return None
    return [found[key].numpy() for key in sorted(found)]

  most = min(_LARGEST, value.dtype.max)
  beyond = outputs(most)

  def takes(number: int) -> bool:
    """Whether a number is within a table, if there is one.

    Beyond it, a model refuses all numbers, or takes them for the same.
    """
    found = outputs(number)
    if found is None or beyond is None:
      return found is not None
    return not all(map(np.array_equal, found, beyond))

  taken, refused = 1, most
  if takes(most - 1):
    taken = most
  while taken + 1 < refused:
    middle = (taken + refused) // 2
    taken, refused = (middle, refused) if takes(middle) else (taken, middle)
  rng = np.random.default_rng(0)
  drawn = rng.integers(0, taken + 1, value.shape)
  # A small table, of two types of tokens say, may ignore what it does not have.
  small = rng.integers(0, min(taken, 1) + 1, value.shape)
  return _cast(np.where(rng.random(value.shape) < 0.5, drawn, small), value)


def _cast(numbers: Any, like: tf.Tensor) -> tf.Tensor:
  return tf.constant(np.asarray(numbers, like.dtype.as_numpy_dtype))


def _states(loaded: Any, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
  """Returns the states before the first piece, of a model of streams."""
  found = stream(loaded, inputs)
  if not found:
    return {}
  signature = loaded.signatures[found["initial"]]
  (spec,) = signature.structured_input_signature[1].values()
  return signature(tf.shape(inputs[found["piece"]], spec.dtype))


def _call(
  call: Callable[[Any], Any],
  loaded: Any,
  specs: Any,
  batch: int,
  factors: Sequence[int] = _FACTORS,
) -> tuple[Any, Any]:
  """Returns sample inputs and what a loaded function returns for them.

  Nothing says how large an input must be. A model may need far more than it
  returns anything for: 10,000 bases around one, say. So sizes grow until there
  is an output. Nor does anything say what strings are: they may be texts, or
  files of images.

  Raises:
    Exception: What the function raises for the smallest inputs.
  """
  first: Exception | None = None
  trials = [(factor, _TEXT) for factor in factors]
  flat = tf.nest.flatten(specs, expand_composites=True)
  if any(spec.dtype == tf.string for spec in flat):
    trials.insert(1, (1, _image_file()))
  for factor, text in trials:
    # Counted before they are made: they could take all the memory.
    count = sum(math.prod(_shape(spec, factor, batch)) for spec in flat)
    if factor > 1 and count > _MOST:
      continue
    make = functools.partial(_sample, factor=factor, batch=batch, text=text)
    inputs = tf.nest.map_structure(make, specs)
    if isinstance(inputs, Mapping):
      inputs = {**inputs, **_states(loaded, inputs)}
    try:
      outputs = call(inputs)
    except (tf.errors.InvalidArgumentError, ValueError) as e:
      first = first or e
      continue
    if any(map(tf.size, tf.nest.flatten(outputs, expand_composites=True))):
      return inputs, outputs
  if first:
    raise first
  return inputs, outputs


@functools.cache
def _image_file() -> bytes:
  """Returns a PNG, which TensorFlow also takes where a JPEG is expected."""
  noise = np.random.default_rng(0).integers(256, size=[48, 64, 3])
  return tf.io.encode_png(tf.constant(noise, tf.uint8)).numpy()


def _sample(spec: Any, factor: int, batch: int, text: bytes) -> Any:
  """Returns a small value for a spec, valid for images and token ids.

  Args:
    spec: Of a tensor.
    factor: By what to multiply the sizes that it leaves open, but for those of
      the batch and of the channels of images.
    batch: The size of the batch, if it is open.
    text: What strings are.
  """
  if isinstance(spec, tf.RaggedTensorSpec):
    value = tf.ragged.constant([[1, 2, 3], [4]], spec.dtype)
    for _ in range(spec.ragged_rank - 1):
      value = tf.RaggedTensor.from_row_splits(
        value, tf.range(value.nrows(out_type=tf.int64) + 1)
      )
    return value
  shape = _shape(spec, factor, batch)
  if spec.dtype == tf.string:
    return tf.fill(shape, text)
  if spec.dtype.is_floating:
    rng = np.random.default_rng(0)
    return tf.constant(rng.random(shape), spec.dtype)
  return tf.ones(shape, spec.dtype)


def _shape(spec: Any, factor: int, batch: int) -> list[int]:
  """Returns the shape of a `_sample` that is not ragged."""
  if spec.shape.rank is None:
    return [3]
  sizes = _OPEN.get(spec.shape.rank, (3,) * (spec.shape.rank - 1))
  open_ = [batch, *(n if n == 3 else n * factor for n in sizes)]
  return [
    o if d is None else d for d, o in zip(spec.shape, open_, strict=False)
  ]


def _names(loaded: Any, attribute: str) -> list[str]:
  variables: Mapping | Any = getattr(loaded, attribute, [])
  return [v.name.partition(":")[0] for v in variables]
