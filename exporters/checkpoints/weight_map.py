"""How a table names the tensor of each variable; `weight_maps` has the tables.

A row has Model Garden's name of a variable and another implementation's name of
the same. Where Model Garden's name ends in `/`, the row is about a layer, and
`WeightMap.parameters` says what the other side calls the layer's kernel, bias,
gamma and beta. `#` stands for a number. The first row is that of the word
embeddings.

PyTorch's `Linear` keeps its weight as [outputs, inputs], so kernels are
transposed. Model Garden's attention kernels have an axis for the heads: that is
a reshape of the same numbers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
import dataclasses
import functools
import re

import numpy as np

Rows = tuple[tuple[str, str], ...]
# Computes the value of a variable that has no tensor, from its shape.
Constant = Callable[[tuple[int, ...]], np.ndarray]

# An encoder's tensors, apart from the counting that PyTorch saves with them.
_OF_ENCODER = re.compile(r"(embeddings\w*|encoder|pooler|transformer)\b.*")
_COUNTING = re.compile(r".*\.position_ids")


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightMap:
  """A table, and how to read it.

  Attributes:
    rows: Pairs of Model Garden's name and the other side's.
    parameters: The other side's names of a layer's parameters, by Model
      Garden's.
    prefix: What models with heads put before the names of their encoder.
    transposed: Whether the other side's kernels are [outputs, inputs], and what
      a head adds to an embedding table is [columns, rows].
    absent: The values of variables for which the other side has no tensor, by
      the variable's name.
  """

  rows: Rows
  parameters: Mapping[str, str]
  prefix: str
  transposed: bool
  absent: Mapping[str, Constant] = dataclasses.field(default_factory=dict)

  @functools.cached_property
  def _patterns(self) -> Sequence[tuple[re.Pattern, str]]:
    # A scope may precede the name, such as the pretrainer's `bert/`.
    return [
      (
        re.compile(r"(?:.*/)?" + re.escape(ours).replace(r"\#", r"(\d+)")),
        theirs,
      )
      for ours, theirs in self.rows
    ]

  @functools.cached_property
  def _slot(self) -> re.Pattern:
    parameters = "|".join(sorted(set(self.parameters.values())))
    known = "|".join(
      re.escape(theirs).replace(r"\#", r"\d+")
      + (f"(?:{parameters})" if ours.endswith("/") else "")
      for ours, theirs in self.rows
    )
    return re.compile(f"(?:{known})[/.].+")

  def tensor(self, variable: str) -> str | None:
    """Returns the name of a variable's tensor, or None if no row has it."""
    layer, _, parameter = variable.rpartition("/")
    for pattern, theirs in self._patterns:
      whole = pattern.fullmatch(variable)
      match = whole or pattern.fullmatch(f"{layer}/")
      if not match or not whole and parameter not in self.parameters:
        continue
      for number in match.groups():
        theirs = theirs.replace("#", number, 1)
      return theirs if whole else theirs + self.parameters[parameter]
    return None

  def constant(self, variable: str) -> Constant | None:
    """Returns what computes the value of a variable that has no tensor."""
    for name, compute in self.absent.items():
      if f"/{variable}".endswith(f"/{name}"):
        return compute
    return None

  def scopes(self, tensors: Iterable[str]) -> list[str]:
    """Returns what stands before the names of encoders: `bert.`, `module.`.

    The word embeddings show it. Of several encoders, those with this table's
    prefix count first, and of these one without a wrapper's: the others are
    parts of its training, such as ELECTRA's generator.
    """
    separator, words = self.prefix[-1], self.rows[0][1]
    found = sorted(
      name.removesuffix(words)
      for name in tensors
      if f"{separator}{name}".endswith(f"{separator}{words}")
    )
    if not found or "" in found or self.prefix in found:
      return [self.prefix]
    prefix = f"{separator}{self.prefix}"
    return [s for s in found if f"{separator}{s}".endswith(prefix)] or found

  def plain(self, tensor: str, scope: str) -> str:
    """Returns a tensor's name as the table has it.

    Args:
      tensor: The name.
      scope: What stands before an encoder's names, such as `module.bert.`. A
        head's begin with as much of it as fits: `module.`.
    """
    *parts, _ = scope.split(self.prefix[-1])
    for part in parts:
      tensor = tensor.removeprefix(f"{part}{self.prefix[-1]}")
    return tensor

  def is_transposed(self, variable: str) -> bool:
    """Tells whether a variable is the transpose of its tensor."""
    # Those of a task's head are [outputs, inputs] in TF1, too.
    if f"/{self.tensor(variable)}".endswith("/output_weights"):
      return True
    return self.transposed and variable.endswith(
      ("/kernel", "/extra_output_weights")
    )

  def is_slot(self, tensor: str) -> bool:
    """Tells whether a tensor's name is that of one in the table, and more."""
    return bool(self._slot.fullmatch(tensor))

  def is_of_encoder(self, tensor: str) -> bool:
    """Tells whether a tensor, by its plain name, is a weight of the encoder."""
    is_counting = _COUNTING.fullmatch(tensor)
    return bool(_OF_ENCODER.fullmatch(tensor) and not is_counting)


def below(ours: str, theirs: str, rows: Rows) -> Rows:
  """Returns `rows` with a scope before each name: Model Garden's, theirs."""
  return tuple((ours + a, theirs + b) for a, b in rows)
