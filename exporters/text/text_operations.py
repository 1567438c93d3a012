"""What graphs do with text, whatever its tokens are.

TensorFlow's and TensorFlow Text's operations, put together so that a result
depends neither on the consumer's locale nor on bytes that are not UTF-8.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
import re

import tensorflow as tf
import tensorflow_text as tf_text

# The capitals that a Turkish, Azeri or Lithuanian locale lower-cases otherwise,
# in addition to I and J.
_LOCAL = {"İ": "i̇", "Ì": "ì", "Í": "í", "Ĩ": "ĩ", "Į": "į"}


# Unicode assigns it to no character, and nothing splits or changes it.
STAND_IN = "\ufdd0"


def valid(texts: tf.Tensor) -> tf.Tensor:
  """Removes bytes that are not UTF-8, as Python's "ignore" does.

  Args:
    texts: Strings of any shape.
  """
  return tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="ignore")


def utf8(texts: tf.Tensor, *, for_nul: str) -> tf.Tensor:
  """Does the same, and replaces NULs, with which ICU's operations end a text.

  Args:
    texts: Strings of any shape.
    for_nul: What to put for a NUL.
  """
  return tf.strings.regex_replace(valid(texts), r"\x{0}", for_nul)


def lower_cased(texts: tf.Tensor, *, by_letter: bool) -> tf.Tensor:
  """Lower-cases as Unicode says, in whatever locale the consumer runs.

  Args:
    texts: Strings of any shape.
    by_letter: Whether a capital sigma never becomes a final one.
  """
  for capital, small in _LOCAL.items():
    texts = tf.strings.regex_replace(texts, capital, small)
  if by_letter:
    texts = tf.strings.regex_replace(texts, "Σ", "σ")
  # ASCII first: in a Turkish locale, "I" would become a dotless one.
  return tf.strings.lower(tf.strings.lower(texts), encoding="utf-8")


class Parts:
  """Texts, cut before and after the tokens that are kept whole.

  Attributes:
    texts: The parts, with a stand-in of one character for each token. Strings
      [parts].
  """

  def __init__(self, texts: tf.Tensor, kept: Collection[str]):
    """Cuts texts.

    Args:
      texts: UTF-8 strings [batch].
      kept: The tokens.
    """
    pattern = _pattern(kept)
    parts, starts, _ = tf_text.regex_split_with_offsets(texts, pattern, pattern)
    self._splits = parts.row_splits
    self._parts, self._starts = parts.values, starts.values
    self._whole = tf.strings.regex_full_match(self._parts, pattern)
    self.texts = tf.where(self._whole, STAND_IN, self._parts)

  def joined(self, inside: tf.RaggedTensor) -> tf.RaggedTensor:
    """Returns what all parts of each text consist of.

    Args:
      inside: What each part consists of: ragged [parts, (items)].

    Returns:
      Ragged [batch, (items)].
    """
    splits = tf.gather(inside.row_splits, self._splits)
    return tf.RaggedTensor.from_row_splits(
      inside.values, splits, validate=False
    )

  def with_tokens(self, words: tf.RaggedTensor) -> tf.RaggedTensor:
    """Returns the parts' words with the tokens for their stand-ins."""
    part = words.value_rowids()
    return words.with_values(
      tf.where(
        tf.gather(self._whole, part),
        tf.gather(self._parts, part),
        words.values,
      )
    )

  def placed(
    self, starts: tf.RaggedTensor, limits: tf.RaggedTensor
  ) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
    """Returns offsets in the texts for offsets in the parts."""
    part = starts.value_rowids()
    begins = tf.gather(self._starts, part)
    lengths = tf.cast(tf.strings.length(self._parts), tf.int64)
    ends = tf.where(
      tf.gather(self._whole, part), tf.gather(lengths, part), limits.values
    )
    return (
      starts.with_values(begins + starts.values),
      limits.with_values(begins + ends),
    )

  def only_tokens(
    self,
    pieces: tf.RaggedTensor,
    ids: Mapping[str, int],
    *others: tf.RaggedTensor,
  ) -> tuple[tf.RaggedTensor, ...]:
    """Returns the parts' pieces with a token's id for those of its stand-in.

    Args:
      pieces: Ragged [parts, (pieces)].
      ids: The ids of the tokens.
      *others: What else there is for each piece.

    Returns:
      The pieces, and the others for these.
    """
    first = tf.gather(pieces.row_splits, pieces.value_rowids())
    is_first = tf.range(tf.size(first, tf.int64)) == first
    part = pieces.value_rowids()
    whole = tf.gather(self._whole, part)
    tokens = tf.gather(self._parts, part)
    values = pieces.values
    for token, id_ in ids.items():
      values = tf.where(tokens == token, id_, values)
    kept = tf.logical_or(tf.logical_not(whole), is_first)
    return tuple(
      tf.ragged.boolean_mask(one, pieces.with_values(kept))
      for one in (pieces.with_values(values), *others)
    )


def in_source(
  texts: tf.Tensor,
  letters: tf.RaggedTensor,
  at: tf.RaggedTensor,
  lengths: tf.Tensor,
  offsets: tuple[tf.RaggedTensor, tf.RaggedTensor],
) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
  """Returns bytes of texts for bytes of what they are normalized to.

  That is done letter by letter, so the letters' lengths add up. A letter of
  which only some of the bytes count is whole in the result.

  Args:
    texts: Strings [batch].
    letters: What they consist of, ragged [batch, (letters)].
    at: Where each letter starts, int64.
    lengths: The bytes that each letter is normalized to, [all letters].
    offsets: Starts and limits in the normalized texts, ragged [batch,
      (pieces)], int64.

  Returns:
    The same in the texts.
  """
  starts, limits = offsets
  # How many normalized bytes there are before each letter, and at the end.
  before = tf.concat([[0], tf.cumsum(tf.cast(lengths, tf.int64))], axis=0)
  row = starts.value_rowids()
  first = tf.gather(tf.gather(before, letters.row_splits), row)
  last_letter = tf.gather(letters.row_splits, row + 1)
  # The end of a text is where a letter more would begin.
  begins = tf.concat([at.values, [0]], axis=0)
  whole = tf.cast(tf.strings.length(texts), tf.int64)

  def position(offsets, side):
    found = tf.searchsorted(before, first + offsets, side=side)
    return tf.cast(found, tf.int64)

  start = position(starts.values, "right") - 1
  # With the marks that follow the last letter, of which nothing is left.
  limit = tf.maximum(
    position(limits.values, "right") - 1, position(limits.values, "left")
  )
  return (
    starts.with_values(tf.gather(begins, start)),
    limits.with_values(
      tf.where(
        limit < last_letter, tf.gather(begins, limit), tf.gather(whole, row)
      )
    ),
  )


def places(
  texts: tf.Tensor, token: str, kept: Collection[str]
) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
  """Returns where a token stands in texts, from byte to byte.

  Args:
    texts: Strings [batch]. Bytes that are not UTF-8 don't count.
    token: The token.
    kept: All tokens that are kept whole: one of them may hold another.

  Returns:
    Starts and limits, ragged [batch, (places)].
  """
  pattern = _pattern(kept)
  # A NUL is a byte, too.
  parts, *offsets = tf_text.regex_split_with_offsets(
    utf8(texts, for_nul="\x01"), pattern, pattern
  )
  is_token = parts.with_values(tf.equal(parts.values, token))
  starts, limits = (tf.ragged.boolean_mask(one, is_token) for one in offsets)
  return starts, limits


def _pattern(kept: Collection[str]) -> str:
  # The longest come first, as they do in the tokenizers of their origin.
  return "|".join(map(re.escape, sorted(kept, key=len, reverse=True)))


def with_batch(texts: tf.Tensor, ragged: tf.RaggedTensor) -> tf.RaggedTensor:
  """Returns `ragged` with the size of the batch, which TensorFlow loses."""
  splits = tf.reshape(ragged.row_splits, [tf.shape(texts)[0] + 1])
  return tf.RaggedTensor.from_row_splits(ragged.values, splits, validate=False)
