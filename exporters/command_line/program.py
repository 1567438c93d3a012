"""What every command of this repository does before and after its own work.

A module that is a command calls `run` before it imports anything heavy. So
flags are read first, `--help` is quick, and TensorFlow is imported once the
environment is as it needs it.
"""

import atexit
from collections.abc import Callable, Iterator, Sequence
import contextlib
import gc
import os
import pathlib
import signal
import sys
import traceback
import warnings

from absl import app
from absl import flags
from absl import logging

from exporters.errors import ExportError

FLAGS = flags.FLAGS

_TRACEBACK = flags.DEFINE_bool(
  "traceback", False, "Show where in the code an error was raised."
)


def define_checks() -> flags.FlagHolder:
  """Defines the flag of every command that tries what it has before it."""
  return flags.DEFINE_enum(
    "checks",
    "all",
    ["all", "basic", "none"],
    "What a fresh process tries on the model; with none it is not loaded.",
  )


def run(
  main: Callable[..., None],
  *,
  modules: Sequence[str],
  arguments: Sequence[str] = (),
) -> None:
  """Runs `main` as the program, and exits.

  Args:
    main: Gets the arguments that are no flags.
    modules: Those whose flags `--help` shows.
    arguments: Names of the arguments that must be given; if the last one ends
      in `...`, any number of it.
  """
  for module in (*modules, __name__):
    for flag in FLAGS.flags_by_module_dict().get(module, ()):
      FLAGS.register_key_flag_for_module(sys.argv[0], flag)
  app.run(lambda argv: _main(main, argv[1:], arguments))


def _main(
  main: Callable[..., None], given: Sequence[str], arguments: Sequence[str]
) -> None:
  # Nearly all that TensorFlow and Keras make lives until the end: to look
  # through it for cycles, again and again, takes an eighth of an export, and as
  # much once more as the interpreter ends.
  gc.disable()
  atexit.register(gc.freeze)
  # Keras 3 stays out: Model Garden is tf_keras, and the import costs seconds.
  os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
  # No remarks on processors and drivers between the lines that a person reads.
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
  # As an exception, so that an export that is told to end clears up.
  signal.signal(signal.SIGTERM, lambda *unused: sys.exit("error: terminated"))
  try:
    if len(given) < len(arguments):
      raise ExportError(f"Say {' '.join(arguments)}; see --help.")
    repeated = bool(arguments) and arguments[-1].endswith("...")
    if len(given) > len(arguments) and not repeated:
      raise ExportError(
        f"What is '{given[len(arguments)]}'? Everything "
        f"{'else ' if arguments else ''}is said by flags; see --help."
      )
    main(*given)
  except ExportError as e:
    if _TRACEBACK.value:
      traceback.print_exc()
    sys.exit(f"error: {e}")


def prepare_tensorflow() -> None:
  """Imports TensorFlow, and silences what is not for the person who waits."""
  with _absent("pandas", "googleapiclient"):
    import tensorflow as tf

  _say_if_overlay_is_not_first()
  warnings.filterwarnings("ignore", module="tf_keras")
  logging.set_verbosity(logging.ERROR)
  # It remarks on every Assert in a loop, at a level that nothing else silences.
  tf.config.optimizer.set_experimental_options({"loop_optimization": False})


@contextlib.contextmanager
def _absent(*modules: str) -> Iterator[None]:
  """Hides what TensorFlow and Keras import if it is there, and no export needs.

  These two are a twentieth of an export's memory, and seconds of a slow disk.
  """
  hidden = [module for module in modules if module not in sys.modules]
  sys.modules.update(dict.fromkeys(hidden))
  try:
    yield
  finally:
    for module in hidden:
      del sys.modules[module]


def _say_if_overlay_is_not_first() -> None:
  import official

  root = pathlib.Path(__file__).parents[2]
  found = pathlib.Path(official.__file__).parent
  if found.parent != root:
    print(
      f"note: `official` comes from {found}; this repository's own additions "
      f"to it are not seen. Run from {root}.",
      file=sys.stderr,
    )
