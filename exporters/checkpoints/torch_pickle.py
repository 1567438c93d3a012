"""`pytorch_model.bin`, read without PyTorch and without running any of it.

Such a file is a pickle, which is a program: it names functions and calls them.
A file of weights needs a handful of names, and this reader knows no other. Each
stands for something inert here, a few lines of arithmetic on shapes, so that
nothing of PyTorch or of Python can be reached. The first other name is refused,
before it is looked up.

Two formats: a zip archive with `data.pkl` and one file for each storage, which
PyTorch writes since 1.6, and before that pickles with the storages after them.
"""

from collections.abc import Callable
import contextlib
import functools
import io
import math
import pickle
import pickletools
from typing import Any, BinaryIO, NamedTuple
import zipfile

import ml_dtypes
import numpy as np

from exporters.checkpoints.checkpoint import Tensor
from exporters.errors import ExportError

# The number that the older format begins with, and its version.
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_DTYPES = {
  "FloatStorage": np.float32,
  "DoubleStorage": np.float64,
  "HalfStorage": np.float16,
  "BFloat16Storage": ml_dtypes.bfloat16,
  "LongStorage": np.int64,
  "IntStorage": np.int32,
  "ByteStorage": np.uint8,
  "BoolStorage": np.bool_,
}
# What the pickle module raises on bytes that are no pickle of its making.
_DAMAGED = (
  pickle.UnpicklingError,
  zipfile.BadZipFile,
  ArithmeticError,
  AttributeError,
  EOFError,
  LookupError,
  MemoryError,
  NotImplementedError,
  RuntimeError,
  TypeError,
  ValueError,
)


class _State(dict):
  """In place of an OrderedDict: takes attributes, such as `_metadata`."""


# Tuples, since a pickle can change the attributes of any other object.
class _Storage(NamedTuple):
  """A run of numbers of one type, somewhere in the file."""

  key: str
  dtype: str
  size: int

  @property
  def bytes(self) -> int:
    return self.size * np.dtype(_DTYPES[self.dtype]).itemsize


class _View(NamedTuple):
  """A tensor: numbers of a storage, laid out by strides."""

  storage: _Storage
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]

  def lay_out(self, data: bytes) -> np.ndarray:
    numbers = np.frombuffer(data, _DTYPES[self.storage.dtype])
    if not math.prod(self.shape):
      return np.zeros(self.shape, numbers.dtype)
    return np.lib.stride_tricks.as_strided(
      numbers[self.offset :],
      self.shape,
      [stride * numbers.itemsize for stride in self.strides],
      writeable=False,
    )


def _rebuild_tensor(storage, offset, shape, strides) -> _View:
  shape, strides = tuple(shape), tuple(strides)
  numbers = (offset, *shape, *strides)
  if not isinstance(storage, _Storage) or not all(map(_is_size, numbers)):
    raise ValueError("a tensor without a storage, or of odd sizes")
  last = offset + sum(
    (size - 1) * stride for size, stride in zip(shape, strides, strict=True)
  )
  count = math.prod(shape)
  # One that repeats its numbers could be of any size.
  if count and (last >= storage.size or count > storage.size):
    raise ValueError("a tensor reaches beyond its storage")
  return _View(storage, offset, shape, strides)


def _is_size(number: Any) -> bool:
  return type(number) is int and number >= 0


def _names() -> dict[tuple[str, str], Any]:
  """Returns all that a file of weights may ask for, made for one file only."""
  return {
    ("collections", "OrderedDict"): lambda items=(): _State(items),
    ("torch._utils", "_rebuild_tensor_v2"): lambda *of: _rebuild_tensor(
      *of[:4]
    ),
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
  } | {("torch", name): name for name in _DTYPES}


class _Unpickler(pickle.Unpickler):
  """Knows tensors and nothing else."""

  def __init__(self, file: BinaryIO, path: str):
    super().__init__(file)
    self._path = path
    self._names = _names()
    self.storages: dict[str, _Storage] = {}

  def find_class(self, module: str, name: str) -> Any:
    if (module, name) not in self._names:
      raise ExportError(
        f"'{self._path}' asks for '{module}.{name}', which no file of weights "
        "needs: loading it would run a program that someone put into it. It "
        "was refused, and nothing of it was run. Get the model as "
        "model.safetensors."
      )
    return self._names[module, name]

  def persistent_load(self, pid: Any) -> _Storage:
    kind, dtype, key, _, size, *view = pid
    if kind != "storage" or dtype not in _DTYPES or any(view):
      raise ValueError(f"an unknown kind of storage, {kind!r}")
    if not _is_size(size) or not isinstance(key, str):
      raise ValueError("a storage of an odd size")
    return self.storages.setdefault(key, _Storage(key, dtype, size))


def read(local: str, path: str) -> dict[str, Tensor]:
  """Returns the tensors of a `pytorch_model.bin`, by name.

  Args:
    local: The file on the local disk.
    path: What the user gave, for messages.

  Raises:
    ExportError: The file is damaged, or asks for anything but tensors.
  """
  with _readable(path):
    if zipfile.is_zipfile(local):
      state, data = _read_zip(local, path)
    else:
      state, data = _read_legacy(local, path)
    if not isinstance(state, dict):
      raise ValueError("it holds no dict of tensors")
    return {
      name: Tensor(
        shape=view.shape,
        dtype=np.dtype(_DTYPES[view.storage.dtype]).name,
        read=functools.partial(_read_view, view, data, path),
      )
      for name, view in state.items()
      if isinstance(name, str) and isinstance(view, _View)
    }


def _read_view(
  view: _View, data: Callable[[_Storage], bytes], path: str
) -> np.ndarray:
  with _readable(path):
    return view.lay_out(data(view.storage))


def _read_zip(local: str, path: str):
  archive = zipfile.ZipFile(local)
  (program,) = (n for n in archive.namelist() if n.endswith("/data.pkl"))
  folder = program.removesuffix("data.pkl")
  order = f"{folder}byteorder"
  if order in archive.namelist() and archive.read(order) != b"little":
    raise ValueError("its numbers are big-endian")
  # As written they are not compressed; so no small file becomes a huge one.
  if any(info.compress_type != zipfile.ZIP_STORED for info in archive.filelist):
    raise ValueError("it is compressed")

  def data(storage: _Storage) -> bytes:
    return _exactly(archive.read(f"{folder}data/{storage.key}"), storage)

  return _load(io.BytesIO(archive.read(program)), path).load(), data


def _read_legacy(local: str, path: str):
  with open(local, "rb") as f:
    head = (_load(f, path).load(), _load(f, path).load())
    if head != (_MAGIC, _PROTOCOL):
      raise ValueError("it is neither of the formats of torch.save")
    if not _load(f, path).load()["little_endian"]:
      raise ValueError("its numbers are big-endian")
    program = _load(f, path)
    state = program.load()
    keys = _load(f, path).load()
    end = f.tell()
  places = {}
  for key in keys:
    places[key] = end + 8  # Its length is before it.
    end = places[key] + program.storages[key].bytes

  def data(storage: _Storage) -> bytes:
    with open(local, "rb") as f:
      f.seek(places[storage.key] - 8)
      if int.from_bytes(f.read(8), "little") != storage.size:
        raise ValueError("a storage is of another size than it says")
      return _exactly(f.read(storage.bytes), storage)

  return state, data


def _exactly(data: bytes, storage: _Storage) -> bytes:
  if len(data) != storage.bytes:
    raise ValueError("a storage is of another size than it says")
  return data


def _load(file: BinaryIO, path: str) -> _Unpickler:
  """Returns what runs the next pickle in `file`."""
  start = file.tell()
  # Reads the program without running it: where it ends, and that it asks for
  # no more memory than a program of its length can use.
  for count, (opcode, argument, _) in enumerate(pickletools.genops(file), 1):
    if "PUT" in opcode.name and int(argument or 0) > count:
      raise ValueError("it numbers more objects than it has")
  end = file.tell()
  file.seek(start)
  return _Unpickler(io.BytesIO(file.read(end - start)), path)


@contextlib.contextmanager
def _readable(path: str):
  try:
    yield
  except _DAMAGED as e:
    reason = str(e).partition("\n")[0].rstrip(".")
    raise ExportError(
      f"Cannot read '{path}': as a file of PyTorch it is truncated, damaged "
      f"or of a kind that is not read here. ({type(e).__name__}: {reason}) "
      "Copy it again, or get the model as model.safetensors."
    ) from e
