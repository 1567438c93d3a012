"""Records how a release was made: an in-toto Statement, SLSA v1 predicate.

https://in-toto.io/Statement/v1, https://slsa.dev/spec/v1.0/provenance. The
subjects are the archive, the files in it and the companions. The parameters are
the git commit and the gin recipe, with digests in place of this machine's
paths. The dependencies are the files that were read, and the packages.
"""

from collections.abc import Iterator, Mapping
import contextlib
import datetime
from importlib import metadata
import json
import os
import platform
import re
from typing import Any

import gin
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from exporters.fields import paths
from exporters.life_cycle import version
from exporters.recipe import Recipe
from exporters.release import bound_paths
from exporters.release import digests
from exporters.release import modules
from exporters.release import privacy
from exporters.release import statement
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
# For companions.
_OPTIONAL_PACKAGES = ("tf2onnx", "onnx")


def materials(recipe: Recipe) -> dict[str, dict[str, str]]:
  """Returns sha256 of the files that a recipe reads.

  Returns:
    By the field or the function's parameter, then by the file's path below the
    folder that it names, or that its file is in.
  """
  found: dict[str, dict[str, str]] = {}
  for read in bound_paths.read(recipe):
    if read.path.startswith(statement.DIGEST):
      continue  # Of a recipe whose files nobody has named yet.
    path = os.path.expanduser(read.path)
    folder = path if tf.io.gfile.isdir(path) else os.path.dirname(path)
    found.setdefault(read.field, {}).update(
      (os.path.relpath(file, folder or os.curdir), _remote_digest(file))
      for file in read.files(recipe.exporter)
    )
  return found


def _remote_digest(path: str) -> str:
  with tf.io.gfile.GFile(path, "rb") as f:
    return digests.stream_digest(iter(lambda: f.read(1 << 24), b""))


def _joint_digest(files: Mapping[str, str]) -> str:
  """Returns one digest for several files: that of `sha256sum`'s output."""
  lines = "".join(f"{files[name]}  {name}\n" for name in sorted(files))
  return _digest(lines.encode())


def recipe_text(recipe: Recipe, found: Mapping[str, Mapping[str, str]]) -> str:
  """Returns the recipe that gin has read, without paths of this machine.

  A path is replaced with the digest of what is there, unless it is in this
  repository.
  """
  text = gin.config_str()
  for read in bound_paths.read(recipe):
    if not is_part(read.path):
      digest = statement.DIGEST + _joint_digest(found[read.field])
      text = _literal(read.path).sub(repr(digest), text)
  return text


def _literal(value: str) -> re.Pattern:
  """Matches a string as gin writes it.

  Whole, or cut in two after a space; a long one is on a line of its own.
  """
  whole = re.escape(repr(value))
  cut = re.sub(r"(\\ )", r"\1(?:'\\s+')?", whole)
  return re.compile(rf"(?:(?<== )\\\n\s+)?(?:\({cut}\)|{whole})")


class Recorder:
  """Writes the provenance of what is released from one recipe."""

  def __init__(self, recipe: Recipe, commit: Commit, level: str):
    for part in filter(None, (recipe.exporter, recipe.companions)):
      paths.refuse_missing(part)
    self._started = _now()
    self._commit = commit
    self._level = level
    self._materials = materials(recipe)
    self._recipe = recipe_text(recipe, self._materials)

  def __call__(self, one: Released) -> dict[str, Any]:
    """Writes the provenance beside an archive; returns its content."""
    content = {
      "_type": statement.STATEMENT_TYPE,
      "subject": _resources(one.digests),
      "predicateType": statement.PREDICATE_TYPE,
      "predicate": {
        "buildDefinition": {
          "buildType": statement.BUILD_TYPE,
          "externalParameters": {
            "recipe": self._recipe,
            "source": {
              "commit": self._commit.commit,
              "clean": not self._commit.changed,
            },
          },
          "internalParameters": {
            "machine": platform.machine(),
            "checks": self._level,
            "released together": list(one.together),
          },
          "resolvedDependencies": [*self._dependencies()],
        },
        "runDetails": {
          "builder": {
            "id": "urn:model-garden-exporter:scripts.release",
            "version": {version.NAME: version.version()},
          },
          "metadata": {"startedOn": self._started, "finishedOn": _now()},
          "byproducts": [
            *_resources(one.byproducts),
            {
              "name": "parts of saved_model.pb",
              "annotations": parts(os.path.join(one.folder, "saved_model.pb")),
            },
          ],
        },
      },
    }
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    privacy.refuse_private(
      text,
      "provenance",
      "Declare the exporter's field as a path, or give the path relative to "
      "the repository.",
    )
    with open(one.provenance, "w", encoding="utf-8") as f:
      f.write(text)
    return content

  def _dependencies(self) -> Iterator[dict[str, Any]]:
    for field, files in self._materials.items():
      yield from _resources({f"{field}/{n}": d for n, d in files.items()})
    # At the end of the export, which may have imported some.
    yield from _resources(modules.loaded())
    requirements = os.path.join(ROOT, "requirements.txt")
    yield from _resources(
      {"requirements.txt": digests.file_digest(requirements)}
    )
    for package, found in versions().items():
      yield {"name": package, "uri": f"pkg:pypi/{package.lower()}@{found}"}


def versions() -> dict[str, str]:
  """Returns the versions of Python and of the packages that affect bytes."""
  found = {package: metadata.version(package) for package in _PACKAGES}
  for package in _OPTIONAL_PACKAGES:
    with contextlib.suppress(metadata.PackageNotFoundError):
      found[package] = metadata.version(package)
  return found | {"python": platform.python_version()}


def parts(path: str) -> dict[str, str]:
  """Returns a short digest of each part of a saved_model.pb.

  They show where two of these files differ.
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
    name: _digest(part.SerializeToString(deterministic=True))[:16]
    for name, part in sorted(found.items())
  }


def _digest(content: bytes) -> str:
  return digests.stream_digest([content])


def _resources(found: Mapping[str, str]) -> list[dict[str, Any]]:
  """Returns SLSA's resource descriptors for digests by name."""
  return [
    {"name": name, "digest": {"sha256": digest}}
    for name, digest in found.items()
  ]


def _now() -> str:
  return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
