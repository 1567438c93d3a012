"""`pytorch_model.bin`, read without PyTorch.

There are two formats. Since 1.6, PyTorch writes a zip archive with `data.pkl`
and one file for each storage; before, it wrote pickles, with the storages after
them. `torch_program` interprets the pickles.
"""

from collections.abc import Callable, Iterator
import contextlib
import functools
import io
from typing import Any
import zipfile

import numpy as np

from exporters.checkpoints.checkpoint import Tensor
from exporters.checkpoints.torch_program import DTYPES
from exporters.checkpoints.torch_program import LONGEST_PROGRAM
from exporters.checkpoints.torch_program import Program
from exporters.checkpoints.torch_program import Storage
from exporters.checkpoints.torch_program import View
from exporters.checkpoints.torch_program import printable
from exporters.checkpoints.torch_program import short_text
from exporters.errors import ExportError

# The number with which the older format begins, and that format's version.
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
# What reading raises for bytes that PyTorch did not write.
_DAMAGED = (
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


def read(local: str, path: str) -> dict[str, Tensor]:
  """Returns the tensors of a `pytorch_model.bin`, by name.

  Args:
    local: The file on the local disk.
    path: The path that the user gave, for messages.

  Raises:
    ExportError: The file is damaged, or asks for anything but tensors.
  """
  with _readable(path):
    if zipfile.is_zipfile(local):
      state, data = _read_zip(local, path)
    else:
      state, data = _read_legacy(local, path)
    return {
      name: Tensor(
        shape=view.shape,
        dtype=np.dtype(DTYPES[view.storage.dtype]).name,
        read=functools.partial(_read_view, name, view, data, path),
      )
      for name, view in _views(state, path).items()
    }


def _views(state: Any, path: str) -> dict[str, View]:
  """Returns the tensors of a state_dict, which may be inside another dict."""
  if type(state) is not dict:
    raise ValueError("it does not hold a dict of tensors")
  if views := _views_in(state):
    return views
  # Each dict once, however many keys it is under.
  inner = {id(value): value for value in state.values()}.values()
  within = [v for v in map(_views_in, inner) if v]
  if len(within) == 1:
    return within[0]
  keys = ", ".join(f"'{printable(str(key))}'" for key in list(state)[:8])
  raise ExportError(
    f"'{path}' has {'several dicts' if within else 'no dict'} of tensors under "
    f"its keys ({keys or 'none'}), where one is expected. Save the model's "
    "state_dict alone: torch.save(model.state_dict(), file)."
  )


def _views_in(state: Any) -> dict[str, View]:
  if type(state) is not dict:
    return {}
  return {
    name: view
    for name, view in state.items()
    if type(name) is str and type(view) is View
  }


def _read_view(
  name: str, view: View, data: Callable[[Storage], bytes], path: str
) -> np.ndarray:
  # PyTorch's `expand` makes such buffers. Most models never read them, so they
  # may be in the file; the error is for a model that needs one.
  if view.repeats:
    raise ExportError(
      f"Cannot read '{printable(name)}' of '{path}': it repeats the numbers "
      "of a smaller tensor, as `expand` does. Save it after `.contiguous()`, "
      "or get the model as model.safetensors."
    )
  with _readable(path):
    return view.lay_out(data(view.storage))


def _read_zip(local: str, path: str) -> tuple[Any, Callable[[Storage], bytes]]:
  """Returns what the pickle makes, and a function that reads a storage."""
  archive = zipfile.ZipFile(local)
  (program,) = (n for n in archive.namelist() if n.endswith("/data.pkl"))
  folder = program.removesuffix("data.pkl")
  # PyTorch compresses nothing. Checked before any member is read, so that no
  # small file becomes a huge one.
  if any(info.compress_type != zipfile.ZIP_STORED for info in archive.filelist):
    raise ValueError("it is compressed")
  order = archive.NameToInfo.get(f"{folder}byteorder")
  if order and (order.file_size > 16 or archive.read(order) != b"little"):
    raise ValueError("its numbers are big-endian")
  if archive.getinfo(program).file_size > LONGEST_PROGRAM:
    raise ValueError("it has more objects than any model")

  def data(storage: Storage) -> bytes:
    return _exactly(archive.read(f"{folder}data/{storage.key}"), storage)

  return Program(io.BytesIO(archive.read(program)), path).run(), data


def _read_legacy(
  local: str, path: str
) -> tuple[Any, Callable[[Storage], bytes]]:
  """Returns the same from a file of the older format."""
  with open(local, "rb") as f:
    programs = io.BytesIO(f.read(LONGEST_PROGRAM))
  for expected in (_MAGIC, _PROTOCOL):
    if Program(programs, path).run() != expected:
      raise ValueError("it has neither of the formats of torch.save")
  if not Program(programs, path).run()["little_endian"]:
    raise ValueError("its numbers are big-endian")
  program = Program(programs, path)
  state = program.run()
  keys = Program(programs, path).run()
  end = programs.tell()
  places = {}
  for key in map(short_text, keys):
    places[key] = end + 8  # The storage's length precedes it.
    end = places[key] + program.storages[key].bytes

  def data(storage: Storage) -> bytes:
    with open(local, "rb") as f:
      f.seek(places[storage.key] - 8)
      if int.from_bytes(f.read(8), "little") != storage.size:
        raise ValueError("a storage is of another size than it says")
      return _exactly(f.read(storage.bytes), storage)

  return state, data


def _exactly(data: bytes, storage: Storage) -> bytes:
  if len(data) != storage.bytes:
    raise ValueError("a storage is of another size than it says")
  return data


@contextlib.contextmanager
def _readable(path: str) -> Iterator[None]:
  """Rewords what is raised while a file is read."""
  try:
    yield
  except (*_DAMAGED, OSError) as e:
    # An error of opening a file names it. Without a name, it is one of seeking
    # to where a damaged archive says.
    if isinstance(e, OSError) and e.filename:
      raise
    reason = printable(str(e).partition("\n")[0].rstrip("."))
    raise ExportError(
      f"Cannot read '{path}': as a file of PyTorch it is truncated, damaged "
      f"or of a kind that is not supported. ({type(e).__name__}: {reason}) "
      "Copy it again, or get the model as model.safetensors."
    ) from e
