"""Text encoders as Model Garden's `EncoderConfig` describes them."""

from collections.abc import Mapping
import copy
from typing import Any

import numpy as np
from official.nlp.configs import encoders
import tensorflow as tf
import tf_keras

from exporters.errors import ExportError
from exporters.published import Hyperparameter

EXACT_GELU = "exporters>exact_gelu"

_INPUTS = ("input_word_ids", "input_mask", "input_type_ids")
_RATES = ("dropout_rate", "attention_dropout_rate")


@tf_keras.utils.register_keras_serializable(package="exporters")
def exact_gelu(x: tf.Tensor) -> tf.Tensor:
  """The GELU by the error function (https://arxiv.org/abs/1606.08415).

  Model Garden's own "gelu" is the tanh approximation, whose outputs for a BERT
  differ by some 1e-3. Gin files name this one `hidden_activation =
  'exporters>exact_gelu'`.
  """
  return tf.nn.gelu(x, approximate=False)


class _Rate(float):
  """A float that can be told from an equal one: `rate is layer.rate`."""


def build(
  config: encoders.EncoderConfig, declared: Mapping[str, Any], **stated: Any
) -> tuple[tf_keras.Model, dict[str, float], str]:
  """Builds an encoder.

  Args:
    config: As the gin file has it; it is not changed.
    declared: What the checkpoint says of itself; it must not contradict.
    **stated: What else the gin file says, by the names that `declared` uses.

  Returns:
    The encoder; its dropout rates, as objects that its layers hold too; and the
    name of its activation.

  Raises:
    ExportError: `declared` contradicts `config`.
  """
  config = copy.deepcopy(config)
  fields = config.get()
  fields.hidden_activation = _activation(
    fields.hidden_activation, declared.get("hidden_activation")
  )
  _refuse_contradictions(fields.as_dict() | stated, declared)
  rates = {name: _Rate(getattr(fields, name)) for name in _RATES}
  for name, rate in rates.items():
    setattr(fields, name, rate)
  return encoders.build_encoder(config), rates, fields.hidden_activation


def hyperparameters(
  model: tf_keras.Model, rates: Mapping[str, float]
) -> dict[str, Hyperparameter]:
  """Returns the dropout rates that a call may override.

  Layers trained without dropout stay without, and a rate that no layer has is
  not offered.
  """
  dropouts = [
    layer
    for layer in model.submodules
    if isinstance(layer, tf_keras.layers.Dropout) and layer.rate
  ]
  offered = {}
  for name, rate in rates.items():
    layers = [layer for layer in dropouts if layer.rate is rate]
    if layers:
      offered[name] = Hyperparameter(
        default=float(rate), layers=layers, attribute="rate"
      )
  return offered


def input_specs(*more: str) -> dict[str, tf.TensorSpec]:
  """Returns the specs of an encoder's inputs, int32 [batch, seq_length].

  Args:
    *more: Names of further inputs, such as `masked_lm_positions`, int32
      [batch, predictions].
  """
  return {
    name: tf.TensorSpec([None, None], tf.int32, name=name)
    for name in (*_INPUTS, *more)
  }


def samples(
  vocab_size: int, *, positions: bool = False
) -> list[dict[str, Any]]:
  """Returns inputs of batch 1 and 3, of different lengths and with padding."""
  rng = np.random.default_rng(0)
  found = []
  for batch, seq_length in ((1, 16), (3, 24)):
    lengths = rng.integers(
      seq_length // 2, seq_length, [batch, 1], endpoint=True
    )
    mask = np.arange(seq_length) < lengths
    segment = np.arange(seq_length) >= lengths // 2
    sample = {
      "input_word_ids": rng.integers(vocab_size, size=mask.shape) * mask,
      "input_mask": mask,
      "input_type_ids": segment * mask,
    }
    if positions:
      sample["masked_lm_positions"] = rng.integers(
        seq_length // 2, size=[batch, 4]
      )
    found.append({name: x.astype(np.int32) for name, x in sample.items()})
  return found


def _activation(stated: str, declared: str | None) -> str:
  """Returns the activation that the checkpoint's owner computed with.

  A gin file says "gelu" of either kind, as Model Garden does; a checkpoint that
  knows which one it is decides.
  """
  if declared is None or stated == "gelu" and declared == EXACT_GELU:
    return declared or stated
  return stated


def _refuse_contradictions(
  stated: Mapping[str, Any], declared: Mapping[str, Any]
) -> None:
  lines = [
    f"  {name}: {stated[name]} in the gin file, {value} in the checkpoint"
    for name, value in declared.items()
    if name in stated and stated[name] != value
  ]
  if lines:
    raise ExportError(
      "The gin file and the checkpoint contradict each other:\n"
      + "\n".join(lines)
      + "\nTake the gin file of this model, or mend the value in it."
    )
