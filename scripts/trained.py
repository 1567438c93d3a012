"""Writes what the training of a small model leaves."""

from collections.abc import Mapping
import json
import pathlib
from typing import Any

from absl import flags

from exporters.command_line import program
from exporters.errors import ExportError

_MODEL_DIR = flags.DEFINE(
  program.PathParser(),
  "model_dir",
  None,
  "The directory to write the checkpoint to.",
)


def folder() -> pathlib.Path:
  """Returns where to write; raises `ExportError` if that is not said."""
  if not _MODEL_DIR.value:
    raise ExportError("Say where to write: --model_dir=DIRECTORY.")
  return pathlib.Path(_MODEL_DIR.value)


def write(
  model_dir: pathlib.Path, model: Any, accuracy: Mapping[str, int]
) -> None:
  """Writes a classifier's checkpoint, and how many it had right.

  Args:
    model_dir: The directory; made if it is not there.
    model: A classifier of Model Garden's, with its `backbone`.
    accuracy: On how much it was evaluated, and the count.
  """
  import tensorflow as tf

  model_dir.mkdir(parents=True, exist_ok=True)
  checkpoint = tf.train.Checkpoint(model=model, backbone=model.backbone)
  checkpoint.write(str(model_dir / "ckpt"))
  text = json.dumps(accuracy, indent=2)
  (model_dir / "accuracy.json").write_text(f"{text}\n")
  print(accuracy)
