"""Times this repository's exporters beside Model Garden's own.

  python -m scripts.benchmark             # Both models, three rounds
  python -m scripts.benchmark --models=resnet --runs=5
  python -m scripts.benchmark --models=growth --plot=growth.svg

The models are BERT-base with `.mlm` and the legacy ResNet-50, of which this
repository writes both artifacts; the Garden's exporter fails on the second one,
and its failure counts as its end. "growth" is BERT of 2, 12 and 24 layers. Both
export the same checkpoint, whose weights are drawn at random and written once.
Each figure is of a whole process, from its start to its end, and the commands
take turns, so that a machine that slows down slows all of them. What is printed
are medians and, what matters, ratios: below 1 is better than the other. An
otherwise idle machine gives the steadiest ones.
"""

from collections.abc import Mapping, Sequence
import json
import pathlib
import statistics
import sys
import tempfile

from absl import app
from absl import flags

from scripts.benchmark import contest
from scripts.benchmark import models
from scripts.benchmark import tables
from scripts.benchmark.contest import Contestant
from scripts.benchmark.contest import say

_RUNS = flags.DEFINE_integer("runs", 3, "How often each command is timed.")
_MODELS = flags.DEFINE_multi_enum(
  "models",
  ["bert", "resnet"],
  ["bert", "resnet", "growth"],
  "What is exported.",
)
_PLOT = flags.DEFINE_string("plot", None, "Where to draw the growth.")


def main(argv: Sequence[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"What is '{argv[1]}'?")
  for name in dict.fromkeys(_MODELS.value):
    if name == "growth":
      _grow()
    else:
      with tempfile.TemporaryDirectory() as folder:
        _compare(name, pathlib.Path(folder))


def _compare(name: str, work: pathlib.Path) -> None:
  model = {"bert": models.bert, "resnet": models.resnet}[name]()
  _write(model, work)
  levels = (models.NONE, models.BASIC, models.ALL)
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
  say("calls")
  calls = contest.said_by([*contest.program("call"), name, *map(str, saved)])
  tables.show_calls(json.loads(calls))
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
  """Loads each in turn, in fresh processes that have nothing else."""
  program = pathlib.Path(__file__).parent / "programs/load.py"
  seconds: list[list[float]] = [[], []]
  # Seconds short, so that what else the machine does shows more.
  for _ in range(3 * _RUNS.value):
    for path, times in zip(saved, seconds, strict=True):
      command = [sys.executable, "-I", str(program), str(path)]
      times.append(float(contest.said_by(command)))
  return tables.ratio("hub.load", "s", *map(statistics.median, seconds))


def _pack(saved_model: pathlib.Path, work: pathlib.Path) -> None:
  ours, theirs = work / "1.tar.gz", work / "reference.tar.gz"
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
  points: list[Mapping[str, float]] = []
  for num_layers in (2, 12, 24):
    with tempfile.TemporaryDirectory() as folder:
      work = pathlib.Path(folder)
      model = models.bert(num_layers)
      _write(model, work)
      contestants = model.contestants(work, (models.NONE,))
      runs = contest.take_turns(contestants, _RUNS.value)
      weights = contestants[models.NONE].path / "variables"
      size = sum(file.stat().st_size for file in weights.iterdir())
      points.append({"layers": num_layers, "weights": size / 1e6})
      for name, run in runs.items():
        points[-1][f"{name} s"] = run.seconds
        points[-1][f"{name} GB"] = run.peak / 1e9
  tables.show_growth(points, _PLOT.value)


if __name__ == "__main__":
  app.run(main)
