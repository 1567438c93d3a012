"""Flags that the commands at Model Garden's paths have beside its own."""

from absl import flags

LOGITS = (
  "`classification` gives logits, as TF Hub asks for, not probabilities; "
  "--probabilities brings those back."
)


def define_probabilities() -> flags.FlagHolder:
  return flags.DEFINE_bool(
    "probabilities",
    False,
    "Let `classification` give probabilities, as Model Garden's command did.",
  )
