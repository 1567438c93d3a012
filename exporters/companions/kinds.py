"""The kinds of companions, and how far each may be from its SavedModel."""

from collections.abc import Iterable, Mapping
import dataclasses
import importlib.util

from exporters.errors import ExportError

LITE, ONNX = "lite", "onnx"
# How the names of their files end.
SUFFIXES = (".tflite", ".onnx")


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
    return dict(zip((LITE, ONNX), SUFFIXES, strict=True))[self.runtime]

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
      bound=0.25,
    ),
    Kind(
      name="lite_int8",
      runtime=LITE,
      precision="int8",
      description="a LiteRT model that computes with 8-bit integers",
      bound=0.25,
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

# What scripts/onnx.txt brings.
_ONNX_PACKAGES = ("onnx", "onnxruntime", "tf2onnx")


def refuse_absent(names: Iterable[str]) -> None:
  """Raises `ExportError` if a kind needs packages that are not installed."""
  needs_onnx = any(KINDS[name].runtime == ONNX for name in names)
  if needs_onnx and not all(map(importlib.util.find_spec, _ONNX_PACKAGES)):
    raise ExportError(
      "Companions in ONNX need packages that are not installed. This adds them "
      "(100 MB): bash scripts/install_extra.sh onnx."
    )
