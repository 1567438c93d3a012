"""The pickle in a file of PyTorch, interpreted without running any of it.

A pickle is a program: it names functions and calls them. A file of weights
needs a handful of names, and only these are known here. Each stands for
something inert, a few lines of arithmetic on shapes, so nothing of PyTorch or
Python can be reached. Any other name is refused before it is looked up.

Python's unpickler would not do: a short file can crash it or keep it busy for
ever, with keys that are deeply nested or hold themselves a million times, and
with copies of copies. Here a closed set of opcodes makes lists, tuples and
dicts whose keys are short texts; nothing else is hashed, compared, printed or
copied. So time and memory are bounded by the program's length, which is itself
bounded.
"""

import math
import pickletools
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

from exporters.errors import ExportError

DTYPES = {
  "FloatStorage": np.float32,
  "DoubleStorage": np.float64,
  "HalfStorage": np.float16,
  "BFloat16Storage": ml_dtypes.bfloat16,
  "LongStorage": np.int64,
  "IntStorage": np.int32,
  "ShortStorage": np.int16,
  "CharStorage": np.int8,
  "ByteStorage": np.uint8,
  "BoolStorage": np.bool_,
  "ComplexFloatStorage": np.complex64,
  "ComplexDoubleStorage": np.complex128,
}
# Of a pickle, in bytes: it needs some hundred for each tensor. It is bounded
# because an object takes more memory than the one byte that asks for it.
LONGEST_PROGRAM = 8 << 20
_LONGEST_KEY = 1024
_MOST_BITS = 128  # Of a number; the one that begins the older format has 80.
_MOST_DIMENSIONS = 32
_LONGEST_QUOTE = 80


class Storage(NamedTuple):
  """A run of numbers of one type, somewhere in the file.

  Attributes:
    key: Its name in the file.
    dtype: A key of `DTYPES`.
    size: How many numbers it has.
  """

  key: str
  dtype: str
  size: int

  @property
  def bytes(self) -> int:
    """Its size in bytes."""
    return self.size * np.dtype(DTYPES[self.dtype]).itemsize


class View(NamedTuple):
  """A tensor: numbers of a storage, laid out by strides.

  Attributes:
    storage: The storage.
    offset: The place of its first number in the storage.
    shape: Its dimensions.
    strides: For each dimension, how many numbers of the storage lie between one
      element and the next.
  """

  storage: Storage
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]

  @property
  def repeats(self) -> bool:
    """Whether it has more numbers than its storage: it could be of any size."""
    return math.prod(self.shape) > self.storage.size

  def lay_out(self, data: bytes) -> np.ndarray:
    """Returns the tensor, given the bytes of its storage."""
    numbers = np.frombuffer(data, DTYPES[self.storage.dtype])
    if not math.prod(self.shape):
      return np.zeros(self.shape, numbers.dtype)
    return np.lib.stride_tricks.as_strided(
      numbers[self.offset :],
      self.shape,
      [stride * numbers.itemsize for stride in self.strides],
      writeable=False,
    )


def _rebuild_tensor(storage, offset, shape, strides, *_) -> View:
  # Each size is checked first: the product of large ones would take hours.
  if (
    type(storage) is not Storage
    or not _is_size(offset)
    or not _are_sizes(shape)
    or not _are_sizes(strides)
  ):
    raise ValueError("a tensor without a storage, or of odd sizes")
  last = offset + sum(
    (size - 1) * stride for size, stride in zip(shape, strides, strict=True)
  )
  if math.prod(shape) and last >= storage.size:
    raise ValueError("a tensor reaches beyond its storage")
  return View(storage, offset, tuple(shape), tuple(strides))


def _is_size(number: Any) -> bool:
  return type(number) is int and 0 <= number < 1 << 63


def _are_sizes(numbers: Any) -> bool:
  return (
    type(numbers) in (tuple, list)
    and len(numbers) <= _MOST_DIMENSIONS
    and all(map(_is_size, numbers))
  )


def _ordered_dict(pairs: Any = None) -> dict[str, Any]:
  """Returns an empty dict, or one of a list of pairs, as Python 2 wrote it.

  The list is emptied: a program that gave one list to many dicts could fill any
  memory.
  """
  made: dict[str, Any] = {}
  if pairs is not None:
    if type(pairs) is not list:
      raise ValueError("an OrderedDict of something other than pairs")
    for key, value in pairs:
      _set_item(made, key, value)
    pairs.clear()
  return made


def _set_item(target: dict[str, Any], key: Any, value: Any) -> None:
  """Sets an item, unless its key is a number, which no tensor's is.

  The hashes of numbers are predictable: a file could make them all collide.
  """
  if type(key) is not int:
    target[short_text(key)] = value


def short_text(key: Any) -> str:
  """Returns a key that is cheap to hash and to compare.

  Raises:
    ValueError: It is not.
  """
  if type(key) is not str or len(key) > _LONGEST_KEY:
    raise ValueError("a key of a dict or of a storage is not a short text")
  return key


def printable(text: str) -> str:
  """Returns text of a file, made harmless to a terminal and not too long."""
  text = repr(text)[1:-1]
  return text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "..."


def _first(first: Any = (), *_) -> Any:
  return first


# All that a file of weights may ask for.
_NAMES = {
  ("collections", "OrderedDict"): _ordered_dict,
  ("torch", "Size"): _first,
  ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
  ("torch._utils", "_rebuild_parameter"): _first,
  ("torch._utils", "_rebuild_parameter_with_state"): _first,
} | {("torch", name): name for name in DTYPES}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
# The object is what `pickletools` reads after one of these opcodes.
_LITERALS = frozenset(
  "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING "
  "SHORT_BINSTRING UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 BINBYTES "
  "SHORT_BINBYTES BINBYTES8".split()
)


class Program:
  """One pickle, run as a program that can make tensors and nothing else.

  Attributes:
    storages: The storages that it has named, by key.
  """

  def __init__(self, file: BinaryIO, path: str):
    self._file = file
    self._path = path
    self._stack: list[Any] = []
    self._marks: list[int] = []
    self._memo: list[Any] = []
    self.storages: dict[str, Storage] = {}

  def run(self) -> Any:
    """Returns what the program makes, and leaves the file at the program's end.

    Raises:
      ExportError: It asks for a name that is not known here.
      ValueError: It is not a program of PyTorch's. Damaged programs raise other
        errors too.
    """
    for opcode, argument, _ in pickletools.genops(self._file):
      self._step(opcode.name, argument)
    return self._stack.pop()

  def _step(self, opcode: str, argument: Any) -> None:
    stack = self._stack
    if opcode in _LITERALS:
      if type(argument) is int and argument.bit_length() > _MOST_BITS:
        raise ValueError(f"a number of more than {_MOST_BITS} bits")
      stack.append(argument)
    elif opcode in _CONSTANTS:
      stack.append(_CONSTANTS[opcode])
    elif opcode in _EMPTY:
      stack.append(_EMPTY[opcode]())
    elif opcode in ("PUT", "BINPUT", "LONG_BINPUT"):
      self._remember(argument)
    elif opcode == "MEMOIZE":
      self._remember(len(self._memo))
    elif opcode in ("GET", "BINGET", "LONG_BINGET"):
      stack.append(self._memo[argument])
    elif opcode == "MARK":
      self._marks.append(len(stack))
    elif opcode in ("TUPLE1", "TUPLE2", "TUPLE3"):
      stack.append(tuple(self._pop(int(opcode[-1]))))
    elif opcode == "TUPLE":
      stack.append(tuple(self._pop_marked()))
    elif opcode == "LIST":
      stack.append(self._pop_marked())
    elif opcode == "DICT":
      items = self._pop_marked()
      stack.append({})
      self._set_items(items)
    elif opcode == "SETITEM":
      self._set_items(self._pop(2))
    elif opcode == "SETITEMS":
      self._set_items(self._pop_marked())
    elif opcode == "APPEND":
      self._append(self._pop(1))
    elif opcode == "APPENDS":
      self._append(self._pop_marked())
    elif opcode == "GLOBAL":
      module, _, name = argument.partition(" ")
      stack.append(self._find(module, name))
    elif opcode == "STACK_GLOBAL":
      stack.append(self._find(*self._pop(2)))
    elif opcode == "REDUCE":
      stack.append(self._call(*self._pop(2)))
    elif opcode == "BUILD":
      # Attributes, such as the `_metadata` of a state_dict.
      self._pop(1)
      if type(stack[-1]) is not dict:
        raise ValueError("it changes something other than a dict")
    elif opcode == "BINPERSID":
      stack.append(self._storage(*self._pop(1)))
    elif opcode not in ("PROTO", "FRAME", "STOP"):
      raise ValueError(f"{opcode}, which no file of weights needs")

  def _pop(self, count: int) -> list[Any]:
    if count > len(self._stack):
      raise ValueError("it uses more objects than it has")
    popped = self._stack[-count:]
    del self._stack[-count:]
    return popped

  def _pop_marked(self) -> list[Any]:
    mark = self._marks.pop()
    popped = self._stack[mark:]
    del self._stack[mark:]
    return popped

  def _set_items(self, items: list[Any]) -> None:
    target = self._stack[-1]
    if type(target) is not dict:
      raise ValueError("it sets items of something other than a dict")
    for key, value in zip(items[::2], items[1::2], strict=True):
      _set_item(target, key, value)

  def _remember(self, number: int) -> None:
    # PyTorch numbers them one by one, from 0 or from 1. So a list will do, in
    # which no number that was skipped takes memory.
    memo = self._memo
    if not 0 <= number <= len(memo) + 1:
      raise ValueError("it numbers more objects than it has")
    memo.extend([None] * (number + 1 - len(memo)))
    memo[number] = self._stack[-1]

  def _append(self, items: list[Any]) -> None:
    if type(self._stack[-1]) is not list:
      raise ValueError("it appends to something other than a list")
    self._stack[-1].extend(items)

  def _find(self, module: Any, name: Any) -> Any:
    if type(module) is not str or type(name) is not str:
      raise ValueError("a name that is not text")
    if (module, name) in _NAMES:
      return _NAMES[module, name]
    asked = printable(f"{module}.{name}")
    asked = f"'{self._path}' asks for '{asked}', which "
    if module.partition(".")[0] == "torch":
      raise ExportError(
        f"{asked}is not supported: only tensors of common types are. Nothing "
        "in the file was run. Get the model as model.safetensors, or save its "
        "state_dict alone."
      )
    raise ExportError(
      f"{asked}no file of weights needs: loading it would run a program that "
      "someone put into it. It was refused, and nothing in it was run. Get the "
      "model as model.safetensors."
    )

  def _call(self, function: Any, arguments: Any) -> Any:
    if not callable(function) or type(arguments) is not tuple:
      raise ValueError("it calls something other than a function")
    # PyTorch passes at most 7; a long tuple would be copied at each call.
    if len(arguments) > 8:
      raise ValueError("a call with too many arguments")
    return function(*arguments)

  def _storage(self, pid: Any) -> Storage:
    if type(pid) is not tuple or len(pid) not in (5, 6):
      raise ValueError("an unknown kind of storage")
    kind, dtype, key, _, size, *view = pid
    # Only texts are cheap to look up.
    if not all(type(text) is str for text in (kind, dtype, key)):
      raise ValueError("an unknown kind of storage")
    if kind != "storage" or dtype not in DTYPES:
      raise ValueError("an unknown kind of storage")
    if view and view[0] is not None:
      raise ValueError("a storage within another")
    if not _is_size(size):
      raise ValueError("a storage of an odd size")
    return self.storages.setdefault(short_text(key), Storage(key, dtype, size))
