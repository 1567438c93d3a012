r"""Exports a vision model for serving, with Model Garden's flags.

  python -m official.vision.serving.export_saved_model \
    --experiment=resnet_imagenet --config_file=/path/to/params.yaml \
    --checkpoint_path=/path/to/ckpt-62400 --input_type=image_bytes \
    --export_dir=/tmp/resnet

The signatures are Model Garden's. Image classifiers, and video classifiers on a
3D ResNet, also have the call of `exporters`, which takes images in [0, 1] and
can be fine-tuned:

  model = hub.load("/tmp/resnet/saved_model")
  logits = model(images)
  served = model.signatures["serving_default"](inputs=files)
"""

from absl import flags

from exporters.command_line import program
from exporters.errors import ExportError
from exporters.errors import explained
from exporters.overlay import experiment_flags

_EXPERIMENT = experiment_flags.define()
_EXPORT_DIR = flags.DEFINE(
  program.PathParser(), "export_dir", None, "The directory to write."
)
_CHECKPOINT_PATH = flags.DEFINE(
  program.PathParser(),
  "checkpoint_path",
  None,
  "The checkpoint, of any kind. If it is not set, the weights are random.",
)
_BATCH_SIZE = flags.DEFINE_integer(
  "batch_size", None, "The size of a batch; any, if it is not set."
)
_INPUT_TYPE = flags.DEFINE_string(
  "input_type",
  "image_tensor",
  "One of `image_tensor` (uint8), `image_bytes` (files), `tf_example` and "
  "`tflite` (float32, normalized by the client).",
)
_INPUT_IMAGE_SIZE = flags.DEFINE_string(
  "input_image_size",
  "224,224",
  "Height and width of the model's images; before these, of videos, the number "
  "of frames.",
)
_EXPORT_CHECKPOINT_SUBDIR = flags.DEFINE_string(
  "export_checkpoint_subdir",
  "checkpoint",
  "Where to write a checkpoint of the model, below --export_dir.",
)
_EXPORT_SAVED_MODEL_SUBDIR = flags.DEFINE_string(
  "export_saved_model_subdir",
  "saved_model",
  "Where to write the SavedModel, below --export_dir.",
)
_LOG_MODEL_FLOPS_AND_PARAMS = flags.DEFINE_bool(
  "log_model_flops_and_params",
  False,
  "Write how much a detector computes, and its parameters.",
)
_INPUT_NAME = flags.DEFINE_string(
  "input_name",
  None,
  "What the signature calls its input; `inputs`, if it is not set.",
)
_FUNCTION_KEYS = flags.DEFINE_string(
  "function_keys",
  "",
  "Several signatures: input types with their names, such as "
  "`tf_example:serving_default,image_tensor:serving_image_tensor`.",
)
_ADD_TPU_FUNCTION_ALIAS = flags.DEFINE_bool(
  "add_tpu_function_alias",
  False,
  "Name the function that a converter for TPUs looks for.",
)
_CHECKS = program.define_checks()


def main() -> None:
  """Exports what the flags describe."""
  program.prepare_tensorflow()
  from official.vision.serving import export_saved_model_lib

  from exporters.overlay import arguments

  arguments.require(experiment=_EXPERIMENT.name, export_dir=_EXPORT_DIR.value)
  size, keys = _size(), _function_keys()
  params = _EXPERIMENT.read()
  if not _CHECKPOINT_PATH.value:
    arguments.note("without --checkpoint_path, the weights are random.")
  if getattr(params.task.train_data, "zero_centering_image", False):
    arguments.note(
      "the model gets videos in [-1, 1], as in its training; Model Garden's "
      "command gives it [0, 1]."
    )
  if set(keys) - {_INPUT_TYPE.value}:
    arguments.note(
      "each image is cut and resized once, by any signature; Model Garden's "
      "command may do so twice, or not at all, for those that --input_type "
      "does not name."
    )
  with explained("export this experiment"):
    export_saved_model_lib.export_inference_graph(
      input_type=_INPUT_TYPE.value,
      batch_size=_BATCH_SIZE.value,
      input_image_size=size,
      params=params,
      checkpoint_path=_CHECKPOINT_PATH.value,
      export_dir=_EXPORT_DIR.value,
      export_checkpoint_subdir=_EXPORT_CHECKPOINT_SUBDIR.value,
      export_saved_model_subdir=_EXPORT_SAVED_MODEL_SUBDIR.value,
      log_model_flops_and_params=_LOG_MODEL_FLOPS_AND_PARAMS.value,
      input_name=_INPUT_NAME.value,
      function_keys=keys,
      add_tpu_function_alias=_ADD_TPU_FUNCTION_ALIAS.value,
      level=_CHECKS.value,
    )


def _size() -> list[int]:
  given = _INPUT_IMAGE_SIZE.value
  try:
    size = [int(part) for part in given.split(",")]
  except ValueError:
    size = []
  if len(size) not in (2, 3) or min(size) < 1:
    raise ExportError(
      f"--input_image_size={given} must be HEIGHT,WIDTH; of videos, "
      "FRAMES,HEIGHT,WIDTH."
    )
  return size


def _function_keys() -> dict[str, str]:
  pairs = [pair for pair in _FUNCTION_KEYS.value.split(",") if pair]
  keys = {}
  for pair in pairs:
    key, colon, name = pair.partition(":")
    if not colon or not key or not name:
      raise ExportError(
        f"--function_keys has '{pair}', which must be an input type and the "
        "name of its signature, such as `tf_example:serving_default`."
      )
    keys[key] = name
  return keys


if __name__ == "__main__":
  program.run(main, modules=[__name__, experiment_flags.__name__])
