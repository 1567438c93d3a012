r"""Feeds the parsers for some time, and prints a table of what came of it.

  python -m scripts.fuzz --minutes=60
  python -m scripts.fuzz --minutes=5 --targets="params.yaml,tokenizer" \
    --folder=/tmp/fuzz

With `bash scripts/install_extra.sh atheris` they are guided by the edges that
they execute, without it by the lines. The exit code is 1 if there is a defect;
what showed it is in the folder.
"""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from typing import Any

from absl import flags
import psutil

from exporters.command_line import program
from exporters.errors import ExportError
from scripts.fuzz import worker

_MINUTES = flags.DEFINE_float("minutes", 60.0, "How long, for all together.")
_TARGETS = flags.DEFINE_list(
  "targets", [], "The names of targets. Default: all."
)
_SEED = flags.DEFINE_integer("seed", 0, "Chooses what is changed.")
_FOLDER = flags.DEFINE_string(
  "folder", None, "Where to write; what is there is gone on with."
)
_ROOT = pathlib.Path(__file__).parents[2]
# A worker that executes one file for so long is stopped.
_HANGS_AFTER = 60.0
_IMPORTS = 60.0
_HEAD = """\
| target | executions | lines, by seeds | lines | edges | defects |
|---|---|---|---|---|---|"""


def main() -> None:
  """Feeds all targets, one after another."""
  program.prepare_tensorflow()
  from scripts import fuzz

  names = list(fuzz.all_targets())
  unknown = [name for name in _TARGETS.value if name not in names]
  if unknown:
    raise ExportError(f"There are no targets {unknown}, only {names}.")
  chosen = _TARGETS.value or names
  root = pathlib.Path(_FOLDER.value or tempfile.mkdtemp(prefix="fuzz_"))
  seconds = _MINUTES.value * 60 / len(chosen)
  counts = {}
  for name in chosen:
    print(f"{name} ...", file=sys.stderr, flush=True)
    counts[name] = _feed(name, root / worker.slug(name), seconds)
  lines = _lines(root, chosen)
  print(_HEAD)
  defects = 0
  for name in chosen:
    executions, edges, found = counts[name]
    by_seeds, by_corpus, of_all = lines[name]
    defects += found
    print(
      f"| {name} | {executions:,} | {by_seeds} of {of_all} | {by_corpus} | "
      f"{edges or ''} | {found} |"
    )
  if defects:
    raise ExportError(f"There are {defects} defects: see '{root}'.")


def _feed(
  name: str, folder: pathlib.Path, seconds: float
) -> tuple[int, int, int]:
  """Feeds one target; returns executions, edges and defects."""
  folder.mkdir(parents=True, exist_ok=True)
  end = time.monotonic() + seconds
  executions, number, edges = 0, _SEED.value, 0
  while True:
    left = max(end - time.monotonic(), 1.0)
    (folder / worker.STATISTICS).write_text("0")
    (folder / worker.CURRENT).unlink(missing_ok=True)
    log = folder / f"log.{number}"
    with log.open("w") as output:
      process = subprocess.Popen(
        [sys.executable, "-m", "scripts.fuzz.worker", f"--target={name}",
         f"--folder={folder}", f"--seconds={left}", f"--seed={number}"],
        cwd=_ROOT, stdout=output, stderr=output,
      )  # fmt: skip
      ended = _ended(process, folder)
    executions += int((folder / worker.STATISTICS).read_text() or 0)
    edges = max([edges, *_edges(log)])
    if ended:
      if not (folder / worker.CURRENT).exists():
        raise ExportError(f"The worker did not begin: see '{log}'.")
      _keep_defect(folder, ended)
    number += 1
    if time.monotonic() > end - 1:
      break
  found = list((folder / worker.DEFECTS).glob("*.txt"))
  return executions, edges, len(found)


def _ended(process: Any, folder: pathlib.Path) -> str:
  """Waits for a worker; returns how it ended, "" if it did as it should."""
  begin = time.time()
  while process.poll() is None:
    time.sleep(0.5)
    current = folder / worker.CURRENT
    since = current.stat().st_mtime if current.exists() else begin + _IMPORTS
    why = ""
    if time.time() - since > _HANGS_AFTER:
      why = "did not end"
    elif _memory(process.pid) > worker.LARGEST_WORKER:
      why = "took the memory"
    if why:
      process.kill()
      process.wait()
      return why
  return (
    f"ended the process: {process.returncode}" if process.returncode else ""
  )


def _memory(pid: int) -> int:
  try:
    return psutil.Process(pid).memory_info().rss
  except psutil.Error:
    return 0


def _edges(log: pathlib.Path) -> list[int]:
  text = log.read_text("utf-8", errors="replace")
  return [int(number) for number in re.findall(r" cov: (\d+) ", text)]


def _keep_defect(folder: pathlib.Path, why: str) -> None:
  content = (folder / worker.CURRENT).read_bytes()
  worker.keep(folder / worker.DEFECTS, [content])
  for path in (folder / worker.DEFECTS).glob("*"):
    if path.suffix != ".txt" and path.read_bytes() == content:
      path.with_suffix(".txt").write_text(f"{why}\n")


def _lines(root: pathlib.Path, names: list[str]) -> dict[str, list[int]]:
  with (root / "lines.log").open("w") as errors:
    done = subprocess.run(
      [sys.executable, "-m", "scripts.fuzz.worker", f"--folder={root}",
       *(f"--target={name}" for name in names)],
      cwd=_ROOT, stdout=subprocess.PIPE, stderr=errors, check=True,
    )  # fmt: skip
  # Parsers may print something, too.
  return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
  program.run(main, modules=[])
