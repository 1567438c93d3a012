"""Times this repository's exporters beside Model Garden's own.

  python -m scripts.benchmark             # Both models, three rounds
  python -m scripts.benchmark --models=resnet --runs=5

The models are BERT-base with `.mlm` and the legacy ResNet-50, of which this
repository writes both artifacts; the Garden's exporter fails on the second one,
and its failure counts as its end. Both export the same checkpoint, whose
weights are drawn at random and written once. Each figure is of a whole process,
from its start to its end, and the commands take turns, so that a machine that
slows down slows all of them. What is printed are medians and, what matters,
ratios: below 1 is better than the Garden. An otherwise idle machine gives the
steadiest ones. A second table says what each check of one more export took, in
two processes side by side.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from absl import app
from absl import flags

_RUNS = flags.DEFINE_integer("runs", 3, "How often each command is timed.")
_MODELS = flags.DEFINE_multi_enum(
  "models", ["bert", "resnet"], ["bert", "resnet"], "What is exported."
)

_ROOT = pathlib.Path(__file__).parents[1]
_GARDEN = "Model Garden"
# Ours, by the checks that are made.
_LEVELS = ("none", "basic", "all")
_BERT_LEAF = "configs/bert/bert_en_uncased_L-12_H-768_A-12.gin"
_RESNET_LEAF = "configs/resnet/legacy_resnet_50.gin"


@dataclasses.dataclass(frozen=True)
class Run:
  """What one process took: wall seconds, and its peak resident bytes."""

  seconds: float
  peak: float


@dataclasses.dataclass(frozen=True)
class Contestant:
  """A command that writes a SavedModel.

  Attributes:
    command: Its arguments.
    path: What it writes.
    cwd: Where it runs: what is on its path.
    model: The SavedModel that a consumer takes, below `path`.
    failure: What it says as it fails, if that counts as its end.
  """

  command: Sequence[str]
  path: pathlib.Path
  cwd: pathlib.Path
  model: str = ""
  failure: str | None = None

  @property
  def saved_model(self) -> pathlib.Path:
    return self.path / self.model


def main(argv: Sequence[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"What is '{argv[1]}'?")
  for model in dict.fromkeys(_MODELS.value):
    with tempfile.TemporaryDirectory() as folder:
      _compare(model, pathlib.Path(folder))


def _compare(model: str, work: pathlib.Path) -> None:
  title, write, contestants = {
    "bert": ("BERT-base with `.mlm`", _WRITE_BERT, _bert),
    "resnet": ("ResNet-50, both artifacts", _WRITE_RESNET, _resnet),
  }[model]
  _say(f"writing weights: {title}")
  _run(Contestant([sys.executable, "-c", write, str(work)], work, _ROOT))
  runs = _take_turns(model, contestants(work))
  _print_table(title, _rows(runs, contestants(work)))
  _say("the cost of each check")
  costs = _check_costs(contestants(work)["all"].command)
  _print_costs(title, costs, _median(runs[_GARDEN], "seconds"))
  _compare_archives(title, contestants(work)[_LEVELS[0]].saved_model, work)


def _compare_archives(
  title: str, saved_model: pathlib.Path, work: pathlib.Path
) -> None:
  """Packs the same model with `tar -cz` in turn, each a whole process."""
  program = "import sys; from exporters.release import archive; "
  program += "archive.pack(*sys.argv[1:])"
  path, reference = work / "1.tar.gz", work / "reference.tar.gz"
  ours = Contestant(
    [sys.executable, "-c", program, str(saved_model), str(path)], path, _ROOT
  )
  tar = Contestant(
    ["tar", "-czf", str(reference), "-C", str(saved_model), "."],
    reference,
    work,
  )
  runs: dict[str, list[Run]] = {"ours": [], "tar": []}
  for i in range(_RUNS.value):
    _say(f"round {i + 1} of {_RUNS.value}: archives")
    runs["ours"].append(_run(ours))
    runs["tar"].append(_run(tar))
  rows = []
  for figure, unit, scale in (("seconds", "s", 1), ("peak", "MB", 1e6)):
    mine, theirs = (_median(runs[n], figure) / scale for n in ("ours", "tar"))
    name = {"seconds": "pack", "peak": "peak memory"}[figure]
    ratio = mine / theirs
    rows.append((name, f"{mine:.2f} {unit}", f"{theirs:.2f} {unit}", ratio))
  sizes = [p.stat().st_size for p in (path, reference)]
  rows.append(
    (
      "size",
      *(f"{size / 1e6:.2f} MB" for size in sizes),
      sizes[0] / sizes[1],
    )
  )
  print()
  _print_table(f"archive of {title}", rows, other="`tar -cz`", digits=3)


def _bert(work: pathlib.Path) -> dict[str, Contestant]:
  checkpoint, vocab_file = work / "bert_model.ckpt-1", work / "vocab.txt"
  garden = [
    *(sys.executable, "-m", "official.nlp.tools.export_tfhub"),
    "--export_type=model_with_mlm",
    f"--encoder_config_file={work / 'encoder.yaml'}",
    f"--model_checkpoint_path={checkpoint}",
    f"--vocab_file={vocab_file}",
    "--do_lower_case",
    f"--export_path={work / 'garden'}",
  ]
  ours = [
    *(sys.executable, "-m", "exporters.bert"),
    f"--gin_file={_BERT_LEAF}",
    f"--gin_bindings=CHECKPOINT = '{checkpoint}'",
    f"--gin_bindings=VOCAB_FILE = '{vocab_file}'",
  ]
  # The Garden runs where nothing of this repository is on its path, so that
  # its `official` is the wheel's.
  contestants = {_GARDEN: Contestant(garden, work / "garden", work)}
  for level in _LEVELS:
    path = work / level
    command = [*ours, f"--export_path={path}", f"--checks={level}"]
    contestants[level] = Contestant(command, path, _ROOT)
  return contestants


def _resnet(work: pathlib.Path) -> dict[str, Contestant]:
  weights = work / "resnet_50.h5"
  garden = [
    *(sys.executable, "-m"),
    "official.legacy.image_classification.resnet.tfhub_export",
    f"--model_path={weights}",
    f"--export_path={work / 'garden'}",
  ]
  ours = [
    *(sys.executable, "-m", "exporters.resnet"),
    f"--gin_file={_RESNET_LEAF}",
    f"--gin_bindings=CHECKPOINT = '{weights}'",
  ]
  half = "classification"
  contestants = {
    _GARDEN: Contestant(
      garden, work / "garden", work, half, "No such layer: reduce_mean"
    )
  }
  for level in _LEVELS:
    path = work / level
    command = [*ours, f"--export_path={path}", f"--checks={level}"]
    contestants[level] = Contestant(command, path, _ROOT, half)
  return contestants


def _take_turns(
  model: str, contestants: Mapping[str, Contestant]
) -> dict[str, list[Run]]:
  """Runs each command in turn, and then a consumer of the results."""
  runs: dict[str, list[Run]] = {}
  for i in range(_RUNS.value):
    for name, contestant in contestants.items():
      _say(f"round {i + 1} of {_RUNS.value}: {name}")
      shutil.rmtree(contestant.path, ignore_errors=True)
      runs.setdefault(name, []).append(_run(contestant))
    for name in (_GARDEN, _LEVELS[0]):
      consumed = _consume(model, contestants[name].saved_model)
      for figure, seconds in consumed.items():
        runs.setdefault(f"{name}: {figure}", []).append(Run(seconds, 0))
  return runs


def _run(contestant: Contestant) -> Run:
  with tempfile.TemporaryFile() as output:
    started = time.monotonic()
    process = subprocess.Popen(
      contestant.command,
      cwd=contestant.cwd,
      stdout=output,
      stderr=subprocess.STDOUT,
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    output.seek(0)
    said = output.read().decode()
  failure = contestant.failure
  as_expected = failure in said if failure else not process.returncode
  if not as_expected:
    sys.exit(f"{' '.join(contestant.command)}\n{said}")
  return Run(seconds, usage.ru_maxrss * 1024)


def _consume(model: str, path: pathlib.Path) -> dict[str, float]:
  """Returns the seconds of `hub.load` and of calls, in a fresh process."""
  done = subprocess.run(
    [sys.executable, "-I", "-c", _CONSUME, str(path), model],
    check=True,
    capture_output=True,
    text=True,
  )
  return json.loads(done.stdout.splitlines()[-1])


def _rows(
  runs: Mapping[str, Sequence[Run]], contestants: Mapping[str, Contestant]
) -> list[tuple[str, str, str, float]]:
  """Returns what was measured: ours, the Garden's, and their ratio."""
  none, basic, all_ = _LEVELS

  def seconds(figure: str, name: str, other: str = _GARDEN):
    ours, theirs = (_median(runs[n], "seconds") for n in (name, other))
    return figure, f"{ours:.2f} s", f"{theirs:.2f} s", ours / theirs

  def added(figure: str, level: str):
    garden = _median(runs[_GARDEN], "seconds")
    extra = _median(runs[level], "seconds") - _median(runs[none], "seconds")
    return figure, f"+{extra:.2f} s", f"{garden:.2f} s", extra / garden

  peaks = [_median(runs[name], "peak") for name in (none, _GARDEN)]
  graphs = [
    (contestants[name].saved_model / "saved_model.pb").stat().st_size
    for name in (none, _GARDEN)
  ]
  calls = [
    seconds(f"call, {key}", f"{none}: {key}", f"{_GARDEN}: {key}")
    for key in (name.partition(": ")[2] for name in runs if none in name)
    if key.startswith("batch")
  ]
  return [
    seconds("export without checks", none),
    added("what the basic checks add", basic),
    added("what all checks add", all_),
    (
      "peak memory of the export",
      *(f"{peak / 2**30:.2f} GiB" for peak in peaks),
      peaks[0] / peaks[1],
    ),
    (
      "saved_model.pb",
      *(f"{size / 1e6:.2f} MB" for size in graphs),
      graphs[0] / graphs[1],
    ),
    seconds("hub.load", f"{none}: hub.load", f"{_GARDEN}: hub.load"),
    *calls,
  ]


def _check_costs(command: Sequence[str]) -> dict[str, float]:
  """Returns the seconds that each check of an export took."""
  values = {"gin_file": [], "gin_bindings": [], "export_path": []}
  for flag in command:
    name, _, value = flag.removeprefix("--").partition("=")
    values.get(name, []).append(value)
  done = subprocess.run(
    [sys.executable, "-c", _CHECKED, json.dumps(values)],
    cwd=_ROOT,
    check=True,
    capture_output=True,
    text=True,
  )
  return json.loads(done.stdout.splitlines()[-1])


def _print_costs(title: str, costs: Mapping[str, float], garden: float) -> None:
  print(f"\n| check of {title} | seconds | of the Garden's export |")
  print("|---|---|---|")
  for name, seconds in sorted(costs.items(), key=lambda item: -item[1]):
    if seconds >= 0.1:
      print(f"| {name} | {seconds:.1f} | {seconds / garden:.2f} |")


def _median(runs: Sequence[Run], figure: str) -> float:
  return statistics.median(getattr(run, figure) for run in runs)


def _print_table(
  title: str,
  rows: Sequence[tuple[str, str, str, float]],
  other: str = _GARDEN,
  digits: int = 2,
) -> None:
  print(f"| {title} | this repository | {other} | ratio |")
  print("|---|---|---|---|")
  for figure, ours, theirs, ratio in rows:
    print(f"| {figure} | {ours} | {theirs} | {ratio:.{digits}f} |")


def _say(text: str) -> None:
  print(text, file=sys.stderr)


# What the processes run that are neither exporter.
_WRITE_BERT = """
import pathlib
import sys
from official.nlp.configs import encoders
from official.nlp.modeling import models
import tensorflow as tf

work = pathlib.Path(sys.argv[1])
encoder = encoders.build_encoder(encoders.EncoderConfig(type='bert'))
pretrainer = models.BertPretrainerV2(encoder, mlm_activation='gelu')
pretrainer({x.name: tf.zeros([1, 1], tf.int32) for x in pretrainer.inputs})
checkpoint = tf.train.Checkpoint(**pretrainer.checkpoint_items)
# The Garden's exporter wants what `save` adds, a counter.
checkpoint.save(str(work / 'bert_model.ckpt'))
tokens = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
tokens += [f'w{i}' for i in range(30522 - len(tokens))]
(work / 'vocab.txt').write_text(''.join(f'{token}\\n' for token in tokens))
(work / 'encoder.yaml').write_text('type: bert\\nbert: {}\\n')
"""

_WRITE_RESNET = """
import os
os.environ['TF_USE_LEGACY_KERAS'] = '1'
import sys
from official.legacy.image_classification.resnet import resnet_model

resnet_model.resnet50(1001).save_weights(f'{sys.argv[1]}/resnet_50.h5')
"""

_CHECKED = """
import os
os.environ['TF_USE_LEGACY_KERAS'] = '1'
import json
import sys
from exporters import base
from exporters import recipe

values = json.loads(sys.argv[1])
exporter = recipe.load(values['gin_file'], values['gin_bindings']).exporter
(path,) = values['export_path']
done = base.export(exporter, export_path=path, overwrite=True)
costs = {}
for artifact in done.artifacts:
  for result in artifact.results:
    costs[result.check] = costs.get(result.check, 0.0) + result.seconds
print(json.dumps(costs))
"""

_CONSUME = """
import json
import sys
import time
import tensorflow as tf
import tensorflow_hub as hub

started = time.monotonic()
model = hub.load(sys.argv[1])
seconds = {'hub.load': time.monotonic() - started}

def call(inputs):
  outputs = model(inputs)
  return (outputs['default'] if isinstance(outputs, dict) else outputs).numpy()

cases = {}
if sys.argv[2] == 'bert':
  for batch, seq_length in ((1, 16), (1, 128), (8, 128)):
    names = ('input_word_ids', 'input_mask', 'input_type_ids')
    ids = tf.ones([batch, seq_length], tf.int32)
    cases[f'batch {batch}, length {seq_length}'] = dict.fromkeys(names, ids)
else:
  for batch in (1, 8):
    cases[f'batch {batch}'] = tf.ones([batch, 224, 224, 3]) / 2
for name, inputs in cases.items():
  call(inputs)
  times = []
  for _ in range(20):
    started = time.monotonic()
    call(inputs)
    times.append(time.monotonic() - started)
  seconds[name] = sorted(times)[10]
print(json.dumps(seconds))
"""

if __name__ == "__main__":
  app.run(main)
