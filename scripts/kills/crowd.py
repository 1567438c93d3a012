"""Many releases into one directory, all at once."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

from scripts.kills import cases
from scripts.kills import directories
from scripts.kills import tally

_ROOT = pathlib.Path(__file__).parents[2]
_HANGS_AFTER = 540.0
# In every second pair, the other one has this factor in place of 2.
_OTHER = 3.0


def release(
  folder: pathlib.Path,
  releases: int,
  states: pathlib.Path,
  counts: tally.Tally,
) -> str:
  """Releases models into one directory, all at once, two of each name.

  Both of a name have the same bytes, or one of them others, and then one alone
  can win.

  Args:
    folder: Where to do it; absent.
    releases: How many.
    states: What undisturbed runs made.
    counts: Gets what was wrong.

  Returns:
    A sentence for people.
  """
  (folder / "tmp").mkdir(parents=True)
  directory = directories.Directory(folder / "release")
  runs = [_start(folder, position) for position in range(releases)]
  won: dict[str, int] = {}
  lost = 0
  for position, process in enumerate(runs):
    name = _name(position)
    try:
      _, said = process.communicate(timeout=_HANGS_AFTER)
    except subprocess.TimeoutExpired:
      process.kill()
      counts.note(tally.HUNG, f"{name} of a crowd")
      continue
    if not process.returncode:
      won[name] = won.get(name, 0) + 1
    else:
      lost += 1
      told = "A published version never changes" in said
      if not told or said.count("error: ") != 1 or not _differ(position):
        counts.note(tally.UNEXPLAINED, f"{name} of a crowd: {said[-2000:]}")
  names = {_name(position) for position in range(releases)}
  for name in sorted(names - {*directory.names()}):
    counts.note(tally.LOST, f"{name} of a crowd")
  for name in sorted(names & {*directory.names()}):
    for fault in _faults(directory, name, states):
      counts.note(tally.DAMAGED, f"{name} of a crowd: {fault}")
  for left in directory.leftovers():
    counts.note(tally.LEFT, f"a crowd: {left}")
  return (
    f"Of {releases} releases into one directory at once, {sum(won.values())} "
    f"have succeeded, and {lost} say that the version exists with other bytes."
  )


def _name(position: int) -> str:
  return f"model_{position // 2}"


def _differ(position: int) -> bool:
  """Returns whether the two of a name have other bytes."""
  return position // 2 % 2 == 1


def _start(folder: pathlib.Path, position: int) -> subprocess.Popen[str]:
  factor = _OTHER if _differ(position) and position % 2 else 2.0
  return subprocess.Popen(
    [
      *(sys.executable, "-m", "scripts.release", "--draft", "--checks=none"),
      "--gin_file=configs/low_level/multiply.gin",
      f"--gin_bindings=page.Page.name = '{_name(position)}'",
      f"--gin_bindings=low_level.LowLevelExporter.factor = {factor}",
      f"--release_dir={folder / 'release'}",
    ],
    cwd=_ROOT,
    env=os.environ | {"TMPDIR": str(folder / "tmp")},
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
  )


def _faults(
  directory: directories.Directory, name: str, states: pathlib.Path
) -> list[str]:
  """Returns what is wrong with a version: of two models, it is either one."""
  wrong = [*directory.faults_of_proofs(name)]
  begin = directory.root / "example" / name / "1"
  there = {
    file: digest
    for file, digest in cases.digests(begin).items()
    if not file.endswith((".json", ".md"))
  }
  expected = [
    cases.digests(states / model / "model") for model in ("model", "old_model")
  ]
  if there not in expected:
    wrong.append("the SavedModel is neither of the two")
  return wrong
