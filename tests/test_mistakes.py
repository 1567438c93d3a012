"""Mistakes that people make on the command line and in gin files.

Each ends in one error of a few lines, which says what is wrong, where, and how
to go on; and nothing is left behind.
"""

import os
import pathlib
import zipfile

import pytest

from scripts.small_instances import INSTANCES
from tests import command
from tests import small_bert

_LOW = "configs/low_level/multiply.gin"
_KERAS = "configs/keras_model/keras_model.gin"
_EXPORTER = "low_level.LowLevelExporter"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Inputs of a small BERT, and files that are something else."""
  path = tmp_path_factory.mktemp("mistakes")
  INSTANCES["bert"].write_inputs(path)
  good = pathlib.Path(command.ROOT, _LOW).read_text()
  files = {
    "latin.gin": b"# caf\xe9\n" + good.encode(),
    "utf16.gin": good.encode("utf-16"),
    "empty.gin": b"",
    "json.gin": b'{"exporter": "low_level"}',
    "a.gin": f"include '{path}/b.gin'\n".encode(),
    "b.gin": f"include '{path}/a.gin'\n".encode(),
    "import.gin": good.encode() + b"\nfrom exporters import no_such\n",
    "open.gin": good.encode() + b"\nA = [1,\n",
    "page.html": b"<!DOCTYPE html><html></html>",
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "empty.ckpt": b"",
    "empty.txt": b"",
    "latin.txt": b"[PAD]\n\xe9\n",
    "text.keras": b"hello\n",
    "text.h5": b"hello\n",
    "folder/readme.txt": b"hello\n",
  }
  for name, content in files.items():
    (path / name).parent.mkdir(exist_ok=True)
    (path / name).write_bytes(content)
  with zipfile.ZipFile(path / "model.zip", "w") as archive:
    archive.writestr("bert_model.ckpt.index", b"")
  return path


def _low(*bindings, gin_file=_LOW, export="{out}"):
  return (
    "exporters.low_level",
    f"--gin_file={gin_file}",
    *(f"--gin_bindings={binding}" for binding in bindings),
    f"--export_path={export}",
  )


def _bert(*bindings):
  return (
    "exporters.bert",
    f"--gin_file={small_bert.GIN_FILE}",
    "--gin_bindings=CHECKPOINT = '{folder}/bert_model.ckpt'",
    "--gin_bindings=VOCAB_FILE = '{folder}/vocab.txt'",
    *(f"--gin_bindings={binding}" for binding in bindings),
    "--export_path={out}",
  )


def _keras(*bindings):
  return (
    "exporters.keras_model",
    f"--gin_file={_KERAS}",
    *(f"--gin_bindings={binding}" for binding in bindings),
    "--export_path={out}",
  )


_MISTAKES = {
  # Flags.
  "a misspelt flag": (
    (*_low(), "--gin_fil=x"),
    "There is no flag 'gin_fil'. Did you mean 'gin_file'?",
  ),
  "a flag without its value": (
    ("exporters.low_level", "--gin_file"),
    "Missing value for flag --gin_file. See --help.",
  ),
  "a level of checks that is none": (
    (*_low(), "--checks=al"),
    "--checks=al: value should be one of <all|basic|none>",
  ),
  "a truth value that is none": (
    (*_low(), "--overwrite=maybe"),
    "Flag --overwrite=maybe: Non-boolean argument",
  ),
  "a dash from a word processor": (
    (*_low(), "–overwrite"),
    "'–overwrite' begins with a dash in place of hyphens",
  ),
  # Lines of gin.
  "no equals sign": (
    _low(f"{_EXPORTER}.factor 3.0"),
    f'NAME = VALUE, or an import or include. (--gin_bindings="{_EXPORTER}.fact',
  ),
  "a path without quotes": (
    _bert("VOCAB_FILE = /tmp/vocab.txt"),
    "Write strings in quotes: NAME = '/a/path'. "
    '(--gin_bindings="VOCAB_FILE = /tmp/vocab.txt")',
  ),
  "typographic quotes": (
    _bert("VOCAB_FILE = “/tmp/vocab.txt”"),
    "The quotes are typographic",
  ),
  "a quote that is not closed": (
    _bert("VOCAB_FILE = '/tmp/vocab.txt"),
    "A quote is opened and not closed",
  ),
  "a bracket that is not closed": (
    _low(gin_file="{folder}/open.gin"),
    "A bracket or a quote is opened and not closed. ({folder}/open.gin, line",
  ),
  "more texts in a row than gin can take": (
    _bert("VOCAB_FILE = " + "'a' " * 201),
    "has more than 200 texts in a row. Write fewer and longer ones.",
  ),
  "a misspelt macro": (
    _bert("VOCAB_FIL = '/tmp/vocab.txt'"),
    "Nothing in the gin file uses the macro VOCAB_FIL. Did you mean "
    "'VOCAB_FILE'?",
  ),
  "a misspelt parameter": (
    _low(f"{_EXPORTER}.facto = 3.0"),
    f"{_EXPORTER} has no parameter 'facto'. Did you mean 'factor'?",
  ),
  "a class that nothing imports": (
    _low("low_levl.LowLevelExporter.factor = 3.0"),
    f"imports nothing of this name. Did you mean '{_EXPORTER}'?",
  ),
  "macros in a circle": (
    _low("A = %B", "B = %A", f"{_EXPORTER}.factor = %A"),
    "goes in a circle",
  ),
  # Gin files.
  "a gin file that is not there": (
    _low(gin_file="configs/low_level/multipl.gin"),
    "The gin file 'configs/low_level/multipl.gin' does not exist, neither "
    "below the working directory nor below the root of the repository. Did "
    "you mean 'multiply.gin'?",
  ),
  "a folder for a gin file": (
    _low(gin_file="configs/low_level"),
    "The gin file 'configs/low_level' is a folder. Name a file in it.",
  ),
  "a variable that no shell expands": (
    _low(gin_file="$HOME/leaf.gin"),
    "Only a shell expands '~' and '$': write '",
  ),
  "a gin file that is not in the home": (
    _low(gin_file="~/no_such_leaf.gin"),
    f"The gin file '{os.path.expanduser('~')}/no_such_leaf.gin' does not exist",
  ),
  "a gin file in Latin-1": (
    _low(gin_file="{folder}/latin.gin"),
    "latin.gin' is not UTF-8: line 1 has the byte 0xe9. Save it as UTF-8.",
  ),
  "a gin file in UTF-16": (
    _low(gin_file="{folder}/utf16.gin"),
    "utf16.gin' is not UTF-8: line 1 has the byte 0xff",
  ),
  "an empty gin file": (
    _low(gin_file="{folder}/empty.gin"),
    "The gin file does not say what to export. It needs a line",
  ),
  "a JSON file for a gin file": (
    _low(gin_file="{folder}/json.gin"),
    "({folder}/json.gin, line 1)",
  ),
  "gin files that include each other": (
    _low(gin_file="{folder}/a.gin"),
    "'{folder}/a.gin' -> '{folder}/b.gin' -> '{folder}/a.gin'",
  ),
  "an import of nothing": (
    _low(gin_file="{folder}/import.gin"),
    "needs the module 'exporters.no_such', which Python does not find",
  ),
  # Values.
  "text for a truth value": (
    _bert("bert.BertExporter.do_lower_case = 'False'"),
    "BertExporter.do_lower_case = 'False' must be bool. In a gin file, only "
    "text has quotes.",
  ),
  "text for a number": (
    _low(f"{_EXPORTER}.factor = '3'"),
    "LowLevelExporter.factor = '3' must be float.",
  ),
  "None for what is needed": (
    _bert("CHECKPOINT = None"),
    "BertExporter.checkpoint = None must be str.",
  ),
  "a fraction for a whole number of Model Garden's": (
    _bert("encoders.BertEncoderConfig.hidden_size = 16.0"),
    "BertEncoderConfig.hidden_size = 16.0 must be int.",
  ),
  "text for a truth value of Model Garden's": (
    _bert("encoders.BertEncoderConfig.return_attention_scores = 'False'"),
    "BertEncoderConfig.return_attention_scores = 'False' must be bool.",
  ),
  "a list for a tuple": (
    _keras(
      "MODEL_FILE = '{folder}/text.h5'",
      "keras_model.KerasModelExporter.sample_sizes = [32, 48]",
    ),
    "sample_sizes = [32, 48] must be tuple[int, int] or None. Write (32, 48), "
    "with round brackets.",
  ),
  "a text for a list": (
    _keras(
      "MODEL_FILE = '{folder}/text.h5'",
      "keras_model.KerasModelExporter.output_names = 'scores'",
    ),
    "output_names = 'scores' must be Sequence[str] or None. Write ['scores'], "
    "with square brackets.",
  ),
  "a text among numbers": (
    _bert("bert.BertExporter.hyperparameter_defaults = {'dropout_rate': '0'}"),
    "hyperparameter_defaults = {'dropout_rate': '0'} must be Mapping[str, flo",
  ),
  "a class without brackets": (
    _low(f"recipe.Recipe.exporter = @{_EXPORTER}"),
    "Recipe.exporter = @LowLevelExporter must be Exporter. Write "
    "@LowLevelExporter() in the gin file, with parentheses.",
  ),
  "a configuration without brackets": (
    _bert("encoders.EncoderConfig.any = @encoders.BertEncoderConfig"),
    "Write it with round brackets: "
    "encoders.EncoderConfig.any = @encoders.BertEncoderConfig().",
  ),
  "any configuration, and none": (
    _bert("encoders.EncoderConfig.type = 'any'"),
    "EncoderConfig.any = nothing, but type = 'any' needs a configuration",
  ),
  "any configuration, by its name": (
    _bert(
      "encoders.EncoderConfig.type = 'any'",
      "encoders.EncoderConfig.any = 'roformer'",
    ),
    "EncoderConfig.any = 'roformer', but type = 'any' needs a configuration",
  ),
  "any configuration, which nothing builds": (
    _bert(
      "encoders.EncoderConfig.type = 'any'",
      "encoders.EncoderConfig.any = @encoders.BertEncoderConfig()",
    ),
    "EncoderConfig.any = @BertEncoderConfig(), but nothing builds an encoder",
  ),
  "a pattern that is none": (
    _low(f"{_EXPORTER}.trainable = '('"),
    "trainable = '(' is not a regular expression",
  ),
  # Paths.
  "a checkpoint that is not there": (
    _bert("CHECKPOINT = '{folder}/nothing'"),
    "There is no checkpoint at '{folder}/nothing'. Looked for",
  ),
  "a checkpoint in a home": (
    _bert("CHECKPOINT = '~/bert_model.ckpt'"),
    "Only a shell expands '~' and '$': write '",
  ),
  "a folder of something else": (
    _bert("CHECKPOINT = '{folder}/folder'"),
    "There is no checkpoint in '{folder}/folder'. Looked for",
  ),
  "a checkpoint that is still packed": (
    _bert("CHECKPOINT = '{folder}/model.zip'"),
    "'{folder}/model.zip' is not a checkpoint, but a zip archive. Unpack it",
  ),
  "a web page in place of a download": (
    _bert("CHECKPOINT = '{folder}/page.html'"),
    "is not a checkpoint, but a web page. A download went wrong",
  ),
  "a pointer in place of a file": (
    _bert("CHECKPOINT = '{folder}/pointer'"),
    "a pointer of Git LFS, not the file itself. Run `git lfs pull`",
  ),
  "an empty checkpoint": (
    _bert("CHECKPOINT = '{folder}/empty.ckpt'"),
    "is not a checkpoint, but an empty file",
  ),
  "the vocabulary for the checkpoint": (
    _bert("CHECKPOINT = '{folder}/vocab.txt'"),
    "vocab.txt' is not a checkpoint, but a text file",
  ),
  "an address that TensorFlow cannot read": (
    _bert("VOCAB_FILE = 'https://example.com/vocab.txt'"),
    "BertExporter.vocab_file = 'https://example.com/vocab.txt' cannot be read",
  ),
  "a vocabulary that is not there": (
    _bert("VOCAB_FILE = 'vocab.txt'"),
    "vocab_file = 'vocab.txt' does not exist. A relative path starts at the "
    "working directory, '",
  ),
  "an empty vocabulary": (
    _bert("VOCAB_FILE = '{folder}/empty.txt'"),
    "empty.txt' is empty",
  ),
  "a vocabulary in Latin-1": (
    _bert("VOCAB_FILE = '{folder}/latin.txt'"),
    "latin.txt' is not UTF-8: line 2 has the byte 0xe9",
  ),
  "a model of other sizes": (
    _bert("encoders.BertEncoderConfig.num_attention_heads = 4"),
    "more lines; --traceback shows them",
  ),
  "a text for a Keras model": (
    _keras("MODEL_FILE = '{folder}/text.keras'"),
    "text.keras': it is a text file",
  ),
  "an export path that exists": (
    _low(export="{folder}/folder"),
    "'{folder}/folder' exists already. Choose another export path, or pass "
    "--overwrite",
  ),
  "an export path below a file": (
    _low(export="{folder}/vocab.txt/model"),
    "Cannot write to '{folder}/vocab.txt': File exists.",
  ),
  "a file to overwrite": (
    (*_low(export="{folder}/vocab.txt"), "--overwrite"),
    "'{folder}/vocab.txt' is a file, where a folder is to be written.",
  ),
  # Other commands.
  "nothing to inspect": (
    ("scripts.inspect", "{folder}/nothing"),
    "There is no checkpoint at '{folder}/nothing'",
  ),
  "a release over a file": (
    (
      "scripts.release",
      f"--gin_file={_LOW}",
      "--release_dir={folder}/vocab.txt",
      "--draft",
      "--checks=none",
    ),
    "'{folder}/vocab.txt' is a file, where a folder is to be written.",
  ),
  "a release of what is not there": (
    (
      "scripts.release",
      f"--gin_file={_KERAS}",
      "--gin_bindings=MODEL_FILE = 'nothing.keras'",
      "--release_dir={out}",
      "--draft",
      "--checks=none",
    ),
    "model_file = 'nothing.keras' does not exist.",
  ),
}


def _state(folder: pathlib.Path) -> dict[str, int]:
  return {
    str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))
  }


@pytest.mark.parametrize("mistake", _MISTAKES)
def test_is_one_short_error_and_leaves_nothing(folder, mistake):
  (module, *arguments), message = _MISTAKES[mistake]
  before = _state(folder), sorted(os.listdir(command.ROOT))
  places = {"{folder}": str(folder), "{out}": str(folder / "out")}
  for name, place in places.items():
    arguments = [argument.replace(name, place) for argument in arguments]
    message = message.replace(name, place)
  done = command.run(module, *arguments, check=False)
  assert done.returncode == 1
  assert "Traceback" not in done.stderr
  assert done.stdout == ""
  begin = done.stderr.index("error: ")
  shown = done.stderr[begin:]
  assert message in shown
  assert done.stderr.count("error: ") == 1
  assert len(shown.splitlines()) <= 10
  assert max(map(len, shown.splitlines())) <= 1000
  assert before == (_state(folder), sorted(os.listdir(command.ROOT)))


def test_a_byte_order_mark_and_line_ends_of_windows(tmp_path):
  text = (command.ROOT / _LOW).read_text().replace("\n", "\r\n")
  leaf = tmp_path / "leaf.gin"
  leaf.write_bytes(b"\xef\xbb\xbf" + text.encode())
  command.export("low_level", str(leaf), tmp_path / "model", "--checks=none")


def test_a_whole_number_is_a_float_too(tmp_path):
  command.export(
    "low_level",
    _LOW,
    tmp_path / "model",
    "--checks=none",
    bindings=[f"{_EXPORTER}.factor = 3"],
  )


def test_the_end_of_a_long_error_is_shown(folder, tmp_path):
  arguments = [
    a.replace("{folder}", str(folder)).replace("{out}", str(tmp_path / "out"))
    for a in _MISTAKES["a model of other sizes"][0][1:]
  ]
  short = command.run("exporters.bert", *arguments, check=False).stderr
  assert "Likely cause: the checkpoint's model has another size." in short
  whole = command.run(
    "exporters.bert", *arguments, "--traceback", check=False
  ).stderr
  # By hand: kernel and bias of query, key and value, and the output's kernel,
  # in two layers.
  assert whole.rpartition("error: ")[2].count("\n  ! ") == 2 * 7
