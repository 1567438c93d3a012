"""Makes a release again from its provenance, and compares the digests."""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import os
import tempfile
from typing import Any

from exporters import checks
from exporters import recipe as recipe_lib
from exporters.companions.kinds import KINDS
from exporters.errors import ExportError
from exporters.life_cycle import exporting
from exporters.release import git_commit
from exporters.release import modules
from exporters.release import provenance
from exporters.release import publish
from exporters.release import statement as statement_lib
from exporters.release.place import Place
from exporters.release.released import Released


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reproduction:
  """How a release that was made again compares with the original.

  Attributes:
    same: The files that are the same, byte for byte.
    different: The others, each with what is known about the difference.
    notes: Differences in code and packages, which may be the reason.
  """

  same: Sequence[str]
  different: Mapping[str, str]
  notes: Sequence[str]


def reproduce(
  path: str, gin_bindings: Sequence[str], stages: exporting.Stages
) -> Reproduction:
  """Exports the recipe in a provenance again.

  Args:
    path: The provenance.
    gin_bindings: Where the files are that the recipe names by digest.
    stages: Times and announces the stages.

  Raises:
    ExportError: A file differs from the one that the release was made from, or
      the export fails.
  """
  statement = statement_lib.read(path)
  build = statement["predicate"]["buildDefinition"]
  text = build["externalParameters"]["recipe"]
  recorded = statement_lib.digests(build["resolvedDependencies"])
  modules.refuse_others(recorded)
  with tempfile.TemporaryDirectory() as scratch:
    gin_file = os.path.join(scratch, "recipe.gin")
    with open(gin_file, "w", encoding="utf-8") as f:
      f.write(text)
    recipe = recipe_lib.load([gin_file], gin_bindings)
    with stages("compare the files"):
      _refuse_other_files(recipe, recorded, text)
    _, released = publish.release(
      _with_companions_of(statement, recipe),
      release_dir=os.path.join(scratch, "release"),
      level=checks.NONE,
      stages=stages,
      prove=lambda one: None,
    )
    return _compare(statement, released, _notes(build))


def _with_companions_of(
  statement: Mapping[str, Any], recipe: recipe_lib.Recipe
) -> recipe_lib.Recipe:
  """Returns a recipe without the companions that were left out.

  They were optional and differed too much. Here nothing is compared with the
  SavedModel, only with the digests.
  """
  wanted = recipe.companions
  if not wanted:
    return recipe
  model = statement_lib.archive_name(statement).removesuffix(".tar.gz")
  subjects = statement_lib.digests(statement["subject"])
  kinds = [
    name
    for name in wanted.kinds
    if Place(model=model, kind=KINDS[name]).path in subjects
  ]
  # One that cannot be made here differs; the recipe's other models don't count.
  wanted = dataclasses.replace(wanted, kinds=kinds, optional=kinds)
  return dataclasses.replace(recipe, companions=wanted)


def _refuse_other_files(
  recipe: recipe_lib.Recipe, recorded: Mapping[str, str], text: str
) -> None:
  given = {
    f"{field}/{name}": digest
    for field, files in provenance.materials(recipe).items()
    for name, digest in files.items()
  }
  lines = [
    f"  {name}: sha256 {given.get(name, '(missing)')}, it was {digest}"
    for name, digest in recorded.items()
    if given.get(name) != digest and not _is_of_code(name)
  ]
  if lines:
    flags = [
      f"--gin_bindings=\"{name} = '...'\""
      for name in statement_lib.unnamed(text)
    ]
    if flags:
      lines.append(f"Name the original files by {' '.join(flags)}")
    raise ExportError(
      "The release was made from other files than these:\n" + "\n".join(lines)
    )


def _is_of_code(name: str) -> bool:
  return name == "requirements.txt" or name.startswith(modules.PREFIX)


def _notes(build: Mapping[str, Any]) -> list[str]:
  notes = []
  recorded = build["externalParameters"]["source"]
  now = git_commit.read_commit()
  if recorded["commit"] != now.commit or not recorded["clean"] or now.changed:
    state = "" if recorded["clean"] else ", changed"
    here = ", changed" if now.changed else ""
    notes.append(
      f"code: commit {now.commit}{here}; it was {recorded['commit']}{state}"
    )
  versions = provenance.versions()
  for resource in build["resolvedDependencies"]:
    name, _, version = resource.get("uri", "").rpartition("@")
    if name and versions.get(resource["name"]) != version:
      notes.append(
        f"{resource['name']} {versions.get(resource['name'])}; it was {version}"
      )
  return notes


def _compare(
  statement: Mapping[str, Any],
  released: Sequence[Released],
  notes: Sequence[str],
) -> Reproduction:
  name = statement_lib.archive_name(statement)
  (one,) = (r for r in released if f"{r.page.handle}.tar.gz" == name)
  byproducts = statement["predicate"]["runDetails"]["byproducts"]
  recorded = statement_lib.digests([*statement["subject"], *byproducts])
  made = {**one.digests, **one.byproducts}
  same, different = [], {}
  for file, digest in recorded.items():
    if made.get(file) == digest:
      same.append(file)
    else:
      different[file] = f"sha256 {made.get(file, '(missing)')}, it was {digest}"
  for file in made.keys() - recorded.keys():
    different[file] = "it was not there"
  for file in different:
    if file.endswith("/saved_model.pb"):
      (annotations,) = (
        b["annotations"] for b in byproducts if "annotations" in b
      )
      now = provenance.parts(os.path.join(one.folder, "saved_model.pb"))
      different[file] += "; differs in " + ", ".join(
        list(_different_parts(annotations, now))[:10]
      )
  return Reproduction(
    same=same, different=different, notes=[*notes, *one.missing]
  )


def _different_parts(
  first: Mapping[str, str], second: Mapping[str, str]
) -> Iterator[str]:
  for name in sorted(first.keys() | second.keys()):
    if name not in first:
      yield f"{name} (new)"
    elif name not in second:
      yield f"{name} (gone)"
    elif first[name] != second[name]:
      yield name
