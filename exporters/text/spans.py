"""Finds the answer to a question in a context, whole or in windows.

In the graph that is published, and by the NumPy that it is compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf
from typing_extensions import override

from exporters.text.answers import Answers


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Span:
  """The likeliest piece of the context in each row of an encoder's inputs.

  Attributes:
    probability: Its probability, float32 [rows].
    null_probability: That of none, float32 [rows].
    tokens: The first and last of the context's tokens, int32 [rows, 2].
    in_context: Which tokens of the row are of the context, [rows, seq_length].
  """

  probability: tf.Tensor
  null_probability: tf.Tensor
  tokens: tf.Tensor
  in_context: tf.Tensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spans(Answers):
  """Answers with the likeliest piece of the context.

  Attributes:
    max_answer_length: The most tokens of an answer.
  """

  max_answer_length: int

  @override
  def remarks(self) -> list[str]:
    return ["Of a context that is too long, only the beginning is searched."]

  @override
  def __call__(
    self,
    inputs: Any,
    packed: Mapping[str, tf.Tensor],
    logits: Mapping[str, tf.Tensor],
  ) -> dict[str, tf.Tensor]:
    span = self._likeliest(packed, logits)
    return {
      **logits,
      "probability": span.probability,
      "null_probability": span.null_probability,
      **self._text(inputs, span.tokens, span.in_context),
    }

  def _likeliest(
    self, packed: Mapping[str, tf.Tensor], logits: Mapping[str, tf.Tensor]
  ) -> _Span:
    in_context, first = _context(packed)
    length = tf.shape(in_context)[1]
    # The first token stands for no answer at all.
    allowed = in_context | (tf.range(length) == 0)
    start, end = (
      tf.nn.softmax(tf.where(allowed, one, one.dtype.min))
      for one in (logits["start_logits"], logits["end_logits"])
    )
    # Of all pairs of a start and an end, those of an answer.
    most = tf.minimum(self.max_answer_length, length)
    near = tf.linalg.band_part(tf.ones([length, length]), 0, most - 1)
    pairs = start[:, :, tf.newaxis] * end[:, tf.newaxis] * near
    inside = in_context[:, :, tf.newaxis] & in_context[:, tf.newaxis]
    flat = tf.reshape(tf.where(inside, pairs, 0.0), [-1, length * length])
    best = tf.argmax(flat, axis=-1, output_type=tf.int32)
    tokens = tf.stack([best // length, best % length], axis=-1)
    return _Span(
      probability=tf.reduce_max(flat, axis=-1),
      null_probability=start[:, 0] * end[:, 0],
      tokens=tokens - first[:, tf.newaxis],
      in_context=in_context,
    )

  @override
  def by_numpy(
    self,
    inputs: Any,
    packed: Mapping[str, tf.Tensor],
    logits: Mapping[str, tf.Tensor],
  ) -> dict[str, tf.Tensor]:
    found, tokens = self._likeliest_by_numpy(packed, logits)
    return {
      **logits,
      "probability": found[:, 0],
      "null_probability": found[:, 1],
      **self._text(inputs, tokens, _context(packed)[0]),
    }

  def _likeliest_by_numpy(
    self, packed: Mapping[str, tf.Tensor], logits: Mapping[str, tf.Tensor]
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns [rows, 2]: both probabilities, and the first and last token."""

    def find(starts, ends, types, mask):
      found, tokens = [], []
      for s, e, t, m in zip(starts, ends, types, mask, strict=True):
        context = np.flatnonzero(t * m)[:-1]
        allowed = [0, *context]
        s, e = (np.exp(one - one[allowed].max()) for one in (s, e))
        pairs = [
          (s[i] * e[j], -i, -j)
          for i in context
          for j in context
          if i <= j < i + self.max_answer_length
        ]
        best = max(pairs, default=(0, 0, 0))
        both = s[allowed].sum() * e[allowed].sum()
        found.append([best[0] / both, s[0] * e[0] / both])
        begins = context[0] if len(context) else 0
        tokens.append([-best[1] - begins, -best[2] - begins])
      return np.array(found, np.float32), np.array(tokens, np.int32)

    found, tokens = tf.numpy_function(
      find,
      [
        logits["start_logits"],
        logits["end_logits"],
        packed["input_type_ids"],
        packed["input_mask"],
      ],
      [tf.float32, tf.int32],
    )
    found.set_shape([None, 2])
    tokens.set_shape([None, 2])
    return found, tokens

  def _text(
    self, inputs: Any, tokens: tf.Tensor, in_context: tf.Tensor
  ) -> dict[str, tf.Tensor]:
    """Returns the piece from the first to the last of its tokens."""
    _, context = self.texts.segments(inputs)
    offsets = self.texts.offsets(context)
    exists = tf.reduce_any(in_context, axis=-1)
    tokens = tf.where(exists[:, tf.newaxis], tokens, 0)
    start, limit = (
      # A column more, for a batch of empty texts.
      tf.gather(
        tf.pad(ragged.to_tensor(0), [[0, 0], [0, 1]]),
        tokens[:, i],
        batch_dims=1,
      )
      for i, ragged in enumerate(offsets)
    )
    start, limit = (tf.where(exists, at, 0) for at in (start, limit))
    return {
      "answer": tf.strings.substr(
        self.texts.tokenizer.source(context), start, limit - start
      ),
      "answer_start": start,
      "answer_limit": limit,
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class WindowSpans(Spans):
  """Does the same for long contexts, in windows that overlap.

  As in the pipeline of `transformers`, the answer is the likeliest one of all
  windows, each with probabilities of its own, and the probability of none is
  the least of them. The logits are those of the window with the answer.

  Attributes:
    doc_stride: How many tokens after a window the next one begins.
  """

  doc_stride: int

  @override
  def remarks(self) -> list[str]:
    return [
      "A context that is too long is searched in windows, of which each begins "
      f"{self.doc_stride} tokens after the one before. All windows of a batch "
      "are computed at once, which takes memory."
    ]

  @override
  def samples(self) -> list[Any]:
    # A long context takes several windows, but not hundreds.
    *others, last = super().samples()
    question, context = self.texts.names
    words = last[context][0].split()[: self.texts.seq_length]
    return [*others, {**last, context: np.array([" ".join(words)])}]

  @override
  def of(
    self, inputs: Any, seq_length: Any, model: Callable[..., Any]
  ) -> dict[str, tf.Tensor]:
    windows = self.texts.windows(inputs, seq_length, self.doc_stride)
    logits = model(windows.packed)
    span = self._likeliest(windows.packed, logits)
    batch = tf.shape(self.texts.segments(inputs)[0], tf.int64)[0]
    by_context = tf.RaggedTensor.from_value_rowids(
      span.probability, windows.row, batch, validate=False
    )
    # A column more, for a batch without contexts.
    table = tf.pad(
      by_context.to_tensor(-1.0), [[0, 0], [0, 1]], constant_values=-1.0
    )
    best = by_context.row_starts() + tf.argmax(table, axis=-1)
    tokens = span.tokens + windows.begins[:, tf.newaxis]
    return self._of_best(
      inputs,
      best,
      logits,
      tokens,
      span.in_context,
      probability=tf.gather(span.probability, best),
      null_probability=tf.math.segment_min(span.null_probability, windows.row),
    )

  @override
  def of_python(
    self, inputs: Any, seq_length: Any, model: Callable[..., Any]
  ) -> dict[str, tf.Tensor]:
    windows = self.texts.windows_in_python(inputs, seq_length, self.doc_stride)
    logits = model(windows.packed)
    found, tokens = self._likeliest_by_numpy(windows.packed, logits)

    def choose(rows, found):
      contexts = [np.flatnonzero(rows == row) for row in np.unique(rows)]
      best = [int(of[found[of, 0].argmax()]) for of in contexts]
      nulls = [found[of, 1].min() for of in contexts]
      return np.array(best, np.int64), np.array(nulls, np.float32)

    best, nulls = tf.numpy_function(
      choose, [windows.row, found], [tf.int64, tf.float32]
    )
    for tensor in (best, nulls):
      tensor.set_shape([None])
    return self._of_best(
      inputs,
      best,
      logits,
      tokens + windows.begins[:, tf.newaxis],
      _context(windows.packed)[0],
      probability=tf.gather(found[:, 0], best),
      null_probability=nulls,
    )

  def _of_best(
    self,
    inputs: Any,
    best: tf.Tensor,
    logits: Mapping[str, tf.Tensor],
    tokens: tf.Tensor,
    in_context: tf.Tensor,
    **probabilities: tf.Tensor,
  ) -> dict[str, tf.Tensor]:
    """Returns the answers, given which window has that of each context."""
    return {
      **{name: tf.gather(of_all, best) for name, of_all in logits.items()},
      **probabilities,
      **self._text(
        inputs, tf.gather(tokens, best), tf.gather(in_context, best)
      ),
    }


def _context(packed: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns which tokens are of the context, and where these begin."""
  second = packed["input_type_ids"] * packed["input_mask"]
  first = tf.reduce_sum(packed["input_mask"], 1) - tf.reduce_sum(second, 1)
  # The last one ends the segment.
  following = tf.pad(second[:, 1:], [[0, 0], [0, 1]])
  return second * following > 0, first
