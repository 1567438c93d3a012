"""Model Garden's quantizations for LiteRT, made as companions are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
import dataclasses
import os
import tempfile
from typing import Any

import numpy as np
import tensorflow as tf

from exporters.command_line import companion_rows
from exporters.companions import arrays
from exporters.companions import making
from exporters.companions import source
from exporters.companions.settings import Companions
from exporters.errors import ExportError
from exporters.errors import explained
from exporters.overlay import arguments

# As many as a companion is calibrated with.
_MOST = 500
# How many of them it is compared with.
_COMPARED = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Form:
  """What Model Garden calls a quantization.

  Attributes:
    kind: The companion that it is.
    lite: Further arguments of `companions.lite.convert`.
  """

  kind: str
  lite: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  @property
  def is_calibrated(self) -> bool:
    """Whether it needs images to choose the ranges of its integers by."""
    return self.kind == "lite_int8"


FORMS: Mapping[str, Form] = {
  "": Form(kind="lite"),
  "default": Form(kind="lite_dynamic"),
  "fp16": Form(kind="lite_float16"),
  "int8": Form(kind="lite_int8", lite={"fallback": True}),
  "int8_fallback": Form(kind="lite_int8", lite={"fallback": True}),
  "int8_full_fp32_io": Form(kind="lite_int8"),
  "int8_full": Form(kind="lite_int8", lite={"io": "uint8"}),
  "int8_full_int8_io": Form(kind="lite_int8", lite={"io": "int8"}),
  # Of models that were trained with quantization: their ranges are in them.
  "qat": Form(kind="lite_dynamic", lite={"io": "uint8"}),
  "qat_fp32_io": Form(kind="lite_dynamic"),
}


def make(
  saved_model: str,
  folder: str,
  *,
  quant_type: str | None,
  images: Callable[[], Iterable[Any]] | None = None,
  calibration_file: str | None = None,
  float_operators: Sequence[str] = (),
  bound: float | None = None,
  prove: bool = True,
) -> making.Companion:
  """Converts a SavedModel.

  Args:
    saved_model: Its directory.
    folder: Where to write the file, and others.
    quant_type: A name of `FORMS`, or None.
    images: Returns images, [1, height, width, channels], to calibrate with.
    calibration_file: A `.npz` with them, in its place.
    float_operators: Operators that stay in float32.
    bound: How far outputs may be from the SavedModel's. None: as companions.
    prove: Whether to compare them.

  Raises:
    ExportError: It can't be converted, or differs too much.
  """
  form = FORMS[quant_type or ""]
  lite = dict(form.lite)
  samples = None
  if float_operators:
    if not form.is_calibrated:
      raise ExportError(
        "Operators can stay in float32 only where others compute with "
        "integers: leave out --denylisted_ops, or choose an int8 quantization."
      )
    lite["float_operators"] = list(float_operators)
  if form.is_calibrated:
    path = calibration_file
    if not path:
      path = os.path.join(folder, "calibration.npz")
      _write(images, saved_model, path)
    calibration_file = path
    samples = _first(path)
  made = making.make(
    saved_model,
    Companions(
      kinds=[form.kind],
      optional=[form.kind],
      bounds={form.kind: bound} if bound else {},
      calibration=calibration_file if form.is_calibrated else None,
    ),
    folder,
    samples=samples,
    prove=prove,
    lite=lite,
  )
  if not made.companions:
    (remark,) = made.remarks
    _, _, reason = remark.partition(": ")
    if (quant_type or "").startswith("qat"):
      reason += " The model must have been trained with quantization."
    raise ExportError(f"The SavedModel cannot be converted: {reason}")
  return made.companions[0]


def _write(
  images: Callable[[], Iterable[Any]] | None, saved_model: str, path: str
) -> None:
  """Writes a file of images to calibrate with."""
  if images is None:
    raise ExportError(
      "Integers need images to choose their ranges by: the experiment's "
      "training data, or a file of them, --calibration_file."
    )
  name, shape = _input(saved_model)
  found: list[np.ndarray] = []
  with explained("read the experiment's training data"):
    for image in images():
      if len(found) == _MOST:
        arguments.note(f"the first {_MOST} images are enough to calibrate.")
        break
      found.append(np.asarray(image, np.float32)[0])
  if not found:
    raise ExportError(
      "The experiment's training data has no images with three channels. Name "
      "its files in task.train_data.input_path, or set --calibration_file."
    )
  if not shape[1:].is_compatible_with(found[0].shape):
    raise ExportError(
      f"The experiment's images are {list(found[0].shape)}, but the SavedModel "
      f"takes {shape}. Use the same --config_file and image size as for its "
      "export."
    )
  arrays.save(path, {name: np.stack(found)})


def _input(saved_model: str) -> tuple[str, tf.TensorShape]:
  """Returns the name and the shape of the one input that images go to."""
  path = os.path.join(saved_model, "saved_model.pb")
  with open(path, "rb") as f:
    signature = source.stated_signature(f.read())
  inputs = dict(signature.inputs)
  (name, *others) = inputs
  if others or inputs[name].dtype != tf.float32.as_datatype_enum:
    raise ExportError(
      "Only a SavedModel with one input of float32 can be calibrated with "
      "images. Export it with --input_type=tflite."
    )
  return name, tf.TensorShape(inputs[name].tensor_shape)


def _first(path: str) -> list[dict[str, np.ndarray]] | None:
  """Returns the first samples of a file, each as a batch of one.

  None: the file is no such file, as reading it to calibrate will say.
  """
  try:
    with np.load(path, allow_pickle=False) as file:
      whole = {name: file[name] for name in file.files}
    return [
      {name: array[i : i + 1] for name, array in whole.items()}
      for i in range(min(map(len, whole.values()), default=0))[:_COMPARED]
    ] or None
  except Exception:  # noqa: BLE001
    return None


def write(saved_model: str, target: str, **options: Any) -> None:
  """Writes the file, complete or not at all, and prints how close it is.

  Args:
    saved_model: The SavedModel's directory.
    target: The file.
    **options: Those of `make`.
  """
  if not os.path.isfile(os.path.join(saved_model, "saved_model.pb")):
    raise ExportError(f"There is no SavedModel at '{saved_model}'.")
  if os.path.isdir(target):
    raise ExportError(
      f"'{target}' is a folder, where a file is to be written. Choose another "
      "--tflite_path."
    )
  with tempfile.TemporaryDirectory() as work:
    made = make(saved_model, work, **options)
    tf.io.gfile.makedirs(os.path.dirname(target) or ".")
    # Beside it first, so that the last step is one rename.
    incoming = f"{target}.incoming"
    tf.io.gfile.copy(made.path, incoming, overwrite=True)
    tf.io.gfile.rename(incoming, target, overwrite=True)
    companion_rows.show([dataclasses.replace(made, path=target)])
