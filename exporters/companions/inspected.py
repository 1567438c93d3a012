"""What can be known of a companion's file without running it."""

from collections.abc import Mapping, Sequence
import dataclasses
import math


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inspected:
  """What a companion's file says of itself.

  Attributes:
    kind: The name of its kind, as `kinds.KINDS` has it.
    operators: How often it has each operator.
    inputs: The shape of each input, None where it is open.
    outputs: The names of the outputs.
  """

  kind: str
  operators: Mapping[str, int]
  inputs: Mapping[str, Sequence[int | None]]
  outputs: Sequence[str]


# The elements of a tensor: as many bytes as the formats' files may have.
LARGEST_TENSOR = 2 << 30


def is_bounded(shape: Sequence[int | None]) -> bool:
  """Whether a tensor has a size that a model's may have."""
  fixed = [size for size in shape if size is not None]
  return min(fixed, default=0) >= 0 and math.prod(fixed) <= LARGEST_TENSOR


def shown(name: str | bytes | None) -> str:
  """Returns a name of a stranger's for a message: short, and printable."""
  text = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
  escaped = (text or "").encode("unicode_escape").decode()
  return escaped if len(escaped) <= 100 else f"{escaped[:100]}..."
