"""Verifies an archive from someone else before anything in it is loaded.

The order is signature, digest, members, operations. Only then is it unpacked
into a temporary directory, and a fresh process tries it as a consumer would. A
hostile name, type or size is found in the headers of the archive, before
anything is written.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import hashlib
import os
import tarfile
import tempfile

from exporters import checks
from exporters.bounds import limits
from exporters.errors import ExportError
from exporters.life_cycle import checker
from exporters.release import archive
from exporters.release import archive_reader
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
  with archive_reader.members(path, digest.update) as members:
    for tar, member in members:
      name = member.name
      if name in found or name in folders:
        raise ExportError(f"The archive has '{name}' twice.")
      if member.isdir():
        folders.add(name)
      # The root itself has no name that could be refused.
      if not (member.isdir() and name == archive_reader.ROOT):
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
  digest = archive_reader.copied(
    tar, member, content.extend if is_graph else len
  )
  if is_graph:
    graph.refuse_hostile(bytes(content))
  return digest


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
  with archive_reader.members(path) as members:
    for tar, member in members:
      if member.isdir():
        continue
      if member.name not in files:
        raise _changed(path)
      file = os.path.join(folder, member.name)
      os.makedirs(os.path.dirname(file), exist_ok=True)
      with open(file, "xb") as f:
        found[member.name] = archive_reader.copied(tar, member, f.write)
  return found


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
