"""Verifies an archive from someone else before anything in it is loaded.

The order is signature, digest, members, operations. Only then is it unpacked
into a temporary directory, and a fresh process tries it as a consumer would. A
hostile name, type or size is found in the headers of the archive, before
anything is written.
"""

from collections.abc import Iterator, Mapping, Sequence
import contextlib
import dataclasses
import hashlib
import os
import tarfile
import tempfile
from typing import BinaryIO
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
_GZIP = b"\x1f\x8b"
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
  files = _refuse_hostile(path)
  steps.append(f"all {len(files)} files belong in a SavedModel")
  steps.append("all operations belong in a model")
  if recorded is not None:
    _refuse_other_digests(files, recorded)
    steps.append("each file matches the provenance")
  results = []
  if level != checks.NONE:
    results = _try(path, digest, level, limit or limits.for_strangers())
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


def _refuse_hostile(path: str) -> dict[str, str]:
  """Reads the archive once, writing nothing; returns the files' digests."""
  found: dict[str, str] = {}
  folders = set()
  limit = max(_SMALL, _LARGEST_RATIO * os.path.getsize(path))
  total = 0
  with _members(path) as members:
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
  return found


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
  """Returns a file's sha256; inspects it if it is the graph."""
  content = bytearray()
  is_graph = member.name == "saved_model.pb"
  if is_graph and member.size > _LARGEST_GRAPH:
    raise ExportError("saved_model.pb is larger than 2 GB.")
  digest = hashlib.sha256()
  file = tar.extractfile(member)
  assert file  # It is not None for a file.
  with file as f:
    while piece := f.read(_PIECE):
      digest.update(piece)
      if is_graph:
        content += piece
  if is_graph:
    graph.refuse_hostile(bytes(content))
  return digest.hexdigest()


class _Member(tarfile.TarInfo):
  """A member whose name and attributes are too short to fill the memory."""

  def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
    # tarfile's documented hook for subclasses.
    if not (self.isfile() or self.isdir()) and self.size > _PIECE:
      raise ExportError(
        f"'{self.name}' has a name or attributes of {self.size:,} bytes."
      )
    return super()._proc_member(tar)  # type: ignore[misc] # Has no type.


class _OneGzipMember:
  """Reads a gzip file of one member, which is what TF Hub's extractor takes.

  `gzip` would go on to the next member, and `tarfile` checks no checksum.
  """

  def __init__(self, file: BinaryIO):
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

  def __init__(self, file: BinaryIO):
    self._file = file

  def read(self, size: int) -> bytes:
    """Returns `size` bytes, or fewer at the end."""
    return self._file.read(size)

  def refuse_rest(self) -> None:
    """Refuses data where there should be none."""
    while rest := self.read(_PIECE):
      if any(rest):
        raise tarfile.ReadError("something follows the end of the archive")


def _open(file: BinaryIO) -> _OneGzipMember | _Plain:
  is_gzip = file.read(len(_GZIP)) == _GZIP
  file.seek(0)
  return _OneGzipMember(file) if is_gzip else _Plain(file)


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


@contextlib.contextmanager
def _members(
  path: str,
) -> Iterator[Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]]:
  """Yields the members of an archive as they come, with normalized names."""
  try:
    with open(path, "rb") as f:
      stream = _open(f)
      # As a stream, like TF Hub: no member is read before its turn.
      with tarfile.open(
        fileobj=stream,  # type: ignore[call-overload] # It only needs `read`.
        mode="r|",
        tarinfo=_Member,
      ) as tar:
        yield ((tar, _normalized(member)) for member in tar)
      stream.refuse_rest()
  except (tarfile.TarError, EOFError, zlib.error, OSError) as e:
    raise ExportError(
      f"'{path}' is truncated, damaged or neither a tar.gz nor a tar: {e}. "
      "Download it again."
    ) from e


def _try(
  path: str, digest: str, level: str, limit: limits.Limits
) -> list[checks.Result]:
  """Unpacks the archive, and has a fresh process try it."""
  with (
    tempfile.TemporaryDirectory() as scratch,
    checker.Checker(level, limit=limit) as processes,
  ):
    folder = os.path.join(scratch, "saved_model")
    os.mkdir(folder)
    with _members(path) as members:
      for tar, member in members:
        tar.extract(member, folder, filter="data")
    if file_digest(path) != digest:
      raise ExportError(f"'{path}' changed while it was being verified.")
    results = processes.check(None, folder, scratch=scratch, private=[])
  failed = [str(r) for r in results if r.status == checks.FAILED]
  if failed:
    raise ExportError(
      "The model does not do what a consumer expects:\n  " + "\n  ".join(failed)
    )
  return results
