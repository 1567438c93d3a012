"""Runs the commands of this repository as a person would, each in a process."""

from collections.abc import Iterator, Sequence
import contextlib
import functools
import os
import pathlib
import re
import subprocess
import sys

from exporters.bounds import confinement
from tests import fork_server

ROOT = pathlib.Path(__file__).parents[1]


def run(
  module: str,
  *args: str,
  cwd: pathlib.Path = ROOT,
  check: bool = True,
  fresh: bool = False,
) -> subprocess.CompletedProcess:
  """Runs `python -m module args` with the repository on the path.

  Args:
    module: Such as "exporters.bert".
    *args: Flags.
    cwd: The working directory.
    check: Whether an exit code other than 0 fails the test.
    fresh: Whether in an interpreter of its own, in place of a fork of one that
      has imported TensorFlow; see `fork_server`.
  """
  if fresh:
    done = subprocess.run(
      [sys.executable, "-m", module, *args],
      cwd=cwd,
      env=environment(),
      capture_output=True,
      text=True,
      check=False,
    )
  else:
    # What would run once more, confined, would import TensorFlow once more.
    done = _fork_server().run(
      module,
      args,
      cwd=cwd,
      environment=environment() | {confinement.REPEATED: "1"},
    )
  if check:
    assert done.returncode == 0, done.stdout + done.stderr
  return done


@functools.cache
def _fork_server() -> fork_server.ForkServer:
  return fork_server.ForkServer(
    environment() | {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
    cwd=ROOT,
  )


def environment() -> dict[str, str]:
  """Returns the environment of a shell in which nothing is set specially.

  But that the repository is on the path, before what a test has put there.
  """
  mine = ("TF_USE_LEGACY_KERAS", "TF_CPP_MIN_LOG_LEVEL")
  kept = {k: v for k, v in os.environ.items() if k not in mine}
  path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
  return kept | {"PYTHONPATH": os.pathsep.join(path)}


def export(
  module: str,
  gin_file: str,
  export_path: pathlib.Path,
  *flags: str,
  bindings: Sequence[str] = (),
  check: bool = True,
) -> subprocess.CompletedProcess:
  """Runs `python -m exporters.<module>` on a gin file."""
  return run(
    f"exporters.{module}",
    f"--gin_file={gin_file}",
    f"--export_path={export_path}",
    *(f"--gin_bindings={binding}" for binding in bindings),
    *flags,
    check=check,
  )


def differences(stdout: str) -> list[float]:
  """Returns how far each artifact is from its source, as a summary says."""
  return [
    float(figure)
    for figure in re.findall(r"largest difference\s+(\S+) of scale", stdout)
  ]


def on_small_disk(
  folder: pathlib.Path, kilobytes: int, *args: str, **variables: str
) -> subprocess.CompletedProcess:
  """Runs `python args` with a small file system at an empty folder.

  It is mounted in a namespace of its own. What the command leaves there is
  printed last, on stderr.

  Args:
    folder: Where to mount it.
    kilobytes: Its size.
    *args: What Python runs.
    **variables: What else is in the environment.
  """
  script = (
    f'mount -t tmpfs -o size={kilobytes}k tmpfs "$0" && '
    '"$@"; code=$?; ls -A "$0" >&2; exit $code'
  )
  user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
  return subprocess.run(
    [
      *("unshare", *user, "--mount", "bash", "-c", script, str(folder)),
      *(sys.executable, *args),
    ],
    cwd=ROOT,
    env=environment() | variables,
    capture_output=True,
    text=True,
    check=False,
  )


@contextlib.contextmanager
def all_cores() -> Iterator[None]:
  """Lets what is started meanwhile run on more than this worker's core."""
  mine = os.sched_getaffinity(0)
  os.sched_setaffinity(0, range(os.cpu_count() or 1))
  try:
    yield
  finally:
    os.sched_setaffinity(0, mine)
