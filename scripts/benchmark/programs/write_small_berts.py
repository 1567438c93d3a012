"""Writes the 24 small BERTs with random weights, as configs/gardens/ has them.

Each folder gets a checkpoint, a vocabulary, and the Garden's YAML.
"""

import itertools
import pathlib
import sys

from official.nlp.configs import encoders
from official.nlp.modeling import models
import tensorflow as tf

from scripts.benchmark.programs import vocabularies

WIDTHS = (128, 256, 512, 768)
DEPTHS = (2, 4, 6, 8, 10, 12)


def main(work: pathlib.Path) -> None:
  for depth, width in itertools.product(DEPTHS, WIDTHS):
    folder = work / f"uncased_L-{depth}_H-{width}_A-{width // 64}"
    folder.mkdir(parents=True)
    _write(depth, width, folder)
    tf.keras.backend.clear_session()


def _write(depth: int, width: int, folder: pathlib.Path) -> None:
  sizes = {
    "num_layers": depth,
    "hidden_size": width,
    "num_attention_heads": width // 64,
    "intermediate_size": 4 * width,
  }
  config = encoders.EncoderConfig(
    type="bert", bert=encoders.BertEncoderConfig(**sizes)
  )
  pretrainer = models.BertPretrainerV2(
    encoders.build_encoder(config), mlm_activation="gelu"
  )
  pretrainer({x.name: tf.zeros([1, 1], tf.int32) for x in pretrainer.inputs})
  checkpoint = tf.train.Checkpoint(**pretrainer.checkpoint_items)
  # The Garden's exporter needs the counter that `save` adds.
  assert checkpoint.save_counter is not None
  checkpoint.write(str(folder / "bert_model.ckpt"))
  vocabularies.write(folder / "vocab.txt")
  values = ", ".join(f"{key}: {value}" for key, value in sizes.items())
  (folder / "encoder.yaml").write_text(f"type: bert\nbert: {{{values}}}\n")


if __name__ == "__main__":
  main(pathlib.Path(sys.argv[1]))
