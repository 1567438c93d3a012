"""The README's commands, as a reader would paste them, one after the other."""

import os
import pathlib
import re
import subprocess
import sys

import pytest
import tensorflow as tf

from exporters.text import vocabulary
from tests import command
from tests import small_bert

README = (command.ROOT / "README.md").read_text()
# But the one that sets up, and the one that uploads to Kaggle.
BLOCKS = [
  block
  for block in re.findall(r"```bash\n(.*?)```", README, re.S)
  if not re.search(r"scripts/quickstart\.sh|^kaggle ", block, re.M)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
  """What stands at /path/to; /tmp is a folder beside it."""
  folder = tmp_path_factory.mktemp("readme")
  (folder / "tmp").mkdir()
  # The smallest of the 24 small BERTs.
  pretrainer = small_bert.pretrainer(
    vocab_size=30522,
    hidden_size=128,
    intermediate_size=512,
    max_position_embeddings=512,
  )
  items = tf.train.Checkpoint(**pretrainer.checkpoint_items)
  items.write(str(folder / "bert_model.ckpt"))
  tokens = [*vocabulary.SPECIAL_TOKENS, *(f"w{i}" for i in range(30517))]
  small_bert.write_vocabulary(folder / "vocab.txt", tokens)
  return folder


def test_there_are_commands():
  assert len(BLOCKS) >= 3


@pytest.mark.parametrize("block", BLOCKS, ids=lambda b: b.split()[2])
def test_commands_run(block, folder):
  script = block.replace("/tmp/", f"{folder}/tmp/")
  script = script.replace("/path/to/", f"{folder}/")
  # The checks of an export are the contract's matter.
  script = re.sub(r"--export_path=\S+", r"\g<0> --checks=none", script)
  script = re.sub(r"--release_dir=\S+", r"\g<0> --draft --checks=none", script)
  script = re.sub(r"scripts\.(check|verify)", r"\g<0> --checks=basic", script)
  environment = command.environment()
  path = f"{os.path.dirname(sys.executable)}:{environment['PATH']}"
  done = subprocess.run(
    ["bash", "-euo", "pipefail", "-c", script],
    cwd=command.ROOT,
    env=environment | {"PATH": path},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stdout + done.stderr
