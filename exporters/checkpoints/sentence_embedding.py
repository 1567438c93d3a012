"""Pools the outputs for a sentence's tokens into one vector.

Sentence-BERT (https://arxiv.org/abs/1908.10084) averages the outputs for the
tokens that are not padding, or takes that for the first token. Many models then
scale the result to length 1, so that a dot product is a cosine.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import reprlib
from typing import Any, ClassVar

import tensorflow as tf

from exporters.errors import ExportError

# By sentence-transformers' name, ours.
_POOLING = {
  "pooling_mode_mean_tokens": "mean",
  "pooling_mode_cls_token": "first",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SentenceEmbedding:
  """How a sentence encoder pools.

  Attributes:
    pooling: "mean" of the outputs for unmasked tokens, or "first" token's.
    normalize: Whether the result is scaled to Euclidean length 1.
  """

  pooling: str
  normalize: bool

  # The attributes of a SavedModel that say it, and their types.
  CONSTANTS: ClassVar[Mapping[str, tf.DType]] = {
    "sentence_pooling": tf.string,
    "sentence_normalize": tf.bool,
  }

  @property
  def constants(self) -> dict[str, Any]:
    """The values of `CONSTANTS`."""
    return dict(
      zip(self.CONSTANTS, (self.pooling, self.normalize), strict=True)
    )

  @classmethod
  def from_constants(
    cls, constants: Mapping[str, Any], *, path: str
  ) -> SentenceEmbedding:
    """Reads what `constants` says.

    Args:
      constants: The values, strings as bytes.
      path: The SavedModel, for the error.

    Raises:
      ExportError: There is no such pooling.
    """
    pooling, normalize = (constants[name] for name in cls.CONSTANTS)
    known = {pooling.encode(): pooling for pooling in _POOLING.values()}
    if pooling not in known:
      raise ExportError(
        f"'{path}' says sentence_pooling = {reprlib.repr(pooling)}; supported "
        f"are {', '.join(_POOLING.values())}."
      )
    return cls(pooling=known[pooling], normalize=normalize)

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
    if self.pooling == "first":
      embedding = sequence_output[:, 0]
    else:
      mask = tf.cast(input_mask, sequence_output.dtype)[:, :, tf.newaxis]
      total = tf.reduce_sum(sequence_output * mask, axis=1)
      embedding = total / tf.maximum(tf.reduce_sum(mask, axis=1), 1e-9)
    if self.normalize:
      # The epsilon bounds the square of the length.
      embedding = tf.math.l2_normalize(embedding, axis=-1, epsilon=1e-24)
    return embedding
