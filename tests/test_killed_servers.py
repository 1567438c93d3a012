"""Tests what becomes of a garden's work when processes around it are killed."""

from concurrent import futures
import json
import os
import signal
import threading
import time

import psutil
import pytest

from exporters.errors import ExportError
from exporters.gardens import processes as processes_lib
from exporters.life_cycle import checker
from exporters.life_cycle import consumer as consumer_lib
from exporters.life_cycle import locks
from exporters.release import directory
from tests import command
from tests import gardens


def _servers(announce, consumer):
  """Returns the servers' ids; runs in a fork."""
  announce("build")
  return os.getppid(), psutil.Process(consumer.pid).ppid()


def _forks(pid):
  """Returns the children of a server, once it has some."""
  ends = time.monotonic() + 60
  while not (found := psutil.Process(pid).children()):
    assert time.monotonic() < ends
    time.sleep(0.1)
  return found


def _kill(pid):
  os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def processes():
  with (
    command.all_cores(),
    processes_lib.Processes([], checked=True) as started,
  ):
    yield started


def test_servers_that_are_killed_before_they_fork_are_started_again(processes):
  first = processes.run(_servers, [], seconds=60, checked=True)
  assert first.error is None
  for pid in first.result:
    # So that they have the request when they are killed.
    os.kill(pid, signal.SIGSTOP)
  with futures.ThreadPoolExecutor() as pool:
    later = pool.submit(processes.run, _servers, [], seconds=60, checked=True)
    for pid in reversed(first.result):
      time.sleep(1)
      _kill(pid)
    done = later.result(60)
  assert done.error is None
  assert not set(done.result) & set(first.result)


def test_fork_goes_on_when_its_server_is_killed(processes):
  server = processes.run(os.getppid, [], seconds=60).result
  with futures.ThreadPoolExecutor() as pool:
    sleeping = pool.submit(processes.run, time.sleep, [3], seconds=60)
    _forks(server)
    _kill(server)
    assert sleeping.result(60).error is None


def test_fork_that_is_killed_after_its_server_is_told(processes):
  server = processes.run(os.getppid, [], seconds=60).result
  with futures.ThreadPoolExecutor() as pool:
    sleeping = pool.submit(processes.run, time.sleep, [60], seconds=60)
    forks = _forks(server)
    _kill(server)
    forks[0].kill()
    assert "ended early" in sleeping.result(20).error


def test_server_that_never_starts_fails_the_work_alone(processes, monkeypatch):
  def start(self):
    raise EOFError("no")

  monkeypatch.setattr(processes_lib._FORKS.Process, "start", start)
  assert "cannot be started" in processes.run(os.getppid, [], seconds=60).error


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  path = tmp_path_factory.mktemp("model") / "saved_model"
  command.export("low_level", gardens.MULTIPLY, path, "--checks=none")
  return path


class TestChecker:
  """A consumer's process that waits for the reference."""

  @pytest.fixture
  def waiting(self, model, tmp_path):
    """Yields it with a job, and with children that have nothing to do."""
    files = {n: str(tmp_path / n) for n in ("reference", "arrays", "results")}
    job = files | {
      "path": str(model),
      "scratch": str(tmp_path),
      "private": [],
      "level": "basic",
      "processes": 2,
      "cores": 2,
      "keeps": True,
      "keras": False,
      "stranger": False,
      "tolerance": 1e-5,
      "needs_text": False,
    }
    # Not a fork, whose pipes this process has twice.
    started = consumer_lib.started.__wrapped__
    with command.all_cores(), started() as consumer:
      consumer.jobs.write(json.dumps(job).encode() + b"\n")
      consumer.jobs.flush()
      children, busy, ends = [], True, time.monotonic() + 60
      while not children or busy:
        assert time.monotonic() < ends
        children = psutil.Process(consumer.pid).children()
        before = [child.cpu_times().user for child in children]
        time.sleep(1)
        busy = before != [child.cpu_times().user for child in children]
      yield consumer, children

  def _answer(self, consumer):
    answers = []
    reader = threading.Thread(
      target=lambda: answers.append(consumer.answers.readline()), daemon=True
    )
    reader.start()
    reader.join(30)
    return answers

  def test_killed_child(self, waiting):
    consumer, children = waiting
    children[0].kill()
    psutil.wait_procs(children[:1], timeout=10)
    checker._send(consumer, "")
    assert self._answer(consumer) == [b""]
    error = checker._died(consumer)
    assert isinstance(error, ExportError)
    assert "was killed" in error.message

  def test_killed_itself(self, waiting):
    consumer, children = waiting
    _kill(consumer.pid)
    assert self._answer(consumer) == [b""]
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive

  def test_killed_exporter(self, waiting):
    consumer, children = waiting
    # What the kernel does for it.
    consumer.answers.close()
    everyone = [psutil.Process(consumer.pid), *children]
    _, alive = psutil.wait_procs(everyone, timeout=10)
    assert not alive


def test_record_does_not_take_the_place_of_a_directory_moved_aside(tmp_path):
  release_dir = tmp_path / "release"
  left = tmp_path / f".release.staging-{locks.host()}-{10**9}-abc"
  (left / "new").mkdir(parents=True)
  (left / "old").mkdir()
  (left / "old/version").write_text("1")
  directory.replace({"record": "2"}, str(release_dir))
  assert (release_dir / "version").read_text() == "1"
  assert (release_dir / "record").read_text() == "2"
  assert os.listdir(tmp_path) == ["release"]
