"""Reads and checks a WordPiece vocabulary before anything is built on it."""

import collections
import dataclasses
import os
from typing import Annotated

import tensorflow as tf

from exporters.errors import ExportError
from exporters.fields import paths
from exporters.saved_model import assets

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_NAME = "vocab.txt"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vocabulary:
  """The tokens of a vocabulary file; a token's id is its line, counted from 0.

  Attributes:
    path: The file, for messages.
    content: The file, byte for byte.
    tokens: Its lines.
  """

  path: str
  content: bytes
  tokens: tuple[str, ...]

  def require_size(self, embeddings: int) -> list[str]:
    """Returns what to say of embeddings without tokens; see `require_size`."""
    what = f"vocabulary '{self.path}'"
    return require_size(what, len(self.tokens), "tokens", embeddings)

  def asset(self) -> str:
    """Returns a path to the content that depends only on the content."""
    return assets.asset(self.content, "vocabulary", _NAME)


def require_size(
  what: str, size: int, pieces: str, embeddings: int
) -> list[str]:
  """Returns what to say of a vocabulary for a table of embeddings.

  A table may be longer: trainings pad it to a multiple of 8, 64 or 128, which
  processors prefer, or leave the size of another model.

  Args:
    what: The vocabulary, for the error.
    size: How many tokens it has.
    pieces: What it calls them.
    embeddings: How many rows the table has.

  Returns:
    A sentence about the rows without tokens; nothing if there are none.

  Raises:
    ExportError: There is no embedding for some token.
  """
  if size > embeddings:
    raise ExportError(
      f"The {what} has {size} {pieces}, but the model has embeddings for "
      f"{embeddings}. Use the one with which the model was trained."
    )
  if size == embeddings:
    return []
  return [
    f"The vocabulary has {size:,} {pieces}, and the table of embeddings "
    f"{embeddings:,} rows. No text uses the other {embeddings - size:,}, which "
    "are usually padding."
  ]


def _located(path: str) -> str:
  return os.path.join(path, _NAME) if tf.io.gfile.isdir(path) else path


# A vocabulary file, or the folder that holds it.
VocabularyPath = Annotated[
  str, paths.Reads(lambda exporter, path: [_located(path)])
]


def read_vocabulary(path: str) -> Vocabulary:
  """Reads a vocabulary file, or the `vocab.txt` of a folder.

  Raises:
    ExportError: It is missing, empty, not UTF-8, has a token twice, or lacks
      one of the special tokens.
  """
  path = _located(path)
  if not tf.io.gfile.exists(path):
    raise ExportError(f"The vocabulary '{path}' does not exist.")
  content, text = assets.read(path, "vocabulary", encoding="utf-8")
  # Not `splitlines`: tokens may contain what Unicode counts as a line end.
  tokens = text.removesuffix("\n").split("\n")
  if not text.strip():
    raise ExportError(f"The vocabulary '{path}' is empty.")
  if text.startswith("\ufeff"):
    raise ExportError(
      f"The vocabulary '{path}' starts with a byte order mark, which would "
      "become part of its first token. Save it without one."
    )
  if any(token.endswith("\r") for token in tokens):
    raise ExportError(
      f"The vocabulary '{path}' has Windows line ends, which would become part "
      "of each token. Save it with plain newlines."
    )
  repeated = [t for t, n in collections.Counter(tokens).items() if n > 1]
  if repeated:
    lines = [i + 1 for i, token in enumerate(tokens) if token == repeated[0]]
    raise ExportError(
      f"The vocabulary '{path}' repeats {len(repeated)} tokens, such as "
      f"{repeated[0]!r} on lines {lines}. A token has only one id: remove the "
      "other lines."
    )
  absent = [token for token in SPECIAL_TOKENS if token not in set(tokens)]
  if absent:
    raise ExportError(
      f"The vocabulary '{path}' lacks {', '.join(absent)}. Use one of a BERT, "
      "which has these."
    )
  return Vocabulary(path=path, content=content, tokens=tuple(tokens))
