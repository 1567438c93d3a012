"""Model Garden's function that exports what a module serves, on `exporters`.

Its signature is that of the module of this name in tf-models-official. It
writes a Reusable SavedModel with these signatures, the same bytes every time.
"""

from collections.abc import Mapping
from typing import Any

from official.core import export_base
import tensorflow as tf

from exporters import checks
from exporters.overlay import garden_serving

get_timestamped_export_dir = export_base.get_timestamped_export_dir


def export(
  export_module: export_base.ExportModule,
  function_keys: list[str] | dict[str, str],
  export_savedmodel_dir: str,
  checkpoint_path: str | None = None,
  timestamped: bool = True,
  module_key: str | None = None,
  checkpoint_kwargs: Mapping[str, Any] | None = None,
  level: str = checks.NONE,
) -> str:
  """Exports what a module serves; returns the path of the SavedModel.

  Args:
    export_module: A module with a Keras model.
    function_keys: One of its functions, in a list, to be `serving_default`; or
      what each is called as a signature.
    export_savedmodel_dir: Where the SavedModel appears.
    checkpoint_path: A checkpoint of any kind. None: the weights that the model
      has.
    timestamped: Whether it appears in a folder there that is called by the
      time, as TF Serving asks for.
    module_key: The name under which the checkpoint has the model. None: as
      `checkpoint_kwargs` says, else "model".
    checkpoint_kwargs: What the checkpoint is restored into, by its names there.
    level: Which checks a fresh process makes.

  Raises:
    ValueError: `function_keys` is a list of several, or the module has no such
      function.
    ExportError: The model can't be exported.
  """
  names = function_keys
  if not isinstance(names, dict):
    if len(names) != 1:
      raise ValueError(
        "If the function_keys is a list, it must contain a single element. "
        f"{names}"
      )
    names = {names[0]: tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY}
  items = checkpoint_kwargs or {"model": export_module.model}
  if module_key:
    items = {module_key: export_module.model}
  path = export_savedmodel_dir
  if timestamped:
    path = get_timestamped_export_dir(path).decode()
  garden_serving.export(
    export_module,
    names,
    checkpoint_path=checkpoint_path,
    items=items,
    export_path=path,
    level=level,
  )
  return path
