"""Reads the statement about a release that provenance.py writes."""

from collections.abc import Mapping, Sequence
import json
from typing import Any

from exporters.errors import ExportError

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:model-garden-exporter:release:v1"
SUFFIX = ".provenance.json"


def read(path: str) -> dict[str, Any]:
  """Returns a statement that is one of these.

  Raises:
    ExportError: It can't be read, or is another kind of statement.
  """
  from google.protobuf import json_format
  from in_toto_attestation.v1 import statement as in_toto
  from in_toto_attestation.v1 import statement_pb2

  try:
    with open(path, encoding="utf-8") as f:
      text = f.read()
    parsed = json_format.Parse(text, statement_pb2.Statement())
    in_toto.Statement.copy_from_pb(parsed).validate()
  except (OSError, UnicodeDecodeError, ValueError, json_format.ParseError) as e:
    reason = str(e).partition("\n")[0]
    raise ExportError(f"'{path}' is no in-toto statement: {reason}.") from e
  statement = json.loads(text)
  if not _is_ours(statement):
    raise ExportError(
      f"'{path}' is not the provenance of a release of this repository."
    )
  return statement


def _is_ours(statement: Mapping[str, Any]) -> bool:
  """Whether a statement has all that its readers here look for."""
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
  """Returns sha256 by name of those resources that have one."""
  return {
    resource["name"]: resource["digest"]["sha256"]
    for resource in resources
    if "sha256" in resource.get("digest", {})
  }


def archive_name(statement: Mapping[str, Any]) -> str:
  """Returns the name of the archive, `publisher/name/version.tar.gz`."""
  (name,) = filter(_is_archive, digests(statement["subject"]))
  return name


def _is_archive(name: str) -> bool:
  return name.endswith(".tar.gz")
