"""Turns the logits of a fine-tuned model into answers.

In the graph that is published, and by the NumPy that it is compared with.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
import dataclasses
import re
from typing import Any

import numpy as np
import tensorflow as tf
from typing_extensions import override

from exporters.checkpoints import trained_task
from exporters.text import text_operations
from exporters.text.task_facts import TaskFacts
from exporters.text.task_texts import Texts

# For a token that is not of the text, or of no mask at all.
_NOWHERE = -1


def probabilities(logits: tf.Tensor, problem_type: str) -> tf.Tensor | None:
  """Returns the classes' probabilities; None for a regression."""
  if problem_type == trained_task.REGRESSION:
    return None
  if problem_type == trained_task.MULTI_LABEL:
    return tf.sigmoid(logits)
  return tf.nn.softmax(logits)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answers(abc.ABC):
  """Answers with more than logits.

  Attributes:
    texts: The strings.
  """

  texts: Texts

  @abc.abstractmethod
  def remarks(self) -> list[str]:
    """Returns sentences for those who publish or use the model."""

  def trackables(self) -> dict[str, tf.Module]:
    """Returns what the answers need beside the tokenizer, by attribute."""
    return {}

  def samples(self) -> list[Any]:
    """Returns strings to check the model with."""
    return self.texts.samples()

  def of(
    self, inputs: Any, seq_length: Any, model: Callable[..., Any]
  ) -> dict[str, tf.Tensor]:
    """Returns the answer, by name.

    Args:
      inputs: The strings.
      seq_length: How many tokens they are cut and padded to.
      model: Computes logits of an encoder's inputs.
    """
    packed = self.texts.packed(inputs, seq_length)
    return self(inputs, packed, model(packed))

  def of_python(
    self, inputs: Any, seq_length: Any, model: Callable[..., Any]
  ) -> dict[str, tf.Tensor]:
    """Returns the same, computed in another way for comparison."""
    packed = self.texts.packed_in_python(inputs, seq_length)
    return self.by_numpy(inputs, packed, model(packed))

  @abc.abstractmethod
  def __call__(
    self, inputs: Any, packed: Mapping[str, tf.Tensor], logits: Any
  ) -> dict[str, tf.Tensor]:
    """Returns the answer to one row of inputs for each string, by name.

    Args:
      inputs: The strings.
      packed: What became of them.
      logits: What the model on ids computes from that.
    """

  def by_numpy(
    self, inputs: Any, packed: Mapping[str, tf.Tensor], logits: Any
  ) -> dict[str, tf.Tensor]:
    """Returns the same, computed in another way for comparison."""
    return self(inputs, packed, logits)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classes(Answers):
  """Answers with logits, probabilities and the name of the likeliest class.

  Attributes:
    facts: The task.
    of_tokens: Whether each token is classified, not the whole text.
  """

  facts: TaskFacts
  of_tokens: bool = False

  @override
  def remarks(self) -> list[str]:
    return []

  @override
  def __call__(
    self, inputs: Any, packed: Mapping[str, tf.Tensor], logits: tf.Tensor
  ) -> dict[str, tf.Tensor]:
    found = {"logits": logits}
    likely = probabilities(logits, self.facts.problem_type)
    if likely is not None:
      found["probabilities"] = likely
    labels = self.facts.labels
    if labels and self.facts.problem_type == trained_task.SINGLE_LABEL:
      names = tf.constant(labels.names)
      found["label"] = tf.gather(names, tf.argmax(logits, axis=-1))
    if self.of_tokens:
      (text,) = self.texts.segments(inputs)
      offsets = self.texts.offsets(text)
      length = tf.shape(packed["input_word_ids"])[1]
      for name, ragged in zip(("start", "limit"), offsets, strict=True):
        found[name] = _by_position(ragged, length, packed["input_mask"])
    return found


def _by_position(
  offsets: tf.RaggedTensor, length: tf.Tensor, mask: tf.Tensor
) -> tf.Tensor:
  """Returns offsets [batch, length] of the tokens at these positions."""
  room = length - 2
  inside = offsets[:, :room].to_tensor(_NOWHERE)
  missing = room - tf.shape(inside)[1]
  padded = tf.pad(inside, [[0, 0], [1, missing + 1]], constant_values=_NOWHERE)
  return tf.ensure_shape(tf.reshape(padded, tf.shape(mask)), [None, None])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Words(Answers):
  """Answers with the likeliest words for each mask of a text.

  These are `tokens`, `ids` and `probabilities` [batch, masks, words], and where
  the masks are, `start` and `limit` [batch, masks]. There are as many masks as
  in the text that has the most; for those that another lacks, there are "", -1
  and 0.

  Attributes:
    words_per_mask: How many words there are for each.
    strings: Looks up the words by their ids.
  """

  words_per_mask: int
  strings: tf.Module

  @override
  def remarks(self) -> list[str]:
    return [
      "Each mask stands for one token of the vocabulary: a word that the "
      "vocabulary splits is not found."
    ]

  @override
  def trackables(self) -> dict[str, tf.Module]:
    return {"strings": self.strings}

  @override
  def __call__(
    self, inputs: Any, packed: Mapping[str, tf.Tensor], logits: tf.Tensor
  ) -> dict[str, tf.Tensor]:
    ids = packed["input_word_ids"]
    is_mask = ids == self.texts.mask_id
    positions = tf.ragged.boolean_mask(
      tf.broadcast_to(tf.range(tf.shape(ids)[1]), tf.shape(ids)), is_mask
    ).to_tensor(_NOWHERE)
    exists = positions != _NOWHERE
    of_masks = tf.gather(logits, tf.maximum(positions, 0), batch_dims=1)
    best, words = tf.math.top_k(tf.nn.softmax(of_masks), self.words_per_mask)
    known = exists[:, :, tf.newaxis]
    words = tf.where(known, words, _NOWHERE)
    starts, limits = (
      tf.where(exists, _cut_or_padded(one, tf.shape(exists)[1]), _NOWHERE)
      for one in text_operations.places(
        inputs, self.texts.source.mask, self.texts.source.kept_whole
      )
    )
    return {
      "tokens": self.strings(words),
      "ids": words,
      "probabilities": tf.where(known, best, 0.0),
      "start": starts,
      "limit": limits,
    }

  @override
  def by_numpy(
    self, inputs: Any, packed: Mapping[str, tf.Tensor], logits: tf.Tensor
  ) -> dict[str, tf.Tensor]:
    source, count = self.texts.source, self.words_per_mask
    names = [*source.pieces(), ""]

    def find(texts, ids, logits):
      masks = [np.flatnonzero(row == self.texts.mask_id) for row in ids]
      shape = [len(ids), max(map(len, masks), default=0)]
      words = np.full([*shape, count], _NOWHERE, np.int32)
      likely = np.zeros([*shape, count], np.float32)
      places = np.full([*shape, 2], _NOWHERE, np.int64)
      for row, (text, positions) in enumerate(zip(texts, masks, strict=True)):
        exponents = logits[row, positions].astype(np.float64)
        exponents = np.exp(exponents - exponents.max(-1, keepdims=True))
        share = exponents / exponents.sum(-1, keepdims=True)
        best = np.argsort(-share, axis=-1, kind="stable")[:, :count]
        words[row, : len(positions)] = best
        likely[row, : len(positions)] = np.take_along_axis(share, best, -1)
        valid = text.decode("utf-8", "ignore")
        found = [
          (len(valid[: m.start()].encode()), len(valid[: m.end()].encode()))
          for m in re.finditer(source_pattern, valid)
          if m[0] == source.mask
        ]
        places[row, : len(positions)] = np.reshape(
          found[: len(positions)], [-1, 2]
        )
      known = np.where((words >= 0) & (words < len(names) - 1), words, -1)
      tokens = np.array([n.encode() for n in names], object)[known]
      return tokens, words, likely, places

    longest_first = sorted(source.kept_whole, key=len, reverse=True)
    source_pattern = "|".join(map(re.escape, longest_first))
    tokens, words, likely, places = tf.numpy_function(
      find,
      [inputs, packed["input_word_ids"], logits],
      [tf.string, tf.int32, tf.float32, tf.int64],
    )
    for tensor in (tokens, words, likely):
      tensor.set_shape([None, None, count])
    places.set_shape([None, None, 2])
    return {
      "tokens": tokens,
      "ids": words,
      "probabilities": likely,
      "start": places[:, :, 0],
      "limit": places[:, :, 1],
    }


def _cut_or_padded(ragged: tf.RaggedTensor, length: tf.Tensor) -> tf.Tensor:
  """Returns the first of each row's numbers, [batch, length]."""
  found = ragged[:, :length].to_tensor(_NOWHERE)
  missing = length - tf.shape(found)[1]
  return tf.pad(found, [[0, 0], [0, missing]], constant_values=_NOWHERE)
