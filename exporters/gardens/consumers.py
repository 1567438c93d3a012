"""The server that consumers' processes are forked from.

It has imported what a consumer has, and can import neither `official` nor
`exporters`; see `exporters.checks`. If it is killed, what was forked from it
goes on, and a new one is started.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import contextlib
import dataclasses
from multiprocessing import connection
import os
import socket
import subprocess
import threading

from exporters.bounds import groups
from exporters.life_cycle import consumer


class ServerDiedError(Exception):
  """A server ended before it had forked."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fork:
  """A consumer's process on its way to the process that it works for.

  Attributes:
    pid: Its id.
    jobs: The end of a pipe.
    answers: The end of another.
    stderr: The path of a file.
    cores: How many cores it may use.
  """

  pid: int
  jobs: connection.Connection
  answers: connection.Connection
  stderr: str
  cores: int

  def hand_over(self) -> None:
    """Closes this process's ends of the pipes."""
    self.jobs.close()
    self.answers.close()

  def opened(self):
    """Returns it as the process that it works for sees it."""
    return consumer.Consumer(
      pid=self.pid,
      jobs=os.fdopen(os.dup(self.jobs.fileno()), "wb"),
      answers=os.fdopen(os.dup(self.answers.fileno()), "rb"),
      stderr=open(self.stderr, "rb"),
      cores=self.cores,
    )


class Consumers:
  """The server that forks consumers' processes."""

  def __init__(self, cores: int):
    self._cores = cores
    self._lock = threading.Lock()
    self._process: subprocess.Popen[bytes] | None = None

  @contextlib.contextmanager
  def forked(self, scratch: str) -> Iterator[Fork]:
    """Yields a new process; ends it, with its children, with the block.

    Raises:
      ServerDiedError: The server was killed meanwhile, or cannot start.
    """
    with contextlib.ExitStack() as stack:
      name = os.path.join(scratch, "checker_log")
      stderr = stack.enter_context(open(name, "wb"))
      their_jobs, jobs = connection.Pipe(duplex=False)
      answers, their_answers = connection.Pipe(duplex=False)
      for end in (jobs, answers):
        stack.enter_context(end)
      with their_jobs, their_answers:
        pid = self._request(
          [end.fileno() for end in (their_jobs, their_answers, stderr)]
        )
      stack.callback(groups.kill, pid)
      yield Fork(
        pid=pid,
        jobs=jobs,
        answers=answers,
        stderr=name,
        cores=self._cores,
      )

  def stop(self) -> None:
    """Ends the server."""
    with self._lock:
      self._stop()

  def _stop(self) -> None:
    if self._process:
      self._process.kill()
      self._process.wait()
      self._socket.close()
      self._process = None

  def _request(self, streams: Sequence[int]) -> int:
    """Returns the id of a process that has the streams as its own."""
    with self._lock:
      if not self._process or self._process.poll() is not None:
        self._stop()
        self._start()
      with contextlib.suppress(OSError):
        socket.send_fds(self._socket, [b"f"], streams)
        pid = self._socket.recv(8)
        if pid:
          return int.from_bytes(pid, "big")
      self._stop()
    raise ServerDiedError(
      "The process that checks models cannot be started; `python -m "
      "scripts.check` on any SavedModel says why."
    )

  def _start(self) -> None:
    self._socket, theirs = socket.socketpair()
    with theirs:
      self._process = subprocess.Popen(
        [*consumer.PROGRAM, "serve"],
        stdin=theirs.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=consumer.environment(),
        # Ctrl-C is meant for the command, which ends this one.
        start_new_session=True,
      )
