"""Reads an archive from someone else, one member after the other.

A `.tar.gz` or a `.tar` is read as TF Hub's extractor reads it: as a stream,
whose gzip has one member. Whatever its headers say, they take little memory and
time. What the members may be called, and how large they may be together, is for
the caller to say.
"""

from collections.abc import Callable, Iterator
import contextlib
import hashlib
import tarfile
from typing import Any, BinaryIO
import zlib

from exporters.errors import ExportError

_PIECE = 1 << 20
# Twice the longest path. For attributes, Python's `tarfile` may take a time
# that grows by the square of their length (CVE-2024-6232).
_LONGEST_HEADER = 8 << 10
_GZIP = b"\x1f\x8b"
# Headers of long names, of long links, and of attributes of one or all members.
_BEFORE_A_MEMBER = (
  tarfile.GNUTYPE_LONGNAME,
  tarfile.GNUTYPE_LONGLINK,
  tarfile.XHDTYPE,
  tarfile.SOLARIS_XHDTYPE,
  tarfile.XGLTYPE,
)
# How the entry of an archive's root is called here.
ROOT = "."


@contextlib.contextmanager
def members(
  path: str, note: Callable[[bytes], object] = lambda content: None
) -> Iterator[Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]]:
  """Yields the members of an archive as they come, with normalized names.

  Args:
    path: The archive.
    note: Gets every byte of it.

  Raises:
    ExportError: It is not an archive, or a header says what can't be.
    OSError: It can't be opened.
  """
  with open(path, "rb") as f:
    try:
      stream = _stream(f, note)
      # As a stream, like TF Hub: no member is read before its turn.
      with _Tar.open(
        fileobj=stream,  # type: ignore[call-overload] # It only needs `read`.
        mode="r|",
        tarinfo=_Member,
      ) as tar:
        yield ((tar, _normalized(member)) for member in _headers(tar))
      stream.refuse_rest()
    except (tarfile.TarError, EOFError, zlib.error) as e:
      raise ExportError(
        f"'{path}' is truncated, damaged or neither a tar.gz nor a tar: {e}. "
        "Download it again."
      ) from e


def copied(
  tar: tarfile.TarFile,
  member: tarfile.TarInfo,
  write: Callable[[bytes], object],
) -> str:
  """Has a member's content written; returns its sha256."""
  digest = hashlib.sha256()
  file = tar.extractfile(member)
  if not file:
    raise tarfile.ReadError(f"'{member.name}' is no file")
  with file as f:
    while piece := f.read(_PIECE):
      digest.update(piece)
      write(piece)
  return digest.hexdigest()


class _Tar(tarfile.TarFile):
  """A tar file that counts the headers before a member's own."""

  headers = 0


class _Member(tarfile.TarInfo):
  """A member whose headers can't fill the memory, nor say what it is not.

  Its name and its attributes are short, it has one header for each of these,
  and it is whole: no map of holes says which parts of it are in the archive.
  """

  def _proc_member(self, tar: _Tar) -> tarfile.TarInfo:
    # tarfile's documented hook for subclasses.
    if self.type in _BEFORE_A_MEMBER:
      tar.headers += 1
      if tar.headers > len(_BEFORE_A_MEMBER):
        raise ExportError(f"'{self.name}' is one of too many headers in a row.")
      if self.size > _LONGEST_HEADER:
        raise ExportError(
          f"'{self.name}' has a name or attributes of {self.size:,} bytes."
        )
    else:
      tar.headers = 0
    return super()._proc_member(tar)  # type: ignore[misc] # Has no type.

  def _refuse_map(self, *unused_arguments: Any) -> None:
    raise ExportError(
      "The archive holds a sparse file, with a map of its holes. Pack it again "
      "without `--sparse`."
    )

  # Those that read such a map, in the four forms that there are.
  _proc_sparse = _refuse_map
  _proc_gnusparse_00 = _refuse_map
  _proc_gnusparse_01 = _refuse_map
  _proc_gnusparse_10 = _refuse_map


class _Stream:
  """A file that is read once, from its start to its end.

  Args:
    file: Of bytes.
    note: Gets all that is read.
  """

  def __init__(self, file: BinaryIO, note: Callable[[bytes], object]):
    self._file, self._note = file, note

  def read(self, size: int) -> bytes:
    """Returns `size` bytes, or fewer at the end."""
    return self._stored(size)

  def refuse_rest(self) -> None:
    """Reads on to the end; refuses data where there should be none."""
    while rest := self.read(_PIECE):
      if any(rest):
        raise tarfile.ReadError("something follows the end of the archive")

  def _stored(self, size: int) -> bytes:
    try:
      content = self._file.read(size)
    # What a caller does with a member may fail by an OSError as well.
    except OSError as e:
      raise tarfile.ReadError(str(e)) from e
    self._note(content)
    return content


class _OneGzipMember(_Stream):
  """Reads a gzip file of one member, which is what TF Hub's extractor takes.

  `gzip` would go on to the next member, and `tarfile` checks no checksum.
  """

  def __init__(self, file: BinaryIO, note: Callable[[bytes], object]):
    super().__init__(file, note)
    self._inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)

  def read(self, size: int) -> bytes:
    """Returns `size` bytes, or fewer at the end."""
    content = b""
    while len(content) < size and not self._inflate.eof:
      piece = self._inflate.unconsumed_tail or self._stored(_PIECE)
      if not piece:
        raise EOFError("it ends too early")
      content += self._inflate.decompress(piece, size - len(content))
    return content

  def refuse_rest(self) -> None:
    """Reads on to the checksum; refuses data where there should be none."""
    super().refuse_rest()
    if self._inflate.unused_data or self._stored(1):
      raise tarfile.ReadError("something follows the first gzip member")


def _stream(file: BinaryIO, note: Callable[[bytes], object]) -> _Stream:
  is_gzip = file.read(len(_GZIP)) == _GZIP
  file.seek(0)
  return (_OneGzipMember if is_gzip else _Stream)(file, note)


def _normalized(member: tarfile.TarInfo) -> tarfile.TarInfo:
  """Returns a member with its path below the root, written in one way.

  `tar -C FOLDER .`, the command in TF Hub's documentation, writes `./a`. Only
  what does not change which file is meant is left out: a name that begins with
  `/`, has `..`, or belongs to a file but ends like a folder's stays as it is,
  and is refused later.
  """
  name = member.name
  parts = [part for part in name.split("/") if part not in ("", ".")]
  like_folder = name.endswith(("/", "/.")) and not member.isdir()
  if name.startswith("/") or ".." in parts or like_folder:
    return member
  return member.replace(name="/".join(parts) or ROOT, deep=False)


def _headers(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
  """Yields the members of an archive as they come.

  Raises:
    tarfile.ReadError: A header is damaged, or says what can't be.
  """
  members = iter(tar)
  while True:
    try:
      member = next(members, None)
    # Of numbers in attributes that are none.
    except ValueError as e:
      raise tarfile.ReadError(f"a header is damaged ({e})") from e
    if member is None:
      return
    if member.size < 0:
      raise tarfile.ReadError(
        f"'{member.name}' has a size of {member.size:,} bytes"
      )
    if any(name.startswith("GNU.sparse") for name in member.pax_headers):
      raise tarfile.ReadError(f"'{member.name}' has holes, but no map of them")
    yield member
