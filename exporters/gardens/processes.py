"""Does work in processes that are forked from ones with imports behind them.

Two servers wait for work: multiprocessing's fork server, which has imported
what an export needs, and one of `exporters.checks`, which has imported what a
consumer has. Each piece of work gets a fork of the first, and one of the second
if a model is to be checked. If it fails, crashes, hangs or is killed, both end,
and nothing else does. If a server is killed, what was forked from it goes on,
and a new one is started.

Each fork has a folder for its temporary files, which goes with it. If the
command is killed, the next one removes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import contextlib
import dataclasses
import multiprocessing
from multiprocessing import connection
import os
import signal
import sys
import threading
import time
import traceback
from typing import Any, NoReturn

import psutil

from exporters.bounds import groups
from exporters.gardens import consumers
from exporters.life_cycle import staging
from exporters.life_cycle import temporary

_FORKS = multiprocessing.get_context("forkserver")
# Between two looks at the memory that is held.
_SAMPLE = 2.0
# How long a process that is told to stop may take to clean up.
_CLEAN_UP = 10.0
# How often to ask a server that is killed each time.
_ATTEMPTS = 3


class StoppedError(Exception):
  """The work was stopped because nobody wants it any more."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Done:
  """The end of a piece of work.

  Attributes:
    result: What the function returned.
    error: Why it did not. None: it did.
    late: Whether it was stopped because it took too long.
    seconds: How long it took.
    memory: Bytes that its processes held together at most.
  """

  result: Any = None
  error: str | None = None
  late: bool = False
  seconds: float
  memory: int


class Processes:
  """Starts the two servers, and has them fork.

  Args:
    modules: What the first server imports beside `preload`.
    checked: Whether consumers will be needed.
    cores: How many cores each piece of work has.
  """

  def __init__(self, modules: Sequence[str], *, checked: bool, cores: int = 1):
    # Only what is known not to start TensorFlow's threads.
    known = [m for m in modules if m.startswith(("exporters.", "official."))]
    _FORKS.set_forkserver_preload(["exporters.gardens.preload", *known])
    self._consumers = consumers.Consumers(cores) if checked else None

  def __enter__(self) -> Processes:
    return self

  def __exit__(self, *unused_exception) -> None:
    if self._consumers:
      self._consumers.stop()

  def run(
    self,
    function: Callable[..., Any],
    arguments: Sequence[Any],
    *,
    seconds: float,
    listener: Callable[[str], None] = lambda stage: None,
    stop: threading.Event | None = None,
    checked: bool = False,
  ) -> Done:
    """Does a piece of work in a fork.

    Args:
      function: What to call there, with the arguments; if `checked`, also with
        a function that announces stages, and with a consumer's process.
      arguments: They and the result are pickled.
      seconds: How long it may take.
      listener: Is told what the function announces.
      stop: Ends the work when it is set.
      checked: Whether the function wants these two.

    Raises:
      StoppedError: `stop` was set.
    """
    started = time.monotonic()
    for _ in range(_ATTEMPTS):
      try:
        return self._run(
          function, arguments, seconds, listener, stop, checked=checked
        )
      except consumers.ServerDiedError as e:
        error = str(e)
    return Done(error=error, seconds=time.monotonic() - started, memory=0)

  def _run(
    self,
    function: Callable[..., Any],
    arguments: Sequence[Any],
    seconds: float,
    listener: Callable[[str], None],
    stop: threading.Event | None,
    *,
    checked: bool,
  ) -> Done:
    """Does what `run` does, once."""
    started = time.monotonic()
    watch = _Memory()
    with contextlib.ExitStack() as stack:
      scratch = stack.enter_context(staging.scratch("garden"))
      log = os.path.join(scratch, "log")
      open(log, "wb").close()
      consumer = None
      if checked and self._consumers:
        consumer = stack.enter_context(self._consumers.forked(scratch))
        watch.pids.append(consumer.pid)
      ours, theirs = _FORKS.Pipe(duplex=False)
      stack.enter_context(ours)
      process = _FORKS.Process(
        target=_child,
        args=(function, arguments, checked, theirs, consumer, scratch, log),
      )
      with theirs:
        try:
          process.start()
        except (EOFError, OSError) as e:
          raise consumers.ServerDiedError(
            f"The process that makes models cannot be started: {e}"
          ) from e
      if consumer:
        consumer.hand_over()
      stack.callback(_end, process)
      assert process.pid
      watch.pids.append(process.pid)
      while True:
        if stop and stop.is_set():
          raise StoppedError
        passed = time.monotonic() - started
        if passed > seconds:
          return Done(
            error=f"It took more than {seconds:g} s and was stopped.",
            late=True,
            seconds=passed,
            memory=watch.most,
          )
        watch.look()
        ready = connection.wait([ours, process.sentinel], timeout=0.2)
        if not ours.poll():
          if process.sentinel in ready:
            # It has ended, and something that it started has not; or the
            # server was killed, and it goes on.
            if not psutil.pid_exists(process.pid):
              return self._dead(process, log, started, watch)
            time.sleep(0.2)
          continue
        try:
          kind, value = ours.recv()
        except (EOFError, OSError):
          return self._dead(process, log, started, watch)
        if kind == "stage":
          listener(value)
          continue
        watch.look(at_once=True)
        return Done(
          result=value if kind == "result" else None,
          error=value if kind == "error" else None,
          seconds=time.monotonic() - started,
          memory=watch.most,
        )

  def _dead(self, process, log: str, started: float, watch: _Memory) -> Done:
    """Returns the end of a fork that said nothing."""
    process.join()
    return Done(
      error=_of_death(process.exitcode, log),
      seconds=time.monotonic() - started,
      memory=watch.most,
    )


class _Memory:
  """Adds up what processes and those that they started hold."""

  def __init__(self):
    self.pids: list[int] = []
    self.most = 0
    self._next = 0.0

  def look(self, *, at_once: bool = False) -> None:
    """Takes a sample, if it is time to."""
    if not at_once and time.monotonic() < self._next:
      return
    self._next = time.monotonic() + _SAMPLE
    self.most = max(
      self.most,
      groups.memory(one for pid in self.pids for one in groups.members(pid)),
    )


def _child(
  function: Callable[..., Any],
  arguments: Sequence[Any],
  checked: bool,
  channel: connection.Connection,
  consumer: consumers.Fork | None,
  scratch: str,
  log: str,
) -> None:
  """Does the work, in a fork."""
  os.setsid()
  # Nobody tidies up after a fork that is killed; nor at the end of one that is
  # not, where TensorFlow expects it.
  temporary.move(scratch)
  with open(log, "ab") as f:
    os.dup2(f.fileno(), 1)
    os.dup2(f.fileno(), 2)
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  signal.signal(signal.SIGTERM, lambda *unused: sys.exit("terminated"))
  threading.Thread(target=_end_with_command, daemon=True).start()
  from exporters.command_line import program

  program.prepare_tensorflow()
  if checked:
    arguments = [
      *arguments,
      lambda stage: channel.send(("stage", stage)),
      consumer and consumer.opened(),
    ]
  try:
    channel.send(("result", function(*arguments)))
  except Exception as e:  # noqa: BLE001 - the command reports it.
    message = program.message(e)
    if message is None:
      traceback.print_exc()
      last = traceback.extract_tb(e.__traceback__)[-1]
      message = (
        f"{type(e).__name__}: {e} ({os.path.basename(last.filename)}, line "
        f"{last.lineno}). This is a defect of the exporter."
      )
    channel.send(("error", message))


def _end_with_command() -> NoReturn:
  """Ends this process and its children when the command is killed."""
  parent = multiprocessing.parent_process()
  assert parent
  parent.join()
  os.killpg(0, signal.SIGKILL)
  raise AssertionError


def _end(process) -> None:
  """Ends a fork and what it has started, first gently."""
  found = groups.members(process.pid)
  if process.is_alive():
    process.terminate()
    process.join(_CLEAN_UP)
  groups.kill(process.pid, found)
  process.join(_CLEAN_UP)


def _of_death(code: int | None, log: str) -> str:
  """Returns why a fork ended without a word."""
  with open(log, encoding="utf-8", errors="replace") as f:
    last = f.read().strip().rpartition("\n")[2][:300]
  if code is not None and code < 0:
    name = signal.Signals(-code).name
    hint = ", perhaps because memory ran out" if name == "SIGKILL" else ""
    return f"Its process was ended by {name}{hint}. {last}".strip()
  return f"Its process ended early (exit code {code}). {last}".strip()
