"""The process that runs a companion: `python -I parity.py COMPANION [FOLDER]`.

It has the companion's runtime and NumPy, neither TensorFlow nor anything of
this repository. It calls the companion with the inputs that the folder's
reference.npz has, of a stream in turn, and prints, as one line of JSON, how far
its outputs are from those of the SavedModel and how long a call takes; or
{"error": ...}. Without a folder, it calls it with inputs that it makes up, and
prints their shapes and those of the outputs.
"""

from collections.abc import Callable, Mapping, Sequence
import json
import math
import os
import resource
import statistics
import sys
import time
from typing import Any

import numpy as np

_SIGNATURE = "serving_default"
# The output of a classifier of images or videos.
_LOGITS = "logits"
_TIMED_CALLS = 5
_SMALLEST = float(np.finfo(np.float32).tiny)
# As `onnx.convert` ends the name of an output that is called like an input.
_NEXT = ".next"
# Sizes for the dimensions that an input leaves open, by rank: images have rank
# 4, videos 5. And by what to multiply them where they are too small.
_OPEN: dict[int, list[int]] = {
  1: [1],
  2: [1, 16],
  3: [1, 16, 16],
  4: [1, 64, 64, 3],
  5: [1, 5, 64, 64, 3],
}
_FACTORS = (1, 4, 16, 32)
_IMAGES, _CHANNELS = 4, (1, 3)
# Bytes of memory that a trial may take.
_MOST_MEMORY = 8 << 30
# The most elements that an input may need.
_MOST = 1 << 26

Arrays = Mapping[str, np.ndarray]
Shapes = Mapping[str, Sequence[int]]
# The shape of each, -1 where it is open, and the type. None: another one.
Inputs = Mapping[str, tuple[Sequence[int], np.dtype | None]]


class Lite:
  """A LiteRT model, called by its signature."""

  def __init__(self, path: str):
    from ai_edge_litert import interpreter

    # As many threads as TensorFlow takes.
    self._interpreter = interpreter.Interpreter(
      model_path=path, num_threads=len(os.sched_getaffinity(0))
    )
    if _SIGNATURE in self._interpreter.get_signature_list():
      self._runner = self._interpreter.get_signature_runner(_SIGNATURE)
      inputs = self._runner.get_input_details()
      outputs = self._runner.get_output_details()
    else:  # The file of a stranger, whose tensors have the names.
      self._runner = self._by_tensors
      inputs = {d["name"]: d for d in self._interpreter.get_input_details()}
      outputs = {d["name"]: d for d in self._interpreter.get_output_details()}
    self._details = (inputs, outputs)
    self.inputs: Inputs = {
      name: (detail["shape_signature"].tolist(), np.dtype(detail["dtype"]))
      for name, detail in inputs.items()
    }
    self.outputs: Shapes = {
      name: detail["shape_signature"].tolist()
      for name, detail in outputs.items()
    }

  def _by_tensors(self, **inputs: np.ndarray) -> Arrays:
    """Calls the first graph with inputs by the names of tensors."""
    details = self._interpreter.get_input_details()
    for detail in details:
      shape = inputs[detail["name"]].shape
      self._interpreter.resize_tensor_input(detail["index"], shape)
    self._interpreter.allocate_tensors()
    for detail in details:
      self._interpreter.set_tensor(detail["index"], inputs[detail["name"]])
    self._interpreter.invoke()
    return {
      detail["name"]: self._interpreter.get_tensor(detail["index"])
      for detail in self._interpreter.get_output_details()
    }

  def __call__(self, inputs: Arrays) -> Arrays:
    """Returns the outputs by name, for inputs of which both may be integers.

    Those that stand for numbers are converted, by the scales that the file has.
    """
    details, wanted = self._details
    outputs = self._runner(
      **{name: _quantized(inputs[name], details[name]) for name in inputs}
    )
    return {name: _numbers(outputs[name], wanted[name]) for name in outputs}


def _quantized(array: np.ndarray, detail: Mapping[str, Any]) -> np.ndarray:
  """Returns numbers as the integers that a quantized input takes."""
  scale, zero = detail["quantization"]
  if array.dtype.kind != "f" or not scale:
    return array
  limits = np.iinfo(detail["dtype"])
  integers = np.clip(np.round(array / scale) + zero, limits.min, limits.max)
  return integers.astype(detail["dtype"])


def _numbers(array: np.ndarray, detail: Mapping[str, Any]) -> np.ndarray:
  """Returns the numbers that a quantized output stands for."""
  scale, zero = detail["quantization"]
  if not scale or array.dtype.kind == "f":
    return array
  return ((array.astype(np.float32) - zero) * scale).astype(np.float32)


class Onnx:
  """An ONNX model."""

  def __init__(self, path: str):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    self._session = onnxruntime.InferenceSession(
      path, options, providers=["CPUExecutionProvider"]
    )
    self._outputs = [output.name for output in self._session.get_outputs()]
    self.inputs: Inputs = {
      i.name: (
        [d if isinstance(d, int) else -1 for d in i.shape],
        _TYPES.get(i.type),
      )
      for i in self._session.get_inputs()
    }
    self.outputs: Shapes = {
      self._name(o.name): [d if isinstance(d, int) else -1 for d in o.shape]
      for o in self._session.get_outputs()
    }

  def __call__(self, inputs: Arrays) -> Arrays:
    """Returns the outputs by name."""
    outputs = self._session.run(self._outputs, inputs)
    return dict(zip(map(self._name, self._outputs), outputs, strict=True))

  def _name(self, output: str) -> str:
    name = output.removesuffix(_NEXT)
    return name if name in self.inputs else output


_TYPES: Mapping[str, np.dtype] = {
  "tensor(float)": np.dtype(np.float32),
  "tensor(float16)": np.dtype(np.float16),
  "tensor(double)": np.dtype(np.float64),
  "tensor(int32)": np.dtype(np.int32),
  "tensor(int64)": np.dtype(np.int64),
  "tensor(uint8)": np.dtype(np.uint8),
  "tensor(int8)": np.dtype(np.int8),
  "tensor(bool)": np.dtype(np.bool_),
}
_RUNTIMES: Mapping[str, Callable[[str], Lite | Onnx]] = {
  ".tflite": Lite,
  ".onnx": Onnx,
}


def main(path: str, folder: str | None = None) -> None:
  """Prints how far a companion is from its SavedModel, or that it runs."""
  if not folder:  # It may be anyone's.
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, most))
  try:
    found = measured(path, folder) if folder else tried(path)
  # Whatever a runtime raises says why a companion cannot be used.
  except Exception as e:  # noqa: BLE001
    found = {"error": f"{type(e).__name__}: {e}"[:1000]}
  print(json.dumps(found))


def measured(path: str, folder: str) -> dict[str, Any]:
  """Returns figures about a companion; see `making.Parity`."""
  with open(os.path.join(folder, "reference.json"), encoding="utf-8") as f:
    reference = json.load(f)
  with np.load(os.path.join(folder, "reference.npz")) as arrays:
    cases = [
      tuple(_of(arrays, f"{i}/{side}/") for side in ("input", "output"))
      for i in range(reference["cases"])
    ]
  model = _RUNTIMES[os.path.splitext(path)[1]](path)
  first = cases[0][0]
  if model.inputs.keys() != first.keys():
    return {
      "error": f"its inputs are {', '.join(sorted(model.inputs))}, not "
      f"{', '.join(sorted(first))}"
    }
  differences: dict[str, float] = {}
  cosines: list[float] = []
  agreements: list[bool] = []
  states: Arrays = {}
  if all(_is_constant(w) for _, wanted in cases for w in wanted.values()):
    return {
      "error": "for these inputs, each output of the SavedModel is one number "
      "throughout, or empty, so that nothing is compared"
    }
  for inputs, wanted in cases:
    got = model({**inputs, **states})
    if got.keys() != wanted.keys():
      return {
        "error": f"its outputs are {', '.join(sorted(got))}, not "
        f"{', '.join(sorted(wanted))}"
      }
    for name, want in wanted.items():
      error = difference(got[name], want)
      differences[name] = max(differences.get(name, 0.0), error)
      if want.ndim == 2 and want.dtype.kind == "f" and math.isfinite(error):
        cosines += _cosines(got[name], want)
        if name == _LOGITS:
          agreements += (got[name].argmax(1) == want.argmax(1)).tolist()
    # A stream goes on with the companion's own states.
    states = {name: np.array(got[name]) for name in reference["states"]}
  return {
    "differences": differences,
    "cosine": min(cosines, default=None),
    "top_1": (sum(agreements), len(agreements)) if agreements else None,
    "calls": len(cases),
    "seconds": _seconds(model, first),
    "saved_model_seconds": reference["seconds"],
  }


def tried(path: str) -> dict[str, Any]:
  """Returns what a companion does with made-up inputs; see `runtime.Trial`."""
  model = _RUNTIMES[os.path.splitext(path)[1]](path)
  errors: list[Exception] = []
  for factor in _FACTORS:
    inputs = {
      name: _made_up(name, shape, dtype, factor)
      for name, (shape, dtype) in model.inputs.items()
    }
    try:
      outputs = model(inputs)
    # A runtime's errors are of its own types.
    except Exception as e:  # noqa: BLE001
      errors.append(e)
      continue
    return {
      "inputs": {name: array.shape for name, array in inputs.items()},
      "outputs": {name: np.shape(array) for name, array in outputs.items()},
      "seconds": _seconds(model, inputs),
    }
  raise errors[0]


def _made_up(
  name: str, shape: Sequence[int], dtype: np.dtype | None, factor: int
) -> np.ndarray:
  if dtype is None or dtype.kind not in "fiub":
    raise ValueError(f"its input '{name}' has neither numbers nor truth values")
  sizes = _OPEN.get(len(shape), [1] * len(shape))
  if len(shape) == _IMAGES and shape[1] in _CHANNELS:  # Channels come first.
    sizes = [sizes[0], sizes[3], *sizes[1:3]]
  # Neither more samples nor more channels.
  sizes = [size if size in (1, 3) else size * factor for size in sizes]
  made = [o if d < 0 else d for d, o in zip(shape, sizes, strict=True)]
  if math.prod(made) > _MOST:
    raise ValueError(f"its input '{name}' has shape {made}")
  if dtype.kind == "f":
    return np.random.default_rng(0).random(made).astype(dtype)
  return np.ones(made, dtype)


def difference(got: np.ndarray, want: np.ndarray) -> float:
  """Returns the largest difference, as a share of the largest wanted value.

  It is infinite for another shape, or where either is not a number, and for
  integers that differ.
  """
  if got.shape != want.shape:
    return math.inf
  if want.dtype.kind != "f":
    return 0.0 if np.array_equal(got, want) else math.inf
  if not want.size:
    return 0.0
  wide = got.astype(np.float64) - want.astype(np.float64)
  scale = max(float(np.max(np.abs(want))), _SMALLEST)
  error = float(np.max(np.abs(wide))) / scale
  return error if math.isfinite(error) else math.inf


def _is_constant(array: np.ndarray) -> bool:
  return array.size < 2 or bool((array == array.flat[0]).all())


def _cosines(got: np.ndarray, want: np.ndarray) -> list[float]:
  products = np.sum(got * want, 1, dtype=np.float64)
  lengths = np.linalg.norm(got, axis=1) * np.linalg.norm(want, axis=1)
  return (products / np.maximum(lengths, _SMALLEST)).tolist()


def _seconds(model: Lite | Onnx, inputs: Arrays) -> float:
  times = []
  for _ in range(_TIMED_CALLS):
    started = time.monotonic()
    model(inputs)
    times.append(time.monotonic() - started)
  return statistics.median(times)


def _of(arrays: Any, prefix: str) -> Arrays:
  return {
    key.removeprefix(prefix): arrays[key]
    for key in arrays.files
    if key.startswith(prefix)
  }


if __name__ == "__main__":
  main(*sys.argv[1:])
