"""A consumer's process, seen from the one that exports; without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import IO

from exporters.bounds import groups

# What runs as a consumer's process; by its path, since it is no part of what a
# consumer has.
PROGRAM = (
  sys.executable,
  "-I",
  str(pathlib.Path(__file__).parents[1] / "checks"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Consumer:
  """A process of `exporters.checks`, seen from the one that exports.

  Attributes:
    pid: Its id, which is also that of its group of processes.
    jobs: Takes the jobs, a line for each.
    answers: Gives a line when a job is done, and ends with the process.
    stderr: A file with what it complains of.
    cores: How many cores it may use.
  """

  pid: int
  jobs: IO[bytes]
  answers: IO[bytes]
  stderr: IO[bytes]
  cores: int


@contextlib.contextmanager
def started() -> Iterator[Consumer]:
  """Starts a consumer's process; ends it with its children."""
  with (
    tempfile.TemporaryFile() as stderr,
    subprocess.Popen(
      PROGRAM,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=stderr,
      env=environment(),
      # A group of its own, so that its children end with it.
      process_group=0,
    ) as process,
  ):
    # Not None: they are pipes.
    assert process.stdin
    assert process.stdout
    try:
      yield Consumer(
        pid=process.pid,
        jobs=process.stdin,
        answers=process.stdout,
        stderr=stderr,
        cores=len(os.sched_getaffinity(0)),
      )
    finally:
      groups.kill(process.pid)
      # What it has not read is lost.
      with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def environment() -> dict[str, str]:
  """Returns a consumer's environment: its `tf.keras` is Keras 3."""
  return {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
