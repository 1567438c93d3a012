"""Pools the outputs for a sentence's tokens into one vector.

Sentence-BERT (https://arxiv.org/abs/1908.10084) averages the outputs for the
tokens that are not padding, or takes that for the first token. Many models then
scale the result to length 1, so that a dot product is a cosine.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from exporters.errors import ExportError

_MEAN, _FIRST = "mean", "first"
# By sentence-transformers' name, ours.
_POOLING = {
  "pooling_mode_mean_tokens": _MEAN,
  "pooling_mode_cls_token": _FIRST,
}
# Whether the mean is taken, and not the first token; whether it is scaled. Not
# words: Keras cannot write a variable of strings to an .h5 file.
CONSTANTS = ("sentence_mean_pooling", "sentence_normalized")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SentenceEmbedding:
  """How a sentence encoder pools.

  Attributes:
    pooling: "mean" of the outputs for unmasked tokens, or "first", the output
      for the first token.
    normalize: Whether the result is scaled to Euclidean length 1.
  """

  pooling: str
  normalize: bool

  @property
  def constants(self) -> dict[str, bool]:
    """The attributes of a SavedModel that say it: `Published.constants`."""
    values = (self.pooling == _MEAN, self.normalize)
    return dict(zip(CONSTANTS, values, strict=True))

  @classmethod
  def from_constants(cls, mean: bool, normalize: bool) -> SentenceEmbedding:
    """Returns what the values of `CONSTANTS` say."""
    return cls(pooling=_MEAN if mean else _FIRST, normalize=normalize)

  @classmethod
  def from_pooling_mode(
    cls, mode: str | None, *, normalize: bool, path: str
  ) -> SentenceEmbedding:
    """Translates from sentence-transformers' terms.

    Args:
      mode: The pooling mode, such as "pooling_mode_mean_tokens".
      normalize: Whether the result is scaled to Euclidean length 1.
      path: The model's folder, for the error.

    Raises:
      ExportError: The mode is not supported.
    """
    if mode not in _POOLING:
      raise ExportError(
        f"'{path}' pools by {mode}; supported are {', '.join(_POOLING)}."
      )
    return cls(pooling=_POOLING[mode], normalize=normalize)

  def __call__(
    self, sequence_output: tf.Tensor, input_mask: tf.Tensor
  ) -> tf.Tensor:
    """Returns the sentences' embeddings.

    Args:
      sequence_output: float32 [batch, seq_length, width].
      input_mask: int32 [batch, seq_length], 0 at padding.

    Returns:
      float32 [batch, width].
    """
    if self.pooling == _FIRST:
      embedding = sequence_output[:, 0]
    else:
      # LiteRT has this operation, and none for `tf.newaxis`.
      mask = tf.expand_dims(tf.cast(input_mask, sequence_output.dtype), -1)
      total = tf.reduce_sum(sequence_output * mask, axis=1)
      embedding = total / tf.maximum(tf.reduce_sum(mask, axis=1), 1e-9)
    if self.normalize:
      # The epsilon bounds the square of the length.
      embedding = tf.math.l2_normalize(embedding, axis=-1, epsilon=1e-24)
    return embedding
