"""Splits text in Python, by the code that pre-training ran.

What an exported preprocessor is compared with. It shares nothing with the graph
but the facts: `official.nlp.tools.tokenization` is Model Garden's copy of
google-research's tokenizers, and Unicode's tables are Python's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
import re
from typing import NamedTuple
import unicodedata

from official.nlp.tools import tokenization as garden
import sentencepiece
from typing_extensions import override

from exporters.text.tokenization import Tokenization


class Piece(NamedTuple):
  """A piece of a text: its id, and the bytes between which it lies."""

  id: int
  start: int
  limit: int


# From a text to its words, each a list of pieces.
InPython = Callable[[str], list[list[Piece]]]


class _Words(garden.BasicTokenizer):
  """Splits text into words, with the switches that `transformers` added."""

  def __init__(self, wanted: Tokenization):
    super().__init__(do_lower_case=wanted.lower_case)
    self._wanted = wanted

  @override
  def tokenize(self, text):
    text = "".join(filter(self._is_kept, text))
    if self._wanted.rust and self._wanted.lower_case:
      text = "".join(c.lower() for c in text)
    if self._wanted.strip_accents and not self._wanted.lower_case:
      text = self._run_strip_accents(text)
    return super().tokenize(text)

  def normalized(self, text: str) -> str:
    """Returns the text in which words lie one after another."""
    text = "".join(filter(self._is_kept, text))
    if self._wanted.lower_case:
      letters = text if self._wanted.rust else [text]
      text = "".join(letter.lower() for letter in letters)
    return self._run_strip_accents(text)

  def _is_kept(self, char: str) -> bool:
    """Whether a character is left in a text."""
    private = self._wanted.rust and unicodedata.category(char) == "Co"
    return bool(self._clean_text(char)) and not private

  @override
  def _run_strip_accents(self, text):
    if not self._wanted.strip_accents:
      return text
    return super()._run_strip_accents(text)

  @override
  def _is_chinese_char(self, cp):
    left_out = self._wanted.rust and 0x2B820 <= cp < 0x2B920
    return not left_out and super()._is_chinese_char(cp)

  @override
  def _tokenize_chinese_chars(self, text):
    if not self._wanted.split_chinese:
      return text
    return super()._tokenize_chinese_chars(text)


def of_wordpieces(wanted: Tokenization) -> InPython:
  """Returns a function that splits a text into the pieces of its words."""
  ids = {token: i for i, token in enumerate(wanted.vocabulary)}
  basic = _Words(wanted)
  pieces = garden.WordpieceTokenizer(
    ids,
    unk_token=wanted.unknown,
    max_input_chars_per_word=wanted.max_letters,
  )

  def placed(word: str, start: int) -> Iterator[Piece]:
    limit = start + _bytes(word)
    for piece in pieces.tokenize(word):
      end = start + _bytes(piece.removeprefix("##"))
      if piece in (word, wanted.unknown):
        end = limit
      yield Piece(ids.get(piece, -1), start, end)
      start = end

  def split(text):
    found = []
    begin = 0
    for part in _parts(text, wanted.kept_whole):
      if part in wanted.kept_whole:
        found.append([Piece(ids[part], begin, begin + _bytes(part))])
      else:
        rest, start = basic.normalized(part), begin
        for word in basic.tokenize(part):
          before, _, rest = rest.partition(word)
          start += _bytes(before)
          found.append(list(placed(word, start)))
          start += _bytes(word)
      begin += _bytes(part)
    return found

  return split


def of_sentencepieces(
  model: bytes,
  *,
  lower_case: bool,
  strip_diacritics: bool,
  kept_whole: Collection[str] = (),
  replace_quotes: bool = False,
) -> InPython:
  """Returns a function that splits a text into pieces, as one word.

  Args:
    model: The SentencePiece model.
    lower_case: See `SentencePieceTokenizer`, and so for the others.
    strip_diacritics: See there.
    kept_whole: See there.
    replace_quotes: See there.
  """
  processor = sentencepiece.SentencePieceProcessor(model_proto=model)

  def split(text):
    found = []
    for part in _parts(text, kept_whole):
      if part in kept_whole:
        found.append(Piece(processor.PieceToId(part), 0, 0))
        continue
      if replace_quotes:
        part = part.replace("``", '"').replace("''", '"')
      if strip_diacritics:
        part = garden.preprocess_text(part, lower=lower_case)
      else:
        part = " ".join(part.split())
        part = part.lower() if lower_case else part
      made = processor.encode(part.encode(), out_type="offset_mapping")
      for id_, place in zip(made["ids"], made["offsets"], strict=True):
        found.append(Piece(id_, *place))
    return [found]

  return split


def _parts(text: str, kept_whole: Collection[str]) -> Sequence[str]:
  """Cuts a text before and after the tokens that are kept whole."""
  if not kept_whole:
    return [text]
  # `re` takes the first that matches, so the longest come first.
  longest_first = sorted(kept_whole, key=len, reverse=True)
  return re.split(f"({'|'.join(map(re.escape, longest_first))})", text)


def _bytes(text: str) -> int:
  return len(text.encode())


def packed(
  segments: Sequence[Sequence[int]],
  seq_length: int,
  *,
  start: int,
  end: int,
  padding: int,
  cuts_last: bool = False,
) -> dict[str, list[int]]:
  """Packs the ids of one or two segments into an encoder's inputs.

  Args:
    segments: The ids of each.
    seq_length: The length of the inputs.
    start: The id of the token before the first segment.
    end: The id of the token after each segment.
    padding: The id of the token after the last of these.
    cuts_last: Whether each gets all the room that those before it leave.
  """
  room = max(seq_length - 1 - len(segments), 0)
  lengths = [0] * len(segments)
  if cuts_last:
    for i, segment in enumerate(segments):
      lengths[i] = min(len(segment), room)
      room -= lengths[i]
  # A token at a time to each in turn, as long as there is room.
  while room and any(
    n < len(s) for n, s in zip(lengths, segments, strict=True)
  ):
    for i, segment in enumerate(segments):
      if room and lengths[i] < len(segment):
        lengths[i] += 1
        room -= 1
  ids, types = [start], [0]
  for i, (length, segment) in enumerate(zip(lengths, segments, strict=True)):
    ids += [*segment[:length], end]
    types += [i] * (length + 1)
  rest = seq_length - len(ids)
  return {
    "input_word_ids": ids + [padding] * rest,
    "input_mask": [1] * len(ids) + [0] * rest,
    "input_type_ids": types + [0] * rest,
  }
