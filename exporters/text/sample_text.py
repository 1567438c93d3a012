"""Texts that a tokenizer is tried with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from exporters.errors import ExportError
from exporters.saved_model import assets
from exporters.text.python_tokenizer import InPython

# Of most scripts, of what pre-training removed or split, and of what Unicode
# has several ways to write.
SENTENCES = (
  ("Hello, world!",),
  (
    "A preprocessor.",
    "",
    "Ångström & naïve façades — 東京, 🙂",
    "Straße İstanbul ΟΔΟΣ ﬁ ½ … ™ e\u0301 Ａ",
    "hello東京world 東京は日本の首都です 한국어 ภาษาไทย नमस्ते שָׁלוֹם Привет",
    "[CLS] hello[SEP]world [MASK]! <pad> [mask] ``quoted''",
    "hello🙂world 👩‍👩‍👧 🇨🇭 👍🏽",
    "no\u00a0break zero\u200bwidth soft\u00adhyphen nul\x00byte bell\x07\ufffd"
    " tab\tline\r\nprivate\uf0b7use wide\u3000space \u2028.",
  ),
)
_MOST_TOKENS = 100
_MOST_LETTERS = 1000


def of_vocabulary(
  tokens: Sequence[str], split: InPython, max_letters: int
) -> Iterator[str]:
  """Yields texts of a vocabulary's own tokens, and words of the longest length.

  Args:
    tokens: The vocabulary.
    split: Its tokenizer.
    max_letters: How many letters a word may have.
  """
  step = max(len(tokens) // _MOST_TOKENS, 1)
  yield " ".join(tokens[::step])
  # The letter that takes the most bytes.
  letters = [
    token
    for token in sorted(tokens, key=lambda token: len(token.encode()))
    if len(token) == 1
    and len(split(token * 3)) == 1
    and len(split(token * 3)[0]) == 3
  ]
  if letters and max_letters <= _MOST_LETTERS:
    yield f"{letters[-1] * max_letters} {letters[-1] * (max_letters + 1)}"


def unknown_share(path: str, split: InPython, unknown_id: int) -> str:
  """Returns a sentence that says how much of a text a vocabulary lacks.

  Args:
    path: The text.
    split: The tokenizer.
    unknown_id: The id of the unknown token.

  Raises:
    ExportError: The file is not UTF-8, or has no text.
  """
  _, text = assets.read(path, "sample text", encoding="utf-8-sig")
  words = [word for line in text.splitlines() for word in split(line)]
  pieces = [piece.id for word in words for piece in word]
  if not pieces:
    raise ExportError(f"The sample text '{path}' holds no word. Name another.")
  unknown = pieces.count(unknown_id)
  return (
    f"Of the {len(pieces):,} tokens of a sample text, {unknown:,} "
    f"({unknown / len(pieces):.2%}) are unknown ones."
  )
