"""What follows an encoder in a fine-tuned model, as Model Garden builds it.

Each head is a functional model of its own, so that it can follow an encoder
that is in the graph already, and is part of Model Garden's whole task model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import dataclasses
from typing import Any

from official.modeling import tf_utils
from official.nlp.modeling import layers
from official.nlp.modeling import models
import tensorflow as tf
import tf_keras
from typing_extensions import override

from exporters.checkpoints.trained_task import Dropout
from exporters.errors import ExportError
from exporters.saved_model.published import Hyperparameter
from exporters.text.encoders import Encoder

_RATE = "head_dropout_rate"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Head:
  """A head.

  Attributes:
    features: Which output of the encoder it takes.
    model: Computes what is published of it.
    whole: Model Garden's task model, of which it is a part.
    form: Brings what either computes into the form that is published.
  """

  features: str
  model: tf_keras.Model
  whole: tf_keras.Model
  form: Callable[[Any], Any]

  def hyperparameters(self) -> dict[str, Hyperparameter]:
    """Returns the head's dropout rate, if it has one."""
    dropouts = [
      layer
      for layer in self.model.submodules
      if isinstance(layer, tf_keras.layers.Dropout) and layer.rate
    ]
    if not dropouts:
      return {}
    rate = Hyperparameter(
      default=float(dropouts[0].rate), layers=dropouts, attribute="rate"
    )
    return {_RATE: rate}

  @tf.autograph.experimental.do_not_convert
  def __call__(self, outputs: Any, training: bool) -> Any:
    """Computes logits from an encoder's outputs."""
    return self.form(self.model(outputs[self.features], training=training))

  @tf.autograph.experimental.do_not_convert
  def by_model_garden(self, inputs: Any, training: bool) -> Any:
    """Computes the same by the task model, called whole, for comparison."""
    return self.form(self.whole(inputs, training=training))


def sentence_prediction(
  encoder: Encoder,
  *,
  classes: int,
  dropout: Dropout,
  inner_activation: str | None,
) -> Head:
  """Builds a head on one vector for a text or a pair of texts.

  Args:
    encoder: The encoder.
    classes: The number of logits.
    dropout: Its rates.
    inner_activation: What follows a dense layer of its own on the first
      token's vector. None: it has none, and takes the encoder's pooled output.
  """
  pooled = inner_activation is None
  head = layers.ClassificationHead(
    inner_dim=0 if pooled else encoder.width,
    num_classes=classes,
    activation=inner_activation or "tanh",
    dropout_rate=dropout.inside,
    name="sentence_prediction",
  )
  whole = models.BertClassifier(
    encoder.model,
    classes,
    dropout_rate=dropout.before,
    use_encoder_pooler=pooled,
    cls_head=head,
  )
  return _head(
    "pooled_output" if pooled else "sequence_output",
    head,
    encoder,
    whole=whole,
    before=dropout.before,
    form=_same,
  )


def tagging(encoder: Encoder, *, classes: int, dropout: Dropout) -> Head:
  """Builds a head that classifies each token; arguments as above."""
  whole = models.BertTokenClassifier(
    encoder.model, classes, dropout_rate=dropout.before
  )
  return _head(
    "sequence_output",
    whole.classifier,
    encoder,
    whole=whole,
    before=dropout.before,
    form=_logits,
  )


def question_answering(encoder: Encoder, *, dropout: Dropout) -> Head:
  """Builds a head for where an answer starts and ends; arguments as above."""
  whole = models.BertSpanLabeler(encoder.model)
  return _head(
    "sequence_output",
    whole.span_labeling,
    encoder,
    whole=whole,
    before=dropout.before,
    form=_spans,
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskedWordsHead(Head):
  """A masked language model's head, for every token instead of some."""

  @override
  @tf.autograph.experimental.do_not_convert
  def by_model_garden(self, inputs: Any, training: bool) -> Any:
    positions = _every_position(inputs["input_word_ids"])
    return self.whole(
      dict(inputs) | {"masked_lm_positions": positions}, training=training
    )["mlm_logits"]


def masked_words(
  encoder: Encoder, layer: type[tf_keras.layers.Layer]
) -> MaskedWordsHead:
  """Builds a head that tells which word of the vocabulary each token may be.

  Args:
    encoder: The encoder.
    layer: The class of Model Garden's layer.

  Raises:
    ExportError: The encoder can't have such a head.
  """
  head = masked_lm(layer, encoder)
  inputs = tf_keras.Input([None, encoder.width])
  return MaskedWordsHead(
    features="sequence_output",
    model=tf_keras.Model(inputs, _OfEveryToken(head)(inputs)),
    whole=models.BertPretrainerV2(encoder.model, customized_masked_lm=head),
    form=_same,
  )


def masked_lm(
  layer: type[tf_keras.layers.Layer], encoder: Encoder
) -> tf_keras.layers.Layer:
  """Returns `BertPretrainerV2`'s head, without building a whole pretrainer.

  Raises:
    ExportError: The encoder can't have such a head.
  """
  try:
    embedding_table = encoder.model.get_embedding_table()
  except (AttributeError, RuntimeError) as e:
    raise ExportError(
      f"An encoder of type '{encoder.type}' cannot have the head of a masked "
      "language model: it does not expose its embedding table, which the head "
      "shares."
    ) from e
  head = layer(
    embedding_table=embedding_table,
    activation=tf_utils.get_activation(encoder.activation),
    name="cls/predictions",
  )
  # The first call creates its variables, named as in a pretrainer.
  with tf.name_scope("bert"):
    head(
      tf.zeros([1, 1, encoder.width]),
      masked_positions=tf.zeros([1, 1], tf.int32),
    )
  return head


class _OfEveryToken(tf_keras.layers.Layer):
  """Calls a masked language model's head on all positions."""

  def __init__(self, head: tf_keras.layers.Layer):
    super().__init__(name="of_every_token")
    self._head = head

  @override
  def call(self, inputs):
    positions = _every_position(inputs)
    return self._head(inputs, masked_positions=positions)


def _every_position(tokens: tf.Tensor) -> tf.Tensor:
  """Returns 0, 1, 2 and so on for each token of [batch, tokens, ...]."""
  shape = tf.shape(tokens)[:2]
  return tf.broadcast_to(tf.range(shape[1]), shape)


def _head(
  features: str,
  layer: Any,
  encoder: Encoder,
  *,
  whole: tf_keras.Model,
  before: float,
  form: Callable[[Any], Any],
) -> Head:
  length = [] if features == "pooled_output" else [None]
  inputs = tf_keras.Input([*length, encoder.width])
  kept = tf_keras.layers.Dropout(before)(inputs) if before else inputs
  return Head(
    features=features,
    model=tf_keras.Model(inputs, layer(kept)),
    whole=whole,
    form=form,
  )


def _same(logits: tf.Tensor) -> tf.Tensor:
  return logits


def _logits(outputs: Any) -> tf.Tensor:
  return outputs["logits"] if isinstance(outputs, dict) else outputs


def _spans(outputs: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
  start, end = outputs
  return {"start_logits": start, "end_logits": end}
