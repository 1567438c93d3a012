"""Archives that were made to do harm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import gzip
import io
import pathlib
import tarfile
import zlib

from scripts.attacks import Attack

_VERIFY = "scripts.verify"


def _member(name: str, content: bytes = b"", **attributes):
  info = tarfile.TarInfo(name)
  info.size = len(content)
  for key, value in attributes.items():
    setattr(info, key, value)
  return info, content


def _tar(
  members: Sequence[tuple[tarfile.TarInfo, bytes]],
  tar_format: int = tarfile.PAX_FORMAT,
) -> bytes:
  file = io.BytesIO()
  with tarfile.open(fileobj=file, mode="w", format=tar_format) as tar:
    for info, content in members:
      tar.addfile(info, io.BytesIO(content))
  return file.getvalue()


def _archive(*members: tuple[tarfile.TarInfo, bytes], **kwargs):
  """Returns what writes a tar.gz with an `assets` folder and these members."""
  first = _member("assets", type=tarfile.DIRTYPE)
  return _bytes(lambda: gzip.compress(_tar([first, *members], **kwargs)))


def _bytes(content: Callable[[], bytes]):
  def write(folder: pathlib.Path) -> pathlib.Path:
    path = folder / "1.tar.gz"
    path.write_bytes(content())
    return path

  return write


def _bomb() -> bytes:
  """10 GB of zeros in some 10 MB: a gzip stream whose blocks repeat."""
  size, piece = 10 << 30, bytes(64 << 20)
  folder, _ = _member("variables", type=tarfile.DIRTYPE)
  index, _ = _member("variables/variables.index", size=size)
  header = folder.tobuf() + index.tobuf(tarfile.GNU_FORMAT)
  # One block is deflated once and written often; where it ends, so does a byte.
  compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
  block = compressor.compress(piece) + compressor.flush(zlib.Z_FULL_FLUSH)
  compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
  start = compressor.compress(header) + compressor.flush(zlib.Z_FULL_FLUSH)
  return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + start + block * (size // len(piece))


def _many_gzip_members() -> bytes:
  return gzip.compress(_tar([_member("saved_model.pb", b"a")])) * 10_000


def _link(name: str, kind: bytes, target: str):
  return _archive(_member(name, type=kind, linkname=target))


def _headers_in_a_row() -> bytes:
  """Ten thousand long names for one member, each of which needs the next."""
  name = tarfile.TarInfo("././@LongLink")
  name.type, name.size = tarfile.GNUTYPE_LONGNAME, 4
  header = name.tobuf(tarfile.GNU_FORMAT) + b"abc".ljust(512, b"\0")
  return gzip.compress(header * 10_000 + _tar([_member("assets", b"a")]))


def _sparse(content: bytes = b"a", **attributes: str):
  """Returns what writes a file of holes, as pax attributes say it."""
  headers = {f"GNU.sparse.{name}": value for name, value in attributes.items()}
  return _archive(_member("assets/a", content, pax_headers=headers))


ATTACKS = {
  "a member with an absolute path": Attack(
    command=_VERIFY,
    write=_archive(_member("/tmp/attack_was_here", b"a")),
    says="'/tmp/attack_was_here'",
  ),
  "a member with a path upwards": Attack(
    command=_VERIFY,
    write=_archive(_member("assets/../../attack_was_here", b"a")),
    says=r"\.\./attack_was_here'",
  ),
  "a symbolic link": Attack(
    command=_VERIFY,
    write=_link("assets/a", tarfile.SYMTYPE, "/etc/passwd"),
    says="'assets/a'",
  ),
  "a hard link": Attack(
    command=_VERIFY,
    write=_link("assets/a", tarfile.LNKTYPE, "/etc/passwd"),
    says="'assets/a'",
  ),
  "a device": Attack(
    command=_VERIFY,
    write=_archive(
      _member("assets/a", type=tarfile.CHRTYPE, devmajor=1, devminor=5)
    ),
    says="'assets/a'",
  ),
  "a pipe in an archive": Attack(
    command=_VERIFY,
    write=_archive(_member("assets/a", type=tarfile.FIFOTYPE)),
    says="'assets/a'",
  ),
  "a name that looks like another": Attack(
    command=_VERIFY,
    # The fullwidth small s.
    write=_archive(_member("\uff53aved_model.pb", b"a")),
    says="aved_model",
  ),
  "a name that a terminal obeys": Attack(
    command=_VERIFY,
    write=_archive(_member("\x1b[2J\x1b]0;owned\x07", b"a")),
    says=r"x1b\[2J",
  ),
  "a size in a pax header, 10^15": Attack(
    command=_VERIFY,
    write=_archive(
      _member("saved_model.pb", b"a", pax_headers={"size": str(10**15)})
    ),
    says="saved_model.pb",
  ),
  "a negative size": Attack(
    command=_VERIFY,
    write=_archive(
      _member(
        "variables",
        type=tarfile.DIRTYPE,
        pax_headers={"size": str(-(10**12))},
      ),
      _member("variables/variables.index", bytes(300 << 20)),
    ),
    says="has a size of -1,000,000,000,000 bytes",
  ),
  "10,000 headers for one member": Attack(
    command=_VERIFY,
    write=_bytes(_headers_in_a_row),
    says="too many headers in a row",
  ),
  "a map of a million holes": Attack(
    command=_VERIFY,
    write=_sparse(b"999999999\n" + b"1\n" * 10**6, major="1", minor="0"),
    says="a sparse file",
  ),
  "a map of holes that is none": Attack(
    command=_VERIFY, write=_sparse(map="a"), says="a sparse file"
  ),
  "a size with holes that is none": Attack(
    command=_VERIFY, write=_sparse(realsize="a"), says="a header is damaged"
  ),
  "a size with holes, but no map": Attack(
    command=_VERIFY, write=_sparse(realsize="9"), says="no map of them"
  ),
  "names that differ in case": Attack(
    command=_VERIFY,
    write=_archive(_member("assets/a", b"a"), _member("assets/A", b"a")),
    says="upper and lower case",
  ),
  "a name that Windows has for a device": Attack(
    command=_VERIFY,
    write=_archive(_member("assets/nul.txt", b"a")),
    says="Windows does not allow",
  ),
  "10 GB of zeros in 10 MB": Attack(
    command=_VERIFY,
    write=_bytes(_bomb),
    says="unpack to 10,737,418,240 or more",
  ),
  "10,000 gzip members": Attack(
    command=_VERIFY, write=_bytes(_many_gzip_members), says="does not parse"
  ),
  "half an archive": Attack(
    command=_VERIFY,
    write=_bytes(
      lambda: gzip.compress(_tar([_member("saved_model.pb", b"a" * 999)]))[:60]
    ),
    says="truncated, damaged",
  ),
}
