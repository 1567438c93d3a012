"""Reads the statement about a release that `provenance` writes."""

from collections.abc import Mapping, Sequence
import json
import re
from typing import Any

from exporters.errors import ExportError

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:model-garden-exporter:release:v1"

# Marks a digest that replaces a path in a recipe.
DIGEST = "sha256:"


def read(path: str) -> dict[str, Any]:
  """Returns a statement from a file.

  Raises:
    ExportError: It cannot be read, or it is another kind of statement.
  """
  from google.protobuf import json_format
  from in_toto_attestation.v1 import statement as in_toto
  from in_toto_attestation.v1 import statement_pb2

  try:
    with open(path, encoding="utf-8") as f:
      text = f.read()
    parsed = json_format.Parse(text, statement_pb2.Statement())
    in_toto.Statement.copy_from_pb(parsed).validate()
  except (OSError, ValueError, RecursionError, json_format.ParseError) as e:
    reason = str(e).partition("\n")[0]
    raise ExportError(f"'{path}' is not an in-toto statement: {reason}.") from e
  statement = json.loads(text)
  if not _is_ours(statement):
    raise ExportError(
      f"'{path}' is not the provenance of a release by this repository."
    )
  return statement


def _is_ours(statement: Mapping[str, Any]) -> bool:
  """Whether a statement has everything that is read here."""
  try:
    build = statement["predicate"]["buildDefinition"]
    return (
      statement["predicateType"] == PREDICATE_TYPE
      and build["buildType"] == BUILD_TYPE
      and isinstance(build["externalParameters"]["recipe"], str)
      and {"commit", "clean"} <= build["externalParameters"]["source"].keys()
      and "requirements.txt" in digests(build["resolvedDependencies"])
      and "runDetails" in statement["predicate"]
      and len([n for n in digests(statement["subject"]) if _is_archive(n)]) == 1
    )
  except (AttributeError, KeyError, TypeError):
    return False


def digests(resources: Sequence[Mapping[str, Any]]) -> dict[str, str]:
  """Returns sha256 by name, of the resources that have it."""
  return {
    resource["name"]: resource["digest"]["sha256"]
    for resource in resources
    if "sha256" in resource.get("digest", {})
  }


def archive_name(statement: Mapping[str, Any]) -> str:
  """Returns the name of the archive, `publisher/name/version.tar.gz`."""
  (name,) = filter(_is_archive, digests(statement["subject"]))
  return name


def unnamed(recipe: str) -> list[str]:
  """Returns the names in a recipe that have digests in place of paths."""
  return re.findall(rf"^(\S+) = (?:\\\s+)?'{DIGEST}[0-9a-f]+'$", recipe, re.M)


def _is_archive(name: str) -> bool:
  return name.endswith(".tar.gz")
