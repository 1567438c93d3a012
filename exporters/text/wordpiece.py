r"""Splits text into WordPieces in a graph, as BERT's training did in Python.

Model Garden's layer `BertTokenizer`, by TensorFlow Text's, deviates from that:
it folds more than case ("..." for "…", "ss" for "ß"), splits words at invisible
characters, keeps a no-break space in a cased word, and counts a word's bytes
where pre-training counted letters. Here TensorFlow Text's operations are put
together as https://github.com/google-research/bert/blob/master/tokenization.py
has it, with the switches of Hugging Face's tokenizers.

Graph and Python agree on every character of Unicode 13. Of later ones, either
knows those of its own version: TensorFlow 2.20 does not lower-case the 40
capitals of Unicode 14, of which 35 are Vithkuqi.
"""

from __future__ import annotations

import tensorflow as tf
import tensorflow_text as tf_text

from exporters.text import text_operations
from exporters.text.tokenization import Tokenization
from exporters.text.vocabulary import Vocabulary

# Control characters (Cc) except tab and line ends, format characters (Cf), and
# what stands for a character that could not be decoded.
_REMOVED = r"\x{0}-\x{8}\x{B}\x{C}\x{E}-\x{1F}\x{7F}-\x{9F}\p{Cf}\x{FFFD}"
_REMOVED_LIKE_NUL = "\x01"
_PRIVATE_USE = r"\p{Co}"
_SPACE = r"[\t\n\r\p{Z}]+"
# All of ASCII that is neither letter nor digit, and Unicode's punctuation.
_PUNCTUATION = r"[!-/:-@\[-`{-~\p{P}]"
_CHINESE = (
  r"\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2B73F}"
  r"\x{2B740}-\x{2B81F}\x{2B920}-\x{2CEAF}\x{F900}-\x{FAFF}"
  r"\x{2F800}-\x{2FA1F}"
)
# Of Extension E, the library `tokenizers` leaves out the first 256.
_CHINESE_OF_PYTHON = r"\x{2B820}-\x{2B91F}"
_BYTES_OF_A_LETTER = 4


class WordPieceTokenizer(tf.Module):
  """A tokenizer with its vocabulary, as a table that is filled from an asset.

  Its methods take strings [batch] and return ragged tensors [batch, (words),
  (pieces)]: int32 ids, and int64 offsets in bytes. Offsets count the bytes of
  the text as it is after lower-casing and the removal of accents and invisible
  characters, as in TensorFlow Text.
  """

  has_offsets = True

  def __init__(self, vocabulary: Vocabulary, tokenization: Tokenization):
    super().__init__(name="tokenizer")
    self._wanted = tokenization
    initializer = tf.lookup.TextFileInitializer(
      vocabulary.asset(),
      key_dtype=tf.string,
      key_index=tf.lookup.TextFileIndex.WHOLE_LINE,
      value_dtype=tf.int64,
      value_index=tf.lookup.TextFileIndex.LINE_NUMBER,
    )
    # An attribute: otherwise a consumer who loads and saves again loses the
    # asset (https://github.com/tensorflow/tensorflow/issues/46456).
    self._initializer = initializer
    self._pieces = tf_text.WordpieceTokenizer(
      tf.lookup.StaticHashTable(initializer, default_value=-1),
      max_bytes_per_word=tokenization.max_letters * _BYTES_OF_A_LETTER,
      token_out_type=tf.int32,
      unknown_token=tokenization.unknown,
    )

  def special_ids(self) -> dict[str, int]:
    """Returns the scalars of `get_special_tokens_dict`."""
    return self._wanted.special_ids()

  def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
    """Returns the ids."""
    words, *_ = self._words(texts)
    pieces, *_ = self._pieces.tokenize_with_offsets(
      tf.where(self._too_long(words), self._wanted.unknown, words.values)
    )
    return text_operations.with_batch(texts, words.with_values(pieces))

  def tokenize_with_offsets(self, texts: tf.Tensor) -> list[tf.RaggedTensor]:
    """Returns the ids, and where each piece starts and ends."""
    words, *offsets = self._words(texts, offsets=True)
    return [
      text_operations.with_batch(texts, words.with_values(pieces))
      for pieces in self._placed_pieces(words, *offsets)
    ]

  def source(self, texts: tf.Tensor) -> tf.Tensor:
    """Returns texts as far as they are UTF-8."""
    return text_operations.valid(texts)

  def tokenize_with_source_offsets(
    self, texts: tf.Tensor
  ) -> list[tf.RaggedTensor]:
    """Returns the ids, and the bytes of `source(texts)` that they are.

    Ragged [batch, (pieces)].
    """
    valid = text_operations.utf8(texts, for_nul=_REMOVED_LIKE_NUL)
    kept = self._wanted.kept_whole
    parts = text_operations.Parts(valid, kept) if kept else None
    inside = parts.texts if parts else valid
    words, word_starts, word_limits = self._split(inside)
    looked_up = parts.with_tokens(words) if parts else words
    ids, starts, limits = (
      words.with_values(pieces).merge_dims(1, 2)
      for pieces in self._placed_pieces(looked_up, word_starts, word_limits)
    )
    letters, at = tf.strings.unicode_split_with_offsets(inside, "UTF-8")
    lengths = tf.strings.length(self._normalized(letters.values))
    found = text_operations.in_source(
      inside, letters, at, lengths, (starts, limits)
    )
    if parts:
      found = parts.placed(*found)
    joined = parts.joined if parts else lambda ragged: ragged
    return [
      text_operations.with_batch(texts, joined(one)) for one in (ids, *found)
    ]

  def _placed_pieces(
    self,
    words: tf.RaggedTensor,
    word_starts: tf.RaggedTensor,
    word_limits: tf.RaggedTensor,
  ) -> list[tf.RaggedTensor]:
    """Returns the words' ids, and where each piece starts and ends.

    Ragged [words, (pieces)], for the words of all texts together.
    """
    too_long = self._too_long(words)
    pieces, starts, limits = self._pieces.tokenize_with_offsets(
      tf.where(too_long, self._wanted.unknown, words.values)
    )
    word = pieces.value_rowids()
    begins = tf.gather(word_starts.values, word)
    ends = tf.where(
      tf.gather(too_long, word),
      tf.gather(word_limits.values, word),
      begins + limits.values,
    )
    return [
      pieces.with_values(values)
      for values in (pieces.values, begins + starts.values, ends)
    ]

  def _too_long(self, words: tf.RaggedTensor) -> tf.Tensor:
    letters = tf.strings.length(words.values, unit="UTF8_CHAR")
    return letters > self._wanted.max_letters

  def _words(
    self, texts: tf.Tensor, *, offsets: bool = False
  ) -> tuple[tf.RaggedTensor, ...]:
    """Returns words, ragged [batch, (words)], and where they start and end."""
    texts = text_operations.utf8(texts, for_nul=_REMOVED_LIKE_NUL)
    if not self._wanted.kept_whole:
      return self._split(texts)
    parts = text_operations.Parts(texts, self._wanted.kept_whole)
    words, starts, limits = self._split(parts.texts)
    found = [parts.with_tokens(words)]
    if offsets:
      found += parts.placed(starts, limits)
    return tuple(map(parts.joined, found))

  def _split(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, ...]:
    kept = _PUNCTUATION
    if self._wanted.split_chinese:
      chinese = _CHINESE + _CHINESE_OF_PYTHON * (not self._wanted.rust)
      kept += f"|[{chinese}]"
    return tf_text.regex_split_with_offsets(
      self._normalized(texts), f"{_SPACE}|{kept}", kept
    )

  def _normalized(self, texts: tf.Tensor) -> tf.Tensor:
    """Returns texts in the form in which their words are looked up."""
    removed = f"[{_REMOVED}{_PRIVATE_USE * self._wanted.rust}]"
    texts = tf.strings.regex_replace(texts, removed, "")
    if self._wanted.strip_accents:
      texts = tf_text.normalize_utf8(texts, "NFD")
      texts = tf.strings.regex_replace(texts, r"\p{Mn}", "")
    if self._wanted.lower_case:
      texts = text_operations.lower_cased(texts, by_letter=self._wanted.rust)
    return texts
