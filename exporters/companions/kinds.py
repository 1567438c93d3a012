"""The kinds of companions, and how far each may be from its SavedModel."""

from collections.abc import Mapping
import dataclasses

LITE, ONNX = "lite", "onnx"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
  """One form in which a model may lie beside its SavedModel.

  Attributes:
    name: What a recipe and `--companions` call it.
    runtime: `LITE` or `ONNX`, the runtime that runs it.
    precision: The type of its weights, which is the last part of its handle.
    description: What it is, to follow "the model as".
    bound: How far an output may be from the SavedModel's, as a share of the
      largest absolute value of that output, unless the recipe says otherwise.
      docs/companions.md has the measurements behind it.
  """

  name: str
  runtime: str
  precision: str
  description: str
  bound: float

  @property
  def suffix(self) -> str:
    """How the names of its files end."""
    return {LITE: ".tflite", ONNX: ".onnx"}[self.runtime]

  @property
  def folder(self) -> str:
    """Where its files are below those of the model, and its handles too."""
    if self.runtime == ONNX:
      return "onnx"
    return f"tflite/{self.precision}"


KINDS: Mapping[str, Kind] = {
  kind.name: kind
  for kind in (
    Kind(
      name="lite",
      runtime=LITE,
      precision="float32",
      description="a LiteRT model with float32 weights",
      bound=1e-5,
    ),
    Kind(
      name="lite_float16",
      runtime=LITE,
      precision="float16",
      description="a LiteRT model with float16 weights",
      bound=1e-2,
    ),
    Kind(
      name="lite_dynamic",
      runtime=LITE,
      precision="dynamic",
      description="a LiteRT model with 8-bit weights",
      bound=0.1,
    ),
    Kind(
      name="lite_int8",
      runtime=LITE,
      precision="int8",
      description="a LiteRT model that computes with 8-bit integers",
      bound=0.2,
    ),
    Kind(
      name="onnx",
      runtime=ONNX,
      precision="float32",
      description="an ONNX model with float32 weights",
      bound=1e-5,
    ),
  )
}
