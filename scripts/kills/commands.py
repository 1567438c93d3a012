"""Strikes single exports and releases at random moments.

Each trial starts a command on a disk of its own, strikes it once, and looks at
what is left: nothing, what was there before, or the new version, byte for byte
as an undisturbed run writes it. Then such a run must succeed, and leave nothing
beside it. At the end, many releases run into one directory at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
import contextlib
import itertools
import os
import pathlib
import random
import shutil
import subprocess
import time
import uuid

from absl import flags
import psutil

from exporters.errors import ExportError
from scripts.kills import cases
from scripts.kills import crowd
from scripts.kills import disks
from scripts.kills import faults
from scripts.kills import moments
from scripts.kills import tally
from scripts.kills import victims

_AT_ONCE = flags.DEFINE_integer(
  "at_once", 2, "How many commands to strike at once.", lower_bound=1
)
_CROWD = flags.DEFINE_integer(
  "crowd",
  20,
  "How many releases run into one directory at the end, all at once.",
  lower_bound=0,
)

_ROOT = pathlib.Path(__file__).parents[2]
# So long a command may take, and its processes to end.
_HANGS_AFTER = 180.0
_ORPHAN_AFTER = 20.0
# What is left by design, for all commands of this user.
_LOCKS = "exporters-"


class Campaign:
  """Many trials.

  Args:
    folder: An empty folder.
    seed: Chooses the cases, the moments and the faults.

  Attributes:
    tally: What was struck and found.
  """

  def __init__(self, folder: pathlib.Path, seed: int):
    self.tally = tally.Tally("struck", cases.STAGES)
    self._folder = folder
    self._seed = seed
    self._states = folder / "states"
    self._key, self._public = folder / "key.pem", folder / "key.pub"
    self._seconds = 0.0
    self._changes: dict[str, int] = {}
    self._image: pathlib.Path | None = None
    self._crowd = ""

  def run(self, strikes: int) -> None:
    """Strikes so many times."""
    self._prepare()
    numbers = itertools.count()
    with futures.ThreadPoolExecutor(_AT_ONCE.value) as pool:
      pending: set[futures.Future[None]] = set()
      while self.tally.total < strikes:
        # Some come too late to strike.
        missing = strikes - self.tally.total - len(pending)
        for _ in range(min(missing, _AT_ONCE.value - len(pending))):
          pending.add(pool.submit(self._try, next(numbers)))
        done, pending = futures.wait(
          pending, return_when=futures.FIRST_COMPLETED
        )
        for one in done:
          one.result()
      for one in pending:
        one.result()
    if _CROWD.value:
      self._crowd = crowd.release(
        self._folder / "crowd", _CROWD.value, self._states, self.tally
      )

  def remark(self) -> str:
    """Returns what bounded the memory, and what this system withheld."""
    probe = faults.Memory(f"kills-{os.getpid()}")
    of_kernel = probe.of_kernel
    probe.close()
    remarks = [
      "Memory was bounded by "
      + ("a cgroup." if of_kernel else "exporters/bounds: there is no cgroup.")
    ]
    if not disks.can_mount():
      remarks.append("No disk could be mounted, so none failed.")
    elif not self._image:
      remarks.append("No ext4 could be mounted, so no power was cut.")
    return " ".join([*remarks, self._crowd]).strip()

  def _prepare(self) -> None:
    """Makes what the cases find, and finds out how long they take."""
    _make_key(self._key, self._public)
    image = self._folder / "disk.img"
    self._image = image if disks.make_image(image) else None
    self._states.mkdir()
    with futures.ThreadPoolExecutor(_AT_ONCE.value) as pool:
      for makers in cases.MAKERS:
        list(pool.map(self._make, makers))
    tally.say(f"an export takes {self._seconds:.0f} s")

  def _make(self, case: cases.Case) -> None:
    """Makes a state, and counts the changes of files on the way there."""
    state = self._states / case.after
    state.mkdir()
    case.prepare(self._states, state)
    checked = case in cases.CASES and not case.releases
    level = "basic" if checked else "none"
    moment = moments.Moment(change=0)
    started = time.monotonic()
    with self._started(case, state, moment, self._folder, level) as run:
      self._changes[case.after] = moment.count()
      self._finish(run, case.name, survives=True)
      if run.process.returncode:
        raise ExportError(f"{case.name} fails, and nothing has struck it.")
    if checked:
      self._seconds = time.monotonic() - started

  def _try(self, number: int) -> None:
    """Strikes one command, once."""
    chance = random.Random(f"{self._seed} {number}")
    case = chance.choice(cases.CASES)
    possible = list(
      faults.possible(mounts=disks.can_mount(), power=bool(self._image))
    )
    (fault,) = chance.choices(possible, [one.weight for one in possible])
    folder = self._folder / str(number)
    (folder / "disk").mkdir(parents=True)
    (folder / "tmp").mkdir()
    image = None
    if fault.power and self._image:
      image = pathlib.Path(shutil.copyfile(self._image, folder / "image"))
    disk = disks.Disk(folder / "disk", image)
    with disk.mounted():
      self._strike(case, fault, disk, chance, f"trial {number}: {case.name}")
    shutil.rmtree(folder)

  def _strike(
    self,
    case: cases.Case,
    fault: faults.Fault,
    disk: disks.Disk,
    chance: random.Random,
    what: str,
  ) -> None:
    case.prepare(self._states, disk.path)
    if fault.power:
      disk.settle()
    temporary = disk.path.parent / "tmp"
    if fault.mounts and not fault.power and chance.random() < 0.3:
      temporary = disk.path / "tmp"
      temporary.mkdir()
    replaced = cases.number(case.place(disk.path))
    memory = (
      faults.Memory(f"kills-{uuid.uuid4().hex}") if fault.memory else None
    )
    level, moment = self._choose(case, fault, chance)
    with self._started(
      case, disk.path, moment, temporary, level, memory
    ) as run:
      asked = moment.wait(run)
      stage = case.stage(disk.path, asked, replaced)
      ended = run.process.poll() is not None
      hit = (fault.power or not ended) and fault.strike(
        faults.Struck(run, disk, memory, chance)
      )
      moment.pass_by()
      what += f", {fault.name} during {stage}"
      survives = fault.survived
      if memory:
        run.wait(_HANGS_AFTER)
        hit = memory.met()
        survives = run.process.returncode != -9
      self._finish(run, what, survives=survives, starting=stage == cases.START)
      done = run.process.returncode == 0
      if memory:
        memory.close()
    if hit:
      self.tally.strike(fault.name, stage)
    disk.repair()
    self._judge(case, disk, what, finished=done)
    if hit:
      self._run_again(case, disk, temporary, f"{what}, then undisturbed")
    tally.say(f"{self.tally.total} struck; {what}{'' if hit else ': missed'}")

  def _choose(
    self, case: cases.Case, fault: faults.Fault, chance: random.Random
  ) -> tuple[str, moments.Moment]:
    """Returns a level of checks, and a moment."""
    checked = fault.of_child or chance.random() < 0.5
    moment = moments.choose(
      chance,
      # Without checks it is over sooner.
      self._seconds * (1.0 if checked else 0.4),
      # At most of these, a command needs no more memory.
      0 if fault.memory else self._changes[case.after],
      checked=checked,
      of_child=fault.of_child,
      late=fault.power,
    )
    return "basic" if checked else "none", moment

  def _run_again(
    self,
    case: cases.Case,
    disk: disks.Disk,
    temporary: pathlib.Path,
    what: str,
  ) -> None:
    """Runs the command; its result must be there then, and nothing else."""
    moment = moments.Moment()
    with self._started(
      case, disk.path, moment, temporary, "none", again=True
    ) as run:
      self._finish(run, what, survives=True)
      if run.process.returncode:
        self.tally.note(tally.LOST, f"{what}: it fails")
    self._judge(case, disk, what, finished=True)
    for name in case.leftovers(disk.path):
      self.tally.note(tally.LEFT, f"{what}: {name}")
    for path in temporary.iterdir():
      if not path.name.startswith(_LOCKS):
        self.tally.note(tally.LEFT, f"{what}: {path.name} in {temporary.name}")

  def _judge(
    self, case: cases.Case, disk: disks.Disk, what: str, *, finished: bool
  ) -> None:
    for fault in case.faults(
      disk.path, self._states, self._public, finished=finished
    ):
      self.tally.note(tally.DAMAGED, f"{what}: {fault}")

  @contextlib.contextmanager
  def _started(
    self,
    case: cases.Case,
    disk: pathlib.Path,
    moment: moments.Moment,
    temporary: pathlib.Path,
    level: str,
    memory: faults.Memory | None = None,
    *,
    again: bool = False,
  ) -> Iterator[victims.Run]:
    mark = uuid.uuid4().hex
    arguments, inherited = moment.command(
      [
        *case.arguments(disk, self._key, again=again),
        f"--checks={level}",
      ],
      disk,
    )
    said = self._folder / f"{mark}.stderr"
    with open(said, "w") as stderr:
      process = subprocess.Popen(
        memory.command(arguments) if memory else arguments,
        cwd=_ROOT,
        env=os.environ | {victims.MARK: mark, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        pass_fds=inherited,
        process_group=0,
      )
    for end in inherited:
      os.close(end)
    run = victims.Run(process, mark, said)
    try:
      yield run
    finally:
      moment.pass_by()
      for one in run.family():
        with contextlib.suppress(psutil.Error):
          one.kill()
      process.wait()
      said.unlink()

  def _finish(
    self,
    run: victims.Run,
    what: str,
    *,
    survives: bool,
    starting: bool = False,
  ) -> None:
    """Waits until the command and all its processes have ended."""
    if not run.wait(_HANGS_AFTER):
      self.tally.note(tally.HUNG, f"{what}: {run.said()}")
      return
    code, said = run.process.returncode, run.said()
    told = said.count("error: ") == 1 and "Traceback" not in said
    # Python itself ends by these signals before the command is there.
    early = starting and code in (-2, -15)
    # A second Ctrl-C may end what has told of the first one.
    if survives and code and not early and not (code in (1, -2) and told):
      self.tally.note(tally.UNEXPLAINED, f"{what}: exit code {code}: {said}")
    _, alive = psutil.wait_procs(run.family(), _ORPHAN_AFTER)
    for one in alive:
      with contextlib.suppress(psutil.Error):
        line = " ".join(one.cmdline())
        self.tally.note(tally.ORPHANS, f"{what}: {one.pid}: {line[:200]}")


def _make_key(private: pathlib.Path, public: pathlib.Path) -> None:
  from cryptography.hazmat.primitives import serialization
  from cryptography.hazmat.primitives.asymmetric import ec

  key = ec.generate_private_key(ec.SECP256R1())
  private.write_bytes(
    key.private_bytes(
      serialization.Encoding.PEM,
      serialization.PrivateFormat.TraditionalOpenSSL,
      serialization.NoEncryption(),
    )
  )
  public.write_bytes(
    key.public_key().public_bytes(
      serialization.Encoding.PEM,
      serialization.PublicFormat.SubjectPublicKeyInfo,
    )
  )
