"""`model.safetensors`, read tensor by tensor when its values are needed."""

import functools

import ml_dtypes  # noqa: F401 - numpy knows bfloat16 by it.
import safetensors

from exporters.checkpoints.checkpoint import Tensor
from exporters.errors import ExportError

# The name that safetensors gives to each of NumPy's types, and NumPy's own.
_DTYPES = {
  "BOOL": "bool",
  "U8": "uint8",
  "U16": "uint16",
  "U32": "uint32",
  "U64": "uint64",
  "I8": "int8",
  "I16": "int16",
  "I32": "int32",
  "I64": "int64",
  "F16": "float16",
  "BF16": "bfloat16",
  "F32": "float32",
  "F64": "float64",
}


def read(local: str, path: str) -> dict[str, Tensor]:
  """Returns the tensors of a safetensors file, by name.

  Args:
    local: The file on the local disk.
    path: The path that the user gave, for messages.

  Raises:
    ExportError: The file is damaged, or NumPy lacks the type of a tensor.
  """
  try:
    file = safetensors.safe_open(local, framework="np")
  except safetensors.SafetensorError as e:
    raise ExportError(
      f"Cannot read '{path}': it is truncated or damaged. ({e}) Copy it again, "
      "and compare its size."
    ) from e
  slices = {
    name: file.get_slice(name)
    for name in file.keys()  # noqa: SIM118 - it is not a mapping.
  }
  for name, part in slices.items():
    if part.get_dtype() not in _DTYPES:
      raise ExportError(
        f"'{path}' has the tensor '{name}' of the type {part.get_dtype()}; "
        f"supported are {', '.join(_DTYPES)}. Use the unquantized model."
      )
  return {
    name: Tensor(
      shape=tuple(part.get_shape()),
      dtype=_DTYPES[part.get_dtype()],
      read=functools.partial(file.get_tensor, name),
    )
    for name, part in slices.items()
  }
