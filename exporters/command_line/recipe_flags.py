"""The flags that say what to export and which checks to make."""

from collections.abc import Sequence

from absl import flags

from exporters.command_line import program

_GIN_FILE = flags.DEFINE_multi(
  program.PathParser(),
  flags.ArgumentSerializer(),
  "gin_file",
  None,
  "What to export: a gin file below configs/, or your own.",
)
_GIN_BINDINGS = flags.DEFINE_multi_string(
  "gin_bindings",
  None,
  "One more line of gin, such as \"CHECKPOINT = '/path/to/checkpoint'\". The "
  "last one wins.",
)
_GIN_PARAMS = flags.DEFINE_multi_string(
  "gin_params", None, "The same as --gin_bindings, in Model Garden's spelling."
)
CHECKS = program.define_checks()
VERBOSE = flags.DEFINE_bool(
  "verbose",
  False,
  "List what the summary otherwise only counts: checks that do not apply, and "
  "tensors of the checkpoint that were not needed.",
)


def given() -> tuple[Sequence[str], Sequence[str]]:
  """Returns the gin files and the lines of gin that the flags have."""
  bindings = [*(_GIN_BINDINGS.value or ()), *(_GIN_PARAMS.value or ())]
  return _GIN_FILE.value or (), bindings


def load(companions: Sequence[str] | None = None):
  """Returns the `recipe.Recipe` that the flags describe.

  Args:
    companions: Kinds of companions, as `recipe.load` takes them.
  """
  from exporters import recipe
  from exporters.fields import paths

  files, bindings = given()
  loaded = recipe.load(files, bindings, companions)
  paths.refuse_missing(loaded.exporter)
  return loaded
