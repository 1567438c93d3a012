"""How a release was made: an in-toto Statement with an SLSA v1 predicate.

https://in-toto.io/Statement/v1, https://slsa.dev/spec/v1.0/provenance. The
subjects are the archive and the files in it; the parameters are the gin recipe,
in which paths of this machine are replaced by what lay there, and the git
commit; the dependencies are the files that went in and the packages.
"""

from collections.abc import Iterator, Mapping
import datetime
import hashlib
from importlib import metadata
import json
import os
import platform
import re
from typing import Any

import gin
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from exporters import base
from exporters.fields import paths
from exporters.release import kaggle
from exporters.release import privacy
from exporters.release import statement
from exporters.release.digests import file_digest
from exporters.release.git_commit import ROOT
from exporters.release.git_commit import Commit
from exporters.release.git_commit import is_part
from exporters.release.released import Released

_PACKAGES = (
  "tensorflow",
  "tf_keras",
  "tf-models-official",
  "tensorflow-hub",
  "tensorflow-text",
  "isal",
  "zlib-ng",
)
_DIGEST = "sha256:"


def materials(exporter: base.Exporter) -> dict[str, dict[str, str]]:
  """Returns the files that a recipe reads.

  Returns:
    By the exporter's field, sha256 by the file's name below what the field
    says, or below its folder.
  """
  found = {}
  for read in paths.declared(exporter):
    path = read.path
    folder = path if tf.io.gfile.isdir(path) else os.path.dirname(path)
    found[read.field] = {
      os.path.relpath(file, folder or os.curdir): _digest(file)
      for file in read.files(exporter)
    }
  return found


def _digest(path: str) -> str:
  digest = hashlib.sha256()
  with tf.io.gfile.GFile(path, "rb") as f:
    while piece := f.read(1 << 24):
      digest.update(piece)
  return digest.hexdigest()


def joint_digest(files: Mapping[str, str]) -> str:
  """Returns one digest for several files, as `sha256sum` lists them."""
  lines = "".join(f"{files[name]}  {name}\n" for name in sorted(files))
  return hashlib.sha256(lines.encode()).hexdigest()


def recipe_text(
  exporter: base.Exporter, found: Mapping[str, Mapping[str, str]]
) -> str:
  """Returns the recipe that gin has read, without paths of this machine.

  A path in it is replaced by the digest of what lies there; one inside of this
  repository stays.
  """
  text = gin.config_str()
  for read in paths.declared(exporter):
    if not is_part(read.path):
      digest = _DIGEST + joint_digest(found[read.field])
      text = _literal(read.path).sub(repr(digest), text)
  return text


def _literal(value: str) -> re.Pattern:
  """Finds a string as gin writes it: whole, or cut in two after a blank."""
  whole = re.escape(repr(value))
  cut = re.sub(r"(\\ )", r"\1(?:'\\s+')?", whole)
  return re.compile(rf"\({cut}\)|{whole}")


def unnamed(recipe: str) -> list[str]:
  """Returns the names in a recipe whose values are digests of local files."""
  return re.findall(rf"^(\S+) = (?:\\\s+)?'{_DIGEST}[0-9a-f]+'$", recipe, re.M)


class Recorder:
  """Writes the provenance of what is released from one recipe."""

  def __init__(self, exporter: base.Exporter, source: Commit):
    self._started = _now()
    self._source = source
    self._materials = materials(exporter)
    self._recipe = recipe_text(exporter, self._materials)

  def __call__(self, one: Released) -> str:
    """Writes one artifact's provenance beside its archive; returns the path."""
    content = {
      "_type": statement.STATEMENT_TYPE,
      "subject": [*_subjects(one)],
      "predicateType": statement.PREDICATE_TYPE,
      "predicate": {
        "buildDefinition": {
          "buildType": statement.BUILD_TYPE,
          "externalParameters": {
            "recipe": self._recipe,
            "source": {
              "commit": self._source.commit,
              "clean": not self._source.changed,
            },
          },
          "internalParameters": {"machine": platform.machine()},
          "resolvedDependencies": [*self._dependencies()],
        },
        "runDetails": {
          "builder": {"id": "urn:model-garden-exporter:scripts.release"},
          "metadata": {"startedOn": self._started, "finishedOn": _now()},
          "byproducts": [*_byproducts(one)],
        },
      },
    }
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    privacy.refuse_private(
      text,
      "provenance",
      "Name files in fields of the exporter, or relative to the repository.",
    )
    path = f"{one.folder}{statement.SUFFIX}"
    with open(path, "w", encoding="utf-8") as f:
      f.write(text)
    return path

  def _dependencies(self) -> Iterator[dict[str, Any]]:
    for field, files in self._materials.items():
      for name, digest in files.items():
        yield _resource(f"{field}/{name}", digest)
    yield _resource(
      "requirements.txt", _digest(os.path.join(ROOT, "requirements.txt"))
    )
    for package, version in versions().items():
      yield {"name": package, "uri": f"pkg:pypi/{package.lower()}@{version}"}


def versions() -> dict[str, str]:
  """Returns the versions of Python and of the packages that decide on bytes."""
  found = {package: metadata.version(package) for package in _PACKAGES}
  return found | {"python": platform.python_version()}


def promised(one: Released) -> Iterator[dict[str, Any]]:
  """Yields all that has to be the same every time."""
  yield from _subjects(one)
  yield from _byproducts(one)


def _subjects(one: Released) -> Iterator[dict[str, Any]]:
  for name, digest in one.digests.items():
    yield _resource(name, digest)


def _byproducts(one: Released) -> Iterator[dict[str, Any]]:
  """Yields what is no part of the archive, but is the same every time too."""
  handle = one.page.handle
  yield _resource(f"{handle}.tar", one.tar_digest)
  docs = one.page.docs_path
  yield _resource(docs, file_digest(os.path.join(one.root, docs)))
  if one.page.kaggle:
    for name in kaggle.FILES:
      path = os.path.join(one.folder, name)
      yield _resource(f"{handle}/{name}", file_digest(path))
  yield {
    "name": "parts of saved_model.pb",
    "annotations": parts(os.path.join(one.folder, "saved_model.pb")),
  }


def parts(path: str) -> dict[str, str]:
  """Returns a short digest of each part of a saved_model.pb.

  By them two of these files can be told where they differ.
  """
  with open(path, "rb") as f:
    graph = saved_model_pb2.SavedModel.FromString(f.read()).meta_graphs[0]
  found = {
    f"function {function.signature.name}": function
    for function in graph.graph_def.library.function
  }
  found["meta_info_def"] = graph.meta_info_def
  found["saver_def"] = graph.saver_def
  found["object_graph_def"] = graph.object_graph_def
  for name, signature in graph.signature_def.items():
    found[f"signature {name}"] = signature
  for node in graph.graph_def.node:
    found[f"node {node.name}"] = node
  return {
    name: hashlib.sha256(
      part.SerializeToString(deterministic=True)
    ).hexdigest()[:16]
    for name, part in sorted(found.items())
  }


def _resource(name: str, digest: str) -> dict[str, Any]:
  return {"name": name, "digest": {"sha256": digest}}


def _now() -> str:
  return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
