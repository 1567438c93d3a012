"""The flags of commands that release: where to, with what, signed by what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import flags

from exporters.command_line import program
from exporters.command_line import recipe_flags
from exporters.errors import ExportError

if TYPE_CHECKING:
  from exporters.release.git_commit import Commit

RELEASE_DIR = flags.DEFINE(
  program.PathParser(),
  "release_dir",
  None,
  "The directory to add the release to. A version appears complete, or not at "
  "all.",
)
_STRICT = flags.DEFINE_bool(
  "strict",
  False,
  "Release only from a clean git checkout.",
)
_DRAFT = flags.DEFINE_bool(
  "draft",
  False,
  "Allow --checks=basic and --checks=none, to try out a recipe. Do not publish "
  "the result.",
)
COMPANIONS = flags.DEFINE_list(
  "companions",
  None,
  "Files for other runtimes to make from each SavedModel: any of lite, "
  "lite_float16, lite_dynamic, lite_int8 and onnx, in place of those of the "
  "gin file. --companions= leaves out those as well.",
)
SIGN_KEY = flags.DEFINE(
  program.PathParser(),
  "sign_key",
  None,
  "A private elliptic-curve key (PEM) to sign the archive, the companions and "
  "the provenance with.",
)


def commit(*, remote: bool = False) -> Commit:
  """Returns the commit that will release.

  Args:
    remote: Whether the directory may be at an address.

  Raises:
    ExportError: The flags ask for what cannot be released.
  """
  directory = RELEASE_DIR.value
  if not directory:
    raise ExportError("Say where to write: --release_dir=DIRECTORY.")
  if "://" in directory and not remote:
    raise ExportError(
      f"Cannot release to '{directory}': a release is made on the local disk. "
      "Copy its files from there; they never change."
    )
  if recipe_flags.CHECKS.value != "all" and not _DRAFT.value:
    raise ExportError(
      f"A release needs all checks, not --checks={recipe_flags.CHECKS.value}. "
      "Leave out the flag; or add --draft, and do not publish the result."
    )
  from exporters.release import git_commit
  from exporters.release import signing

  found = git_commit.read_commit()
  if _STRICT.value:
    found.refuse_dirty()
  if SIGN_KEY.value:
    signing.refuse_unusable(SIGN_KEY.value)
  return found
