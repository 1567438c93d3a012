"""Verifies an archive from someone else before anything in it is loaded.

The order is signature, digest, members, operations. Only then is it unpacked
into a temporary directory, and a fresh process tries it as a consumer would. A
hostile name, type or size is found in the headers of the archive, before
anything is written.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import hashlib
import os
import tarfile
import tempfile
from typing import Any, BinaryIO
import zlib

from exporters import checks
from exporters.bounds import limits
from exporters.errors import ExportError
from exporters.life_cycle import checker
from exporters.release import archive
from exporters.release import graph
from exporters.release import signing
from exporters.release import statement as statement_lib
from exporters.release.digests import file_digest

# Weights hardly shrink, graphs and vocabularies about 10 times. What shrinks
# more than this, unless it is small, is there to fill a disk.
_LARGEST_RATIO = 30
_SMALL = 64 << 20
# The limit of protocol buffers.
_LARGEST_GRAPH = 2 << 30
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
_ROOT = "."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verified:
  """What was found in an archive that is in order.

  Attributes:
    digest: The archive's sha256.
    files: sha256 of the files in it, by path.
    steps: What was verified, in words.
    results: The results of a consumer's checks.
  """

  digest: str
  files: Mapping[str, str]
  steps: list[str]
  results: list[checks.Result]


def verify(
  path: str,
  *,
  provenance: str | None = None,
  public_key: str | None = None,
  level: str = checks.ALL,
  limit: limits.Limits | None = None,
) -> Verified:
  """Verifies an archive.

  Args:
    path: A `.tar.gz` or a `.tar`.
    provenance: The provenance that came with it.
    public_key: The publisher's key (PEM), for the signatures beside the files.
    level: Which checks to run.
    limit: What the processes may take that load the model. None: as
      `limits.for_strangers`.

  Raises:
    ExportError: Something is wrong with it. Nothing was loaded, unless it was a
      check that failed.
  """
  if not os.path.isfile(path):
    raise ExportError(f"There is no archive at '{path}'.")
  steps = signed([path, provenance], public_key)
  digest = file_digest(path)
  recorded = _recorded(path, digest, provenance)
  if recorded:
    steps.append("the archive matches the provenance")
  read, files = _refuse_hostile(path)
  if read != digest:
    raise _changed(path)
  steps.append(f"all {len(files)} files belong in a SavedModel")
  steps.append("all operations belong in a model")
  if recorded is not None:
    _refuse_other_digests(files, recorded)
    steps.append("each file matches the provenance")
  results = []
  if level != checks.NONE:
    results = _try(path, files, level, limit or limits.for_strangers())
  return Verified(digest=digest, files=files, steps=steps, results=results)


def signed(files: Sequence[str | None], public_key: str | None) -> list[str]:
  """Returns in words which files are signed with a key.

  Args:
    files: Their paths; a None is left out.
    public_key: The key (PEM). None: nothing is verified.

  Raises:
    ExportError: One is not signed with the key.
  """
  steps: list[str] = []
  if not public_key:
    return steps
  for file in filter(None, files):
    signing.verify(file, public_key)
    steps.append(f"{os.path.basename(file)} is signed with the key")
  return steps


def _recorded(
  path: str, digest: str, provenance: str | None
) -> dict[str, str] | None:
  """Returns the digests that the provenance has of the files in the archive.

  It has others too, those of companions.

  Raises:
    ExportError: It has another digest of the archive itself.
  """
  if not provenance:
    return None
  statement = statement_lib.read(provenance)
  recorded = statement_lib.digests(statement["subject"])
  name = statement_lib.archive_name(statement)
  if recorded[name] != digest:
    raise ExportError(
      f"'{path}' is not the archive of '{provenance}': its sha256 is {digest}, "
      f"not {recorded[name]}. Download it again. If that does not help, do not "
      "use it."
    )
  prefix = name.removesuffix(".tar.gz") + "/"
  return {
    file.removeprefix(prefix): value
    for file, value in recorded.items()
    if file.startswith(prefix)
  }


def _refuse_other_digests(
  files: Mapping[str, str], recorded: Mapping[str, str]
) -> None:
  for name in sorted(files.keys() | recorded.keys()):
    if files.get(name) != recorded.get(name):
      raise ExportError(
        f"'{name}' has sha256 {files.get(name, '(missing)')} in the archive, "
        f"and {recorded.get(name, '(missing)')} in the provenance."
      )


def _refuse_hostile(path: str) -> tuple[str, dict[str, str]]:
  """Reads the archive once, writing nothing.

  Returns:
    The sha256 of what was read, and those of the files in it.
  """
  found: dict[str, str] = {}
  folders = set()
  known: dict[str, str] = {}
  digest = hashlib.sha256()
  limit = max(_SMALL, _LARGEST_RATIO * os.path.getsize(path))
  total = 0
  with _members(path, digest.update) as members:
    for tar, member in members:
      name = member.name
      if name in found or name in folders:
        raise ExportError(f"The archive has '{name}' twice.")
      if member.isdir():
        folders.add(name)
      # The root itself has no name that could be refused.
      if not (member.isdir() and name == _ROOT):
        archive.refuse_member(
          name,
          directory=member.isdir(),
          plain=member.isdir()
          or member.type in (tarfile.REGTYPE, tarfile.AREGTYPE),
        )
      archive.refuse_same(name, known)
      if os.path.dirname(name) not in {"", *folders}:
        raise ExportError(
          f"'{name}' comes before its directory, so TF Hub cannot unpack it."
        )
      total += member.size
      if total > limit:
        raise ExportError(
          f"With '{name}', {os.path.getsize(path):,} bytes unpack to {total:,} "
          "or more. No model shrinks like that."
        )
      if member.isfile():
        found[name] = _read(tar, member)
  if "saved_model.pb" not in found:
    raise ExportError("The archive has no saved_model.pb at its root.")
  return digest.hexdigest(), found


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
  """Returns a file's sha256; inspects it if it is the graph."""
  is_graph = member.name == "saved_model.pb"
  if is_graph and member.size > _LARGEST_GRAPH:
    raise ExportError("saved_model.pb is larger than 2 GB.")
  content = bytearray()
  digest = _copied(tar, member, content.extend if is_graph else len)
  if is_graph:
    graph.refuse_hostile(bytes(content))
  return digest


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


class _Read:
  """A file that is read once, from its start to its end.

  Args:
    file: Of bytes.
    note: Gets all that is read.
  """

  def __init__(self, file: BinaryIO, note: Callable[[bytes], object]):
    self._file, self._note = file, note

  def read(self, size: int) -> bytes:
    """Returns `size` bytes, or fewer at the end."""
    content = self._file.read(size)
    self._note(content)
    return content


class _OneGzipMember:
  """Reads a gzip file of one member, which is what TF Hub's extractor takes.

  `gzip` would go on to the next member, and `tarfile` checks no checksum.
  """

  def __init__(self, file: _Read):
    self._file = file
    self._inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)

  def read(self, size: int) -> bytes:
    """Returns `size` bytes, or fewer at the end."""
    content = b""
    while len(content) < size and not self._inflate.eof:
      piece = self._inflate.unconsumed_tail or self._file.read(_PIECE)
      if not piece:
        raise EOFError("it ends too early")
      content += self._inflate.decompress(piece, size - len(content))
    return content

  def refuse_rest(self) -> None:
    """Reads on to the checksum; refuses data where there should be none."""
    while rest := self.read(_PIECE):
      if any(rest):
        raise tarfile.ReadError("something follows the end of the archive")
    if self._inflate.unused_data or self._file.read(1):
      raise tarfile.ReadError("something follows the first gzip member")


class _Plain:
  """Reads a tar file that is not compressed."""

  def __init__(self, file: _Read):
    self._file = file

  def read(self, size: int) -> bytes:
    """Returns `size` bytes, or fewer at the end."""
    return self._file.read(size)

  def refuse_rest(self) -> None:
    """Refuses data where there should be none."""
    while rest := self.read(_PIECE):
      if any(rest):
        raise tarfile.ReadError("something follows the end of the archive")


def _open(
  file: BinaryIO, note: Callable[[bytes], object]
) -> _OneGzipMember | _Plain:
  is_gzip = file.read(len(_GZIP)) == _GZIP
  file.seek(0)
  read = _Read(file, note)
  return _OneGzipMember(read) if is_gzip else _Plain(read)


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
  return member.replace(name="/".join(parts) or _ROOT, deep=False)


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


@contextlib.contextmanager
def _members(
  path: str, note: Callable[[bytes], object] = lambda content: None
) -> Iterator[Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]]:
  """Yields the members of an archive as they come, with normalized names.

  Args:
    path: The archive.
    note: Gets every byte of it.
  """
  try:
    with open(path, "rb") as f:
      stream = _open(f, note)
      # As a stream, like TF Hub: no member is read before its turn.
      with _Tar.open(
        fileobj=stream,  # type: ignore[call-overload] # It only needs `read`.
        mode="r|",
        tarinfo=_Member,
      ) as tar:
        yield ((tar, _normalized(member)) for member in _headers(tar))
      stream.refuse_rest()
  except (tarfile.TarError, EOFError, zlib.error, OSError) as e:
    raise ExportError(
      f"'{path}' is truncated, damaged or neither a tar.gz nor a tar: {e}. "
      "Download it again."
    ) from e


def _changed(path: str) -> ExportError:
  return ExportError(f"'{path}' changed while it was being verified.")


def _unpacked(
  path: str, folder: str, files: Mapping[str, str]
) -> dict[str, str]:
  """Unpacks an archive into a new folder; returns the digests of its files.

  Raises:
    ExportError: It has other files than those of `files`.
  """
  found: dict[str, str] = {}
  with _members(path) as members:
    for tar, member in members:
      if member.isdir():
        continue
      if member.name not in files:
        raise _changed(path)
      file = os.path.join(folder, member.name)
      os.makedirs(os.path.dirname(file), exist_ok=True)
      with open(file, "xb") as f:
        found[member.name] = _copied(tar, member, f.write)
  return found


def _copied(
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


def _try(
  path: str, files: Mapping[str, str], level: str, limit: limits.Limits
) -> list[checks.Result]:
  """Unpacks the archive, and has a fresh process try it.

  Args:
    path: The archive.
    files: The digests of its files, as they were when it was looked through.
    level: Which checks to run.
    limit: What the process may take.
  """
  with (
    tempfile.TemporaryDirectory() as scratch,
    checker.Checker(level, limit=limit) as processes,
  ):
    folder = os.path.join(scratch, "saved_model")
    if _unpacked(path, folder, files) != files:
      raise _changed(path)
    results = processes.check(None, folder, scratch=scratch, private=[])
  failed = [str(r) for r in results if r.status == checks.FAILED]
  if failed:
    raise ExportError(
      "The model does not do what a consumer expects:\n  " + "\n  ".join(failed)
    )
  return results
