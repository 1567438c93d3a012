"""The flag that these image commands have in addition to Model Garden's."""

from absl import flags

LOGITS = (
  "`classification` returns logits, as TF Hub asks for, not probabilities; "
  "--probabilities brings these back."
)


def define_probabilities() -> flags.FlagHolder:
  """Defines --probabilities."""
  return flags.DEFINE_bool(
    "probabilities",
    False,
    "Let `classification` return probabilities, as Model Garden's command did.",
  )
