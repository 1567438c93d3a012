"""Times this repository's exporters beside Model Garden's own.

  python -m scripts.benchmark             # BERT-base with .mlm, three rounds
  python -m scripts.benchmark --runs=5

Both export the same checkpoint, whose weights are drawn at random and written
once. Each figure is of a whole process, from its start to its end, and the
commands take turns, so that a machine that slows down slows all of them. What
is printed are medians and, what matters, ratios: below 1 is better than the
Garden. An otherwise idle machine gives the steadiest ones.
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

_ROOT = pathlib.Path(__file__).parents[1]
_GARDEN = "Model Garden"
# Ours, by the checks that are made.
_LEVELS = ("none", "basic", "all")
_LEAF = "configs/bert/bert_en_uncased_L-12_H-768_A-12.gin"


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
  """

  command: Sequence[str]
  path: pathlib.Path
  cwd: pathlib.Path


def main(argv: Sequence[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"What is '{argv[1]}'?")
  with tempfile.TemporaryDirectory() as folder:
    work = pathlib.Path(folder)
    _say("writing a BERT-base of random weights")
    _run([sys.executable, "-c", _WRITE_BERT, str(work)], cwd=_ROOT)
    contestants = _bert(work)
    runs = _take_turns(contestants)
    _print_table("BERT-base with `.mlm`", _rows(runs, contestants))


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
    f"--gin_file={_LEAF}",
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


def _take_turns(contestants: Mapping[str, Contestant]) -> dict[str, list[Run]]:
  """Runs each command in turn, and then a consumer of the results."""
  runs: dict[str, list[Run]] = {}
  for i in range(_RUNS.value):
    for name, contestant in contestants.items():
      _say(f"round {i + 1} of {_RUNS.value}: {name}")
      shutil.rmtree(contestant.path, ignore_errors=True)
      runs.setdefault(name, []).append(
        _run(contestant.command, cwd=contestant.cwd)
      )
    for name in (_GARDEN, _LEVELS[0]):
      for figure, seconds in _consume(contestants[name].path).items():
        runs.setdefault(f"{name}: {figure}", []).append(Run(seconds, 0))
  return runs


def _run(command: Sequence[str], *, cwd: pathlib.Path) -> Run:
  with tempfile.TemporaryFile() as output:
    started = time.monotonic()
    process = subprocess.Popen(
      command, cwd=cwd, stdout=output, stderr=subprocess.STDOUT
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
      output.seek(0)
      sys.exit(f"{' '.join(command)}\n{output.read().decode()}")
  return Run(seconds, usage.ru_maxrss * 1024)


def _consume(path: pathlib.Path) -> dict[str, float]:
  """Returns the seconds of `hub.load` and of calls, in a fresh process."""
  done = subprocess.run(
    [sys.executable, "-I", "-c", _CONSUME, str(path)],
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
    (contestants[name].path / "saved_model.pb").stat().st_size
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


def _median(runs: Sequence[Run], figure: str) -> float:
  return statistics.median(getattr(run, figure) for run in runs)


def _print_table(title: str, rows: Sequence[tuple[str, str, str, float]]):
  print(f"| {title} | this repository | Model Garden | ratio |")
  print("|---|---|---|---|")
  for figure, ours, theirs, ratio in rows:
    print(f"| {figure} | {ours} | {theirs} | {ratio:.2f} |")


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

_CONSUME = """
import json
import sys
import time
import tensorflow as tf
import tensorflow_hub as hub

started = time.monotonic()
model = hub.load(sys.argv[1])
seconds = {'hub.load': time.monotonic() - started}
for batch, seq_length in ((1, 16), (1, 128), (8, 128)):
  names = ('input_word_ids', 'input_mask', 'input_type_ids')
  inputs = dict.fromkeys(names, tf.ones([batch, seq_length], tf.int32))
  model(inputs)
  times = []
  for _ in range(20):
    started = time.monotonic()
    model(inputs)['default'].numpy()
    times.append(time.monotonic() - started)
  seconds[f'batch {batch}, length {seq_length}'] = sorted(times)[10]
print(json.dumps(seconds))
"""

if __name__ == "__main__":
  app.run(main)
