"""Splits text into SentencePieces in a graph, as ALBERT's pre-training did.

Model Garden's layer `SentencepieceTokenizer` folds more than case ("ss" for
"ß") and strips marks that pre-training kept: it goes by Unicode's category,
pre-training by the combining class.
https://github.com/google-research/albert/blob/master/tokenization.py
"""

from __future__ import annotations

from collections.abc import Collection
import itertools
import unicodedata

import tensorflow as tf
import tensorflow_text as tf_text

from exporters.text import text_operations
from exporters.text.sentencepiece_model import SPECIAL_PIECES
from exporters.text.sentencepiece_model import SentencePieceModel

# By the name in `get_special_tokens_dict`.
_IDS = dict(
  zip(
    (
      "padding_id",
      "start_of_sequence_id",
      "end_of_segment_id",
      "mask_id",
    ),
    SPECIAL_PIECES,
    strict=True,
  )
)
# What Python's `split` takes as spaces.
_SPACE = r"[\x{9}-\x{D}\x{1C}-\x{20}\x{85}\p{Z}]+"
_QUOTES = "``|''"
# What becomes of a text letter by letter, but for these.
_LETTER = rf"{_SPACE}|{_QUOTES}|(?s:.)"


def _combining() -> str:
  """Returns a pattern for the characters with a combining class.

  Of Unicode 3.2, which every version of Python knows, so that the bytes of an
  export don't depend on that.
  """
  known = unicodedata.ucd_3_2_0
  points = [c for c in range(0x20000) if known.combining(chr(c))]
  ranges = []
  for _, group in itertools.groupby(
    enumerate(points), lambda pair: pair[1] - pair[0]
  ):
    run = [point for _, point in group]
    ranges.append(rf"\x{{{run[0]:X}}}-\x{{{run[-1]:X}}}")
  return f"[{''.join(ranges)}]"


def _utf8(texts: tf.Tensor) -> tf.Tensor:
  # To SentencePiece, either is a character that it does not know.
  return text_operations.utf8(texts, for_nul=text_operations.STAND_IN)


class SentencePieceTokenizer(tf.Module):
  """A tokenizer that holds its model.

  Its methods take strings [batch] and return ragged tensors [batch, (pieces)]:
  int32 ids, and int64 offsets in bytes of the text as it is after lower-casing.
  """

  def __init__(
    self,
    model: SentencePieceModel,
    *,
    lower_case: bool,
    strip_diacritics: bool,
    kept_whole: Collection[str] = (),
    replace_quotes: bool = False,
  ):
    """Makes a tokenizer.

    Args:
      model: The SentencePiece model.
      lower_case: Whether text is lower-cased.
      strip_diacritics: Whether text is decomposed (NFKD) and loses its
        combining characters.
      kept_whole: The pieces that are recognised as they stand in a text.
      replace_quotes: Whether two backticks or apostrophes are a quotation mark,
        as in Hugging Face's tokenizer of ALBERT.
    """
    super().__init__(name="tokenizer")
    self._lower_case = lower_case
    self._strip_diacritics = strip_diacritics
    self._replace_quotes = replace_quotes
    processor = model.processor
    self._kept = {p: processor.PieceToId(p) for p in sorted(kept_whole)}
    self._ids = {
      name: id_
      for name, piece in _IDS.items()
      if (id_ := processor.PieceToId(piece)) != processor.unk_id()
    }
    self._space = processor.PieceToId("▁")
    self._size = model.pieces
    self._pieces = tf_text.SentencepieceTokenizer(
      model=model.content, out_type=tf.int32
    )

  def special_ids(self) -> dict[str, int]:
    """Returns the scalars of `get_special_tokens_dict`."""
    return {"vocab_size": self._size} | self._ids

  def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
    """Returns the ids."""
    valid = _utf8(texts)
    if not self._kept:
      pieces = self._pieces.tokenize(self._normalized(valid))
    else:
      parts = text_operations.Parts(valid, self._kept)
      inside = self._pieces.tokenize(self._normalized(parts.texts))
      (pieces,) = parts.only_tokens(inside, self._kept)
      pieces = parts.joined(pieces)
    return text_operations.with_batch(texts, pieces)

  def tokenize_with_offsets(self, texts: tf.Tensor) -> list[tf.RaggedTensor]:
    """Returns the ids, and where each piece starts and ends."""
    found = self._pieces.tokenize_with_offsets(self._normalized(_utf8(texts)))
    return [text_operations.with_batch(texts, one) for one in found]

  def source(self, texts: tf.Tensor) -> tf.Tensor:
    """Returns texts as far as they are UTF-8, with a stand-in for each NUL."""
    return _utf8(texts)

  def tokenize_with_source_offsets(
    self, texts: tf.Tensor
  ) -> list[tf.RaggedTensor]:
    """Returns the ids, and the bytes of `source(texts)` that they are.

    Without the space before a word, which is in its first piece.
    """
    valid = self.source(texts)
    parts = text_operations.Parts(valid, self._kept) if self._kept else None
    inside = parts.texts if parts else valid
    normalized = self._normalized(inside)
    ids, starts, limits = self._pieces.tokenize_with_offsets(normalized)
    first = tf.strings.substr(
      tf.gather(normalized, starts.value_rowids()),
      starts.values,
      tf.ones_like(starts.values),
    )
    behind_space = tf.minimum(
      starts.values + tf.cast(first == " ", tf.int64), limits.values
    )
    # SentencePiece normalizes, too. Of the pieces that it makes of one letter,
    # only the last one has bytes.
    inside_letter = (starts.values == limits.values) & (
      ids.values != self._space
    )
    limits += tf.cast(limits.with_values(inside_letter), tf.int64)
    starts = starts.with_values(behind_space)
    starts, limits = self._in_source(inside, starts, limits)
    found = (ids, starts, limits)
    if parts:
      placed = parts.placed(starts, limits)
      whole = parts.only_tokens(ids, self._kept, *placed)
      found = tuple(map(parts.joined, whole))
    return [text_operations.with_batch(texts, one) for one in found]

  def _in_source(
    self,
    texts: tf.Tensor,
    starts: tf.RaggedTensor,
    limits: tf.RaggedTensor,
  ) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
    """Returns bytes of texts for bytes of what they are normalized to."""
    letters, at, _ = tf_text.regex_split_with_offsets(texts, _LETTER, _LETTER)
    spaces = tf.strings.regex_full_match(letters.values, _SPACE)
    lengths = tf.strings.length(
      tf.where(spaces, " ", self._folded(letters.values))
    )
    # Nothing is left of spaces before a text. Those behind it may count: they
    # are in no piece.
    is_first = tf.equal(at.values, 0)
    lengths = tf.where(spaces & is_first, 0, lengths)
    return text_operations.in_source(
      texts, letters, at, lengths, (starts, limits)
    )

  @property
  def has_offsets(self) -> bool:
    """Whether offsets count the bytes of the text, which stripping removes."""
    return not self._strip_diacritics and not self._kept

  def _normalized(self, texts: tf.Tensor) -> tf.Tensor:
    """Returns texts in the form in which they are split."""
    texts = tf.strings.regex_replace(texts, _SPACE, " ")
    return self._folded(tf.strings.strip(texts))

  def _folded(self, texts: tf.Tensor) -> tf.Tensor:
    if self._replace_quotes:
      texts = tf.strings.regex_replace(texts, _QUOTES, '"')
    if self._strip_diacritics:
      texts = tf_text.normalize_utf8(texts, "NFKD")
      texts = tf.strings.regex_replace(texts, _combining(), "")
    if self._lower_case:
      texts = text_operations.lower_cased(texts, by_letter=False)
    return texts
