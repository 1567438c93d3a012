"""The command line of every exporter: the only flags, the only calls of gin.

An exporter module calls `run` before it imports anything heavy. So flags and
gin files are read first, `--help` is quick, and TensorFlow is imported once the
environment is as an export needs it.
"""

import os
import signal
import sys
import traceback
import warnings

from absl import app
from absl import flags
from absl import logging

from exporters.errors import ExportError

FLAGS = flags.FLAGS

_GIN_FILE = flags.DEFINE_multi_string(
  "gin_file",
  [],
  "What to export: a file below configs/, or your own. May be repeated.",
)
_GIN_BINDINGS = flags.DEFINE_multi_string(
  "gin_bindings",
  [],
  "One more line of gin, such as \"CHECKPOINT = '/path/to/checkpoint'\". May "
  "be repeated; the last one wins.",
)
_GIN_PARAMS = flags.DEFINE_multi_string(
  "gin_params", [], "The same as --gin_bindings, as Model Garden spells it."
)
_EXPORT_PATH = flags.DEFINE_string(
  "export_path", None, "The directory to write. It appears whole or not at all."
)
_OVERWRITE = flags.DEFINE_bool(
  "overwrite",
  False,
  "Replace what is at --export_path, once the new model has passed its checks.",
)
_CHECKS = flags.DEFINE_enum(
  "checks",
  "all",
  ["all", "basic", "none"],
  "What a fresh process tries on the model before it appears.",
)
_TRACEBACK = flags.DEFINE_bool(
  "traceback", False, "Show where in the code an error was raised."
)


def run() -> None:
  """Runs the module that is `__main__`, and exits."""
  for flag in FLAGS.flags_by_module_dict()[__name__]:
    FLAGS.register_key_flag_for_module(sys.argv[0], flag)
  app.run(_main)


def _main(argv: list[str]) -> None:
  # Keras 3 stays out: Model Garden is tf_keras, and the import costs seconds.
  os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
  # No remarks on processors and drivers between the lines that a person reads.
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
  # As an exception, so that an export that is told to end clears up.
  signal.signal(signal.SIGTERM, lambda *unused: sys.exit("error: terminated"))
  try:
    if len(argv) > 1:
      raise ExportError(
        f"What is '{argv[1]}'? Everything is said by flags; see --help."
      )
    if not _EXPORT_PATH.value:
      raise ExportError("Say where to write: --export_path=DIRECTORY.")
    _export()
  except ExportError as e:
    if _TRACEBACK.value:
      traceback.print_exc()
    sys.exit(f"error: {e}")


def _export() -> None:
  from exporters import console

  with console.Console() as shown:
    done = _run(shown.announce)
  shown.summarize(done)


def _run(announce):
  # TensorFlow is imported here, below the clock.
  import tensorflow as tf

  from exporters import base
  from exporters import recipe

  _say_if_overlay_is_not_first()
  warnings.filterwarnings("ignore", module="tf_keras")
  logging.set_verbosity(logging.ERROR)
  # It remarks on every Assert in a loop, at a level that nothing else silences.
  tf.config.optimizer.set_experimental_options({"loop_optimization": False})
  exporter = recipe.load(
    _GIN_FILE.value, _GIN_BINDINGS.value + _GIN_PARAMS.value
  ).exporter
  _refuse_other_module(type(exporter).__module__)
  return base.export(
    exporter,
    export_path=_EXPORT_PATH.value,
    overwrite=_OVERWRITE.value,
    level=_CHECKS.value,
    stages=base.Stages(announce),
  )


def _refuse_other_module(module: str) -> None:
  """The command and the gin file must speak of the same architecture."""
  spec = sys.modules["__main__"].__spec__
  if spec and spec.name.startswith("exporters.") and spec.name != module:
    raise ExportError(
      f"This gin file is for `python -m {module}`, not for `{spec.name}`."
    )


def _say_if_overlay_is_not_first() -> None:
  import official

  root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
  if os.path.dirname(os.path.dirname(official.__file__)) != root:
    print(
      f"note: `official` comes from {os.path.dirname(official.__file__)}; this "
      f"repository's own additions to it are not seen. Run from {root}.",
      file=sys.stderr,
    )
