"""A preprocessor in Python, with the interface of the published one.

It is what an exported preprocessor is compared with, so it must be callable
while TensorFlow traces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from exporters.text import python_tokenizer
from exporters.text.python_tokenizer import InPython


class PythonPreprocessor:
  """Computes with lists what the published preprocessor does with tensors."""

  def __init__(
    self,
    split: InPython,
    *,
    words: bool,
    special_ids: Mapping[str, int],
    seq_length: int,
    cuts_last: bool = False,
  ):
    """Makes a preprocessor.

    Args:
      split: Splits one text.
      words: Whether the pieces of each word are a list of their own.
      special_ids: As `get_special_tokens_dict` returns them.
      seq_length: The default length of the encoder's inputs.
      cuts_last: Whether of two segments that are too long together only the
        second is cut, as long as the first leaves room for any of it.
    """
    self._cuts_last = cuts_last
    self._split = split
    self._words = words
    self._ids = dict(special_ids)
    self._seq_length = seq_length

  def tokenize(self, sentences: tf.Tensor) -> tf.RaggedTensor:
    """Returns the ids: ragged [batch, (words), (pieces)] or without words."""
    return self.tokenize_with_offsets(sentences)[0]

  def tokenize_with_offsets(
    self, sentences: tf.Tensor
  ) -> list[tf.RaggedTensor]:
    """Returns the ids, and where each piece starts and ends."""

    def split(texts):
      found = [self._split(t.decode("utf-8", "ignore")) for t in texts]
      pieces = [piece for words in found for word in words for piece in word]
      of_words = [len(word) for words in found for word in words]
      of_texts = [len(words) for words in found]
      columns = np.array(pieces, np.int64).reshape([-1, 3]).T
      return (*columns, np.array(of_words, np.int64), np.array(of_texts))

    ids, starts, limits, of_words, of_texts = tf.numpy_function(
      split, [sentences], [tf.int64] * 5
    )
    lengths = [of_texts, of_words]
    for tensor in (ids, starts, limits, *lengths):
      tensor.set_shape([None])

    def ragged(values):
      nested = tf.RaggedTensor.from_nested_row_lengths(values, lengths)
      return nested if self._words else nested.merge_dims(1, 2)

    return [ragged(tf.cast(ids, tf.int32)), ragged(starts), ragged(limits)]

  def __call__(self, sentences: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns an encoder's inputs of the default length."""
    return self.bert_pack_inputs([self.tokenize(sentences)], self._seq_length)

  def windows(
    self, segments: Sequence[tf.RaggedTensor], seq_length: Any, stride: int
  ) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
    """Packs questions with the windows of contexts, as BERT's SQuAD code does.

    Returns:
      The encoder's inputs; of which context each window is, and with which of
      its tokens it begins.
    """

    def cut(length, questions, question_splits, contexts, context_splits):
      cut_questions, windows, rows, begins = [], [], [], []
      pairs = zip(
        np.split(questions, question_splits[1:-1]),
        np.split(contexts, context_splits[1:-1]),
        strict=True,
      )
      for row, (question, context) in enumerate(pairs):
        room = max(length - len(question) - 3, 0)
        begin = 0
        while True:
          window = context[begin : begin + room]
          cut_questions.append(question)
          windows.append(window)
          rows.append(row)
          begins.append(begin)
          if not room or begin + len(window) == len(context):
            break
          begin += min(len(window), stride)
      return (
        *_joined(cut_questions),
        *_joined(windows),
        np.array(rows, np.int64),
        np.array(begins, np.int32),
      )

    flat = [_flat(segment) for segment in segments]
    types = [tf.int32, tf.int64] * 2
    *made, rows, begins = tf.numpy_function(
      cut,
      [seq_length, *(t for s in flat for t in (s.values, s.row_splits))],
      [*types, tf.int64, tf.int32],
    )
    for tensor in (*made, rows, begins):
      tensor.set_shape([None])
    parts = [
      tf.RaggedTensor.from_row_lengths(made[i], made[i + 1]) for i in (0, 2)
    ]
    return self.bert_pack_inputs(parts, seq_length), rows, begins

  def bert_pack_inputs(
    self, segments: Sequence[tf.RaggedTensor], seq_length: Any
  ) -> dict[str, tf.Tensor]:
    """Packs one or two segments into an encoder's inputs."""
    names = ("input_word_ids", "input_mask", "input_type_ids")

    def pack(length, *parts):
      count = len(parts) // 2
      rows = [
        np.split(values, splits[1:-1])
        for values, splits in zip(parts[:count], parts[count:], strict=True)
      ]
      packed = [
        python_tokenizer.packed(
          [list(segment) for segment in row],
          int(length),
          cuts_last=self._cuts_last,
          start=self._ids["start_of_sequence_id"],
          end=self._ids["end_of_segment_id"],
          padding=self._ids["padding_id"],
        )
        for row in zip(*rows, strict=True)
      ]
      return [
        np.array([one[name] for one in packed], np.int32) for name in names
      ]

    flat = [_flat(segment) for segment in segments]
    made = tf.numpy_function(
      pack,
      [seq_length, *(s.values for s in flat), *(s.row_splits for s in flat)],
      [tf.int32] * len(names),
    )
    return dict(zip(names, made, strict=True))


def _flat(segments: tf.RaggedTensor) -> tf.RaggedTensor:
  """Returns pieces [batch, (pieces)], without words."""
  return segments.merge_dims(1, -1) if segments.ragged_rank > 1 else segments


def _joined(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
  """Returns all ids of rows, one after another, and the rows' lengths."""
  lengths = np.array([len(row) for row in rows], np.int64)
  return np.concatenate([np.zeros(0), *rows]).astype(np.int32), lengths
