"""Strings in, answers out: what stands around a fine-tuned model on ids.

Everything here is computed twice: in the graph that is published, and by the
Python tokenizers and NumPy that it is compared with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np
from official.nlp.modeling import layers
import tensorflow as tf

from exporters.checkpoints import trained_task
from exporters.errors import ExportError
from exporters.text import facts
from exporters.text.encoder_types import INPUTS
from exporters.text.encoders import Encoder
from exporters.text.python_preprocessor import PythonPreprocessor
from exporters.text.sentencepiece_source import SentencePieceSource
from exporters.text.task_facts import TaskFacts
from exporters.text.wordpiece_source import WordPieceSource

_ONE = ("inputs",)
PAIR = ("text", "text_pair")
QUESTION = ("question", "context")
_PACKING_IDS = ("start_of_sequence_id", "end_of_segment_id", "padding_id")
# For a token that is not of the text.
_NOWHERE = -1


class Texts:
  """Turns one or two strings into an encoder's inputs, in a graph.

  Attributes:
    names: The names of the strings, if there are two.
    tokenizer: It holds the vocabulary.
    is_open: Whether a call may set another length.
  """

  def __init__(
    self,
    source: WordPieceSource | SentencePieceSource,
    encoder: Encoder,
    *,
    names: Sequence[str] = _ONE,
    seq_length: int,
  ):
    """Makes it.

    Args:
      source: The vocabulary, and how text is split.
      encoder: The encoder.
      names: The names of the strings.
      seq_length: The default length of the encoder's inputs.

    Raises:
      ExportError: The text was split in a way that is not computed here, or the
        encoder does not take inputs of this length.
    """
    for path, what in source.foreign[:1]:
      raise ExportError(
        f"'{path}' {what}, which no preprocessor here computes. Publish the "
        "model on ids alone: artifacts = ['from_ids']."
      )
    lengths = dict(source.lengths)
    if encoder.max_length:
      lengths["max_position_embeddings"] = encoder.max_length
    facts.refuse_longer(seq_length, lengths)
    self._seq_length = seq_length
    most = min(lengths.values(), default=seq_length + 1)
    self.is_open = not encoder.seq_lengths and seq_length < most
    self.names = tuple(names)
    self.tokenizer = source.tokenizer()
    ids = self.tokenizer.special_ids()
    self._packing = {name: ids[name] for name in _PACKING_IDS}
    self._cuts_last = self.names == QUESTION
    self._source = source
    self._in_python = PythonPreprocessor(
      source.in_python(),
      words=source.words,
      special_ids=ids,
      seq_length=seq_length,
      cuts_last=self._cuts_last,
    )

  def specs(self) -> Any:
    """Returns the spec of a string, or those of two by name."""
    specs = {n: tf.TensorSpec([None], tf.string, n) for n in self.names}
    return specs if len(specs) > 1 else specs[self.names[0]]

  def samples(self) -> list[Any]:
    """Returns texts of batch 1 and more; the last one has to be cut."""
    found = [np.array(texts) for texts in self._source.samples()]
    long = " ".join(found[-1][:2]) or " ".join(found[0])
    long = " ".join([long] * self._seq_length)
    if len(self.names) == 1:
      return [*found, np.array([long])]
    first, second = self.names
    return [
      *({first: texts, second: np.roll(texts, 1)} for texts in found),
      {first: found[0], second: np.array([long])},
    ]

  def packed(self, inputs: Any, seq_length: Any) -> dict[str, tf.Tensor]:
    """Returns an encoder's inputs."""
    segments = [self.tokenizer.tokenize(t) for t in self.segments(inputs)]
    return layers.BertPackInputs.bert_pack_inputs(
      segments,
      seq_length,
      truncator="waterfall" if self._cuts_last else "round_robin",
      **self._packing,
    )

  def packed_in_python(
    self, inputs: Any, seq_length: Any
  ) -> dict[str, tf.Tensor]:
    """Returns the same, computed in Python, for comparison."""
    segments = [self._in_python.tokenize(t) for t in self.segments(inputs)]
    packed = self._in_python.bert_pack_inputs(segments, seq_length)
    for name in INPUTS:
      packed[name].set_shape([None, None])
    return packed

  def segments(self, inputs: Any) -> list[tf.Tensor]:
    """Returns the strings in the order in which they are packed."""
    if len(self.names) == 1:
      return [inputs]
    return [inputs[name] for name in self.names]

  @property
  def has_offsets(self) -> bool:
    """Whether it can tell which bytes of a text a token is; ALBERT's can't."""
    return isinstance(self._source, WordPieceSource)

  def offsets(
    self, texts: tf.Tensor
  ) -> tuple[tf.RaggedTensor, tf.RaggedTensor] | None:
    """Returns where each token starts and ends in a text; None: not known."""
    if not self.has_offsets:
      return None
    _, starts, limits = self.tokenizer.tokenize_with_source_offsets(texts)
    return starts, limits


def probabilities(logits: tf.Tensor, problem_type: str) -> tf.Tensor | None:
  """Returns the classes' probabilities; None for a regression."""
  if problem_type == trained_task.REGRESSION:
    return None
  if problem_type == trained_task.MULTI_LABEL:
    return tf.sigmoid(logits)
  return tf.nn.softmax(logits)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classes:
  """Answers with logits, probabilities and the name of the likeliest class.

  Attributes:
    facts: The task.
    texts: The strings.
    of_tokens: Whether each token is classified, not the whole text.
  """

  facts: TaskFacts
  texts: Texts
  of_tokens: bool = False

  def remarks(self) -> list[str]:
    """Returns sentences for those who publish or use the model."""
    if self.of_tokens and not self.texts.has_offsets:
      return ["Its tokenizer can't tell where in the text a token is."]
    return []

  def __call__(
    self, inputs: Any, packed: Mapping[str, tf.Tensor], logits: tf.Tensor
  ) -> dict[str, tf.Tensor]:
    """Returns the answer, by name.

    Args:
      inputs: The strings.
      packed: What became of them.
      logits: [batch, (tokens), classes].
    """
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
      if offsets:
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
class Spans:
  """Answers with the likeliest piece of the context.

  Attributes:
    texts: The strings.
    max_answer_length: The most tokens of an answer.
  """

  texts: Texts
  max_answer_length: int

  def remarks(self) -> list[str]:
    """Returns sentences for those who publish or use the model."""
    found = ["Of a context that is too long, only the beginning is searched."]
    if not self.texts.has_offsets:
      found.append(
        "Its tokenizer can't tell where in the context an answer is, so the "
        "logits have to be read."
      )
    return found

  def __call__(
    self,
    inputs: Any,
    packed: Mapping[str, tf.Tensor],
    logits: Mapping[str, tf.Tensor],
  ) -> dict[str, tf.Tensor]:
    """Returns the answer, by name; arguments as those of `Classes`."""
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
    return {
      **logits,
      "probability": tf.reduce_max(flat, axis=-1),
      "null_probability": start[:, 0] * end[:, 0],
      **self._text(inputs, tokens - first[:, tf.newaxis], in_context),
    }

  def by_numpy(
    self,
    inputs: Any,
    packed: Mapping[str, tf.Tensor],
    logits: Mapping[str, tf.Tensor],
  ) -> dict[str, tf.Tensor]:
    """Returns the same, with the piece found by NumPy, for comparison."""

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
    return {
      **logits,
      "probability": found[:, 0],
      "null_probability": found[:, 1],
      **self._text(inputs, tokens, _context(packed)[0]),
    }

  def _text(
    self, inputs: Any, tokens: tf.Tensor, in_context: tf.Tensor
  ) -> dict[str, tf.Tensor]:
    """Returns the piece from the first to the last of its tokens."""
    _, context = self.texts.segments(inputs)
    offsets = self.texts.offsets(context)
    if not offsets:
      return {}
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
        tf.strings.unicode_transcode(
          context, "UTF-8", "UTF-8", errors="ignore"
        ),
        start,
        limit - start,
      ),
      "answer_start": start,
      "answer_limit": limit,
    }


def _context(packed: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns which tokens are of the context, and where these begin."""
  second = packed["input_type_ids"] * packed["input_mask"]
  first = tf.reduce_sum(packed["input_mask"], 1) - tf.reduce_sum(second, 1)
  # The last one ends the segment.
  following = tf.pad(second[:, 1:], [[0, 0], [0, 1]])
  return second * following > 0, first
