"""Forks consumers' processes for tests, as gardens do for their models.

A consumer's own import takes longer than the checks of a small model.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import dataclasses
import functools
import os
import sys
import tempfile
from typing import Any

from exporters.bounds import confinement
from exporters.gardens import consumers
from exporters.life_cycle import consumer as consumer_lib
from exporters.life_cycle import temporary

# What is another in each test or export, and no matter for checks: a garden's
# consumers have not got it either.
_OTHERWISE = (
  "PYTEST_CURRENT_TEST",
  "TMPDIR",
  confinement.REPEATED,
  temporary.SHARED,
)


class ForkedConsumers:
  """A server of consumers' processes, which has imported what they need.

  What an export finds in an environment, a working directory or a repository
  other than the server's has a consumer's process that is started for it.
  """

  def __init__(self) -> None:
    self._server = consumers.Consumers(cores=1)
    self._setting = _setting(consumer_lib)

  @contextlib.contextmanager
  def forked(self) -> Iterator[consumers.Fork]:
    """Yields a process that waits for a job."""
    with (
      tempfile.TemporaryDirectory() as scratch,
      self._server.forked(scratch) as fork,
    ):
      yield fork

  def use(self, fork: consumers.Fork | None = None) -> None:
    """Has the exports of this process be checked by processes that are forked.

    Args:
      fork: What checks the first one; others have a process that is started.
        None: each has a fork.
    """
    # Maybe of another copy of the repository than the server.
    from exporters.life_cycle import consumer

    original, forks = consumer.started, [fork]

    @functools.wraps(original)
    @contextlib.contextmanager
    def started() -> Iterator[Any]:
      with contextlib.ExitStack() as stack:
        if _setting(consumer) != self._setting or not forks:
          yield stack.enter_context(original())
          return
        found = forks.pop() if fork else stack.enter_context(self.forked())
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(found.pid, cores)
        opened = dataclasses.replace(found.opened(), cores=len(cores))
        stack.callback(_close, opened)
        yield opened

    consumer.started = started

  def stop(self) -> None:
    """Ends the server."""
    self._server.stop()


def _close(opened: consumer_lib.Consumer) -> None:
  # What it has not read is lost.
  with contextlib.suppress(BrokenPipeError):
    opened.jobs.close()
  opened.answers.close()
  opened.stderr.close()


def forget_exporters() -> None:
  """Lets a fork import `exporters` from its own copy of the repository."""
  for name in list(sys.modules):
    if name.partition(".")[0] == "exporters":
      del sys.modules[name]


def _setting(consumer: Any) -> tuple[Any, ...]:
  """Returns what a consumer's process finds when it starts."""
  environment = {
    k: v for k, v in consumer.environment().items() if k not in _OTHERWISE
  }
  return consumer.PROGRAM, environment, os.getcwd()
