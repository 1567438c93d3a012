"""Builds the text encoders that Model Garden's `EncoderConfig` describes.

Each type has its own names for the same sizes and rates, and some deviate from
what https://www.tensorflow.org/hub/common_saved_model_apis/text promises of an
encoder. Here they get one set of names, those of `BertEncoderConfig`, and one
form of outputs, or they are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import copy
import dataclasses
from typing import Any

import numpy as np
from official.nlp.configs import encoders
from official.nlp.modeling.layers import moe
import tensorflow as tf
import tf_keras

from exporters.checkpoints.checkpoint import EXACT_GELU
from exporters.saved_model.published import Hyperparameter
from exporters.text import encoder_types
from exporters.text import facts
from exporters.text.encoder_types import INPUTS

_RATES = ("dropout_rate", "attention_dropout_rate")


@tf_keras.utils.register_keras_serializable(package="exporters")
def exact_gelu(x: tf.Tensor) -> tf.Tensor:
  """Computes the GELU by the error function (https://arxiv.org/abs/1606.08415).

  Model Garden's own "gelu" is the tanh approximation, whose outputs for a BERT
  differ by some 1e-3. Gin files name this one `hidden_activation =
  'exporters>exact_gelu'`.
  """
  return tf.nn.gelu(x, approximate=False)


class _Rate(float):
  """A float that can be told apart from an equal one: `rate is layer.rate`."""

  def __deepcopy__(self, memo: Any) -> _Rate:
    # Some encoders copy their configuration for each layer.
    return self


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encoder:
  """An encoder of any type.

  Attributes:
    type: The type of its `EncoderConfig`.
    model: What the checkpoint is restored into.
    rates: Its dropout rates by name; its layers hold the same objects.
    activation: The name of its activation.
    vocab_size: The number of tokens that have embeddings.
    width: The size of a token's output vector.
    num_layers: The number of tensors in `encoder_outputs`.
    seq_lengths: The lengths that it takes, the longest first. Empty: any.
    max_length: The longest text for which it has positions. None: any.
    extra_outputs: The names of the outputs that only this configuration has.
    has_pooler: Whether `pooled_output` is among its outputs.
  """

  type: str
  model: tf_keras.Model
  rates: Mapping[str, float]
  activation: str
  vocab_size: int
  width: int
  num_layers: int
  seq_lengths: Sequence[int]
  max_length: int | None
  extra_outputs: Sequence[str]
  has_pooler: bool = True

  @tf.autograph.experimental.do_not_convert
  def __call__(self, inputs: Any, training: bool) -> dict[str, Any]:
    """Calls the model on a dict of int32 [batch, seq_length]."""
    return self.published_outputs(self.model(inputs, training=training))

  def published_outputs(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Brings a model's outputs into the form that all encoders share.

    Returns:
      `pooled_output` [batch, width], `sequence_output` [batch, seq_length,
      width], and `encoder_outputs`, a list of the same, one for each layer;
      and `extra_outputs`.
    """
    names = ("sequence_output", *self.extra_outputs)
    if self.has_pooler:
      names = ("pooled_output", *names)
    # MobileBERT's list starts with the embeddings.
    layers = list(outputs["encoder_outputs"])[-self.num_layers :]
    return {name: outputs[name] for name in names} | {"encoder_outputs": layers}

  @property
  def trainable_variables(self) -> list[tf.Variable]:
    """The variables that a consumer may train: its outputs depend on them."""
    return [
      variable
      for variable in self.model.trainable_variables
      if self.has_pooler or "pooler" not in variable.name
    ]

  def without_pooler(self) -> Encoder:
    """Returns the same without its pooler, which tasks on tokens don't train.

    A subclassed model keeps the layer, although nothing reads its output.
    """
    model = self.model
    layers = getattr(model, "layers", ())
    if any(isinstance(layer, tf_keras.layers.InputLayer) for layer in layers):
      kept = dict(model.output)
      del kept["pooled_output"]
      model = tf_keras.Model(model.input, kept, name=model.name)
    return dataclasses.replace(self, model=model, has_pooler=False)

  def input_specs(self, *more: str) -> list[dict[str, tf.TensorSpec]]:
    """Returns the specs of the inputs, int32 [batch, seq_length].

    Args:
      *more: Names of further inputs, such as `masked_lm_positions`, int32
        [batch, predictions].

    Returns:
      A nest for each length that the encoder takes.
    """
    return [
      {
        name: tf.TensorSpec([None, length], tf.int32, name=name)
        for name, length in [(n, seq_length) for n in INPUTS]
        + [(n, None) for n in more]
      }
      for seq_length in self.seq_lengths or (None,)
    ]

  def hyperparameters(self) -> dict[str, Hyperparameter]:
    """Returns the dropout rates that a call may override.

    Layers that were trained without dropout stay so, and a rate that no layer
    has is not offered.
    """
    dropouts = [
      layer
      for layer in self.model.submodules
      if isinstance(layer, tf_keras.layers.Dropout) and layer.rate
    ]
    offered = {}
    for name, rate in self.rates.items():
      layers = [layer for layer in dropouts if layer.rate is rate]
      if layers:
        offered[name] = Hyperparameter(
          default=float(rate), layers=layers, attribute="rate"
        )
    return offered

  def samples(self, *, positions: bool = False) -> list[dict[str, Any]]:
    """Returns padded inputs of batch 1 and 3, of two lengths where possible.

    Args:
      positions: Whether they have `masked_lm_positions`, int32 [batch, 4].
    """
    lengths = tuple(min(n, self.max_length or n) for n in (16, 24))
    if self.seq_lengths:
      lengths = (self.seq_lengths[0], self.seq_lengths[-1])
    rng = np.random.default_rng(0)
    found = []
    for batch, seq_length in zip((1, 3), lengths, strict=True):
      ends = rng.integers(
        seq_length // 2, seq_length, [batch, 1], endpoint=True
      )
      mask = np.arange(seq_length) < ends
      segment = np.arange(seq_length) >= ends // 2
      sample = {
        "input_word_ids": rng.integers(self.vocab_size, size=mask.shape) * mask,
        "input_mask": mask,
        "input_type_ids": segment * mask,
      }
      if positions:
        sample["masked_lm_positions"] = rng.integers(
          seq_length // 2, size=[batch, 4]
        )
      found.append({name: x.astype(np.int32) for name, x in sample.items()})
    return found


def build(
  config: encoders.EncoderConfig,
  declared: Mapping[str, Mapping[str, Any]],
  **stated: Any,
) -> Encoder:
  """Builds an encoder.

  Args:
    config: The configuration in the gin file; it is not changed.
    declared: What others declare about the encoder: by who declares it, such as
      "the checkpoint", and then by the names of `BertEncoderConfig`.
    **stated: What else the gin file states, by the names that `declared` uses.

  Raises:
    ExportError: `declared` contradicts the gin file, or an encoder of this type
      can't do what users expect.
  """
  encoder_types.refuse_unbuildable(config)
  config = copy.deepcopy(config)
  fields = config.get()
  names = encoder_types.field_names(fields)
  if "hidden_activation" in names:
    name = names["hidden_activation"]
    setattr(fields, name, _activation(getattr(fields, name), declared))
  values = {name: getattr(fields, field) for name, field in names.items()} | {
    "type": config.type
  }
  facts.agreed({facts.GIN: values | stated} | _unambiguous(declared))
  encoder_types.refuse_unfit(config.type, values)
  rates = {name: _Rate(values[name]) for name in _RATES if name in names}
  for name, rate in rates.items():
    setattr(fields, names[name], rate)
  if "use_fft" in names:
    # The same transform by matrices would put constants into the graph, 7 MB
    # for each layer of FNet-base.
    fields.use_fft = True
  seq_lengths = (
    encoder_types.block_lengths(config) if "block_size" in names else ()
  )
  # No encoder needs AutoGraph, which takes time to rewrite its layers' code.
  model = tf.autograph.experimental.do_not_convert(encoders.build_encoder)(
    config
  )
  for layer in model.submodules:
    # Otherwise a call writes statistics of the routing into variables.
    if isinstance(layer, moe.MaskedRouter):
      layer._export_metrics = False
  seq_lengths = seq_lengths or encoder_types.declared_lengths(model)
  if not model.built:
    # Subclassed models create their variables at the first call.
    encoder_types.call_on_zeros(model, seq_lengths[-1] if seq_lengths else 1)
  return Encoder(
    type=config.type,
    model=model,
    rates=rates,
    activation=values.get("hidden_activation", "gelu"),
    vocab_size=values["vocab_size"],
    width=values["hidden_size"],
    num_layers=values["num_layers"],
    seq_lengths=seq_lengths,
    max_length=values.get("max_position_embeddings"),
    extra_outputs=[
      name
      for name in ("attention_scores", "word_embeddings")
      if values.get(f"return_{name}")
    ],
  )


def _activation(stated: str, declared: Mapping[str, Mapping[str, Any]]) -> str:
  """Returns the activation with which the checkpoint was trained.

  In a gin file, as in Model Garden, "gelu" may mean either kind; a checkpoint
  that declares the exact one decides.
  """
  known = {values.get("hidden_activation") for values in declared.values()}
  return EXACT_GELU if stated == "gelu" and EXACT_GELU in known else stated


def _unambiguous(
  declared: Mapping[str, Mapping[str, Any]],
) -> dict[str, Mapping[str, Any]]:
  """Returns what is declared, with one activation wherever "gelu" is named."""
  return {
    where: dict(values)
    | (
      {"hidden_activation": _activation(values["hidden_activation"], declared)}
      if "hidden_activation" in values
      else {}
    )
    for where, values in declared.items()
  }
