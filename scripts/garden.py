r"""Releases a family of models: every leaf that a garden's gin file names.

  python -m scripts.garden --gin_file=configs/gardens/small_berts.gin \
    --gin_bindings="CHECKPOINTS = '/path/to/checkpoints'" \
    --release_dir=/tmp/release

Each model becomes a release, as by `scripts.release`, in processes of its own;
as many are made at once as cores and memory allow. One that fails does not
affect the others: they go on, the exit code is 1, and the same command makes
only what is missing. --dry_run shows what is missing, and what it would take;
see docs/gardens.md.
"""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import os
import signal
import subprocess
import sys
import textwrap
from typing import NoReturn

from absl import flags
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from exporters.command_line import program
from exporters.command_line import recipe_flags
from exporters.errors import ExportError
from scripts import garden_flags
from scripts import release_flags

_DRY_RUN = flags.DEFINE_bool(
  "dry_run",
  False,
  "Only show what would be made, what is there already, what cannot be made "
  "and why, and estimates of time, memory and disk space.",
)
_ONLY = flags.DEFINE_list(
  "only",
  None,
  "Release only these leaves: names of gin files without .gin, or patterns "
  "such as small_bert_*_H-128_*.",
)
_TIME_LIMIT = flags.DEFINE_float(
  "time_limit",
  3600.0,
  "How many seconds one model may take; then it is stopped.",
  lower_bound=0.0,
)
_SCHEDULER = flags.DEFINE_string(
  "scheduler",
  None,
  "The address of a scheduler of Dask distributed, such as "
  "tcp://10.0.0.1:8786, to have the models made by its workers; see "
  "scripts.garden_worker.",
)
_WORKERS = flags.DEFINE_integer(
  "workers",
  None,
  "Start a cluster of this many workers on this machine, to try out "
  "--scheduler.",
  lower_bound=1,
)
# How many seconds it may take to look at all leaves, and to write the record.
_OWN_LIMIT = 3600.0


def main() -> None:
  """Makes a garden."""
  if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
    signal.signal(signal.SIGINT, _interrupt)
  from exporters.gardens import processes as processes_lib
  from exporters.gardens import settings
  from exporters.gardens import work
  from exporters.gardens.jobs import Terms
  from exporters.gardens.jobs import checked as checked_jobs
  from exporters.gin_files import imports

  commit = release_flags.commit(remote=True)
  release_dir = release_flags.RELEASE_DIR.value
  files, bindings = recipe_flags.given()
  leaves = _chosen(settings.load(files, bindings).expanded())
  level = recipe_flags.CHECKS.value
  key = release_flags.SIGN_KEY.value
  terms = Terms(
    # A worker elsewhere may run in another folder.
    release_dir=release_dir
    if "://" in release_dir
    else os.path.abspath(release_dir),
    level=level,
    commit=commit.commit,
    changed=commit.changed,
    companions=release_flags.COMPANIONS.value,
    sign_key=key and os.path.abspath(key),
    seconds=_TIME_LIMIT.value,
  )
  modules = imports.modules([f for leaf in leaves for f in leaf.gin_files])
  checked = level != "none" and not _DRY_RUN.value
  limits = garden_flags.limits()
  with processes_lib.Processes(
    modules, checked=checked, cores=limits.cores
  ) as processes:
    done = processes.run(work.survey, [leaves, terms], seconds=_OWN_LIMIT)
    jobs = checked_jobs(_result(done, "look at the leaves and their files"))
    if _DRY_RUN.value:
      _show_plan(jobs, level, limits)
    else:
      _grow(jobs, terms, processes, limits)


def _chosen(leaves):
  """Returns the leaves that --only names; all without it."""
  if not _ONLY.value:
    return leaves
  for pattern in _ONLY.value:
    if not any(fnmatch.fnmatch(leaf.name, pattern) for leaf in leaves):
      names = ", ".join(leaf.name for leaf in leaves)
      raise ExportError(
        f"--only={pattern}: the garden has no such leaf, only {names}."
      )
  return [
    leaf
    for leaf in leaves
    if any(fnmatch.fnmatch(leaf.name, pattern) for pattern in _ONLY.value)
  ]


def _interrupt(*unused) -> NoReturn:
  """Stops the garden gently; at the second Ctrl-C, at once."""
  signal.signal(signal.SIGINT, _end_at_once)
  # Not by `sys.stderr`, which may be in the middle of something.
  os.write(2, b"\nstopping ... (Ctrl-C again ends it at once)\n")
  raise KeyboardInterrupt


def _end_at_once(*unused) -> NoReturn:
  if os.isatty(2):
    os.write(2, b"\x1b[?25h")  # The bars have hidden the cursor.
  # All processes of the garden end with this one.
  os._exit(1)


def _result(done, what: str):
  """Returns the result of what the command does for itself."""
  if done.late:
    raise ExportError(f"Cannot {what}: {done.error}")
  if done.error is not None:
    raise ExportError(done.error)
  return done.result


def _grow(jobs, terms, processes, limits) -> None:
  """Makes what is missing, and says what became of all."""
  from exporters.gardens import estimates as estimates_lib
  from exporters.gardens import progress
  from exporters.gardens import schedule
  from exporters.gardens import work
  from exporters.gardens.jobs import FAILED
  from exporters.gardens.jobs import MADE
  from exporters.gardens.jobs import NEW
  from exporters.gardens.jobs import THERE
  from exporters.gardens.jobs import UNUSABLE
  from exporters.gardens.jobs import Outcome

  new = [job for job in jobs if job.state == NEW]
  estimates = estimates_lib.Estimates(terms.level)
  seconds = schedule.seconds_left(new, [], limits, estimates)
  shown = progress.Progress(new, estimates, seconds)
  try:
    with _cluster(limits) as run_on_cluster, shown:
      if run_on_cluster:
        outcomes = run_on_cluster(
          new, terms, estimates=estimates, listener=shown
        )
      else:
        outcomes = schedule.run(new, terms, processes, limits, estimates, shown)
  except KeyboardInterrupt:
    released = shown.released + sum(job.state == THERE for job in jobs)
    sys.exit(
      f"error: interrupted: {released} of {len(jobs)} were released; the same "
      "command makes the rest."
    )
  for job in jobs:
    name = job.leaf.name
    if job.state == THERE:
      outcomes.append(
        Outcome(leaf=name, state=THERE, models=job.models, files=job.leaf.files)
      )
    elif job.state == UNUSABLE:
      outcomes.append(Outcome(leaf=name, state=FAILED, error=job.error))
  files, _ = recipe_flags.given()
  name = os.path.basename(files[0]).removesuffix(".gin")
  written = _result(
    processes.run(
      work.conclude,
      [name, terms, [job.leaf for job in jobs], outcomes],
      seconds=_OWN_LIMIT,
    ),
    "write the record and the report",
  )
  console = Console(highlight=False, emoji=False)
  console.print()
  failed = [outcome for outcome in outcomes if outcome.state == FAILED]
  untried = sum(job.state == UNUSABLE for job in jobs)
  counts = [
    f"{sum(outcome.state == state for outcome in outcomes)} {word}"
    for state, word in ((MADE, "made"), (THERE, "there already"))
  ]
  if len(failed) > untried:
    counts.append(f"{len(failed) - untried} failed")
  if untried:
    counts.append(f"{untried} could not be tried")
  rows = {"models": ", ".join(counts), **written}
  for what, text in rows.items():
    console.print(f"[bold]{what:7}[/]  ", end="")
    console.print(text, markup=False, soft_wrap=True)
  if not failed:
    return
  for outcome in failed:
    print(_with_reason(outcome.leaf, outcome.error), file=sys.stderr)
  of_all = f"{len(failed) - untried} of {len(jobs) - untried} models failed"
  told = [of_all] * (len(failed) > untried)
  told += [f"{untried} could not be tried"] * bool(untried)
  raise ExportError(
    f"{', '.join(told)}. When the causes are fixed, the same command makes "
    "only what is missing."
  )


def _with_reason(leaf: str, error: str) -> str:
  """Returns lines about a leaf that is not made."""
  return textwrap.indent(f"{leaf}: {error}", "    ").removeprefix("  ")


@contextlib.contextmanager
def _cluster(limits):
  """Yields what makes releases on the cluster that the flags name, if any."""
  if not _SCHEDULER.value and not _WORKERS.value:
    yield None
    return
  try:
    # First, since it also silences the other.
    from exporters.gardens import cluster as cluster_lib
  except ModuleNotFoundError as e:
    raise ExportError(garden_flags.ABSENT) from e
  import distributed

  with contextlib.ExitStack() as stack:
    address = _SCHEDULER.value
    if _WORKERS.value:
      # The workers end with the scheduler.
      workers = stack.enter_context(_awaited())
      cluster = stack.enter_context(
        distributed.LocalCluster(
          n_workers=0,
          processes=False,
          protocol="tcp://",
          host="127.0.0.1",
          scheduler_kwargs={"dashboard": False},
        )
      )
      address = cluster.scheduler_address
      workers += _local_workers(address, _WORKERS.value, limits)
    try:
      client = stack.enter_context(distributed.Client(address, timeout=30))
    except (OSError, ValueError) as e:
      raise ExportError(f"No scheduler at '{address}' answers: {e}.") from e
    yield functools.partial(cluster_lib.run, client=client)


def _local_workers(address: str, count: int, limits):
  """Starts workers that share this machine."""
  command = [
    *(sys.executable, "-m", "scripts.garden_worker", address),
    f"--at_once={max(limits.releases // count, 1)}",
    f"--memory_limit={limits.memory / count / 1e9}",
    # A worker that finds no scheduler would look for it for a minute.
    "--end_with_input",
  ]
  # Who presses Ctrl-C means the garden, which ends them.
  return [
    subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    for _ in range(count)
  ]


@contextlib.contextmanager
def _awaited():
  """Yields a list; after the block, waits for the processes in it to end."""
  workers: list[subprocess.Popen[bytes]] = []
  try:
    yield workers
  finally:
    for worker in workers:
      try:
        worker.wait(10)
      except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def _show_plan(jobs, level: str, limits) -> None:
  """Shows what would be done."""
  from exporters.gardens import estimates as estimates_lib
  from exporters.gardens import schedule
  from exporters.gardens.jobs import NEW
  from exporters.gardens.jobs import UNUSABLE

  estimates = estimates_lib.Estimates(level)
  console = Console(highlight=False, emoji=False)
  table = Table(box=None, pad_edge=False)
  table.add_column("")
  table.add_column("leaf", overflow="fold")
  for column in ("time", "memory", "disk"):
    table.add_column(column, justify="right")
  for job in jobs:
    one = estimates.of(job)
    figures = (f"{one.seconds:.0f} s", decimal(one.memory), decimal(one.disk))
    table.add_row(
      job.state, job.leaf.name, *(figures if job.state == NEW else ())
    )
  console.print(table)
  console.print()
  for job in jobs:
    if job.state == UNUSABLE:
      line = _with_reason(job.leaf.name, job.error)
      console.print(line, markup=False, soft_wrap=True)
  if not _writable(release_flags.RELEASE_DIR.value):
    console.print("note: --release_dir cannot be written to.")
  new = [job for job in jobs if job.state == NEW]
  unusable = sum(job.state == UNUSABLE for job in jobs)
  console.print(
    f"{len(new)} to make, {len(jobs) - len(new) - unusable} there already, "
    f"{unusable} cannot be made"
  )
  if not new:
    return
  seconds = schedule.seconds_left(new, [], limits, estimates)
  largest = max(estimates.of(job).memory for job in new)
  disk = sum(estimates.of(job).disk for job in new)
  minutes = f"about {seconds / 60:.0f} min"
  if seconds < 60:
    minutes = "less than a minute"
  console.print(
    f"{minutes}, {min(limits.releases, len(new))} "
    f"at once, in {decimal(limits.memory)} of memory; {decimal(disk)} of disk "
    "space"
  )
  if largest > limits.memory:
    console.print(
      f"note: the largest may need {decimal(largest)} of memory. It is made "
      "alone, and may be killed for lack of memory."
    )


def _writable(folder: str) -> bool:
  """Returns whether a folder, or what it would be made in, can be written."""
  if "://" in folder:
    return True  # That shows when it is tried.
  folder = os.path.abspath(folder)
  while not os.path.lexists(folder):
    folder = os.path.dirname(folder)
  return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)


if __name__ == "__main__":
  program.run(
    main,
    modules=[
      recipe_flags.__name__,
      release_flags.__name__,
      garden_flags.__name__,
      __name__,
    ],
  )
