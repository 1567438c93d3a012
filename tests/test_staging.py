"""The export path appears whole or not at all, whatever happens."""

import errno
import fcntl
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from exporters.errors import ExportError
from exporters.life_cycle import locks
from exporters.life_cycle import staging
from scripts.small_instances import INSTANCES
from tests import command


@pytest.fixture
def target(tmp_path):
  return tmp_path / "models/bert"


def write(directory: str, text: str) -> None:
  pathlib.Path(directory, "file").write_text(text)


def test_appears_at_the_end(target):
  with staging.stage(str(target)) as directory:
    write(directory, "new")
    assert not target.exists()
  assert (target / "file").read_text() == "new"
  assert os.listdir(target.parent) == ["bert"]


def test_nothing_is_left_of_a_failure(target):
  with pytest.raises(KeyError), staging.stage(str(target)) as directory:
    write(directory, "new")
    raise KeyError
  assert not target.parent.exists()


def test_folders_that_others_use_meanwhile_stay(target):
  with pytest.raises(KeyError), staging.stage(str(target)):
    target.with_name("theirs").touch()
    raise KeyError
  assert os.listdir(target.parent) == ["theirs"]


def test_is_made_again_if_cleared_up_before_it_was_locked(target, monkeypatch):
  opened = []

  def open_late(path, *args, open_=os.open, **kwargs):
    if not opened:
      opened.append(path)
      staging._clear_up(str(target))
    return open_(path, *args, **kwargs)

  monkeypatch.setattr(os, "open", open_late)
  with staging.stage(str(target)) as directory:
    assert not os.path.exists(opened[0])
    write(directory, "new")
  assert (target / "file").read_text() == "new"


def test_existing_is_refused_before_any_work(target):
  target.mkdir(parents=True)
  with (
    pytest.raises(ExportError, match="exists already"),
    staging.stage(str(target)),
  ):
    pytest.fail("the work began")


def test_what_appears_meanwhile_is_not_replaced(target):
  with (
    pytest.raises(ExportError, match="exists already"),
    staging.stage(str(target)) as directory,
  ):
    write(directory, "mine")
    target.mkdir()
    write(target, "theirs")
  assert (target / "file").read_text() == "theirs"
  assert os.listdir(target.parent) == ["bert"]


def test_overwrite_replaces_at_the_end(target):
  target.mkdir(parents=True)
  write(target, "old")
  with staging.stage(str(target), overwrite=True) as directory:
    write(directory, "new")
    assert (target / "file").read_text() == "old"
  assert (target / "file").read_text() == "new"
  assert os.listdir(target.parent) == ["bert"]


def test_overwrite_that_fails_leaves_the_old(target):
  target.mkdir(parents=True)
  write(target, "old")
  with (
    pytest.raises(KeyError),
    staging.stage(str(target), overwrite=True),
  ):
    raise KeyError
  assert (target / "file").read_text() == "old"
  assert os.listdir(target.parent) == ["bert"]


def test_the_old_comes_back_where_a_run_was_killed_between_renames(target):
  left = target.parent / f".bert.staging-{locks.host()}-1-abc"
  for name in ("new", "old"):
    (left / name).mkdir(parents=True)
    write(left / name, name)
  # The next run finds it, even one that then fails.
  with pytest.raises(ExportError, match="exists already"):
    staging.stage(str(target)).__enter__()
  assert (target / "file").read_text() == "old"
  assert os.listdir(target.parent) == ["bert"]


def test_a_run_beside_is_spared(target):
  with staging.stage(str(target)) as first:
    with (
      pytest.raises(ExportError, match="exists already"),
      staging.stage(str(target)) as second,
    ):
      write(second, "second")
      write(first, "first")
      target.mkdir()
    assert os.path.exists(first)
    target.rmdir()
  assert (target / "file").read_text() == "first"


def _refuse_flock(file, operation):
  raise OSError(errno.ENOLCK, "No locks available")


@pytest.fixture(params=["flock", "no flock"])
def _with_or_without_flock(request, monkeypatch):
  if request.param == "no flock":
    monkeypatch.setattr(fcntl, "flock", _refuse_flock)


@pytest.mark.usefixtures("_with_or_without_flock")
@pytest.mark.parametrize(
  "owner", ["elsewhere-00000000", f"x.staging-{locks.host()}"]
)
def test_what_another_host_left_is_spared(owner, target):
  """It may still be at work: this host cannot tell."""
  left = target.parent / f".bert.staging-{owner}-1-abc"
  left.mkdir(parents=True)
  with staging.stage(str(target)):
    pass
  assert left.exists()


def test_without_flock_a_run_beside_is_spared(target, monkeypatch):
  monkeypatch.setattr(fcntl, "flock", _refuse_flock)
  with staging.stage(str(target)) as first:
    with staging.workspace(str(target)):
      pass
    write(first, "first")
  assert (target / "file").read_text() == "first"


def test_without_flock_what_a_dead_run_left_is_removed(target, monkeypatch):
  monkeypatch.setattr(fcntl, "flock", _refuse_flock)
  dead = subprocess.Popen(["true"])
  dead.wait()
  name, _, boot = locks.host().rpartition("-")
  left = target.parent / f".bert.staging-{name}-{boot}-{dead.pid}-abc"
  # The same number meant another process then.
  earlier = target.parent / f".bert.staging-{name}-00000000-{dead.pid}-abc"
  for folder in (left, earlier):
    folder.mkdir(parents=True)
  with staging.stage(str(target)):
    assert not left.exists()
    assert earlier.exists()


def test_what_appears_at_the_very_last_moment_is_kept(target, monkeypatch):
  def appear(path, *, overwrite, original=staging.refuse_existing):
    original(path, overwrite=overwrite)
    if written:
      target.mkdir()
      write(target, "theirs")

  written = []
  monkeypatch.setattr(staging, "refuse_existing", appear)
  with (
    pytest.raises(ExportError, match="Another process wrote"),
    staging.stage(str(target)) as directory,
  ):
    write(directory, "mine")
    written.append(directory)
  assert (target / "file").read_text() == "theirs"
  assert os.listdir(target.parent) == ["bert"]


def test_another_target_with_a_longer_name_is_spared(target):
  left = target.parent / f".bert_base.staging-{locks.host()}-1-abc"
  left.mkdir(parents=True)
  with staging.stage(str(target)):
    pass
  assert left.exists()


def test_a_folder_that_takes_none():
  with (
    pytest.raises(ExportError, match="Cannot write to '/proc'"),
    staging.stage("/proc/model"),
  ):
    pytest.fail("the work began")


def test_parent_that_is_a_file(tmp_path):
  (tmp_path / "models").touch()
  with (
    pytest.raises(ExportError, match="Cannot write to"),
    staging.stage(str(tmp_path / "models/bert")),
  ):
    pytest.fail("the work began")


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
  """A small BERT's flags."""
  instance = INSTANCES["bert"]
  bindings = instance.write_inputs(tmp_path_factory.mktemp("inputs"))
  return [
    f"--gin_file={instance.leaf}",
    *(f"--gin_bindings={binding}" for binding in bindings),
    "--checks=none",
  ]


def test_killed_while_saving(bert, tmp_path):
  flags = [*bert, f"--export_path={tmp_path / 'model'}"]
  process = subprocess.Popen(
    [sys.executable, "-m", "exporters.bert", *flags],
    cwd=command.ROOT,
    env=command.environment(),
    stderr=subprocess.DEVNULL,
    stdout=subprocess.DEVNULL,
  )
  # TensorFlow makes this directory first, and writes saved_model.pb last.
  while not list(tmp_path.glob(".model.staging-*/new/variables")):
    assert process.poll() is None, "the export ended before it could be killed"
  process.send_signal(signal.SIGKILL)
  process.wait()
  (left,) = os.listdir(tmp_path)
  assert left.startswith(f".model.staging-{locks.host()}-{process.pid}-")
  command.run("exporters.bert", *flags)
  assert os.listdir(tmp_path) == ["model"]


def test_terminated_while_saving_cleans_up_at_once(bert, tmp_path):
  process = subprocess.Popen(
    [
      *(sys.executable, "-m", "exporters.bert", *bert),
      f"--export_path={tmp_path / 'model'}",
    ],
    cwd=command.ROOT,
    env=command.environment(),
    stderr=subprocess.DEVNULL,
    stdout=subprocess.DEVNULL,
  )
  while not list(tmp_path.glob(".model.staging-*/new/variables")):
    assert process.poll() is None, "the export ended before it could be stopped"
  process.terminate()
  assert process.wait() != 0
  assert os.listdir(tmp_path) == []


def test_full_disk(bert, tmp_path):
  done = command.on_small_disk(
    *(tmp_path, 64, "-m", "exporters.bert", *bert),
    f"--export_path={tmp_path / 'model'}",
  )
  assert done.returncode == 1, done.stderr
  assert "error: Cannot write the model: " in done.stderr
  assert "No space left on device" in done.stderr
  assert "Traceback" not in done.stderr
  # What `ls` printed after the message: nothing.
  assert done.stderr.rstrip().endswith("nothing was left behind.")
