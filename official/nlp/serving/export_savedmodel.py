r"""Exports a text model for TF Serving, with Model Garden's flags.

  python -m official.nlp.serving.export_savedmodel \
    --task_name=SentencePrediction --config_file=/path/to/params.yaml \
    --checkpoint_path=/path/to/ckpt-62400 \
    --serving_params=inputs_only=false,parse_sequence_length=128 \
    --function_keys=serve --export_savedmodel_dir=/tmp/classifier

The SavedModel appears in a folder there that is called by the time. It has the
signatures of Model Garden's; `.from_ids` is the model, which can be trained
further.
"""

from collections.abc import Mapping
from typing import Any

from absl import flags

from exporters.command_line import program
from exporters.errors import ExportError
from exporters.errors import explained

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the flags."""
  flags.DEFINE_string(
    "task_name",
    "SentencePrediction",
    "The task: SentencePrediction, MaskedLM, QuestionAnswering, Tagging or "
    "Translation.",
  )
  flags.DEFINE(
    program.PathParser(),
    "config_file",
    None,
    "The YAML of the experiment, such as a training's params.yaml.",
  )
  flags.DEFINE(
    program.PathParser(),
    "checkpoint_path",
    None,
    "The checkpoint, of any kind, or the training's folder.",
  )
  flags.DEFINE(
    program.PathParser(),
    "export_savedmodel_dir",
    None,
    "The folder in which the SavedModel gets a folder called by the time.",
  )
  flags.DEFINE_string(
    "serving_params",
    None,
    "The parameters of serving, as YAML, JSON or name=value,name=value.",
  )
  flags.DEFINE_string(
    "function_keys",
    None,
    "The function to serve: serve, serve_examples, serve_text_examples or "
    "serve_text. Of several, with commas, the first is serving_default, and "
    "the others are signatures of their own names.",
  )
  flags.DEFINE_string(
    name="module_key",  # By keyword: it is not the path of a key.
    default=None,
    help="The name under which the checkpoint has the model, if not `model`.",
  )
  flags.DEFINE_bool(
    "convert_tpu",
    False,
    "Not supported: the converter for Cloud TPU's servers is not public.",
  )
  flags.DEFINE_multi_integer(
    "allowed_batch_size", None, "Has no effect without --convert_tpu."
  )
  for name, default in (
    ("num_batch_threads", 4),
    ("batch_timeout_micros", 100000),
    ("max_enqueued_batches", 1000),
  ):
    flags.DEFINE_integer(name, default, "Has no effect without --convert_tpu.")


def __getattr__(name: str) -> Any:
  if name == "SERVING_MODULES":
    from exporters.overlay import garden_serving

    return garden_serving.SERVING_MODULES
  raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def lookup_export_module(task: Any) -> Any:
  """Returns the class of the module that serves a task's model.

  Raises:
    ExportError: There is none.
  """
  from exporters.overlay import garden_serving

  return garden_serving.lookup_export_module(task)


def create_export_module(
  *,
  task_name: str,
  config_file: str | None,
  serving_params: Mapping[str, Any] | None,
) -> Any:
  """Builds a task's model, with weights drawn at random, and what serves it.

  Args:
    task_name: The name of a task, or a part of it.
    config_file: The YAML of an experiment.
    serving_params: The parameters of serving to set, by their names.

  Raises:
    ExportError: There is no such task, or it can't be served, or it has no such
      parameter.
  """
  from exporters.overlay import garden_serving

  return garden_serving.create_export_module(
    task_name=task_name, config_file=config_file, serving_params=serving_params
  )


def main() -> None:
  """Exports what the flags describe."""
  program.prepare_tensorflow()
  from official.modeling import hyperparams
  from official.nlp.serving import export_savedmodel_util
  import yaml

  from exporters.overlay import arguments

  if FLAGS.convert_tpu:
    raise ExportError(
      "--convert_tpu needs the converter for Cloud TPU's servers, which is not "
      "public. Leave it out: the SavedModel runs on CPUs and GPUs."
    )
  arguments.require(
    checkpoint_path=FLAGS.checkpoint_path,
    export_savedmodel_dir=FLAGS.export_savedmodel_dir,
    function_keys=FLAGS.function_keys,
  )
  if FLAGS.config_file:
    arguments.require(config_file=FLAGS.config_file)
  with explained("read --serving_params"):
    text = hyperparams.nested_csv_str_to_json_str(FLAGS.serving_params or "")
    serving_params = yaml.safe_load(text) or {}
  with explained("build the model that the flags describe"):
    module = create_export_module(
      task_name=FLAGS.task_name,
      config_file=FLAGS.config_file,
      serving_params=serving_params,
    )
  default, *others = FLAGS.function_keys.split(",")
  names = {default: "serving_default"} | {key: key for key in others}
  with explained("export this model"):
    path = export_savedmodel_util.export(
      module,
      function_keys=names,
      checkpoint_path=FLAGS.checkpoint_path,
      export_savedmodel_dir=FLAGS.export_savedmodel_dir,
      module_key=FLAGS.module_key,
      level=FLAGS.checks,
    )
  print(path)


if __name__ == "__main__":
  define_flags()
  program.define_checks()
  program.run(main, modules=[__name__])
