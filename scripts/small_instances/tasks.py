"""A fine-tuned BERT of a few thousand weights, as Model Garden trains it."""

import json
import pathlib

from official.modeling import tf_utils
from official.nlp.modeling import models
import tensorflow as tf
import tf_keras

from scripts.small_instances import bert

# The keys of a bert_config.json.
_KEYS = {
  "num_layers": "num_hidden_layers",
  **{name: name for name in bert.SIZES if name != "num_layers"},
}


def model(task: str, classes: int) -> tf_keras.Model:
  """Returns the model of a task, with random weights.

  Args:
    task: As `exporters.checkpoints.trained_task` names it.
    classes: The number of labels.
  """
  encoder = bert.encoder()
  found = {
    "sentence prediction": lambda: models.BertClassifier(encoder, classes),
    "tagging": lambda: models.BertTokenClassifier(encoder, classes),
    "question answering": lambda: models.BertSpanLabeler(encoder),
    "masked words": lambda: models.BertPretrainerV2(
      encoder, mlm_activation=tf_utils.get_activation("gelu")
    ),
  }[task]()
  found(bert.inputs(positions=task == "masked words"))
  bert.randomize(found, seed=4)
  return found


def write(
  folder: pathlib.Path, task: str, labels: tuple[str, ...]
) -> list[str]:
  """Writes what a user has of a task; returns the bindings that name it."""
  prefix = tf.train.Checkpoint(model=model(task, len(labels))).write(
    str(folder / "ckpt")
  )
  config = {key: bert.SIZES[name] for name, key in _KEYS.items()}
  encoder_file = folder / "bert_config.json"
  encoder_file.write_text(json.dumps(config))
  found = [
    f"CHECKPOINT = '{prefix}'",
    f"ENCODER_FILE = '{encoder_file}'",
    f"VOCAB_FILE = '{bert.write_vocabulary(folder / 'vocab.txt')}'",
    "DO_LOWER_CASE = True",
  ]
  if labels:
    labels_file = folder / "labels.txt"
    labels_file.write_text("".join(f"{label}\n" for label in labels))
    found.append(f"LABELS_FILE = '{labels_file}'")
  return found
