r"""Kills processes of gardens at random moments, and looks at what is left.

It releases a garden of small models again and again: all at once, one by one
and, if Dask is installed, on two workers of its own and on a scheduler with two
workers that a person would have started. Each time it kills one process or
more: the command, a server, a process that exports, one that checks, a child of
it, a worker or the scheduler. A worker is started again, as a person would.
Then it compares what is in the release directory with a garden that nobody
disturbed. When all models are there, a run that nobody disturbs must find
them, and a new directory begins.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping, Sequence
import contextlib
import dataclasses
import importlib.util
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import time
import uuid

from absl import flags
import psutil

from exporters.errors import ExportError
from scripts.kills import directories
from scripts.kills import tally
from scripts.kills import victims

_MODELS = flags.DEFINE_integer(
  "models", 6, "How many models the garden has.", lower_bound=1
)


@dataclasses.dataclass(frozen=True)
class _Way:
  """A way of running a garden.

  Attributes:
    flags: Those of `scripts.garden`.
    longer: How many times as long as without flags it takes.
    scheduler: Whether it is given a scheduler, with workers.
  """

  flags: Sequence[str]
  longer: float
  scheduler: bool = False


_ROOT = pathlib.Path(__file__).parents[2]
# So long a run may take, at least, and its processes to end.
_HANGS_AFTER = 180.0
_ORPHAN_AFTER = 20.0

# How a garden is run, with the flags of `scripts.garden`, and how many times as
# long as by default it takes.
_ALONE = _Way((), 1.0)
_WAYS = (_ALONE, _Way(("--at_once=1",), 1.5))
_WAYS_OF_DASK = (
  *_WAYS,
  _Way(("--workers=2",), 1.5),
  _Way((), 2.0, scheduler=True),
)

_STAGES = ("start", "build", "check", "pack", "publish", "between", "end")


class Campaign:
  """Runs of one garden, most of them disturbed.

  Args:
    folder: An empty folder.
    seed: Chooses when and what to kill.

  Attributes:
    tally: What was killed and found.
  """

  def __init__(self, folder: pathlib.Path, seed: int):
    self.tally = tally.Tally("killed", _STAGES)
    self._signals: collections.Counter[str] = collections.Counter()
    self._rounds = 0
    self._of_dead: set[pathlib.Path] = set()
    self._folder = folder
    self._chance = random.Random(seed)
    self._names = [f"model_{i}" for i in range(_MODELS.value)]
    self._garden = _planted(folder, self._names)
    self._directory = directories.Directory(folder / "reference/release")
    self._temporary = folder / "tmp"
    self._temporary.mkdir()

  def run(self, kills: int) -> None:
    """Kills so many processes."""
    started = time.monotonic()
    self._undisturbed("the reference run")
    if not self.tally.faultless:
      raise ExportError("The run that nobody disturbed fails already.")
    seconds = time.monotonic() - started
    tally.say(f"a run takes {seconds:.0f} s")
    self._reference = self._directory
    self._begin()
    while self.tally.total < kills:
      self._rounds += 1
      self._disturbed(seconds, kills)
      if len(self._directory.names()) == len(self._names):
        self._undisturbed("the last run of a directory")
        self._begin()
    self._undisturbed("the last run")

  def _begin(self) -> None:
    """Goes on in a new directory."""
    shutil.rmtree(self._folder / "disturbed", ignore_errors=True)
    self._directory = directories.Directory(self._folder / "disturbed/release")
    self._directory.path.parent.mkdir()

  def _disturbed(self, seconds: float, kills: int) -> None:
    """Runs the garden, and kills until it ends."""
    before = set(self._directory.names())
    self._of_dead = self._directory.of_runs()
    ways = _WAYS_OF_DASK if _has_dask() else _WAYS
    way = ways[self._rounds % len(ways)]
    what = f"round {self._rounds}"
    with self._started(way) as (run, cluster):
      # Without any worker, the command waits for some.
      spared = {victims.WORKER: 0 if cluster else 1}
      latest = seconds * way.longer
      ended = False
      while self.tally.total < kills:
        self._await_moment(run, latest)
        chosen = victims.choose(run, self._chance, spared)
        if not chosen:
          break
        kind, victim, sent = chosen
        stage = self._stage(before)
        try:
          victim.send_signal(sent)
        except psutil.NoSuchProcess:
          continue
        self.tally.strike(kind, stage)
        self._signals[sent.name] += 1
        what += f", {sent.name} to {kind} during {stage}"
        if kind == victims.COMMAND:
          ended = True
          break
        if cluster:
          with contextlib.suppress(psutil.TimeoutExpired):
            victim.wait(5)
          cluster.restart_workers()
        latest = seconds / 12
      self._finish(run, cluster, what, survives=not ended)
    self._inspect(what, before)

  def _await_moment(self, run: victims.Run, seconds: float) -> None:
    """Waits for a moment to kill, so many seconds at most."""
    kind = self._chance.random()
    if kind < 0.25:
      self._await_publication(run, seconds)
    elif kind < 0.4:
      victims.await_checkers_child(run, seconds)
    else:
      run.wait(self._chance.uniform(0, seconds))

  def _stage(self, before: set[str]) -> str:
    """Returns what a run does that found so many models."""
    names = set(self._directory.names())
    stage = self._directory.stage(self._of_dead)
    if stage:
      return stage
    if names == before:
      return "start"
    return "end" if len(names) == len(self._names) else "between"

  def _await_publication(self, run: victims.Run, seconds: float) -> None:
    """Waits until a model is being published; or so long, or for the end."""
    latest = time.monotonic() + seconds
    while time.monotonic() < latest and run.process.poll() is None:
      if self._directory.stage(self._of_dead) == "publish":
        return
      time.sleep(0.002)

  def _undisturbed(self, what: str) -> None:
    """Runs the garden; everything must be there then, and nothing else."""
    before = set(self._directory.names())
    self._directory.path.parent.mkdir(exist_ok=True)
    with self._started(_ALONE) as (run, _):
      self._finish(run, None, what, survives=True)
      if run.process.returncode:
        self._note(tally.LOST, f"{what}: exit code {run.process.returncode}")
    self._inspect(what, before | set(self._names))
    for name in self._directory.leftovers():
      self._note(tally.LEFT, f"{what}: {name}")
    # Python's multiprocessing leaves the folder of its socket.
    expected = ("exporters-", "pymp-", "dask-scratch-space")
    for path in self._temporary.iterdir():
      if not path.name.startswith(expected):
        self._note(tally.LEFT, f"{what}: {path.name} in the temporary folder")
        path.unlink() if path.is_file() else shutil.rmtree(path)

  @contextlib.contextmanager
  def _started(
    self, way: _Way
  ) -> Iterator[tuple[victims.Run, _Cluster | None]]:
    mark = uuid.uuid4().hex
    environment = os.environ | {
      victims.MARK: mark,
      "TMPDIR": str(self._temporary),
    }
    cluster = _Cluster(environment) if way.scheduler else None
    with open(self._folder / "stderr", "w+") as stderr:
      process = subprocess.Popen(
        [
          *(sys.executable, "-m", "scripts.garden", "--draft"),
          *(f"--gin_file={self._garden}", "--checks=basic"),
          f"--release_dir={self._directory.path}",
          *way.flags,
          *([f"--scheduler={cluster.address}"] if cluster else []),
        ],
        cwd=_ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
      )
      run = victims.Run(process, mark, self._folder / "stderr")
      try:
        yield run, cluster
      finally:
        for one in run.family():
          with contextlib.suppress(psutil.Error):
            one.kill()
        process.wait()

  def _finish(
    self,
    run: victims.Run,
    cluster: _Cluster | None,
    what: str,
    *,
    survives: bool,
  ) -> None:
    """Waits until the command and all its processes have ended."""
    if not run.wait(_HANGS_AFTER):
      alive = ", ".join(run.by_kind())
      self._note(tally.HUNG, f"{what}: there are still {alive}; {run.said()}")
      return
    code = run.process.returncode
    told = "error: " in run.said() and "Traceback" not in run.said()
    if survives and code and not (code == 1 and told):
      self._note(tally.UNEXPLAINED, f"{what}: exit code {code}: {run.said()}")
    ends_after = _ORPHAN_AFTER
    if cluster:
      cluster.end()
      # One that has just been started looks for the scheduler for a minute.
      ends_after += 60
    _, alive = psutil.wait_procs(run.family(), ends_after)
    for one in alive:
      with contextlib.suppress(psutil.Error):
        line = " ".join(one.cmdline())
        self._note(tally.ORPHANS, f"{what}: {one.pid}: {line[:200]}")

  def _inspect(self, what: str, before: set[str]) -> None:
    """Notes what is wrong with the versions that are there."""
    names = self._directory.names()
    for name in sorted(before - set(names)):
      self._note(tally.LOST, f"{what}: {name}")
    reference = getattr(self, "_reference", self._directory)
    for name in names:
      for fault in self._directory.faults(name, reference):
        self._note(tally.DAMAGED, f"{what}: {name}: {fault}")
    for fault in self._directory.faults_of_record():
      self._note(tally.DAMAGED, f"{what}: {fault}")
    tally.say(f"{self.tally.total} killed; {what}; {len(names)} models")

  def _note(self, what: str, line: str) -> None:
    self.tally.note(what, line)

  def remark(self) -> str:
    """Returns how many runs there were, and what killed."""
    signals = ", ".join(f"{n} by {s}" for s, n in self._signals.most_common())
    return f"{self._rounds} runs were disturbed: {signals}."


class _Cluster:
  """A scheduler and two workers, as a person starts them.

  Args:
    environment: That of all three.
  """

  def __init__(self, environment: Mapping[str, str]):
    self._environment = environment
    with socket.create_server(("127.0.0.1", 0)) as free:
      port = free.getsockname()[1]
    self.address = f"tcp://127.0.0.1:{port}"
    self._scheduler = self._program(
      *("distributed.cli.dask_scheduler", "--host=127.0.0.1"),
      *(f"--port={port}", "--no-dashboard"),
    )
    self._workers = [self._worker() for _ in range(2)]

  def restart_workers(self) -> None:
    """Starts a worker in place of each that has ended; not for nobody."""
    if self._scheduler.poll() is None:
      self._workers = [
        worker if worker.poll() is None else self._worker()
        for worker in self._workers
      ]

  def end(self) -> None:
    """Ends the scheduler; the workers end with it."""
    self._scheduler.terminate()
    self._scheduler.wait()

  def _worker(self) -> subprocess.Popen[bytes]:
    return self._program(
      "scripts.garden_worker", self.address, "--at_once=1", "--memory_limit=4"
    )

  def _program(self, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
      [sys.executable, "-m", *arguments],
      cwd=_ROOT,
      env=self._environment,
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
    )


def _planted(folder: pathlib.Path, names: list[str]) -> pathlib.Path:
  """Writes a garden of models of one number; returns its gin file."""
  leaves = {}
  for position, name in enumerate(names):
    leaf = folder / f"{name}.gin"
    leaf.write_text(
      "from __gin__ import dynamic_registration\n"
      "include 'configs/low_level/multiply.gin'\n"
      "from exporters import low_level\n"
      f"low_level.LowLevelExporter.factor = {position + 2.0}\n"
    )
    leaves[str(leaf)] = {"page.Page.name": "$leaf"}
  garden = folder / "plot.gin"
  garden.write_text(
    "from __gin__ import dynamic_registration\n"
    "from exporters import gardens\n"
    f"gardens.Garden.leaves = {leaves!r}\n"
  )
  return garden


def _has_dask() -> bool:
  return importlib.util.find_spec("distributed") is not None
