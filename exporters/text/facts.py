"""Facts about one model from several places, which must agree."""

from collections.abc import Mapping
from typing import Any

from exporters.errors import ExportError

GIN = "the gin file"
_MOST_LINES = 8


def agreed(places: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
  """Returns what all places together say.

  Args:
    places: What each says, by the name of a fact; by where it stands, to follow
      "in".

  Raises:
    ExportError: Two places contradict each other.
  """
  found: dict[str, tuple[Any, str]] = {}
  lines: dict[tuple[str, str], str] = {}
  for where, said in places.items():
    for name, value in said.items():
      known, first = found.setdefault(name, (value, where))
      if known != value:
        # The same contradiction twice says no more.
        lines.setdefault(
          (name, repr(value)),
          f"  {name}: {known!r} in {first}, {value!r} in {where}",
        )
  if lines:
    shown = list(lines.values())
    if len(shown) > _MOST_LINES:
      shown[_MOST_LINES:] = [f"  and {len(shown) - _MOST_LINES} more"]
    raise ExportError(
      "These contradict each other:\n"
      + "\n".join(shown)
      + "\nUse the gin file of this model, or fix the value that is wrong."
    )
  return {name: value for name, (value, _) in found.items()}


def refuse_longer(seq_length: int, lengths: Mapping[str, int]) -> None:
  """Raises `ExportError` if a model does not take as many tokens.

  Args:
    seq_length: How many tokens a preprocessor would make by default.
    lengths: The most that the model takes, by where it stands.
  """
  for where, most in lengths.items():
    if seq_length > most:
      raise ExportError(
        f"default_seq_length = {seq_length} in the gin file is more than the "
        f"model takes: {most}, by {where}. Set it to {most} or less."
      )
