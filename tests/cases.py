"""One small instance of each exporter, for the contract that all of them pass.

A new architecture is one more line in `CASES`.
"""

from collections.abc import Callable
import dataclasses
import pathlib

import tensorflow as tf

from tests import small_bert


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
  """An export that takes seconds.

  Attributes:
    module: The exporter's module, below `exporters`.
    gin_file: Its leaf, from the root of the repository.
    write_inputs: Writes what a user has into a folder; returns the bindings
      that name it.
    trainable: How many trainable variables the model has, counted by hand.
    not_applicable: The checks that find nothing to look at.
  """

  module: str
  gin_file: str
  write_inputs: Callable[[pathlib.Path], list[str]]
  trainable: int
  not_applicable: tuple[str, ...]


def _bert(folder: pathlib.Path) -> list[str]:
  pretrainer = small_bert.pretrainer()
  prefix = tf.train.Checkpoint(**pretrainer.checkpoint_items).write(
    str(folder / "bert_model.ckpt")
  )
  vocab_file = small_bert.write_vocabulary(folder / "vocab.txt")
  return [
    f"CHECKPOINT = '{prefix}'",
    f"VOCAB_FILE = '{vocab_file}'",
    "bert.BertExporter.with_mlm = True",
  ]


def _vocabulary(folder: pathlib.Path) -> list[str]:
  vocab_file = small_bert.write_vocabulary(folder / "vocab.txt")
  return [f"VOCAB_FILE = '{vocab_file}'"]


_WITHOUT_TRAINING = (
  "dropout",
  "gradients",
  "gradients in a tf.function",
  "gradients of a persistent tape",
  "regularization losses",
  "a training step",
  "keras.layers.TFSMLayer",
  "two replicas",
)

CASES = {
  "low_level": Case(
    module="low_level",
    gin_file="configs/low_level/multiply.gin",
    write_inputs=lambda folder: [],
    trainable=1,
    not_applicable=("dropout", "hyperparameters", "Dataset.map"),
  ),
  "bert": Case(
    module="bert",
    gin_file=small_bert.GIN_FILE,
    write_inputs=_bert,
    trainable=5 + 2 * 16 + 2,
    not_applicable=("regularization losses", "Dataset.map"),
  ),
  "bert_preprocessor": Case(
    module="bert_preprocessor",
    gin_file="tests/testdata/small_bert_preprocess.gin",
    write_inputs=_vocabulary,
    trainable=0,
    not_applicable=_WITHOUT_TRAINING,
  ),
}
