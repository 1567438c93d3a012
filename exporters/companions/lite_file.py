"""Reads a LiteRT file without running it.

It is a flatbuffer: offsets that lead from table to table. Python's reader for
them checks each against the file's size, but not how often tables are reached:
a small file can have millions of entries that are one. So entries are counted.
"""

from collections import Counter
from collections.abc import Callable, Iterator
import struct
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from exporters.companions import inspected
from exporters.companions.inspected import Inspected
from exporters.companions.inspected import shown
from exporters.errors import ExportError

_SIGNATURE = b"serving_default"
_IDENTIFIER = b"TFL3"
# Ten times what a large model has.
_MOST_ENTRIES = 200_000
_HIGHEST_RANK = 16
_OPERATORS = {
  code: name
  for name, code in vars(schema.BuiltinOperator).items()
  if isinstance(code, int)
}
# Those for which the code is elsewhere.
_FOREIGN = ("CUSTOM", "DELEGATE", "STABLEHLO_CUSTOM_CALL")
# What the reader raises where an offset leads outside, or to something else.
_ERRORS = (
  AttributeError,
  IndexError,
  OverflowError,
  struct.error,
  TypeError,
  ValueError,
)

# An operator of detectors that every interpreter brings, though it is custom.
_DETECTION = b"TFLite_Detection_PostProcess"


def read(content: bytes) -> Inspected:
  """Returns what a LiteRT model says of itself.

  Raises:
    ExportError: It is damaged, or needs more than this file and the builtin
      operators.
  """
  if content[4:8] != _IDENTIFIER:
    raise ExportError(
      "This is not a LiteRT model: its bytes 4 to 8 are not TFL3."
    )
  try:
    return _Reader(content).read()
  except _ERRORS as e:
    raise ExportError(
      f"The LiteRT model is truncated or damaged: {shown(str(e))}."
    ) from e


class _Reader:
  """Reads one file."""

  def __init__(self, content: bytes):
    self._content = content
    self._left = _MOST_ENTRIES
    self._model = schema.Model.GetRootAs(content, 0)

  def read(self) -> Inspected:
    """Returns what the file says."""
    model = self._model
    if model.ExternalBuffersLength() or model.ExternalBufferGroupsLength():
      raise ExportError("The LiteRT model has weights in other files.")
    names = [
      self._operator(code)
      for code in self._each(model.OperatorCodesLength(), model.OperatorCodes)
    ]
    filled = [
      self._is_filled(buffer)
      for buffer in self._each(model.BuffersLength(), model.Buffers)
    ]
    operators: Counter[str] = Counter()
    # The types of weights.
    types = set()
    graphs = [*self._each(model.SubgraphsLength(), model.Subgraphs)]
    for graph in graphs:
      count = graph.TensorsLength()
      for tensor in self._each(count, graph.Tensors):
        self._shape(tensor)
        if filled[tensor.Buffer()]:
          types.add(tensor.Type())
      for operator in self._each(graph.OperatorsLength(), graph.Operators):
        operators[names[operator.OpcodeIndex()]] += 1
        for vector in (operator.InputsAsNumpy, operator.OutputsAsNumpy):
          self._refuse_outside(vector(), count)
    inputs, outputs = self._signature(graphs)
    return Inspected(
      kind=_kind(types, operators),
      operators=operators,
      inputs=inputs,
      outputs=[*outputs],
    )

  def _each(self, length: int, get: Callable[[int], Any]) -> Iterator[Any]:
    """Yields the entries of a vector."""
    self._count(length)
    for i in range(length):
      entry = get(i)
      if entry is None:
        raise ValueError("an entry is missing")
      yield entry

  def _count(self, entries: int) -> None:
    self._left -= entries
    if self._left < 0:
      raise ValueError(f"it has more than {_MOST_ENTRIES:,} entries")

  def _operator(self, code: Any) -> str:
    # The older of the two fields has one byte.
    number = max(code.DeprecatedBuiltinCode(), code.BuiltinCode())
    name = _OPERATORS.get(number, f"number {number}")
    if name in _FOREIGN or number not in _OPERATORS:
      custom = code.CustomCode()
      if custom == _DETECTION:
        return custom.decode()
      raise ExportError(
        "The LiteRT model needs an operator that is not builtin: "
        f"{shown(custom) if custom else name}."
      )
    return name

  def _is_filled(self, buffer: Any) -> bool:
    """Whether a buffer has bytes, which must be in the file."""
    if buffer.Offset() > 1:  # Behind the flatbuffer, in a large model.
      if buffer.Offset() + buffer.Size() > len(self._content):
        raise ValueError("a buffer lies behind the end of the file")
      return True
    if buffer.DataIsNone():
      return False
    buffer.DataAsNumpy()  # It checks the size.
    return buffer.DataLength() > 0

  def _shape(self, tensor: Any) -> list[int | None]:
    """Returns a tensor's shape, None where it is open."""
    sizes: list[int | None] = []
    # The second one has -1 where the first one has the size of an example.
    for length, get in (
      (tensor.ShapeLength(), tensor.ShapeAsNumpy),
      (tensor.ShapeSignatureLength(), tensor.ShapeSignatureAsNumpy),
    ):
      if length > _HIGHEST_RANK:
        raise ValueError(f"a tensor has {length:,} dimensions")
      if length:
        sizes = [None if size == -1 else int(size) for size in get()]
      if not inspected.is_bounded(sizes):
        raise ExportError(
          f"The LiteRT model's tensor '{shown(tensor.Name())}' has shape "
          f"{sizes}."
        )
    return sizes

  def _refuse_outside(self, tensors: Any, count: int) -> None:
    # Without any, the reader gives 0; -1 is an input left out.
    indices = [] if isinstance(tensors, int) else tensors
    self._count(len(indices))
    if any(not -1 <= index < count for index in indices):
      raise ValueError("an operator names a tensor that is not there")

  def _signature(self, graphs: list[Any]) -> tuple[dict, dict]:
    """Returns the shapes of the inputs and outputs, by name.

    Those of the signature; without one, those of the first graph, by the names
    of its tensors.
    """
    model = self._model
    for one in self._each(model.SignatureDefsLength(), model.SignatureDefs):
      if one.SignatureKey() == _SIGNATURE:
        graph = graphs[one.SubgraphIndex()]
        return (
          self._named(one.InputsLength(), one.Inputs, graph),
          self._named(one.OutputsLength(), one.Outputs, graph),
        )
    graph = graphs[0]
    inputs, outputs = (
      {
        tensor.Name().decode(): self._shape(tensor)
        for i in ([] if isinstance(indices, int) else indices)
        for tensor in [self._tensor(graph, i)]
      }
      for indices in (graph.InputsAsNumpy(), graph.OutputsAsNumpy())
    )
    return inputs, outputs

  def _tensor(self, graph: Any, index: int) -> Any:
    if not 0 <= index < graph.TensorsLength():
      raise ValueError("the signature names a tensor that is not there")
    return graph.Tensors(index)

  def _named(self, length: int, get: Callable[[int], Any], graph: Any) -> dict:
    found = {}
    for entry in self._each(length, get):
      tensor = self._tensor(graph, entry.TensorIndex())
      found[entry.Name().decode()] = self._shape(tensor)
    return found


def _kind(types: set[int], operators: Counter[str]) -> str:
  """Returns the kind of a model whose weights have these types."""
  if schema.TensorType.FLOAT16 in types:
    return "lite_float16"
  if schema.TensorType.INT8 not in types:
    return "lite"
  return "lite_int8" if "QUANTIZE" in operators else "lite_dynamic"
