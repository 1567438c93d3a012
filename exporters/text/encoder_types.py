"""What the types of Model Garden's `EncoderConfig` share, and what not.

Each has its own names for the same sizes and rates; here they are those of
`BertEncoderConfig`. Some take a few lengths only, and some can't be what users
expect of an encoder.
"""

from collections.abc import Mapping, Sequence
import copy
from typing import Any

import numpy as np
from official.nlp.configs import encoders
import tensorflow as tf
import tf_keras

from exporters.checkpoints.encoder_fields import bert_name
from exporters.errors import ExportError

INPUTS = ("input_word_ids", "input_mask", "input_type_ids")


def field_names(fields: Any) -> dict[str, str]:
  """Returns a configuration's fields by the names of `BertEncoderConfig`."""
  return {bert_name(field): field for field in fields.as_dict()}


def override(config: encoders.EncoderConfig, values: Mapping[str, Any]) -> None:
  """Sets fields of a configuration by the names of `BertEncoderConfig`."""
  fields = config.get()
  names = field_names(fields)
  for name, value in values.items():
    setattr(fields, names.get(name, name), value)


def refuse_unfit(kind: str, values: Mapping[str, Any]) -> None:
  """Raises `ExportError` for what can't keep an encoder's promises."""
  strides = np.ravel(values.get("pool_stride", 1))
  reasons = {
    "it has no pooled output": kind == "xlnet",
    "its configuration has no vocab_size or no num_layers": not (
      {"vocab_size", "num_layers"} <= values.keys()
    ),
    "Model Garden cannot call it without embedding_size; set it": (
      kind == "query_bert" and values["embedding_size"] is None
    ),
    f"pool_stride = {values.get('pool_stride')} makes sequence_output shorter "
    "than the text, where users expect a vector for each token": any(
      strides != 1
    ),
    f"output_range = {values.get('output_range')} leaves tokens out of "
    "sequence_output, where users expect a vector for each": values.get(
      "output_range"
    ),
    "with examples_per_group other than 1 the outputs for a text depend on "
    "the others in its batch": values.get("examples_per_group", 1) != 1,
  }
  for reason, holds in reasons.items():
    if holds:
      raise ExportError(
        f"An encoder of type '{kind}' cannot be published as it is: {reason}."
      )


def declared_lengths(model: tf_keras.Model) -> Sequence[int]:
  """Returns the one length that a model says it takes; () for any."""
  inputs = tf.nest.flatten(getattr(model, "inputs", None) or [])
  return tuple({tensor.shape[1] for tensor in inputs} - {None})


def block_lengths(config: encoders.EncoderConfig) -> Sequence[int]:
  """Tries which of maximum, maximum / 2, ... a model of blocks takes.

  BigBird reads random blocks from anywhere in the first 1024 tokens, so a text
  must have them; but it says so nowhere. One narrow layer tells.
  """
  small = copy.deepcopy(config)
  heads = small.get().num_attention_heads
  sizes = {"num_layers": 1, "vocab_size": 1, "intermediate_size": 1}
  override(small, sizes | {"hidden_size": heads, "embedding_size": None})
  fields = small.get()
  found = []
  length = fields.max_position_embeddings
  try:
    model = encoders.build_encoder(small)
    while length and length % fields.block_size == 0:
      call_on_zeros(model, length)
      found.append(length)
      length //= 2
  except (tf.errors.InvalidArgumentError, ValueError):
    pass  # Too short, or not of whole blocks.
  if not found:
    raise ExportError(
      f"Found no length up to {fields.max_position_embeddings} that an encoder "
      f"of blocks of {fields.block_size} takes."
    )
  return tuple(found)


def call_on_zeros(model: tf_keras.Model, seq_length: int) -> None:
  model({name: tf.zeros([1, seq_length], tf.int32) for name in INPUTS})
