r"""Exports an image classifier of `official.vision`, with Model Garden's flags.

  python -m official.vision.serving.export_tfhub \
    --experiment=resnet_imagenet --config_file=/path/to/params.yaml \
    --checkpoint_path=/path/to/ckpt-62400 --export_dir=/tmp/resnet

The model takes images in [0, 1]; Model Garden's takes normalized ones.
"""

from absl import flags

from exporters.command_line import program
from exporters.errors import explained
from exporters.overlay import experiment_flags

_EXPERIMENT = experiment_flags.define()
_EXPORT_DIR = flags.DEFINE(
  program.PathParser(), "export_dir", None, "The directory to write."
)
_CHECKPOINT_PATH = flags.DEFINE(
  program.PathParser(), "checkpoint_path", None, "The checkpoint, of any kind."
)
_BATCH_SIZE = flags.DEFINE_integer(
  "batch_size", None, "Has no effect: the model takes any batch size."
)
_INPUT_IMAGE_SIZE = flags.DEFINE_string(
  "input_image_size",
  "224,224",
  "Height and width of the images that the model was trained on.",
)
_SKIP_LOGITS_LAYER = flags.DEFINE_boolean(
  "skip_logits_layer",
  False,
  "Export the feature vector instead of the classifier.",
)
_CHECKS = program.define_checks()


def main() -> None:
  """Exports what the flags describe."""
  program.prepare_tensorflow()
  from official.vision.serving import export_tfhub_lib

  from exporters.overlay import arguments

  arguments.require(
    experiment=_EXPERIMENT.name,
    export_dir=_EXPORT_DIR.value,
    checkpoint_path=_CHECKPOINT_PATH.value,
  )
  params = _EXPERIMENT.read()
  arguments.note(
    "the model takes images in [0, 1] and normalizes them itself; Model "
    "Garden's takes normalized ones."
  )
  with explained("export this experiment"):
    export_tfhub_lib.export_model_to_tfhub(
      batch_size=_BATCH_SIZE.value,
      input_image_size=[int(x) for x in _INPUT_IMAGE_SIZE.value.split(",")],
      params=params,
      checkpoint_path=_CHECKPOINT_PATH.value,
      export_path=_EXPORT_DIR.value,
      skip_logits_layer=_SKIP_LOGITS_LAYER.value,
      level=_CHECKS.value,
    )


if __name__ == "__main__":
  program.run(main, modules=[__name__, experiment_flags.__name__])
