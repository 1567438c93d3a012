"""How the types of Model Garden's `EncoderConfig` differ.

Each has its own names for the same sizes and rates; here the names are those of
`BertEncoderConfig`. Some take only a few lengths, and some can't do what users
expect of an encoder.
"""

from collections.abc import Mapping, Sequence
import copy
import reprlib
from typing import Any

import numpy as np
from official.modeling import hyperparams
from official.nlp.configs import encoders
import tensorflow as tf
import tf_keras

from exporters.checkpoints.encoder_fields import bert_name
from exporters.errors import ExportError

INPUTS = ("input_word_ids", "input_mask", "input_type_ids")


def field_names(fields: Any) -> dict[str, str]:
  """Returns a configuration's field for each name of `BertEncoderConfig`."""
  return {bert_name(field): field for field in fields.as_dict()}


def override(config: encoders.EncoderConfig, values: Mapping[str, Any]) -> None:
  """Sets fields of a configuration by the names of `BertEncoderConfig`."""
  fields = config.get()
  names = field_names(fields)
  for name, value in values.items():
    setattr(fields, names.get(name, name), value)


def refuse_unbuildable(config: encoders.EncoderConfig) -> None:
  """Raises `ExportError` for a configuration of type 'any' without a builder.

  Its field `any` holds a configuration of some other module, which that module
  binds to the function that builds the encoder.
  """
  if config.type != "any":
    return
  fields = config.get()
  example = "encoders.EncoderConfig.any = @roformer.RoformerEncoderConfig()"
  if not isinstance(fields, hyperparams.Config) or not fields.as_dict():
    raise ExportError(
      f"EncoderConfig.any = {_shown(fields)}, but type = 'any' needs a "
      f"configuration there, such as `{example}`, with its module imported."
    )
  if fields.BUILDER is None:
    name = type(fields).__name__
    raise ExportError(
      f"EncoderConfig.any = @{name}(), but nothing builds an encoder from "
      f"{name} alone. Set EncoderConfig.type and the field of that name, or "
      f"decorate the function that builds it: @base_config.bind({name})."
    )


def _shown(fields: Any) -> str:
  is_empty = isinstance(fields, hyperparams.Config)
  return "nothing" if is_empty else reprlib.repr(fields)


def refuse_unfit(kind: str, values: Mapping[str, Any]) -> None:
  """Raises `ExportError` for an encoder that can't do what users expect.

  Args:
    kind: The type of `EncoderConfig`.
    values: The fields, by the names of `BertEncoderConfig`.
  """
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
  """Returns the one length that a model's inputs declare, or () for any."""
  inputs = tf.nest.flatten(getattr(model, "inputs", None) or [])
  return tuple({tensor.shape[1] for tensor in inputs} - {None})


def block_lengths(config: encoders.EncoderConfig) -> Sequence[int]:
  """Returns which of maximum, maximum / 2, ... a model of blocks takes.

  BigBird reads random blocks from anywhere in the first 1024 tokens, so a text
  must be that long; but nothing declares it. So one narrow layer is called.

  Raises:
    ExportError: It takes none of these lengths.
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
    pass  # Too short, or not a multiple of the block size.
  if not found:
    raise ExportError(
      "The encoder takes no length up to "
      f"{fields.max_position_embeddings} (max_position_embeddings) with "
      f"block_size = {fields.block_size}. Compare both with the training's "
      "configuration."
    )
  return tuple(found)


def call_on_zeros(model: tf_keras.Model, seq_length: int) -> None:
  """Calls an encoder on inputs of zeros, int32 [1, seq_length]."""
  model({name: tf.zeros([1, seq_length], tf.int32) for name in INPUTS})
