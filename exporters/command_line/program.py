"""What every command of this repository does before and after its own work.

A module that is a command calls `run` before it imports anything heavy, and
`prepare_tensorflow` before it imports TensorFlow. So `--help` is quick, and
TensorFlow finds the environment as it should be.
"""

import atexit
from collections.abc import Callable, Iterator, Sequence
import contextlib
import gc
import os
import pathlib
import re
import signal
import sys
import traceback
from typing import Any
import warnings

from absl import app
from absl import flags
from absl import logging
from typing_extensions import override

from exporters.bounds import limits
from exporters.errors import ExportError
from exporters.errors import did_you_mean
from exporters.errors import first_line
from exporters.errors import printable
from exporters.errors import shortened
from exporters.life_cycle import version

FLAGS = flags.FLAGS


class _VersionFlag(flags.BooleanFlag):
  """Prints the version and exits as soon as it is read."""

  def __init__(self):
    super().__init__("version", False, "Show the version and exit.")

  def parse(self, arg):
    super().parse(arg)
    if self.value:
      print(f"{version.NAME} {version.version()}")
      sys.exit(0)


flags.DEFINE_flag(_VersionFlag())
_TRACEBACK = flags.DEFINE_bool(
  "traceback", False, "Show the Python traceback of an error."
)


class PathParser(flags.ArgumentParser):
  """The parser of every flag that is a path, for `flags.DEFINE`.

  A shell leaves the ~ of `--flag=~/folder` as it is.
  """

  @override
  def parse(self, argument: str) -> str:
    return os.path.expanduser(argument)

  @override
  def flag_type(self) -> str:
    return "path"


def define_checks() -> flags.FlagHolder:
  """Defines `--checks`, for every command that checks a model."""
  return flags.DEFINE_enum(
    "checks",
    "all",
    ["all", "basic", "none"],
    "Which checks to run on the model, in a fresh process. With none, it is "
    "never loaded.",
  )


def define_time_limit() -> flags.FlagHolder:
  """Defines `--time_limit`, for commands that check what they have made."""
  return flags.DEFINE_float(
    "time_limit",
    3600.0,
    "How many seconds the checks of a model may take; then the command ends. "
    "0: any number.",
    lower_bound=0.0,
  )


def define_limits() -> Callable[[], limits.Limits]:
  """Defines `--time_limit` and its like, for models from strangers."""
  seconds = flags.DEFINE_float(
    "time_limit",
    1800.0,
    "How many seconds the processes may run that read, load and call the "
    "model. 0: any number.",
    lower_bound=0.0,
  )
  gigabytes = flags.DEFINE_float(
    "memory_limit",
    None,
    "How many gigabytes of memory these may hold together; 0: any number. By "
    "default, nine tenths of what is free.",
    lower_bound=0.0,
  )
  disk = flags.DEFINE_float(
    "disk_limit",
    None,
    "How many gigabytes these may write together; 0: any number. By default, "
    "nine tenths of what is free where temporary files are.",
    lower_bound=0.0,
  )
  processes = flags.DEFINE_integer(
    "process_limit", 500, "How many of these may run at once.", lower_bound=1
  )

  def chosen():
    return limits.for_strangers(
      seconds=seconds.value,
      memory=gigabytes.value,
      disk=disk.value,
      processes=processes.value,
    )

  return chosen


def run(
  main: Callable[..., None],
  *,
  modules: Sequence[str],
  arguments: Sequence[str] = (),
) -> None:
  """Runs `main` as the program, and exits.

  Args:
    main: Takes the positional arguments.
    modules: The modules whose flags `--help` shows.
    arguments: Names of the positional arguments. The last one may end in `...`
      and be repeated; one in brackets may be left out.
  """
  for module in (*modules, __name__):
    for flag in FLAGS.flags_by_module_dict().get(module, ()):
      FLAGS.register_key_flag_for_module(sys.argv[0], flag)
  app.run(
    lambda argv: _main(main, argv[1:], arguments), flags_parser=_parse_flags
  )


def _parse_flags(argv: Sequence[str]) -> list[str]:
  """Parses the flags; returns the other arguments.

  In place of absl's own, whose errors look unlike all others.
  """
  try:
    return FLAGS(argv)
  except flags.UnrecognizedFlagError as e:
    hint = did_you_mean(e.flagname, FLAGS)
    sys.exit(f"error: There is no flag '{e.flagname}'.{hint} See --help.")
  except flags.Error as e:
    # Of a tuple of a sentence and the value, the sentence.
    message = re.sub(r"\('(.+?)', .*\)$", r"\1", str(e))
    sys.exit(f"error: {message[:1].upper()}{message[1:]}. See --help.")


def _main(
  main: Callable[..., None], given: Sequence[str], arguments: Sequence[str]
) -> None:
  # As an exception, so that an export that is told to stop cleans up.
  signal.signal(signal.SIGTERM, lambda *unused: sys.exit("error: terminated"))
  try:
    missing = [a for a in arguments[len(given) :] if not a.startswith("[")]
    if missing:
      raise ExportError(f"Missing {' '.join(missing)}; see --help.")
    repeated = bool(arguments) and arguments[-1].rstrip("]").endswith("...")
    if len(given) > len(arguments) and not repeated:
      if given[len(arguments)].startswith(("\u2013", "\u2014")):
        raise ExportError(
          f"'{given[len(arguments)]}' begins with a dash in place of hyphens; "
          "write --."
        )
      raise ExportError(
        f"Unexpected argument '{given[len(arguments)]}'; use flags, see --help."
      )
    main(*given)
  except KeyboardInterrupt:
    sys.exit("error: interrupted")
  except Exception as e:
    told = message(e)
    if told is None:
      raise
    if _TRACEBACK.value:
      traceback.print_exc()
    else:
      told = shortened(told)
    sys.exit(f"error: {told}")


def message(error: Exception) -> str | None:
  """Returns what to tell a person of an error; None if it is a defect.

  The files and the machine may be the cause of those of the operating system,
  and of TensorFlow's.
  """
  told = None
  if isinstance(error, ExportError):
    told = error.message
  elif isinstance(error, OSError):
    file = f"'{error.filename}': " if error.filename else ""
    told = f"{file}{error.strerror or first_line(error)}."
  elif type(error).__module__.startswith("tensorflow."):
    told = f"{type(error).__name__}: {first_line(error)}."
  return told and "\n".join(map(printable, told.split("\n")))


def status(text: str) -> contextlib.AbstractContextManager[object]:
  """Shows on a terminal, while a block runs, what is being done."""
  from rich.console import Console
  from rich.text import Text

  return Console(stderr=True).status(Text(printable(text)))


def prepare_tensorflow() -> None:
  """Imports TensorFlow, set up for one command and a person who waits."""
  # Nearly everything that TensorFlow and Keras create lives until the end.
  # Searching it for cycles takes an eighth of an export, and as much again when
  # the interpreter exits.
  gc.disable()
  atexit.register(gc.freeze)
  # Keras 3 stays out: Model Garden is tf_keras, and the import costs seconds.
  os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
  # No remarks on processors and drivers between the lines that a person reads.
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
  with _absent("pandas", "googleapiclient"):
    import tensorflow as tf

  _warn_if_overlay_is_not_first()
  _tolerate_lost_temporary_files()
  warnings.filterwarnings("ignore", module="tf_keras")
  logging.set_verbosity(logging.ERROR)
  # It comments on every Assert in a loop, at a level that nothing else
  # silences.
  tf.config.optimizer.set_experimental_options({"loop_optimization": False})


def _tolerate_lost_temporary_files() -> None:
  """Has TensorFlow say nothing if it cannot remove a file when it ends.

  The disk may have become read-only, which the command's own error says.
  """
  from tensorflow.python.autograph.pyct import loader

  # What it registers with `atexit`; there is no public way to it.
  remove = loader._remove_file

  def tolerant(path: str) -> None:
    with contextlib.suppress(OSError):
      remove(path)

  loader._remove_file = tolerant


@contextlib.contextmanager
def _absent(*modules: str) -> Iterator[None]:
  """Hides packages that TensorFlow and Keras import if they are installed.

  No export needs these two, which take a twentieth of its memory, and seconds
  on a slow disk.
  """
  hidden = [module for module in modules if module not in sys.modules]
  loaded: dict[str, Any] = sys.modules  # With None for what can't be imported.
  loaded.update(dict.fromkeys(hidden))
  try:
    yield
  finally:
    for module in hidden:
      del sys.modules[module]


def _warn_if_overlay_is_not_first() -> None:
  import official

  root = pathlib.Path(__file__).parents[2]
  found = pathlib.Path(official.__file__).parent
  if found.parent != root:
    print(
      f"note: `official` comes from {found}, so this repository's additions "
      f"to it are missing. Run from {root}.",
      file=sys.stderr,
    )
