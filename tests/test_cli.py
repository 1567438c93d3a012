"""The command line: what a person reads, and the exit code."""

import os
import re
import tomllib

import pytest
import tensorflow as tf

from scripts.small_instances import INSTANCES
from tests import command
from tests import small_bert


def test_help_shows_the_module_and_its_flags_without_tensorflow():
  done = command.run("exporters.bert", "--help", check=False, fresh=True)
  assert done.stdout.startswith("Exports BERT: restores a pretrainer")
  for flag in (
    "gin_file",
    "gin_bindings",
    "export_path",
    "overwrite",
    "checks",
  ):
    assert f"--{flag}" in done.stdout.replace("--[no]", "--")
  assert done.stderr == ""


# Modules that run as commands, by what they call.
_COMMANDS = [
  ".".join(path.relative_to(command.ROOT).with_suffix("").parts)
  for folder in ("exporters", "official", "scripts")
  for path in sorted((command.ROOT / folder).rglob("*.py"))
  if re.search(
    r'\nif __name__ == "__main__":\n.*?(program|export_command)\.run\(',
    path.read_text(),
    re.S,
  )
]


def test_there_are_commands():
  assert len(_COMMANDS) >= 25
  assert {
    "exporters.bert",
    "official.legacy.bert.export_tfhub",
    "official.vision.serving.export_tfhub",
    "scripts.check_table",
    "scripts.release",
  } <= {*_COMMANDS}


def test_a_wrong_flag_is_refused_before_anything_heavy(tmp_path, monkeypatch):
  (tmp_path / "tensorflow.py").write_text("raise AssertionError(__name__)")
  monkeypatch.setenv("PYTHONPATH", str(tmp_path))
  for module in (
    "exporters.bert",
    "official.legacy.bert.export_tfhub",
    "official.vision.serving.export_tfhub",
  ):
    done = command.run(module, "--exprt=1", check=False, fresh=True)
    assert done.stderr.startswith("error: There is no flag 'exprt'."), module


def test_a_flag_that_is_a_path_is_declared_as_one():
  """So that its ~ is expanded."""
  path = r"(?:file|path|(?<!sub)dir|key|provenance)"
  pattern = rf'DEFINE_(?:multi_)?string\(\s*"(\w*{path})"'
  for folder in ("exporters", "official", "scripts"):
    for file in (command.ROOT / folder).rglob("*.py"):
      assert not re.findall(pattern, file.read_text()), file


@pytest.mark.parametrize(
  ("module", "flags"),
  [
    ("scripts.verify", ["{file}", "--provenance=~/absent"]),
    ("scripts.verify", ["{file}", "--public_key=~/absent"]),
    ("scripts.release", ["--release_dir=~/release", "--sign_key=~/absent"]),
    ("exporters.low_level", ["--export_path=~/model", "--gin_file=~/absent"]),
    (
      "official.nlp.tools.export_tfhub",
      ["--export_path=~/model", "--vocab_file=~/absent"],
    ),
  ],
)
def test_the_home_directory_is_expanded(module, flags, tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path))
  for name in ("file", "file.sig"):
    (tmp_path / name).write_text("")
  flags = [flag.format(file=tmp_path / "file") for flag in flags]
  assert f"{tmp_path}/absent" in failure(module, *flags)


def test_what_is_written_to_the_home_directory_lies_there(
  tmp_path, monkeypatch
):
  monkeypatch.setenv("HOME", str(tmp_path))
  gin_file = "--gin_file=configs/low_level/multiply.gin"
  command.run(
    "exporters.low_level", gin_file, "--export_path=~/model", "--checks=none"
  )
  assert (tmp_path / "model/saved_model.pb").is_file()
  command.run(
    "scripts.release",
    gin_file,
    "--release_dir=~/release",
    "--draft",
    "--checks=none",
  )
  assert (tmp_path / "release/example/multiply/1.tar.gz").is_file()


@pytest.mark.parametrize("module", _COMMANDS)
def test_the_version_is_shown_before_anything_heavy(
  module, tmp_path, monkeypatch
):
  for heavy in ("numpy", "tensorflow"):
    (tmp_path / f"{heavy}.py").write_text("raise AssertionError(__name__)")
  monkeypatch.setenv("PYTHONPATH", str(tmp_path))
  done = command.run(module, "--version", check=False, fresh=True)
  project = tomllib.loads((command.ROOT / "pyproject.toml").read_text())
  assert done.returncode == 0, done.stderr
  assert done.stdout == (
    f"model-garden-exporter {project['project']['version']}\n"
  )


def failure(module: str, *flags: str) -> str:
  done = command.run(module, *flags, check=False)
  assert done.returncode == 1
  assert "Traceback" not in done.stderr
  assert done.stdout == ""
  return done.stderr


def test_no_export_path():
  message = failure("exporters.bert")
  assert message == "error: Say where to write: --export_path=DIRECTORY.\n"


def test_a_word_that_is_no_flag():
  message = failure("exporters.bert", "bert.gin", "--export_path=x")
  assert message == (
    "error: Unexpected argument 'bert.gin'; use flags, see --help.\n"
  )


def test_a_gin_file_of_another_architecture(tmp_path):
  message = failure(
    "exporters.bert",
    "--gin_file=configs/low_level/multiply.gin",
    f"--export_path={tmp_path / 'model'}",
  )
  assert "is for `python -m exporters.low_level`" in message
  assert os.listdir(tmp_path) == []


def test_a_misspelt_parameter(tmp_path):
  message = failure(
    "exporters.bert",
    f"--gin_file={small_bert.GIN_FILE}",
    "--gin_bindings=encoders.BertEncoderConfig.hidden_siz = 8",
    f"--export_path={tmp_path / 'model'}",
  )
  assert "Did you mean 'hidden_size'" in message
  assert os.listdir(tmp_path) == []


def test_a_checkpoint_of_another_size(tmp_path):
  wide = small_bert.encoder(hidden_size=32)
  prefix = tf.train.Checkpoint(encoder=wide).write(str(tmp_path / "ckpt"))
  vocab_file = small_bert.write_vocabulary(tmp_path / "vocab.txt")
  before = sorted(os.listdir(tmp_path))
  message = failure(
    "exporters.bert",
    f"--gin_file={small_bert.GIN_FILE}",
    f"--gin_params=CHECKPOINT = '{prefix}'",
    f"--gin_params=VOCAB_FILE = '{vocab_file}'",
    f"--export_path={tmp_path / 'model'}",
  )
  assert "model has another size" in message
  assert sorted(os.listdir(tmp_path)) == before


def test_a_vocabulary_of_another_size(tmp_path):
  bindings = INSTANCES["bert"].write_inputs(tmp_path)
  tokens = [*small_bert.TOKENS, "one more"]
  small_bert.write_vocabulary(tmp_path / "vocab.txt", tokens)
  message = failure(
    "exporters.bert",
    f"--gin_file={small_bert.GIN_FILE}",
    *(f"--gin_bindings={binding}" for binding in bindings),
    f"--export_path={tmp_path / 'model'}",
  )
  assert "has 41 tokens, but the model has embeddings for 40" in message


def test_traceback_when_asked(tmp_path):
  done = command.run("exporters.bert", "--traceback", check=False)
  assert done.returncode == 1
  assert "Traceback" in done.stderr


def test_summary_and_progress(tmp_path):
  bindings = INSTANCES["bert"].write_inputs(tmp_path)
  done = command.export(
    "bert",
    small_bert.GIN_FILE,
    tmp_path / "model",
    "--checks=basic",
    bindings=bindings,
  )
  stages = [line.split("s  ")[1] for line in done.stderr.splitlines()]
  assert stages[0] == "build"
  assert stages[1] == f"restore {tmp_path / 'bert_model.ckpt'}"
  assert stages[2:] == ["save", "check"]
  lines = {
    key: value.strip()
    for key, _, value in (
      line.strip().partition("  ") for line in done.stdout.splitlines()
    )
  }
  assert lines["SavedModel"].startswith(str(tmp_path)[:20])
  # By hand: (40 + 32 + 2 + 2) 16 of embeddings, 2 layers of 4 (256 + 16) +
  # 2 (16 x 32) + 32 + 16 + 64, 256 + 16 of the pooler; 256 + 16 + 32 + 40 of
  # the masked language model.
  assert lines["parameters"] == "6,280 (all trainable)"
  assert "largest difference" in lines


def test_a_remote_export_path(tmp_path):
  """`ram://` is a file system of its own, inside one process."""
  done = command.run(
    "tests.remote_export",
    "--gin_file=configs/low_level/multiply.gin",
    "--export_path=ram://models/multiply",
    "--checks=basic",
    # What it does at its end is not a fork's.
    fresh=True,
  )
  assert done.stdout.rstrip().splitlines()[-1] == (
    "fingerprint.pb saved_model.pb variables/variables.data-00000-of-00001 "
    "variables/variables.index: [20.0, 40.0]"
  )


@pytest.mark.parametrize(
  ("flag", "message"),
  [
    ("--export_path=nosuch://bucket/model", "Cannot write to 'nosuch://"),
    (
      "--gin_bindings=low_level.LowLevelExporter.trainable = '('",
      "trainable = '(' is not a regular expression",
    ),
  ],
)
def test_what_cannot_be_is_one_error(tmp_path, flag, message):
  stderr = failure(
    "exporters.low_level",
    "--gin_file=configs/low_level/multiply.gin",
    f"--export_path={tmp_path / 'model'}",
    "--checks=none",
    flag,
  )
  assert f"error: {message}" in stderr
  assert os.listdir(tmp_path) == []


def test_the_summary_says_what_an_exporter_remarks(tmp_path):
  """A table of embeddings that was padded from 38 rows to 40."""
  bindings = INSTANCES["bert"].write_inputs(tmp_path)
  small_bert.write_vocabulary(tmp_path / "vocab.txt", small_bert.TOKENS[:-2])
  done = command.export(
    "bert",
    small_bert.GIN_FILE,
    tmp_path / "model",
    "--checks=none",
    bindings=bindings,
  )
  assert re.search(
    r"^note +The model has .* the last 2 are padding", done.stdout, re.M
  )
