"""Turns the strings of a task into an encoder's inputs.

In the graph that is published, and by the Python tokenizers that it is compared
with. What becomes of the logits is in `answers` and `spans`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np
from official.nlp.modeling import layers
import tensorflow as tf

from exporters.errors import ExportError
from exporters.text import facts
from exporters.text.encoder_types import INPUTS
from exporters.text.encoders import Encoder
from exporters.text.python_preprocessor import PythonPreprocessor
from exporters.text.sentencepiece_source import SentencePieceSource
from exporters.text.wordpiece_source import WordPieceSource

_ONE = ("inputs",)
PAIR = ("text", "text_pair")
QUESTION = ("question", "context")
_PACKING_IDS = ("start_of_sequence_id", "end_of_segment_id", "padding_id")


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
