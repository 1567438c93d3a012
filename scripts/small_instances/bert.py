"""A BERT of a few thousand weights, as its owner's training leaves it.

Every variable is drawn at random, biases and layer norms too, so that one that
is not restored shows.
"""

import pathlib

import numpy as np
from official.modeling import tf_utils
from official.nlp.configs import encoders
from official.nlp.modeling import layers
from official.nlp.modeling import models
import tensorflow as tf
import tf_keras

SIZES = {
  "vocab_size": 40,
  "hidden_size": 16,
  "num_layers": 2,
  "num_attention_heads": 2,
  "intermediate_size": 32,
  "max_position_embeddings": 32,
  "type_vocab_size": 2,
}
TOKENS = [
  *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
  *("hello", "world", "##s", "a", "naive", ",", "!", "pre", "##processor"),
  *(f"word{i}" for i in range(26)),
]


def config(**sizes) -> encoders.EncoderConfig:
  """Returns the configuration, with other `sizes`."""
  return encoders.EncoderConfig(
    type="bert", bert=encoders.BertEncoderConfig(**SIZES | sizes)
  )


def encoder(**sizes) -> tf_keras.Model:
  """Returns an encoder with random weights."""
  model = encoders.build_encoder(config(**sizes))
  randomize(model, seed=1)
  return model


def pretrainer(**sizes) -> models.BertPretrainerV2:
  """Returns a pretrainer with a next sentence head, with random weights."""
  head = layers.ClassificationHead(
    inner_dim=SIZES["hidden_size"], num_classes=2, name="next_sentence"
  )
  model = models.BertPretrainerV2(
    encoders.build_encoder(config(**sizes)),
    mlm_activation=tf_utils.get_activation("gelu"),
    classification_heads=[head],
  )
  model({x.name: tf.zeros([1, 4], tf.int32) for x in model.inputs})
  randomize(model, seed=2)
  return model


def write_pretrainer(config: encoders.EncoderConfig, path: pathlib.Path) -> str:
  """Writes the checkpoint of a pretrainer without a next sentence head.

  Args:
    config: The configuration of its encoder.
    path: The prefix of the checkpoint's files.

  Returns:
    The prefix.
  """
  model = models.BertPretrainerV2(
    encoders.build_encoder(config),
    mlm_activation=tf_utils.get_activation("gelu"),
  )
  model(inputs(positions=True))
  randomize(model, seed=2)
  return tf.train.Checkpoint(**model.checkpoint_items).write(str(path))


def randomize(model: tf_keras.Model, seed: int) -> None:
  """Draws every variable at random; scales of norms are around 1."""
  rng = np.random.default_rng(seed)
  for variable in model.variables:
    noise = rng.normal(scale=0.1, size=variable.shape)
    variable.assign(noise + ("gamma" in variable.name))


def write_vocabulary(path: pathlib.Path, tokens=TOKENS) -> pathlib.Path:
  """Writes a vocabulary; returns its path."""
  path.write_text("".join(f"{token}\n" for token in tokens))
  return path


def inputs(batch: int = 2, seq_length: int = 8, *, positions: bool = False):
  """Returns inputs whose last token is padding."""
  ids = np.arange(batch * seq_length, dtype=np.int32) % SIZES["vocab_size"]
  found = {
    "input_word_ids": ids.reshape([batch, seq_length]),
    "input_mask": np.ones([batch, seq_length], np.int32),
    "input_type_ids": np.zeros([batch, seq_length], np.int32),
  }
  found["input_mask"][:, -1] = 0
  found["input_type_ids"][:, seq_length // 2 :] = 1
  if positions:
    found["masked_lm_positions"] = np.ones([batch, 3], np.int32)
  return {name: tf.constant(value) for name, value in found.items()}
