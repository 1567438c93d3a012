r"""Makes files for LiteRT and ONNX from a SavedModel, and proves them equal.

  python -m scripts.companion /path/to/saved_model --kind=lite \
    --kind=lite_float16 --export_path=/tmp/companions

writes `lite.tflite` and `lite_float16.tflite`. Each is called in its own
runtime with the inputs that the SavedModel was called with; if one differs by
more than the bound of its kind, nothing is written. The inputs are made up, by
the shapes and types that the signature has. The SavedModel may come from
anywhere: it is looked through before it is loaded.
"""

from collections.abc import Iterator
import os
import pathlib

from absl import flags

from exporters.bounds import confinement
from exporters.command_line import program
from exporters.errors import ExportError
from exporters.errors import printable

_KIND = flags.DEFINE_multi_string(
  "kind",
  [],
  "Which companion to make: lite, lite_float16, lite_dynamic, lite_int8 or "
  "onnx. May be repeated.",
)
_EXPORT_PATH = flags.DEFINE(
  program.PathParser(), "export_path", None, "The folder to write them to."
)
_OVERWRITE = flags.DEFINE_bool(
  "overwrite", False, "Replace what is at the export path."
)
_OPTIONAL = flags.DEFINE_multi_string(
  "optional",
  [],
  "Write the others if this one cannot be made or differs too much. May be "
  "repeated.",
)
_BOUND = flags.DEFINE_multi_string(
  "bound",
  [],
  "How far a kind's outputs may be from the SavedModel's, as a share of an "
  "output's largest absolute value: KIND=NUMBER, such as lite_int8=0.3. May be "
  "repeated.",
)
_CALIBRATION = flags.DEFINE(
  program.PathParser(),
  "calibration",
  None,
  "For lite_int8: a .npz with samples of what the model will get, an array for "
  "each input.",
)
_INPUT_SHAPE = flags.DEFINE_multi_string(
  "input_shape",
  [],
  "A shape to fix for an input that a companion cannot leave open: "
  "NAME=SIZE,SIZE,..., with -1 for what stays open. May be repeated.",
)

_LIMITS = program.define_limits()


def main(saved_model: str) -> None:
  """Makes the companions of one SavedModel."""
  if not _KIND.value:
    raise ExportError("Say what to make, such as --kind=lite; see --help.")
  if not _EXPORT_PATH.value:
    raise ExportError("Say where to write: --export_path=DIRECTORY.")
  if "lite_int8" in _KIND.value and not _CALIBRATION.value:
    raise ExportError(
      "'lite_int8' needs samples of what the model will get, to choose the "
      "ranges of its integers: --calibration=/path/to/samples.npz, with one "
      "array for each input. 'lite_dynamic' needs none."
    )
  beside = _existing_parent(_EXPORT_PATH.value)
  if confinement.repeated("scripts.companion", _LIMITS, beside):
    return
  bounds = dict(_bounds())
  shapes = dict(_shapes())
  program.prepare_tensorflow()
  from exporters.command_line import companion_rows
  from exporters.companions import making
  from exporters.companions.settings import Companions
  from exporters.life_cycle import staging
  from scripts import saved_models

  saved_models.refuse_hostile(saved_model)
  wanted = Companions(
    kinds=[*dict.fromkeys(_KIND.value)],
    optional=_OPTIONAL.value,
    bounds=bounds,
    calibration=_CALIBRATION.value,
    input_shapes=shapes,
  )
  target = _EXPORT_PATH.value
  with (
    staging.stage(target, overwrite=_OVERWRITE.value) as folder,
    program.status(f"converting {saved_model}"),
  ):
    made = making.make(saved_model, wanted, folder)
    if not made.companions:
      raise ExportError("\n".join(made.remarks))
  companion_rows.show(
    [companion_rows.moved(one, target) for one in made.companions]
  )
  for remark in made.remarks:
    print(f"note: {printable(remark)}")


def _existing_parent(target: str) -> str:
  """Returns the folder that a new one, or its parents, will be made in."""
  parents = pathlib.Path(os.path.abspath(target)).parents
  return next(str(folder) for folder in parents if folder.is_dir())


def _bounds() -> Iterator[tuple[str, float]]:
  for text in _BOUND.value:
    kind, _, number = text.partition("=")
    try:
      yield kind, float(number)
    except ValueError as e:
      raise ExportError(
        f"--bound={text} must be a kind and a number: --bound=lite_int8=0.3."
      ) from e


def _shapes() -> Iterator[tuple[str, list[int | None]]]:
  for text in _INPUT_SHAPE.value:
    name, _, sizes = text.rpartition("=")
    try:
      shape = [None if int(n) == -1 else int(n) for n in sizes.split(",")]
    except ValueError as e:
      raise ExportError(
        f"--input_shape={text} must be a name and sizes: "
        "--input_shape=image=1,224,224,3."
      ) from e
    yield name, shape


if __name__ == "__main__":
  program.run(main, modules=[], arguments=["SAVED_MODEL"])
