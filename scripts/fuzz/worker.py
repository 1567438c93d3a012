"""Feeds one parser, in a process that a defect may end.

Parsers are guided by what they execute: by Atheris, where it is installed,
which counts the edges of what they import; else by the lines of their parts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import hashlib
import importlib.util
import json
import pathlib
import random
import resource
import sys
import time
import traceback
from typing import Any

_BEGIN = time.monotonic()
_INSTRUMENTED = ["exporters", "gin", "model_signing", "yaml"]
# Files in a worker's folder.
CURRENT, STATISTICS, DEFECTS, CORPUS = "current", "stats", "defects", "corpus"
# Of what a worker holds; the target's own limit is lower.
LARGEST_WORKER = 6 << 30


@dataclasses.dataclass
class Watched:
  """Executes a target, and writes down what it must not do.

  Attributes:
    target: The target.
    folder: Where to write.
    executions: How many there were.
  """

  target: Any
  folder: pathlib.Path
  executions: int = 0

  def __post_init__(self):
    self._scratch = self.folder / "scratch"
    for folder in (self._scratch, self.folder / DEFECTS, self.folder / CORPUS):
      folder.mkdir(parents=True, exist_ok=True)
    self._told = 0.0

  def __call__(self, content: bytes) -> None:
    """Executes the target once."""
    (self.folder / CURRENT).write_bytes(content)
    self.executions += 1
    # Of the processor, which may be busy with something else as well.
    begin, peak = time.process_time(), _peak()
    found = defect_of(self.target, content, self._scratch)
    taken = time.process_time() - begin
    if taken > _most_seconds():
      found = found or f"took {taken:.0f} seconds"
    if _peak() - peak > _most_bytes():
      found = found or f"took {(_peak() - peak) >> 20} MB"
    if found:
      self._write_down(found, content)
    now = time.monotonic()
    if now - self._told > 0.5:
      self._told = now
      (self.folder / STATISTICS).write_text(str(self.executions))

  def _write_down(self, found: str, content: bytes) -> None:
    # The last line tells of the file; where it was raised stands above.
    name = hashlib.sha256(found.rpartition("\n")[0].encode()).hexdigest()[:8]
    path = self.folder / DEFECTS / name
    if not path.exists() or len(content) < path.stat().st_size:
      path.write_bytes(content)
      path.with_suffix(".txt").write_text(f"{found}\n", errors="replace")


def defect_of(target: Any, content: bytes, folder: pathlib.Path) -> str | None:
  """Executes a target once.

  Returns:
    Where an error was raised, and the error; None if it was an `ExportError`.
  """
  from exporters.errors import ExportError

  try:
    target.read(content, folder)
  except ExportError:
    return None
  except Exception as e:  # noqa: BLE001 - This is what is looked for.
    frames = traceback.extract_tb(e.__traceback__)
    ours = [f for f in frames if "/exporters/" in f.filename]
    last = [f"{f.filename}:{f.lineno}" for f in (*ours[-1:], frames[-1])]
    return "\n".join([*last, type(e).__name__, f"{e}"[:200].replace("\n", " ")])
  return None


def _most_seconds() -> float:
  from scripts import fuzz

  return fuzz.MOST_SECONDS


def _most_bytes() -> int:
  from scripts import fuzz

  return fuzz.MOST_BYTES


def _peak() -> int:
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextlib.contextmanager
def _traced(files: set[str], lines: set[tuple[str, int]]) -> Iterator[None]:
  """Adds the lines of files that the block executes."""

  def local(frame, event, argument):
    if event == "line":
      lines.add((frame.f_code.co_filename, frame.f_lineno))
    return local

  def trace(frame, event, argument):
    return local if frame.f_code.co_filename in files else None

  sys.settrace(trace)
  try:
    yield
  finally:
    sys.settrace(None)


def _files_of(target: Any) -> set[str]:
  return {str(importlib.import_module(p).__file__) for p in target.parts}


def _lines_in(file: str) -> int:
  """Returns how many lines the functions of a file have."""
  pending = [compile(pathlib.Path(file).read_text("utf-8"), file, "exec")]
  found = set()
  while pending:
    code = pending.pop()
    inner = [c for c in code.co_consts if hasattr(c, "co_lines")]
    pending += inner
    if code.co_flags & 1:  # Of a function: its variables are optimized.
      lines = {line for _, _, line in code.co_lines() if line}
      found |= lines - {code.co_firstlineno}
  return len(found)


def guided_by_lines(
  watched: Watched, seeds: Sequence[bytes], seconds: float, seed: int
) -> None:
  """Feeds a target with changes of what has reached lines that nothing had."""
  rng, corpus = random.Random(seed), list(seeds)
  files, known = _files_of(watched.target), set[tuple[str, int]]()
  end = time.monotonic() + seconds
  pending = list(seeds)
  while time.monotonic() < end:
    content = (
      pending.pop()
      if pending
      else watched.target.mutate(rng.choice(corpus), rng, seeds)
    )
    lines: set[tuple[str, int]] = set()
    with _traced(files, lines):
      watched(content)
    if not lines <= known:
      known |= lines
      corpus.append(content)
      keep(watched.folder / CORPUS, [content])


def keep(folder: pathlib.Path, contents: Sequence[bytes]) -> None:
  """Writes files, each under the name of its digest."""
  folder.mkdir(parents=True, exist_ok=True)
  for content in contents:
    (folder / hashlib.sha1(content).hexdigest()).write_bytes(content)


def _guided_by_edges(
  watched: Watched, seeds: Sequence[bytes], seconds: float, seed: int
) -> None:
  import atheris

  def mutate(content: bytes, most: int, number: int) -> bytes:
    rng = random.Random(number)
    if rng.randrange(4):
      return watched.target.mutate(content, rng, seeds)[:most]
    return atheris.Mutate(content, most)

  keep(watched.folder / CORPUS, seeds)
  atheris.Setup(
    [
      sys.argv[0],
      str(watched.folder / CORPUS),
      f"-max_total_time={max(1, round(seconds))}",
      f"-seed={seed + 1}",
      "-max_len=262144",
      "-len_control=0",
      "-timeout=120",
      "-rss_limit_mb=0",
      f"-artifact_prefix={watched.folder}/",
    ],
    watched,
    custom_mutator=mutate,
  )
  atheris.Fuzz()


def coverage(
  folder: pathlib.Path, targets: Mapping[str, Any]
) -> dict[str, tuple[int, int, int]]:
  """Returns the lines of each target: by its seeds, by its corpus, and all.

  Args:
    folder: Where each has a folder, with its corpus.
    targets: By name.
  """
  found = {}
  for name, target in targets.items():
    files, lines = _files_of(target), set[tuple[str, int]]()
    scratch = folder / slug(name) / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    counts = []
    corpus = folder / slug(name) / CORPUS
    for contents in (
      target.seeds(),
      [path.read_bytes() for path in sorted(corpus.glob("*"))],
    ):
      for content in contents:
        with _traced(files, lines):
          defect_of(target, content, scratch)
      counts.append(len(lines))
    total = sum(map(_lines_in, files))
    found[name] = (counts[0], counts[1], total)
  return found


def slug(name: str) -> str:
  """Returns a target's name as that of a folder."""
  return "".join(c if c.isalnum() else "_" for c in name)


def main() -> None:
  """Feeds one target for some time, or counts the lines of all."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--target", action="append")
  parser.add_argument("--folder", type=pathlib.Path)
  parser.add_argument("--seconds", type=float)
  parser.add_argument("--seed", type=int)
  arguments = parser.parse_args()
  instrumented: Any = contextlib.nullcontext()
  feed: Callable[..., None] = guided_by_lines
  counts = arguments.seconds is None
  if not counts and importlib.util.find_spec("atheris"):
    import atheris

    instrumented = atheris.instrument_imports(include=_INSTRUMENTED)
    feed = _guided_by_edges
  with instrumented:
    from exporters.command_line import program

    program.prepare_tensorflow()
    from scripts import fuzz

    known = fuzz.all_targets()
    targets = {name: known[name] for name in arguments.target}
    if counts:
      print(json.dumps(coverage(arguments.folder, targets)))
      return
    (target,) = targets.values()
    seeds = target.seeds()
  watched = Watched(target, arguments.folder)
  seconds = arguments.seconds - (time.monotonic() - _BEGIN)
  feed(watched, seeds, seconds, arguments.seed)


if __name__ == "__main__":
  main()
