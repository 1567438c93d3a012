"""The flags that say what to export and what to try on it."""

from absl import flags

from exporters.command_line import program

_GIN_FILE = flags.DEFINE_multi_string(
  "gin_file",
  [],
  "What to export: a file below configs/, or your own. May be repeated.",
)
_GIN_BINDINGS = flags.DEFINE_multi_string(
  "gin_bindings",
  [],
  "One more line of gin, such as \"CHECKPOINT = '/path/to/checkpoint'\". May "
  "be repeated; the last one wins.",
)
_GIN_PARAMS = flags.DEFINE_multi_string(
  "gin_params", [], "The same as --gin_bindings, as Model Garden spells it."
)
CHECKS = program.define_checks()
VERBOSE = flags.DEFINE_bool(
  "verbose",
  False,
  "List in the summary what it otherwise counts: the checks that do not apply, "
  "and the tensors of the checkpoint that were not needed.",
)


def load():
  """Returns the `recipe.Recipe` that the flags name."""
  from exporters import recipe

  return recipe.load(_GIN_FILE.value, _GIN_BINDINGS.value + _GIN_PARAMS.value)
