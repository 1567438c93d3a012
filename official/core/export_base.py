"""Model Garden's function that exports a module, on `exporters`.

Everything else here is Model Garden's own. All of its commands that export for
serving call `export`, those of `official.projects` too.
"""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from exporters import base
from exporters.overlay import garden_modules
from exporters.overlay import hidden

_GARDEN = hidden.module(__name__)

MAX_DIRECTORY_CREATION_ATTEMPTS = _GARDEN.MAX_DIRECTORY_CREATION_ATTEMPTS
ExportModule = _GARDEN.ExportModule
get_timestamped_export_dir = _GARDEN.get_timestamped_export_dir


def export(
  export_module: Any,
  function_keys: list[str] | Mapping[str, str],
  export_savedmodel_dir: str,
  checkpoint_path: str | None = None,
  timestamped: bool = True,
  save_options: tf.saved_model.SaveOptions | None = None,
  checkpoint: tf.train.Checkpoint | None = None,
  *,
  exporter: base.CheckpointExporter | None = None,
  level: str = "none",
) -> str:
  """Exports a module's serving functions as signatures; returns the directory.

  Args:
    export_module: The `ExportModule`.
    function_keys: The keys of its functions, with the names of their
      signatures; or a list of one key, for `serving_default`.
    export_savedmodel_dir: Where the SavedModel appears. What else is in the
      directory stays.
    checkpoint_path: A checkpoint of any kind. None: the weights it has.
    timestamped: Whether to export to a directory below, called by the time.
    save_options: Those of the SavedModel.
    checkpoint: The objects to restore, by the names that the checkpoint has for
      them. None: the module's model, as `model`.
    exporter: Another exporter of the same model, whose call and sub-objects the
      SavedModel has too. The module's model becomes the one that it builds.
    level: Which checks a fresh process makes.

  Raises:
    ValueError: `function_keys` is a list of more or fewer keys than one.
    ExportError: The module can't be exported.
  """
  if isinstance(function_keys, list):
    if len(function_keys) != 1:
      raise ValueError(
        "If the function_keys is a list, it must contain a single element. "
        f"{function_keys}"
      )
    function_keys = {function_keys[0]: garden_modules.SERVING_DEFAULT}
  path = export_savedmodel_dir
  if timestamped:
    path = get_timestamped_export_dir(path).decode()
  garden_modules.export(
    export_module,
    function_keys,
    path,
    checkpoint_path=checkpoint_path,
    checkpoint=checkpoint,
    exporter=exporter,
    save_options=save_options,
    level=level,
  )
  return path
