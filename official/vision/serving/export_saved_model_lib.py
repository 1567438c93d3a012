"""Model Garden's function that exports a vision model for serving.

Its signature is that of the module of this name in tf-models-official.
"""

import contextlib
import os

from official.core import config_definitions as cfg
from official.core import export_base
from official.core import train_utils
from official.vision import configs
import tensorflow as tf

from exporters import checks
from exporters.overlay import arguments
from exporters.overlay import serving_modules

# The functions that become a TPU's, by the type of the input.
_FUNCTIONS = {
  "image_tensor": "inference_from_image_tensors",
  "image_bytes": "inference_from_image_bytes",
  "tf_example": "inference_from_tf_example",
}


def export_inference_graph(
  input_type: str,
  batch_size: int | None,
  input_image_size: list[int],
  params: cfg.ExperimentConfig,
  checkpoint_path: str | None,
  export_dir: str,
  num_channels: int | None = 3,
  export_module: export_base.ExportModule | None = None,
  export_checkpoint_subdir: str | None = None,
  export_saved_model_subdir: str | None = None,
  save_options: tf.saved_model.SaveOptions | None = None,
  log_model_flops_and_params: bool = False,
  checkpoint: tf.train.Checkpoint | None = None,
  input_name: str | None = None,
  function_keys: list[str] | dict[str, str] | None = None,
  add_tpu_function_alias: bool | None = False,
  level: str = checks.NONE,
) -> None:
  """Exports the model of an experiment with signatures for serving.

  Args:
    input_type: `image_tensor`, `image_bytes`, `tf_example` or `tflite`.
    batch_size: The size of a batch; None: any.
    input_image_size: Height and width of the images; before these, of videos,
      the number of frames.
    params: The experiment.
    checkpoint_path: A checkpoint of any kind. None: the weights are random, or
      those that `export_module` has.
    export_dir: The directory to write. What else is in it stays.
    num_channels: The number of the images' channels.
    export_module: The module to export. None: the one for the task.
    export_checkpoint_subdir: Where to write a checkpoint below `export_dir`.
      None: nowhere.
    export_saved_model_subdir: Where to write the SavedModel below it. None: to
      itself.
    save_options: Those of the SavedModel.
    log_model_flops_and_params: Whether to write `model_flops.txt` and
      `model_params.txt`, of a detector.
    checkpoint: The objects to restore, by the names that the checkpoint has for
      them. None: the model, as `model`.
    input_name: What the signature calls its input. None: `inputs`.
    function_keys: The keys of the module's functions, with the names of their
      signatures; or a list of one key, for `serving_default`. None: the input
      type.
    add_tpu_function_alias: Whether to name the function that a TPU would run.
    level: Which checks a fresh process makes.

  Raises:
    ValueError: There is no module for the experiment's task, or no TPU function
      for the input type.
    ExportError: The model can't be exported.
  """
  exporter = None
  module = export_module
  if module is None:
    task = serving_modules.of(params)
    restored = checkpoint_path and not checkpoint
    if task.exporter and restored and num_channels == 3:
      exporter = task.exporter(params, input_image_size, checkpoint_path)
    make = task.own_module if exporter and task.own_module else task.module
    settings = {
      "params": params,
      "batch_size": batch_size,
      "input_image_size": [*input_image_size],
      "input_type": input_type,
      "num_channels": num_channels,
      "input_name": input_name,
    }
    module = make(**settings)
  if add_tpu_function_alias:
    if input_type not in _FUNCTIONS:
      raise ValueError(
        "add_tpu_function_alias is only allowed for input_type of: "
        f"{', '.join(_FUNCTIONS)}."
      )
    function = getattr(module, _FUNCTIONS[input_type])
    save_options = tf.saved_model.SaveOptions(
      function_aliases={"tpu_candidate": function}
    )
  export_base.export(
    module,
    function_keys=function_keys or [input_type],
    export_savedmodel_dir=os.path.join(
      export_dir, export_saved_model_subdir or ""
    ).rstrip(os.sep),
    checkpoint=checkpoint,
    checkpoint_path=checkpoint_path,
    timestamped=False,
    save_options=save_options,
    exporter=exporter,
    level=level,
  )
  if export_checkpoint_subdir:
    tf.train.Checkpoint(model=module.model).save(
      os.path.join(export_dir, export_checkpoint_subdir, "ckpt")
    )
  train_utils.serialize_config(params, export_dir)
  if log_model_flops_and_params:
    # As Model Garden counts them: of the model that its own module builds.
    counted = task.module(**settings) if exporter else module
    _log_flops_and_params(
      counted.model, params, export_dir, [*input_image_size, num_channels]
    )


def _log_flops_and_params(
  model: tf.Module,
  params: cfg.ExperimentConfig,
  export_dir: str,
  shape: list[int],
) -> None:
  """Writes how much a detector computes, and its parameters."""
  if not isinstance(
    params.task,
    (configs.retinanet.RetinaNetTask, configs.maskrcnn.MaskRCNNTask),
  ):
    arguments.note(
      "model_flops.txt and model_params.txt are written only for detectors."
    )
    return
  inputs = {
    "images": tf.TensorSpec([1, *shape], tf.float32),
    "image_shape": tf.TensorSpec([1, 2], tf.float32),
  }
  # A subclassed model is built by its first call.
  model(**{name: tf.ones(spec.shape) for name, spec in inputs.items()})
  # TensorFlow's profiler prints its whole report.
  with open(os.devnull, "w") as f, contextlib.redirect_stdout(f):
    train_utils.try_count_flops(
      model, inputs, os.path.join(export_dir, "model_flops.txt")
    )
  train_utils.write_model_params(
    model, os.path.join(export_dir, "model_params.txt")
  )
