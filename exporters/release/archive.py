"""Packs a SavedModel for tfhub.dev, the same bytes every time.

The result is a `.tar.gz` whose root is the SavedModel's root. Members are
sorted, each directory before its files, because TF Hub's extractor creates no
parent directories. Owner, time and mode are fixed.

The stream is deflated on all cores, in blocks of a fixed size. Each block ends
at a byte boundary (by a sync flush), so that they can be joined into one gzip
member; TF Hub's extractor reads only one. ISA-L deflates at ten times the speed
of zlib. A block that it shrinks well, such as a graph or a vocabulary, is
deflated again by zlib-ng, which is slower and better; weights hardly shrink.
The choice depends only on the block's bytes.
"""

import collections
from collections.abc import Iterator
from concurrent import futures
import os
import re
import struct
import tarfile
import zlib

from isal import isal_zlib
from zlib_ng import zlib_ng

from exporters.errors import ExportError

# tfhub.dev refuses an archive with anything else in it.
_ALLOWED = re.compile(
  r"saved_model\.pb(txt)?|tfhub_module\.pb|keras_metadata\.pb|fingerprint\.pb"
  r"|(assets|assets\.extra)/.+|variables/variables\.[^/]+"
)
_PART = re.compile(r"[\w-][-!',_\w.=:% ]*", re.ASCII)
# What Windows takes for a device, whatever follows the dot, or shortens.
_NOT_ON_WINDOWS = re.compile(
  r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?|.*[. ]", re.IGNORECASE
)
_FOLDERS = ("assets", "assets.extra", "variables")
# The first of January 1980, the earliest time that zip files can hold.
_TIME = 315532800

_BLOCK = 1 << 20
_SHRUNK_WELL = 0.5
# No name, no time, an unknown operating system.
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LAST_BLOCK = b"\x03\x00"


def pack(saved_model: str, path: str, *, workers: int | None = None) -> None:
  """Packs the directory `saved_model` into the archive `path`.

  Args:
    saved_model: A SavedModel.
    path: The archive to write.
    workers: The number of threads. None: one for each core.

  Raises:
    ExportError: There is something in it that tfhub.dev would refuse.
  """
  workers = workers or len(os.sched_getaffinity(0))
  checksum = size = 0
  pending: collections.deque = collections.deque()
  with open(path, "wb") as f, futures.ThreadPoolExecutor(workers) as pool:
    f.write(_HEADER)
    for block in _blocks(tar_stream(saved_model)):
      checksum = isal_zlib.crc32(block, checksum)
      size += len(block)
      pending.append(pool.submit(deflate, block))
      # Only as many blocks in memory as keep the threads busy.
      if len(pending) > 2 * workers:
        f.write(pending.popleft().result())
    while pending:
      f.write(pending.popleft().result())
    f.write(_LAST_BLOCK + struct.pack("<II", checksum, size % (1 << 32)))


def deflate(block: bytes) -> bytes:
  """Returns a block as a raw deflate stream that ends at a byte boundary."""
  quick = _deflate(isal_zlib, 1, block)
  if len(quick) > _SHRUNK_WELL * len(block):
    return quick
  return _deflate(zlib_ng, 9, block)


def _deflate(library, level: int, block: bytes) -> bytes:
  compressor = library.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
  return compressor.compress(block) + compressor.flush(library.Z_SYNC_FLUSH)


def tar_stream(saved_model: str) -> Iterator[bytes]:
  """Yields the uncompressed archive in pieces."""
  size = 0
  for name in members(saved_model):
    path = os.path.join(saved_model, name)
    info = tarfile.TarInfo(name)
    info.mtime = _TIME
    if os.path.isdir(path):
      info.type, info.mode = tarfile.DIRTYPE, 0o755
    else:
      info.size, info.mode = os.path.getsize(path), 0o644
    header = info.tobuf(tarfile.USTAR_FORMAT)
    yield header
    size += len(header)
    if info.isfile():
      with open(path, "rb") as f:
        while piece := f.read(_BLOCK):
          yield piece
      padding = bytes(-info.size % tarfile.BLOCKSIZE)
      yield padding
      size += info.size + len(padding)
  end = bytes(2 * tarfile.BLOCKSIZE)
  yield end + bytes(-(size + len(end)) % tarfile.RECORDSIZE)


def members(saved_model: str) -> list[str]:
  """Returns the archive's members in order: a directory before its files.

  Raises:
    ExportError: tfhub.dev does not allow one of them.
  """
  names: list[str] = []
  known: dict[str, str] = {}
  for folder, folders, files in os.walk(saved_model):
    for name in (*folders, *files):
      path = os.path.join(folder, name)
      relative = os.path.relpath(path, saved_model).replace(os.sep, "/")
      names.append(relative)
      refuse_same(relative, known)
      refuse_member(
        relative,
        directory=name in folders,
        plain=not os.path.islink(path),
      )
      _refuse_unpackable(relative, path)
  # "variables" is a prefix of "variables/x", hence before it.
  return sorted(names, key=lambda name: name.split("/"))


def _refuse_unpackable(name: str, path: str) -> None:
  """Refuses what tar or TF Hub's extractor would lose."""
  if os.path.isfile(path) and not os.path.getsize(path):
    raise ExportError(
      f"'{name}' is empty. TF Hub's extractor writes no empty files, so a "
      "consumer would not have it."
    )
  try:
    tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT)
  except ValueError as e:
    raise ExportError(f"'{name}' is too long for tar: {e}.") from e


def refuse_member(name: str, *, directory: bool, plain: bool = True) -> None:
  """Raises `ExportError` unless tfhub.dev allows a member of this name.

  Args:
    name: Its path below the root, without a slash at the end.
    directory: Whether it is a directory.
    plain: Whether it is a file or a directory, not a link or a device.
  """
  if not plain:
    raise ExportError(
      f"'{name}' is neither a file nor a directory. A SavedModel has no links "
      "or devices."
    )
  parts = name.split("/")
  if not all(_PART.fullmatch(part) for part in parts):
    raise ExportError(
      f"tfhub.dev does not allow the name '{name}'. Each part of a path must "
      "begin with a letter, digit, '_' or '-', and may go on with these, "
      "spaces and any of !',.=:%."
    )
  if any(map(_NOT_ON_WINDOWS.fullmatch, parts)):
    raise ExportError(
      f"Windows does not allow the name '{name}', or takes it for another one. "
      "Rename the file."
    )
  allowed = (
    parts[0] in _FOLDERS and (len(parts) == 1 or parts[0] != "variables")
    if directory
    else _ALLOWED.fullmatch(name)
  )
  if not allowed:
    raise ExportError(
      f"tfhub.dev does not allow '{name}' in an archive, only saved_model.pb, "
      "fingerprint.pb, keras_metadata.pb, variables/, assets/ and "
      "assets.extra/."
    )


def refuse_same(name: str, known: dict[str, str]) -> None:
  """Raises `ExportError` for one of two names that some take for the same.

  Args:
    name: Of a member.
    known: Those so far, by what does not depend on case; gets this one.
  """
  other = known.setdefault(name.casefold(), name)
  if other != name:
    raise ExportError(
      f"'{other}' and '{name}' differ in nothing but upper and lower case, so "
      "macOS and Windows keep one of them only. Rename one."
    )


def _blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
  """Joins pieces of any size into blocks of a fixed size."""
  buffer = bytearray()
  for piece in pieces:
    buffer += piece
    while len(buffer) >= _BLOCK:
      yield bytes(buffer[:_BLOCK])
      del buffer[:_BLOCK]
  if buffer:
    yield bytes(buffer)
