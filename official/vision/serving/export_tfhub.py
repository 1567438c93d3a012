r"""Exports an image classifier of `official.vision`, with Model Garden's flags.

  python -m official.vision.serving.export_tfhub \
    --experiment=resnet_imagenet --config_file=/path/to/params.yaml \
    --checkpoint_path=/path/to/ckpt-62400 --export_dir=/tmp/resnet

The model takes images in [0, 1]; Model Garden's takes normalized ones.
"""

from absl import flags

from exporters.command_line import program
from exporters.errors import ExportError
from exporters.errors import explained

_EXPERIMENT = flags.DEFINE_string(
  "experiment", None, "The experiment, such as 'resnet_imagenet'."
)
_EXPORT_DIR = flags.DEFINE(
  program.PathParser(), "export_dir", None, "The directory to write."
)
_CHECKPOINT_PATH = flags.DEFINE(
  program.PathParser(), "checkpoint_path", None, "The checkpoint, of any kind."
)
_CONFIG_FILE = flags.DEFINE_multi(
  program.PathParser(),
  flags.ArgumentSerializer(),
  "config_file",
  None,
  "YAML or JSON files that override the experiment's.",
)
_PARAMS_OVERRIDE = flags.DEFINE_string(
  "params_override", "", "YAML or JSON that overrides those files."
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
  from official.vision import registry_imports  # noqa: F401 - for its effect.
  from official.vision.serving import export_tfhub_lib

  from exporters.overlay import arguments

  arguments.require(
    experiment=_EXPERIMENT.value,
    export_dir=_EXPORT_DIR.value,
    checkpoint_path=_CHECKPOINT_PATH.value,
  )
  with explained("read the experiment that the flags describe"):
    params = _experiment()
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


def _experiment():
  """Returns the experiment's configuration, as the flags override it."""
  from official.core import exp_factory
  from official.modeling import hyperparams

  params = exp_factory.get_exp_config(_EXPERIMENT.value)
  overrides = [*(_CONFIG_FILE.value or []), _PARAMS_OVERRIDE.value]
  for override in filter(None, overrides):
    try:
      params = hyperparams.override_params_dict(
        params, override, is_strict=True
      )
    except KeyError as e:
      # Model Garden's command goes on and takes a misspelt key for a new one.
      raise ExportError(
        f"'{override}' sets a field that the experiment '{_EXPERIMENT.value}' "
        f"does not have: {e.args[0]}"
      ) from e
  params.validate()
  params.lock()
  return params


if __name__ == "__main__":
  program.run(main, modules=[__name__])
