"""Many hosts add versions to one release directory; nothing gets lost.

The hosts are pretended: each process has the name and the local folder of one,
and the `flock` of the folder that they share means nothing to the others.
"""

from collections.abc import Callable
import dataclasses
import errno
import fcntl
import functools
import hashlib
import multiprocessing
import os
import pathlib
import signal
import tempfile
import time
import types

import pytest

from exporters.errors import ExportError
from exporters.life_cycle import locks
from exporters.life_cycle import staging
from exporters.release import directory
from exporters.release import page as page_lib

_REFUSED, _PER_HOST = "refused", "per host"
# Where a holder of the lock may be stopped or killed.
_TAKES = "while it takes the lock"
_COPIES, _WRITES = "while it copies", "while it writes"
_SWAPS, _RENAMES = "before the swap", "between the renames"
_PLACES = (_COPIES, _WRITES, _SWAPS, _RENAMES)
_SECONDS = 60  # For what takes far less.

# Each process is a fork of one that has imported what it needs.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Writer:
  """A process that adds a version to the release directory.

  Attributes:
    folder: Has the release directory and what the hosts have locally.
    flock: What `flock` does on the release directory's file system.
    host: The name of the process's host.
    version: The version to add.
    content: What is in its files.
    stale: For how many seconds a silent holder is taken for alive.
    stops: Where the process stops itself the first time that it gets there.
    links: Whether a file can have two names.
  """

  folder: pathlib.Path
  flock: str = _REFUSED
  host: str
  version: int
  content: str = "the same"
  stale: float = 60.0
  stops: str = ""
  links: bool = True

  def start(self) -> multiprocessing.Process:
    process = _PROCESSES.Process(target=_add, args=(self,), daemon=True)
    process.start()
    return process

  def run(self) -> None:
    """Adds the version in a process of its own, and waits for it."""
    _finish(self.start())


def _finish(process: multiprocessing.Process) -> None:
  process.join(_SECONDS)
  assert process.exitcode == 0


def _until(what: Callable[[], bool]) -> None:
  end = time.monotonic() + _SECONDS
  while not what():
    assert time.monotonic() < end
    time.sleep(0.01)


def _is_stopped(process: multiprocessing.Process) -> bool:
  assert process.is_alive()
  status = pathlib.Path(f"/proc/{process.pid}/stat").read_text()
  return status.rpartition(")")[2].split()[0] == "T"


def _add(writer: Writer) -> None:
  """What a writer's process does."""
  local = writer.folder / "hosts" / writer.host
  local.mkdir(parents=True, exist_ok=True)
  tempfile.tempdir = str(local)
  locks.host = lambda: f"{writer.host}-00000000"
  locks.exclusive = functools.partial(
    locks.exclusive, renew=0.05, stale=writer.stale, patience=120.0, poll=0.01
  )
  fcntl.flock = functools.partial(
    _shared_flock, fcntl.flock, writer, str(writer.folder / "shared")
  )
  if not writer.links:
    os.link = _refused_link
  _stop_at(writer.stops)
  tree = writer.folder / f"tree-{os.getpid()}"
  one = _released(writer, tree)
  directory.add(str(tree), [one], str(_release_dir(writer.folder)))


def _shared_flock(flock, writer, shared, file, operation):
  """The `flock` of a file system that many hosts share."""
  path = os.readlink(f"/proc/self/fd/{file}")
  if not path.startswith(shared):
    return flock(file, operation)
  if writer.flock == _REFUSED:
    raise OSError(errno.ENOLCK, "No locks available")
  # Processes of one host meet at a file of that host.
  stand_in = os.open(
    f"{tempfile.gettempdir()}/{os.path.basename(path)}", os.O_RDWR | os.O_CREAT
  )
  return flock(stand_in, operation)


def _refused_link(source, target):
  raise OSError(errno.EPERM, "Operation not permitted", source, None, target)


def _stop_at(place: str) -> None:
  """Has this process stop itself at a place, once."""
  left = [place]

  def stop(here: str) -> None:
    if left == [here]:
      left.clear()
      os.kill(os.getpid(), signal.SIGSTOP)

  def link(*args, original=directory._link):
    stop(_COPIES)
    original(*args)

  def write(*args, original=directory._write):
    stop(_WRITES)
    original(*args)

  def swap(*args, original=staging._swap):
    stop(_SWAPS)
    original(*args)

  def rename(source, target, original=os.rename):
    if ".lock-" in str(source):
      stop(_TAKES)
    original(source, target)
    if str(target).endswith("/old"):
      stop(_RENAMES)

  directory._link, directory._write = link, write
  staging._swap, os.rename = swap, rename


def _release_dir(folder: pathlib.Path) -> pathlib.Path:
  return folder / "shared/release"


def _files(version: int, content: str) -> dict[str, str]:
  handle = f"example/model/{version}"
  return {
    f"{handle}.tar.gz": f"{version} {content}",
    f"{handle}/saved_model.pb": f"{version} {content}" * 1000,
    f"{handle}/variables/variables.index": f"{version} {content}",
    f"assets/docs/example/models/model/{version}.md": (
      f"# Module {handle}\nA model.\n\n"
      f"<!-- asset-path: https://example.com/{handle}.tar.gz -->\n"
      "<!-- task: text-embedding -->\n<!-- fine-tunable: true -->\n"
      "<!-- format: saved_model_2 -->\n\n## Overview\n\nA model.\n"
    ),
  }


def _released(writer: Writer, tree: pathlib.Path):
  """Writes the files of a small stand-in for a model; returns what they are."""
  files = _files(writer.version, writer.content)
  for path, text in files.items():
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    (tree / path).write_text(text)
  return types.SimpleNamespace(
    page=page_lib.Page(
      publisher="example",
      name="model",
      version=writer.version,
      description="A model.",
      license="mit",
      task="text-embedding",
      asset_root="https://example.com",
      changelog={writer.version: "New."},
      collection="models",
    ),
    texts=types.SimpleNamespace(publisher="# Publisher example\n"),
    companions=(),
    missing=(),
    digests={
      path: hashlib.sha256(text.encode()).hexdigest()
      for path, text in files.items()
      if "assets" not in path
    },
  )


def _assert_holds(folder: pathlib.Path, *versions: int) -> None:
  """Fails unless the versions are there, whole, and nothing else."""
  release_dir = _release_dir(folder)
  expected = {
    path: text
    for version in versions
    for path, text in _files(version, "the same").items()
  }
  collection = "assets/docs/example/collections/models/1.md"
  publisher = "assets/docs/example/example.md"
  found = {
    str(path.relative_to(release_dir)): path.read_text()
    for path in release_dir.rglob("*")
    if path.is_file()
  }
  for version in versions:
    assert f"[example/model/{version}]" in found[collection]
  assert found.keys() == {*expected, collection, publisher}
  assert {path: found[path] for path in expected} == expected


@pytest.fixture
def folder(tmp_path):
  _release_dir(tmp_path).parent.mkdir()
  return tmp_path


@pytest.fixture(params=[_REFUSED, _PER_HOST])
def writer(request, folder):
  """Returns a writer whose file system has a certain `flock`."""
  return functools.partial(Writer, folder=folder, flock=request.param)


def test_twenty_processes_on_four_hosts_at_once(writer, folder):
  processes = [
    writer(host=f"host{number % 4}", version=number).start()
    for number in range(1, 21)
  ]
  for process in processes:
    _finish(process)
  _assert_holds(folder, *range(1, 21))
  assert os.listdir(folder / "shared") == ["release"]


@pytest.mark.parametrize("place", _PLACES)
def test_a_killed_holder_on_another_host_is_taken_over(place, writer, folder):
  writer(host="first", version=1).run()
  killed = writer(host="first", version=2, stops=place).start()
  _until(lambda: _is_stopped(killed))
  killed.kill()
  killed.join()
  writer(host="second", version=3, stale=0.5).run()
  _assert_holds(folder, 1, 3)
  # Only its own host knows that what it was writing is of no more use.
  (left,) = set(os.listdir(folder / "shared")) - {"release"}
  assert left.startswith(f".release.staging-first-00000000-{killed.pid}-")
  writer(host="first", version=2).run()
  _assert_holds(folder, 1, 2, 3)
  assert os.listdir(folder / "shared") == ["release"]


@pytest.mark.parametrize("place", [_TAKES, *_PLACES])
def test_a_killed_holder_on_the_same_host_is_taken_over_at_once(
  place, writer, folder
):
  writer(host="first", version=1).run()
  killed = writer(host="first", version=2, stops=place).start()
  _until(lambda: _is_stopped(killed))
  killed.kill()
  killed.join()
  writer(host="first", version=3, stale=1e6).run()
  _assert_holds(folder, 1, 3)
  assert os.listdir(folder / "shared") == ["release"]


@pytest.mark.parametrize("place", _PLACES)
def test_a_stopped_holder_that_wakes_up_late_undoes_nothing(
  place, writer, folder
):
  writer(host="first", version=1).run()
  stopped = writer(host="first", version=2, stops=place).start()
  _until(lambda: _is_stopped(stopped))
  writer(host="second", version=3, stale=0.5).run()
  writer(host="third", version=4).run()
  _assert_holds(folder, 1, 3, 4)
  os.kill(stopped.pid, signal.SIGCONT)
  _finish(stopped)
  _assert_holds(folder, 1, 2, 3, 4)
  assert os.listdir(folder / "shared") == ["release"]


def test_a_stopped_holder_wakes_up_while_another_one_writes(writer, folder):
  """It has lost the lock, but nobody has replaced the directory yet."""
  writer(host="first", version=1).run()
  stopped = writer(host="first", version=2, stops=_WRITES).start()
  _until(lambda: _is_stopped(stopped))
  second = writer(host="second", version=3, stale=0.5, stops=_SWAPS).start()
  _until(lambda: _is_stopped(second))
  os.kill(stopped.pid, signal.SIGCONT)
  shared, its = folder / "shared", f".release.staging-*-{stopped.pid}-*"
  _until(lambda: not list(shared.glob(its)))
  # It gave up what it had, and waits for the lock.
  _assert_holds(folder, 1)
  os.kill(second.pid, signal.SIGCONT)
  _finish(second)
  _finish(stopped)
  _assert_holds(folder, 1, 2, 3)
  assert os.listdir(folder / "shared") == ["release"]


def test_the_same_version_by_two_hosts(writer, folder):
  processes = [
    writer(host=host, version=1).start() for host in ("first", "second")
  ]
  for process in processes:
    _finish(process)
  _assert_holds(folder, 1)


def test_the_same_version_by_two_hosts_with_other_bytes(folder, monkeypatch):
  Writer(folder=folder, host="first", version=1).run()
  other = Writer(folder=folder, host="second", version=1, content="another")
  tree = folder / "tree"
  with pytest.raises(ExportError, match="already holds example/model/1, with"):
    directory.add(
      str(tree), [_released(other, tree)], str(_release_dir(folder))
    )
  _assert_holds(folder, 1)
  assert os.listdir(folder / "shared") == ["release"]


def test_without_hard_links_files_are_copied(folder):
  Writer(folder=folder, host="first", version=1).run()
  Writer(folder=folder, host="first", version=2, links=False).run()
  _assert_holds(folder, 1, 2)


def test_a_link_to_the_release_directory_stays(folder):
  (folder / "real").mkdir()
  _release_dir(folder).symlink_to(folder / "real")
  Writer(folder=folder, host="first", version=1).run()
  assert _release_dir(folder).is_symlink()
  _assert_holds(folder, 1)


@pytest.fixture
def lock(tmp_path):
  return tmp_path / ".release.lock"


def _short(path: pathlib.Path, **changes):
  constants = {"renew": 0.01, "stale": 0.5, "patience": 1.0, "poll": 0.01}
  return locks.exclusive(str(path), **(constants | changes))


def _as_host(name: str, tmp_path, monkeypatch) -> None:
  (tmp_path / name).mkdir(exist_ok=True)
  monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / name))
  monkeypatch.setattr(locks, "host", lambda: f"{name}-00000000")


@pytest.mark.parametrize("host", ["first", "second"])
def test_a_live_holder_keeps_its_lock(host, tmp_path, lock, monkeypatch):
  _as_host("first", tmp_path, monkeypatch)
  with _short(tmp_path / "release") as held:
    _as_host(host, tmp_path, monkeypatch)
    with (
      pytest.raises(ExportError) as raised,
      _short(tmp_path / "release"),
    ):
      pytest.fail("two hold one lock")
    held.check()
  assert str(raised.value).startswith(
    f"'{lock}' has been locked for 0 minutes by process {os.getpid()} on first."
  )
  assert not lock.exists()


def test_a_lock_that_was_taken_since_is_not_broken(tmp_path, lock, monkeypatch):
  """It is another's by the time that the dead one's is removed."""
  lock.mkdir()
  dead, quick = lock / "dead-0-1-aa", lock / "quick-0-2-bb"
  dead.touch()
  taken = []

  def remove(file, original=locks._remove):
    if not taken:
      dead.rename(quick)
    original(file)
    taken.append(quick.exists())

  monkeypatch.setattr(locks, "_remove", remove)
  with _short(tmp_path / "release", stale=0.05):
    # Later it is broken too, since nobody keeps it.
    assert taken == [True, False]


def test_a_holder_whose_lock_was_broken_learns_of_it(tmp_path, lock):
  with _short(tmp_path / "release") as held:
    held.check()
    os.remove(held.file)
    with pytest.raises(locks.LostError):
      held.check()
    assert os.listdir(lock) == []


def test_a_lock_where_nothing_can_be_written():
  with (
    pytest.raises(ExportError, match="Cannot lock '/proc/release'"),
    _short(pathlib.Path("/proc/release")),
  ):
    pytest.fail("there can be no lock")
