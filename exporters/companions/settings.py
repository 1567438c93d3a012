"""What a recipe says about companions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
import dataclasses
from typing import Any

from exporters.companions.kinds import KINDS
from exporters.errors import did_you_mean
from exporters.errors import refuse_all
from exporters.fields import types
from exporters.fields.paths import FilePath

_INT8 = "lite_int8"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Companions:
  """The companions of each SavedModel of a recipe.

  Attributes:
    kinds: Any of "lite" (LiteRT, float32), "lite_float16", "lite_dynamic"
      (8-bit weights), "lite_int8" (8-bit integers throughout) and "onnx".
    optional: Kinds that a release goes on without if they cannot be made, or
      differ too much.
    bounds: How far outputs may be from the SavedModel's, by kind, as a share of
      an output's largest absolute value. A kind that is left out has the
      default, 1e-5 for float32.
    calibration: For "lite_int8", a file of NumPy's (`.npz`) with inputs as the
      model gets them in use: an array for each input, by the name that the
      signature has for it, whose first axis counts the samples.
    calibration_data: In its place, a function that returns a `tf.data.Dataset`
      or another iterable of dicts, one for each sample: arrays by input,
      without a batch dimension.
    input_shapes: Shapes for inputs that a companion cannot leave open, by name,
      with None for a dimension that it can. A model of streams takes one piece
      of the first sample unless this says otherwise.
  """

  kinds: Sequence[str] = ()
  optional: Sequence[str] = ()
  bounds: Mapping[str, float] = dataclasses.field(default_factory=dict)
  calibration: FilePath | None = None
  calibration_data: Callable[[], Any] | None = None
  input_shapes: Mapping[str, Sequence[int | None]] = dataclasses.field(
    default_factory=dict
  )

  def __post_init__(self):
    types.refuse_other_types(self)
    refuse_all(self._mistakes())

  def bound(self, kind: str) -> float:
    """Returns how far a kind's outputs may be from the SavedModel's."""
    return self.bounds.get(kind, KINDS[kind].bound)

  def _mistakes(self) -> Iterator[str]:
    for field in ("kinds", "optional", "bounds"):
      for name in getattr(self, field):
        if name not in KINDS:
          yield (
            f"There is no kind of companion '{name}'."
            f"{did_you_mean(name, KINDS)} Companions.{field} takes "
            f"{', '.join(KINDS)}."
          )
    for name, count in Counter(self.kinds).items():
      if count > 1:
        yield f"Companions.kinds names '{name}' {count} times."
    for name, bound in self.bounds.items():
      if not 0 < bound < float("inf"):
        yield (
          f"Companions.bounds has {bound} for '{name}', but a bound is a "
          "positive number, such as 0.01."
        )
    if self.calibration and self.calibration_data:
      yield (
        "Companions has both calibration and calibration_data; leave one out."
      )
    if _INT8 in self.kinds and not (self.calibration or self.calibration_data):
      yield (
        "The companion 'lite_int8' needs samples of what the model will get, "
        "to choose the ranges of its integers. Name them: "
        "Companions.calibration = '/path/to/samples.npz', with one array for "
        "each input. 'lite_dynamic' needs none."
      )
