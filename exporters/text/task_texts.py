"""Strings in, answers out: what stands around a fine-tuned model on ids.

Everything here is computed twice: in the graph that is published, and by the
Python tokenizers and NumPy that it is compared with.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
import dataclasses
import re
from typing import Any

import numpy as np
from official.nlp.modeling import layers
import tensorflow as tf
from typing_extensions import override

from exporters.checkpoints import trained_task
from exporters.errors import ExportError
from exporters.text import facts
from exporters.text import text_operations
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
# For a token that is not of the text, or of no mask at all.
_NOWHERE = -1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Windows:
  """Pieces of contexts, each as an encoder's inputs with its question.

  A context's windows follow each other; each context has one at least.

  Attributes:
    packed: The inputs, [windows, seq_length].
    row: Of which context of the batch each is, int64 [windows].
    begins: Which token of the context it begins with, int32 [windows].
  """

  packed: Mapping[str, tf.Tensor]
  row: tf.Tensor
  begins: tf.Tensor


class Texts:
  """Turns one or two strings into an encoder's inputs, in a graph.

  Attributes:
    names: The names of the strings, if there are two.
    source: The vocabulary, and how text is split.
    tokenizer: It holds the vocabulary.
    seq_length: The default length of the encoder's inputs.
    mask_id: The id of the token for a word to find.
    is_open: Whether a call may set another length.
  """

  def __init__(
    self,
    source: WordPieceSource | SentencePieceSource,
    encoder: Encoder,
    *,
    names: Sequence[str] = _ONE,
    seq_length: int,
    has_masks: bool = False,
  ):
    """Makes it.

    Args:
      source: The vocabulary, and how text is split.
      encoder: The encoder.
      names: The names of the strings.
      seq_length: The default length of the encoder's inputs.
      has_masks: Whether there are masks in the strings, for words to find.

    Raises:
      ExportError: The text was split in a way that is not computed here, or the
        encoder does not take inputs of this length, or there is no mask.
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
    self.seq_length = seq_length
    most = min(lengths.values(), default=seq_length + 1)
    self.is_open = not encoder.seq_lengths and seq_length < most
    self.names = tuple(names)
    if has_masks:
      source = source.with_mask_whole()
    self.source = source
    self.tokenizer = source.tokenizer()
    ids = self.tokenizer.special_ids()
    if has_masks and "mask_id" not in ids:
      raise ExportError(
        f"The vocabulary has no {source.mask}, so a text can't say which words "
        "to find. Publish the model on ids alone: artifacts = ['from_ids']."
      )
    self.mask_id = ids.get("mask_id")
    self._has_masks = has_masks
    self._packing = {name: ids[name] for name in _PACKING_IDS}
    self._cuts_last = self.names == QUESTION
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
    found = [np.array(texts) for texts in self.source.samples()]
    if self._has_masks:
      found = [self._with_masks(texts) for texts in found]
    long = " ".join(found[-1][:2]) or " ".join(found[0])
    long = " ".join([long] * self.seq_length)
    if len(self.names) == 1:
      return [*found, np.array([long])]
    first, second = self.names
    return [
      *({first: texts, second: np.roll(texts, 1)} for texts in found),
      {first: found[0], second: np.array([long])},
    ]

  def _with_masks(self, texts: np.ndarray) -> np.ndarray:
    """Returns texts of which each has one mask more than the one before."""
    masked = [f"{text} {self.source.mask}" for text in texts]
    return np.array(
      [f"{text}, {self.source.mask}" * i for i, text in enumerate(masked, 1)]
    )

  def packed(self, inputs: Any, seq_length: Any) -> dict[str, tf.Tensor]:
    """Returns an encoder's inputs."""
    segments = [self.tokenizer.tokenize(t) for t in self.segments(inputs)]
    return self._packed(segments, seq_length)

  def _packed(
    self, segments: Sequence[tf.RaggedTensor], seq_length: Any
  ) -> dict[str, tf.Tensor]:
    return layers.BertPackInputs.bert_pack_inputs(
      segments,
      seq_length,
      truncator="waterfall" if self._cuts_last else "round_robin",
      **self._packing,
    )

  def windows(self, inputs: Any, seq_length: Any, stride: int) -> Windows:
    """Returns an encoder's inputs, several where a context is too long.

    Args:
      inputs: The questions and contexts.
      seq_length: The length of the inputs.
      stride: How many tokens after a window the next one begins; if a window
        has fewer, where it ends.
    """
    question, context = (
      ids.merge_dims(1, -1) if ids.ragged_rank > 1 else ids
      for ids in (self.tokenizer.tokenize(t) for t in self.segments(inputs))
    )
    # Beside the first token and those that end the question and the context.
    room = tf.cast(seq_length, tf.int64) - 3 - question.row_lengths()
    room = tf.maximum(room, 0)
    # A question that leaves no room has one window, without a context.
    lengths = tf.where(room > 0, context.row_lengths(), 0)
    step = tf.clip_by_value(room, 1, stride)
    counts = 1 + (tf.maximum(lengths - room, 0) + step - 1) // step
    row = tf.repeat(tf.range(context.nrows()), counts)
    before = tf.gather(tf.cumsum(counts, exclusive=True), row)
    begins = (tf.range(tf.size(row, tf.int64)) - before) * tf.gather(step, row)
    ends = tf.minimum(begins + tf.gather(room, row), tf.gather(lengths, row))
    first = tf.gather(context.row_starts(), row)
    pieces = tf.ragged.range(first + begins, first + ends)
    packed = self._packed(
      [
        tf.gather(question, row),
        pieces.with_values(tf.gather(context.values, pieces.values)),
      ],
      seq_length,
    )
    return Windows(packed=packed, row=row, begins=tf.cast(begins, tf.int32))

  def windows_in_python(
    self, inputs: Any, seq_length: Any, stride: int
  ) -> Windows:
    """Returns the same, computed in Python, for comparison."""
    segments = [self._in_python.tokenize(t) for t in self.segments(inputs)]
    packed, row, begins = self._in_python.windows(segments, seq_length, stride)
    for name in INPUTS:
      packed[name].set_shape([None, None])
    return Windows(packed=packed, row=row, begins=begins)

  def packed_in_python(
    self, inputs: Any, seq_length: Any
  ) -> dict[str, tf.Tensor]:
    """Returns what `packed` does, computed in Python, for comparison."""
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

  def offsets(
    self, texts: tf.Tensor
  ) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
    """Returns at which bytes of a text each token starts and ends."""
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


def _context(packed: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns which tokens are of the context, and where these begin."""
  second = packed["input_type_ids"] * packed["input_mask"]
  first = tf.reduce_sum(packed["input_mask"], 1) - tf.reduce_sum(second, 1)
  # The last one ends the segment.
  following = tf.pad(second[:, 1:], [[0, 0], [0, 1]])
  return second * following > 0, first
