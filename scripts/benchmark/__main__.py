"""Times this repository's exporters beside Model Garden's own.

  python -m scripts.benchmark             # both models, three rounds
  python -m scripts.benchmark --models=resnet --runs=5
  python -m scripts.benchmark --models=movinet_a0_base --checks=none
  python -m scripts.benchmark --models=retinanet --checks=all
  python -m scripts.benchmark --models=growth --plot=growth.svg

The models are BERT-base with `.mlm` and the legacy ResNet-50, and on request
MoViNet-A0 and A3, of whole videos and of streams, and models for a task, as
they are served: a classifier on BERT-base and a RetinaNet. Of the ResNet,
this repository writes both artifacts; the Garden's exporter fails on the
second, and is timed until it fails. "growth" is BERT with 2, 12 and 24 layers.
"small_berts" is a garden of 24 models, released by one command, beside the
Garden's exporter, which is run 24 times; with --plot, on one core too.

Both sides export the same checkpoint of random weights. Each figure is for a
whole process, from start to exit, and the commands take turns, so that a
machine that slows down slows all of them. The tables show medians and, more
importantly, ratios: below 1, this repository is better. Ratios are steadiest on
an otherwise idle machine.
"""

from collections.abc import Sequence
import heapq
import json
import os
import pathlib
import statistics
import sys
import tempfile

from absl import flags

from exporters.command_line import program
from scripts.benchmark import contest
from scripts.benchmark import models
from scripts.benchmark import tables
from scripts.benchmark.contest import Contestant
from scripts.benchmark.contest import say

_CORES = len(os.sched_getaffinity(0))
_RUNS = flags.DEFINE_integer("runs", 3, "How many times to run each command.")
_MODELS = flags.DEFINE_multi_enum(
  "models",
  ["bert", "resnet"],
  ["bert", "resnet", *models.TASKS, *models.MOVINETS, "growth", "small_berts"],
  "What to export.",
)
_CHECKS = flags.DEFINE_multi_enum(
  "checks",
  [models.BASIC, models.ALL],
  [models.BASIC, models.ALL, models.NONE],
  "Which checks to time beside an export without any.",
)
_PLOT = flags.DEFINE(
  program.PathParser(),
  "plot",
  None,
  "The SVG file to plot growth or small_berts to.",
)


def main() -> None:
  """Compares each model once."""
  for name in dict.fromkeys(_MODELS.value):
    if name == "growth":
      _grow()
    elif name == "small_berts":
      with tempfile.TemporaryDirectory() as folder:
        _release_small_berts(pathlib.Path(folder))
    else:
      with tempfile.TemporaryDirectory() as folder:
        _compare(name, pathlib.Path(folder))


def _compare(name: str, work: pathlib.Path) -> None:
  model = models.by_name(name)
  _write(model, work)
  levels = tuple(dict.fromkeys((models.NONE, *_CHECKS.value)))
  contestants = model.contestants(work, levels)
  runs = contest.take_turns(contestants, _RUNS.value)
  saved = [contestants[n].saved_model for n in (models.NONE, models.GARDEN)]
  tables.show(
    model.title,
    [
      *tables.exports(runs),
      tables.ratio(
        "saved_model.pb",
        "MB",
        *((s / "saved_model.pb").stat().st_size / 1e6 for s in saved),
      ),
      _loads(saved),
    ],
  )
  if model.converts:
    _companion(saved[0], work, runs[models.GARDEN])
  say("calls")
  calls = contest.said_by([*contest.program("call"), name, *map(str, saved)])
  tables.show_calls(json.loads(calls))
  if models.ALL in levels:
    say("checks")
    costs = contest.said_by(
      [
        *contest.program("check_costs"),
        str(work / models.ALL),
        model.gin_file,
        *model.bindings(work),
      ]
    )
    tables.show_costs(json.loads(costs), runs[models.GARDEN].seconds)
  _pack(saved[0], work)


def _write(model: models.Model, work: pathlib.Path) -> None:
  say(f"weights: {model.title}")
  name, *arguments = model.write
  contest.said_by([*contest.program(name), str(work), *arguments])


def _loads(saved: Sequence[pathlib.Path]) -> tables.Row:
  """Loads each in turn, in fresh processes that import nothing else."""
  load = pathlib.Path(__file__).parent / "programs/load.py"
  seconds: list[list[float]] = [[], []]
  # A load is short, so that other work on the machine shows more.
  for _ in range(3 * _RUNS.value):
    for path, times in zip(saved, seconds, strict=True):
      command = [sys.executable, "-I", str(load), str(path)]
      times.append(float(contest.said_by(command)))
  return tables.ratio("hub.load", "s", *map(statistics.median, seconds))


def _companion(
  saved_model: pathlib.Path, work: pathlib.Path, garden: contest.Run
) -> None:
  """Makes a float32 LiteRT companion, and proves it."""
  path = work / "companion"
  command = [
    *(sys.executable, "-m", "scripts.companion", str(saved_model)),
    *("--kind=lite", f"--export_path={path}"),
  ]
  made = contest.take_turns(
    {"companion": Contestant(command, path)}, _RUNS.value
  )["companion"]
  tables.show(
    "a LiteRT companion, beside the Garden's export",
    [
      tables.ratio("make and compare", "s", made.seconds, garden.seconds),
      tables.ratio(
        "peak memory", "GiB", made.peak / 2**30, garden.peak / 2**30
      ),
    ],
  )


def _pack(saved_model: pathlib.Path, work: pathlib.Path) -> None:
  ours, theirs = work / "1.tar.gz", work / "theirs.tar.gz"
  tar = ["tar", "-czf", str(theirs), "-C", str(saved_model), "."]
  runs = contest.take_turns(
    {
      "ours": Contestant(
        [*contest.program("pack"), str(saved_model), str(ours)], ours
      ),
      "tar": Contestant(tar, theirs),
    },
    _RUNS.value,
  )
  tables.show(
    "archive",
    [
      tables.ratio("pack", "s", *(run.seconds for run in runs.values())),
      tables.ratio(
        "peak memory", "MB", *(run.peak / 1e6 for run in runs.values())
      ),
      tables.ratio(
        "size", "MB", *(p.stat().st_size / 1e6 for p in (ours, theirs))
      ),
    ],
    other="`tar -cz`",
  )


def _grow() -> None:
  points: list[dict[str, float]] = []
  for num_layers in (2, 12, 24):
    with tempfile.TemporaryDirectory() as folder:
      work = pathlib.Path(folder)
      model = models.bert(num_layers)
      _write(model, work)
      contestants = model.contestants(work, (models.NONE,))
      runs = contest.take_turns(contestants, _RUNS.value)
      weights = contestants[models.NONE].path / "variables"
      size = sum(file.stat().st_size for file in weights.iterdir())
      point = {"layers": num_layers, "weights": size / 1e6}
      for name, run in runs.items():
        point[f"{name} s"] = run.seconds
        point[f"{name} GB"] = run.peak / 1e9
      points.append(point)
  tables.show_growth(points, _PLOT.value)


def _release_small_berts(work: pathlib.Path) -> None:
  say("weights: small BERTs")
  contest.said_by([*contest.program("write_small_berts"), str(work)])
  levels = tuple(dict.fromkeys((models.NONE, *_CHECKS.value)))
  cores = [_CORES]
  if _PLOT.value:
    cores = [2**i for i in range(_CORES.bit_length())]
  runs = contest.take_turns(
    models.small_berts(work, levels, cores), _RUNS.value
  )
  garden = runs[models.GARDEN].seconds
  tables.show(
    "24 small BERTs",
    [
      tables.ratio(
        f"releases, checks: {level}, cores: {core}",
        "s",
        runs[models.at_level(level, core)].seconds,
        garden,
      )
      for level in levels
      for core in cores
    ],
    other="Model Garden's exports, one after another",
  )
  if _PLOT.value:
    measured, simulated, by_workers = {}, {}, {}
    for level in levels:
      one = models.at_level(level, 1)
      seconds = {c: runs[models.at_level(level, c)].seconds for c in cores}
      record = (work / one / "small_berts.garden.json").read_text()
      singles = [leaf["seconds"] for leaf in json.loads(record)["leaves"]]
      measured[level] = seconds
      start = max(seconds[1] - sum(singles), 0)
      # Each worker has to start as well, at the same time as the others.
      by_workers[level] = {
        count: start + _longest(singles, count) for count in (1, 2, 4, 8, 16)
      }
      simulated[level] = by_workers[level]
    tables.plot_garden(
      measured, simulated, by_workers, len(singles), _PLOT.value
    )


def _longest(seconds: Sequence[float], cores: int) -> float:
  """Returns when the last of several tasks ends, the longest begun first."""
  ends = [0.0] * cores
  for one in sorted(seconds, reverse=True):
    heapq.heapreplace(ends, ends[0] + one)
  return max(ends)


if __name__ == "__main__":
  program.run(main, modules=[])
