"""Tests gardens on several workers, by Dask distributed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests import command
from tests import gardens
from tests import releases

pytest.importorskip("distributed", reason="bash scripts/install_extra.sh dask")
_NAMES = ("apple", "birch", "cedar", "dogwood")
_DRAFT = ("--draft", "--checks=basic")


def _garden(gin_file, release_dir, *flags, check=True):
  return gardens.grow(gin_file, release_dir, *_DRAFT, *flags, check=check)


@contextlib.contextmanager
def _program(*arguments):
  """Yields a process that has the repository on its path."""
  process = subprocess.Popen(
    [sys.executable, *arguments],
    cwd=command.ROOT,
    env=command.environment(),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
  )
  try:
    yield process
  finally:
    process.kill()
    process.communicate()


@contextlib.contextmanager
def _scheduler(folder):
  """Yields a scheduler and its address."""
  file = folder / "scheduler.json"
  with _program(
    *("-m", "distributed.cli.dask_scheduler", "--host=127.0.0.1", "--port=0"),
    *("--no-dashboard", f"--scheduler-file={file}"),
  ) as process:
    _until(file.exists)
    yield process, json.loads(file.read_text())["address"]


def _until(done):
  ends = time.monotonic() + 120
  while not done():
    assert time.monotonic() < ends
    time.sleep(0.05)


def _digests(release_dir):
  return {
    path: digest
    for path, digest in releases.digests(release_dir).items()
    if path.endswith((".tar.gz", ".md"))
  }


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
  """A garden made on one machine."""
  folder = tmp_path_factory.mktemp("reference")
  garden = gardens.plant(folder, _NAMES)
  release_dir = folder / "release"
  _garden(garden, release_dir)
  return garden, release_dir


def test_cluster_of_this_machine_makes_the_same_bytes(reference, tmp_path):
  garden, release_dir = reference
  there = tmp_path / "release"
  done = _garden(garden, there, "--workers=2")
  assert "4 made, 0 there already" in done.stdout
  assert _digests(there) == _digests(release_dir)
  lines = [line for line in done.stderr.splitlines() if "made" in line]
  assert len(lines) == len(done.stderr.splitlines()) == 4


def test_worker_that_is_killed_loses_nothing(reference, tmp_path, monkeypatch):
  """Its work is done by another, once it is there."""
  _, release_dir = reference
  # Two never end, until they are told to by a file.
  gate = tmp_path / "gate"
  monkeypatch.setenv("GATE", str(gate))
  garden = gardens.plant(tmp_path, _NAMES, dict.fromkeys(_NAMES[:2], "Waits"))
  there = tmp_path / "release"
  worker = ("-m", "scripts.garden_worker", "--at_once=2")
  with (
    _scheduler(tmp_path) as (_, address),
    _program(*worker, address) as first,
  ):
    with _program(
      *("-m", "scripts.garden", f"--gin_file={garden}"),
      *(f"--release_dir={there}", f"--scheduler={address}", *_DRAFT),
    ) as process:
      # The first worker has begun what does not end.
      _until(lambda: len(_exporting(first.pid)) == 2)
      family = psutil.Process(first.pid).children(recursive=True)
      first.kill()
      _, alive = psutil.wait_procs(family, timeout=20)
      assert not alive
      assert not [*there.glob("example/*/1.tar.gz")]
      gate.touch()
      with _program(*worker, address):
        _, complaint = process.communicate(timeout=120)
    assert process.returncode == 0, complaint
  # Also of those that waited, but for what they are called.
  assert sorted(os.listdir(there / "example")) == [*_NAMES]
  assert {
    path: digest
    for path, digest in _digests(there).items()
    if "cedar" in path or "dogwood" in path
  } == {
    path: digest
    for path, digest in _digests(release_dir).items()
    if "cedar" in path or "dogwood" in path
  }
  # The lock and the workspaces of the dead are gone, or are cleared up next.
  _garden(garden, there)
  assert not [*tmp_path.glob(".release*")]


def test_scheduler_that_is_killed_is_told_and_takes_its_workers_with_it(
  tmp_path, monkeypatch
):
  monkeypatch.setenv("GATE", str(tmp_path / "gate"))
  garden = gardens.plant(tmp_path, ["apple"], {"apple": "Waits"})
  worker = ("-m", "scripts.garden_worker", "--at_once=1")
  with (
    _scheduler(tmp_path) as (scheduler, address),
    _program(*worker, address) as first,
    _program(
      *("-m", "scripts.garden", f"--gin_file={garden}", *_DRAFT),
      *(f"--release_dir={tmp_path / 'release'}", f"--scheduler={address}"),
    ) as process,
  ):
    _until(lambda: _exporting(first.pid))
    family = psutil.Process(first.pid).children(recursive=True)
    scheduler.kill()
    _, complaint = process.communicate(timeout=60)
    first.wait(20)
    _, alive = psutil.wait_procs(family, timeout=20)
  assert not alive
  assert process.returncode == 1
  assert "The scheduler has ended, or cannot be reached any more" in complaint
  assert "Traceback" not in complaint


def test_interrupted_cluster_of_this_machine_ends_soon(tmp_path, monkeypatch):
  monkeypatch.setenv("GATE", str(tmp_path / "gate"))
  garden = gardens.plant(tmp_path, ["apple"], {"apple": "Waits"})
  process = gardens.start(garden, tmp_path / "release", "--workers=2")
  _until(lambda: _exporting(process.pid))
  family = psutil.Process(process.pid).children(recursive=True)
  began = time.monotonic()
  process.send_signal(signal.SIGINT)
  _, complaint = process.communicate(timeout=60)
  assert time.monotonic() - began < 15
  assert "interrupted: 0 of 1 were released" in complaint
  _, alive = psutil.wait_procs(family, timeout=10)
  assert not alive


def _exporting(pid):
  """Returns the processes below a worker that wait at the gate."""
  found = []
  with contextlib.suppress(psutil.Error):
    for process in psutil.Process(pid).children(recursive=True):
      with contextlib.suppress(psutil.Error, OSError):
        opened = os.readlink(f"/proc/{process.pid}/fd/200")
        found += [process] if "gate" in opened else []
  return found


def test_no_scheduler_answers(reference, tmp_path):
  garden, _ = reference
  done = _garden(
    garden, tmp_path / "release", "--scheduler=tcp://127.0.0.1:1", check=False
  )
  assert done.returncode == 1
  assert "No scheduler at 'tcp://127.0.0.1:1' answers" in done.stderr
  assert not (tmp_path / "release").exists()


class _Client:
  """Answers as a cluster of one worker, which is not as this process is."""

  def __init__(self, change):
    self._change = change

  def wait_for_workers(self, count, timeout):
    pass

  def scheduler_info(self, n_workers):
    return {"workers": {"tcp://a": {"resources": {"memory": 1}}}}

  def run(self, function, path):
    host, code, there, place = function(path)
    assert there
    return {"tcp://a": (*self._change(host, code), place)}

  def run_on_scheduler(self, function):
    return function()


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda host, code: (host, code, False), "does not see"),
    (lambda host, code: (host, "version 0.1", True), "runs version 0.1"),
  ],
)
def test_worker_with_another_disk_or_other_code_is_refused(
  tmp_path, change, message
):
  from exporters.errors import ExportError
  from exporters.gardens import cluster
  from exporters.gardens.jobs import Terms
  from exporters.release import git_commit

  commit = git_commit.read_commit()
  terms = Terms(
    release_dir=str(tmp_path / "release"),
    level="none",
    commit=commit.commit,
    changed=commit.changed,
  )
  with pytest.raises(ExportError, match=message):
    cluster.refuse_unsuitable(_Client(change), terms, 1)
  assert not [*tmp_path.iterdir()]
  same = _Client(lambda host, code: (host, code, True))
  assert cluster.refuse_unsuitable(same, terms, 1) == 1


def test_scheduler_that_ends_before_it_hands_over_a_result():
  from concurrent import futures

  from exporters.gardens import cluster
  from exporters.gardens import settings
  from exporters.gardens.jobs import NEW
  from exporters.gardens.jobs import Job

  class Done:
    def exception(self):
      return None

    def result(self):
      raise futures.CancelledError

  leaf = settings.Leaf(name="apple", gin_files=[], bindings=[], files={})
  outcome = cluster._outcome(Done(), Job(leaf=leaf, state=NEW))
  assert outcome.state == "failed"
  assert "The scheduler has ended" in outcome.error


def test_worker_without_scheduler_says_so():
  done = command.run(
    "scripts.garden_worker",
    *("tcp://127.0.0.1:1", "--wait=1"),
    check=False,
    fresh=True,
  )
  assert done.returncode == 1
  assert done.stderr.startswith("error: No scheduler at 'tcp://127.0.0.1:1'")
