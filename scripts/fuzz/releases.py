"""Targets: what comes with a release."""

from __future__ import annotations

from collections.abc import Sequence
import functools
import gzip
import io
import json
import pathlib
import tarfile
import tempfile

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from exporters import checks
from exporters.gardens import recorded
from exporters.gardens import whole
from exporters.release import signing
from exporters.release import statement
from exporters.release import tfhub
from exporters.release import verify
from scripts.fuzz import Target
from scripts.fuzz import mutations

_RELEASE = "exporters.release"
_OF_ARCHIVES = tuple(
  f"{_RELEASE}.{module}" for module in ("archive", "archive_reader", "verify")
)
# Of the holes in a sparse file, in the three forms that GNU tar wrote.
_MAPS = (
  {
    "GNU.sparse.size": "600",
    "GNU.sparse.offset": "0",
    "GNU.sparse.numbytes": "9",
  },
  {"GNU.sparse.size": "600", "GNU.sparse.map": "0,9,512,9"},
  {
    "GNU.sparse.major": "1",
    "GNU.sparse.minor": "0",
    "GNU.sparse.realsize": "9",
  },
)


def _archive(content: bytes, folder: pathlib.Path) -> None:
  path = folder / "1.tar"
  path.write_bytes(content)
  verify.verify(str(path), level=checks.NONE)


def _with_checksums(content: bytes, folder: pathlib.Path) -> None:
  """Reads a tar.gz whose headers have their checksums, whatever they say."""
  blocks = bytearray(content)
  for at in range(0, len(blocks) - tarfile.BLOCKSIZE + 1, tarfile.BLOCKSIZE):
    header = blocks[at : at + tarfile.BLOCKSIZE]
    if header[257:262] == b"ustar":
      header[148:156] = b" " * 8
      blocks[at + 148 : at + 156] = b"%06o\0 " % sum(header)
  _archive(gzip.compress(bytes(blocks), 1), folder)


def _seeds_of_archive() -> Sequence[bytes]:
  from scripts.fuzz import models

  (graph, *_) = models.TARGETS["SavedModel"].seeds()
  return [
    _tar(graph, "", tarfile.USTAR_FORMAT),
    _tar(graph, "./", tarfile.GNU_FORMAT),
    _tar(graph, "", tarfile.PAX_FORMAT),
    _tar(graph, "", tarfile.GNU_FORMAT, type=tarfile.GNUTYPE_SPARSE),
    *(
      _tar(graph, "", tarfile.PAX_FORMAT, pax_headers=headers)
      for headers in _MAPS
    ),
  ]


def _tar(graph: bytes, root: str, tar_format: int, **of_graph: object) -> bytes:
  """Returns a tar of a model.

  Args:
    graph: The bytes of its graph.
    root: What the names of the members begin with.
    tar_format: As `tarfile` has it.
    **of_graph: Attributes of the graph's header.
  """
  long_name = "assets/" + "a" * (
    99 if tar_format == tarfile.USTAR_FORMAT else 150
  )
  members = {
    "assets": None,
    long_name: b"a",
    "saved_model.pb": graph,
    "variables": None,
    "variables/variables.index": bytes(600),
  }
  file = io.BytesIO()
  with tarfile.open(fileobj=file, mode="w", format=tar_format) as tar:
    for name, content in members.items():
      info = tarfile.TarInfo(f"{root}{name}")
      info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
      info.size = len(content or b"")
      if tar_format == tarfile.PAX_FORMAT:
        info.mtime = 1.5
      for attribute, value in of_graph.items() if content == graph else ():
        setattr(info, attribute, value)
      tar.addfile(info, io.BytesIO(content or b""))
  return file.getvalue()


_DIGEST = {"sha256": "0" * 64}
_STATEMENT = {
  "_type": statement.STATEMENT_TYPE,
  "subject": [
    {"name": "publisher/model/1.tar.gz", "digest": _DIGEST},
    {"name": "publisher/model/1/saved_model.pb", "digest": _DIGEST},
  ],
  "predicateType": statement.PREDICATE_TYPE,
  "predicate": {
    "buildDefinition": {
      "buildType": statement.BUILD_TYPE,
      "externalParameters": {
        "recipe": f"A = '{statement.DIGEST}{'0' * 64}'\n",
        "source": {"commit": "0" * 40, "clean": True},
      },
      "internalParameters": {"versions": {"tensorflow": "2.20.0"}},
      "resolvedDependencies": [{"name": "requirements.txt", "digest": _DIGEST}],
    },
    "runDetails": {"builder": {"id": "urn:x"}},
  },
}


def _provenance(content: bytes, folder: pathlib.Path) -> None:
  path = folder / "1.provenance.json"
  path.write_bytes(content)
  # What verifying and reproducing read of it.
  read = statement.read(str(path))
  statement.archive_name(read)
  statement.digests(read["subject"])
  build = read["predicate"]["buildDefinition"]
  statement.unnamed(build["externalParameters"]["recipe"])
  statement.digests(build["resolvedDependencies"])
  archive = folder / "1.tar.gz"
  archive.write_bytes(b"")
  verify.verify(str(archive), provenance=str(path), level=checks.NONE)


def _record(content: bytes, folder: pathlib.Path) -> None:
  path = folder / f"berts{recorded.SUFFIX}"
  path.write_bytes(content)
  for model in whole.models(str(path)):
    _ = model.provenance, model.bindings(str(folder)), f"{model.handle}"


def _seeds_of_record() -> Sequence[bytes]:
  model = {
    "handle": "publisher/model/1",
    "archive": "publisher/model/1.tar.gz",
    "sha256": "0" * 64,
    "checks": "all",
    "companions": [{"file": "publisher/model/1.tflite", "sha256": "0" * 64}],
  }
  leaf = {"leaf": "a.gin", "files": {"A": "$folder/a"}, "models": [model]}
  return [json.dumps({"name": "berts", "leaves": [leaf]}).encode()]


def _page(content: bytes, folder: pathlib.Path) -> None:
  tfhub.read(content.decode("utf-8", "replace"))


def _seeds_of_page() -> Sequence[bytes]:
  return [
    b"# Module publisher/model/1\nA model of words.\n\n"
    b"<!-- asset-path: https://example.org/1.tar.gz -->\n"
    b"<!-- task: text-embedding -->\n<!-- fine-tunable: true -->\n"
    b"<!-- format: saved_model_2 -->\n<!-- language: en -->\n\n"
    b"## Overview\n\n[A link](https://example.org) and `code`.\n",
    b"# Publisher publisher\nWho publishes.\n\n"
    b"<!-- icon-url: https://example.org/i.png -->\n\n[![Icon](https://e.org/i.png)](https://e.org)\n",
    b"# Collection publisher/berts/1\nMany models.\n\n"
    b"<!-- task: text-embedding -->\n\n## All\n",
    b"# Lite publisher/model/lite/1\nA small one.\n\n"
    b"<!-- asset-path: https://example.org/1.tflite -->\n"
    b"<!-- parent-model: publisher/model/1 -->\n"
    b"<!-- colab: https://colab.research.google.com/x -->\n\n## Overview\n",
  ]


@functools.cache
def _keys() -> tuple[bytes, bytes]:
  """Returns a private key and its public one, which are always the same."""
  key = ec.derive_private_key(1, ec.SECP256R1())
  private = key.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
  )
  public = key.public_key().public_bytes(
    serialization.Encoding.PEM,
    serialization.PublicFormat.SubjectPublicKeyInfo,
  )
  return private, public


def _signature(content: bytes, folder: pathlib.Path) -> None:
  path = folder / "1.tar.gz"
  path.write_bytes(b"signed")
  (folder / "1.tar.gz.sig").write_bytes(content)
  (folder / "key.pub").write_bytes(_keys()[1])
  signing.verify(str(path), str(folder / "key.pub"))


def _seeds_of_signature() -> Sequence[bytes]:
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    (folder / "1.tar.gz").write_bytes(b"signed")
    (folder / "key.pem").write_bytes(_keys()[0])
    signing.sign(str(folder / "1.tar.gz"), str(folder / "key.pem"))
    return [(folder / "1.tar.gz.sig").read_bytes()]


TARGETS = {
  "tar": Target(
    read=_archive,
    seeds=_seeds_of_archive,
    mutate=mutations.of_bytes,
    parts=_OF_ARCHIVES,
  ),
  "tar.gz with checksums": Target(
    read=_with_checksums,
    seeds=_seeds_of_archive,
    mutate=mutations.of_bytes,
    parts=_OF_ARCHIVES,
  ),
  "provenance": Target(
    read=_provenance,
    seeds=lambda: [json.dumps(_STATEMENT).encode()],
    mutate=mutations.of_json,
    parts=(f"{_RELEASE}.statement",),
  ),
  "signature": Target(
    read=_signature,
    seeds=_seeds_of_signature,
    mutate=mutations.of_json,
    parts=(f"{_RELEASE}.signing",),
  ),
  "record of a garden": Target(
    read=_record,
    seeds=_seeds_of_record,
    mutate=mutations.of_json,
    parts=("exporters.gardens.recorded", "exporters.gardens.whole"),
  ),
  "page": Target(
    read=_page,
    seeds=_seeds_of_page,
    mutate=mutations.of_bytes,
    parts=(f"{_RELEASE}.tfhub",),
  ),
}
