"""What is reported survives a power cut, and what is killed leaves no halves.

`scripts.kills` tries both on whole commands.
"""

import itertools
import os
import pathlib
import signal
import sys

import pytest

from exporters.life_cycle import durable
from exporters.life_cycle import staging
from tests import command

_CHANGES = ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "open")


def _inodes(root: pathlib.Path) -> set[int]:
  return {path.stat().st_ino for path in (root, *root.rglob("*"))}


@pytest.fixture
def flushed(monkeypatch):
  """What is flushed, as pairs of an inode and whether `watched` exists."""

  class Seen(list):
    watched: pathlib.Path

  seen = Seen()

  def record(file, fsync=os.fsync):
    seen.append((os.fstat(file).st_ino, seen.watched.exists()))
    fsync(file)

  monkeypatch.setattr(os, "fsync", record)
  return seen


def _write(directory: str) -> None:
  for name in ("variables/data", "assets/vocab.txt", "saved_model.pb"):
    path = pathlib.Path(directory, name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(name)


def test_everything_is_flushed_before_it_appears(tmp_path, flushed):
  target = flushed.watched = tmp_path / "models/bert"
  with staging.stage(str(target)) as directory:
    _write(directory)
  before = {inode for inode, there in flushed if not there}
  after = {inode for inode, there in flushed if there}
  assert before == _inodes(target)
  assert {target.parent.stat().st_ino, tmp_path.stat().st_ino} <= after


def test_links_and_what_they_lead_to(tmp_path, flushed):
  flushed.watched = tmp_path
  (tmp_path / "one").touch()
  os.link(tmp_path / "one", tmp_path / "two")
  (tmp_path / "three").symlink_to("nowhere")
  os.mkfifo(tmp_path / "four")
  durable.flush(str(tmp_path), linked=False)
  assert {i for i, _ in flushed} == {tmp_path.stat().st_ino}
  durable.flush(str(tmp_path))
  assert (tmp_path / "one").stat().st_ino in {i for i, _ in flushed}


def _run(target: pathlib.Path, at: int, sent: int, times: int) -> int:
  """Writes a new version; signals come before a change of files.

  Args:
    target: Where to write.
    at: Before which change, counted from 1.
    sent: The signal.
    times: Before how many changes in a row.

  Returns:
    The exit code.
  """
  child = os.fork()
  if not child:
    code = 1
    try:
      signal.signal(signal.SIGINT, signal.default_int_handler)
      changes = itertools.count(1)

      def count(event, arguments):
        if event in _CHANGES and at <= next(changes) < at + times:
          os.kill(os.getpid(), sent)

      sys.addaudithook(count)
      with staging.stage(str(target), overwrite=True) as new:
        pathlib.Path(new, "file").write_text("new")
      code = 0
    finally:
      os._exit(code)
  return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize(
  ("sent", "times"),
  [(signal.SIGKILL, 1), (signal.SIGINT, 1), (signal.SIGINT, 2)],
  ids=["kill", "interrupt", "interrupt twice"],
)
def test_struck_before_any_change(sent, times, tmp_path):
  texts = set()
  for at in range(1, 100):
    target = tmp_path / f"{at}/model"
    target.mkdir(parents=True)
    (target / "file").write_text("old")
    code = _run(target, at, sent, times)
    if target.exists():
      texts.add((target / "file").read_text())
    else:
      # Nobody was left to put it back.
      assert (sent, times) != (signal.SIGINT, 1)
      (aside,) = target.parent.glob(".model.staging-*/old")
      assert (aside / "file").read_text() == "old"
    assert _run(target, 0, 0, 0) == 0
    assert (target / "file").read_text() == "new"
    assert os.listdir(target.parent) == ["model"]
    if code == 0:
      break
  assert texts == {"old", "new"}


def test_an_export_leaves_no_temporary_files(tmp_path, monkeypatch):
  """TensorFlow's are left by those that check, which are killed at the end."""
  (tmp_path / "tmp").mkdir()
  monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
  command.run(
    "exporters.low_level",
    "--gin_file=configs/low_level/multiply.gin",
    f"--export_path={tmp_path / 'model'}",
    "--checks=basic",
    fresh=True,
  )
  assert os.listdir(tmp_path / "tmp") == []
