r"""Converts a SavedModel to LiteRT, with Model Garden's flags.

  python -m official.vision.serving.export_tflite \
    --experiment=resnet_imagenet --config_file=/path/to/params.yaml \
    --saved_model_dir=/tmp/resnet/saved_model --quant_type=int8_full \
    --tflite_path=/tmp/resnet.tflite

The SavedModel is one of `export_saved_model --input_type=tflite`. The file is
called in its own runtime and compared with the SavedModel; if it differs too
much, nothing is written.
"""

from absl import flags

from exporters.command_line import program
from exporters.errors import ExportError
from exporters.errors import explained
from exporters.overlay import experiment_flags

_EXPERIMENT = experiment_flags.define()
_SAVED_MODEL_DIR = flags.DEFINE(
  program.PathParser(), "saved_model_dir", None, "The SavedModel."
)
_TFLITE_PATH = flags.DEFINE(
  program.PathParser(), "tflite_path", None, "The file to write."
)
_QUANT_TYPE = flags.DEFINE_string(
  "quant_type",
  None,
  "`fp16`; `default`, 8-bit weights; `int8_fallback`, integers where there are "
  "operations for them; `int8_full`, `int8_full_int8_io` and "
  "`int8_full_fp32_io`, integers throughout, with inputs and outputs of uint8, "
  "int8 and float32; `qat` and `qat_fp32_io` for models that were trained with "
  "quantization. If it is not set, float32.",
)
_CALIBRATION_STEPS = flags.DEFINE_integer(
  "calibration_steps",
  500,
  "How many images of the experiment's training data to calibrate with, at "
  "most 500.",
  lower_bound=1,
)
_CALIBRATION_FILE = flags.DEFINE(
  program.PathParser(),
  "calibration_file",
  None,
  "In place of the training data, a .npz with one array, whose name is that of "
  "the SavedModel's input and whose first axis counts the images.",
)
_DENYLISTED_OPS = flags.DEFINE_string(
  "denylisted_ops",
  "",
  "Operators that stay in float32 in an int8 model, such as `SOFTMAX,MEAN`.",
)
_BOUND = flags.DEFINE_float(
  "bound",
  None,
  "How far outputs may be from the SavedModel's, as a share of an output's "
  "largest absolute value. If it is not set, as docs/companions.md says.",
)


def main() -> None:
  """Converts what the flags describe."""
  program.prepare_tensorflow()
  from exporters.overlay import arguments
  from exporters.overlay import garden_lite

  arguments.require(
    experiment=_EXPERIMENT.name,
    saved_model_dir=_SAVED_MODEL_DIR.value,
    tflite_path=_TFLITE_PATH.value,
  )
  quant_type = _QUANT_TYPE.value or ""
  if quant_type not in garden_lite.FORMS:
    raise ExportError(
      f"There is no --quant_type={quant_type}; choose one of "
      f"{', '.join(filter(None, garden_lite.FORMS))}."
    )
  if _CALIBRATION_FILE.value:
    arguments.require(calibration_file=_CALIBRATION_FILE.value)
  params = _EXPERIMENT.read()

  def images():
    from official.vision.serving import export_tflite_lib

    return (
      image
      for (image,) in export_tflite_lib.representative_dataset(
        params, calibration_steps=_CALIBRATION_STEPS.value
      )
    )

  if garden_lite.FORMS[quant_type].is_calibrated and not (
    _CALIBRATION_FILE.value
  ):
    arguments.note(
      "the images of the training data are cut as for evaluation, in their "
      "order, so that each run writes the same file; Model Garden's command "
      "draws them at random."
    )
  with explained("convert this SavedModel"):
    garden_lite.write(
      _SAVED_MODEL_DIR.value,
      _TFLITE_PATH.value,
      quant_type=quant_type,
      images=images,
      calibration_file=_CALIBRATION_FILE.value,
      float_operators=[op for op in _DENYLISTED_OPS.value.split(",") if op],
      bound=_BOUND.value,
    )


if __name__ == "__main__":
  program.run(main, modules=[__name__, experiment_flags.__name__])
