"""Reads and checks a WordPiece vocabulary before anything is built on it."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
import dataclasses
import itertools
import os
from typing import Annotated

import tensorflow as tf

from exporters.errors import ExportError
from exporters.fields import paths
from exporters.saved_model import assets
from exporters.text import tokenization
from exporters.text import tokenizer_files

SPECIAL_TOKENS = tuple(tokenization.SPECIAL_TOKENS.values())
NAME = "vocab.txt"
# The largest multiple that tables are padded to.
_PADDING = 128


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
    return assets.asset(self.content, "vocabulary", NAME)

  def with_added(self, tokens: Mapping[int, str]) -> Vocabulary:
    """Returns the vocabulary with further tokens after its last.

    Args:
      tokens: Tokens by their ids. Those that are there already must have these.

    Raises:
      ExportError: An id is that of another token, or follows no other.
    """
    all_tokens = list(self.tokens)
    for id_ in sorted(tokens):
      if id_ == len(all_tokens):
        all_tokens.append(tokens[id_])
      elif id_ > len(all_tokens) or all_tokens[id_] != tokens[id_]:
        known = all_tokens[id_] if id_ < len(all_tokens) else None
        raise ExportError(
          f"The files beside '{self.path}' give the id {id_} to the token "
          f"{tokens[id_]!r}; in the vocabulary it is {known!r}. Use the files "
          "with which the model was trained."
        )
    if len(all_tokens) == len(self.tokens):
      return self
    more = "".join(f"{t}\n" for t in all_tokens[len(self.tokens) :])
    content = self.content.removesuffix(b"\n") + f"\n{more}".encode()
    return dataclasses.replace(self, content=content, tokens=tuple(all_tokens))


class Strings(tf.Module):
  """Looks up tokens by their ids, in a graph; "" for an id without one."""

  def __init__(self, vocabulary: Vocabulary):
    super().__init__(name="strings")
    # An attribute, as in `wordpiece`.
    self._initializer = tf.lookup.TextFileInitializer(
      vocabulary.asset(),
      key_dtype=tf.int64,
      key_index=tf.lookup.TextFileIndex.LINE_NUMBER,
      value_dtype=tf.string,
      value_index=tf.lookup.TextFileIndex.WHOLE_LINE,
    )
    self._table = tf.lookup.StaticHashTable(self._initializer, default_value="")

  def __call__(self, ids: tf.Tensor) -> tf.Tensor:
    """Returns the tokens."""
    return self._table.lookup(tf.cast(ids, tf.int64))


def require_size(
  what: str, size: int, pieces: str, embeddings: int
) -> list[str]:
  """Returns what to say of a vocabulary for a table of embeddings.

  Trainings pad tables to a multiple of 8, 64 or 128, which processors prefer.

  Args:
    what: The vocabulary, for the error.
    size: How many tokens it has.
    pieces: What it calls them.
    embeddings: How many rows the table has.

  Returns:
    A sentence about the padding; nothing if there is none.

  Raises:
    ExportError: There is no embedding for some token, or there are more
      embeddings than tokens without being padding.
  """
  if size == embeddings:
    return []
  if not 0 < embeddings - size < _PADDING:
    raise ExportError(
      f"The {what} has {size} {pieces}, but the model has embeddings for "
      f"{embeddings}, which is not {size} with some padding. Use the one with "
      "which the model was trained."
    )
  return [
    f"The model has embeddings for {embeddings:,} {pieces} and its vocabulary "
    f"has {size:,}: the last {embeddings - size:,} are padding, and no text "
    "uses them."
  ]


def located(path: str) -> str:
  """Returns the path of a vocabulary: `path`, or `vocab.txt` in that folder."""
  if not tf.io.gfile.isdir(path):
    return path
  return os.path.join(tokenizer_files.folder_of(path), NAME)


def files_at(path: str) -> list[str]:
  """Returns the paths of a vocabulary and of what lies beside it.

  Args:
    path: The vocabulary, a folder, or the path of a checkpoint.
  """
  found = [located(path), *tokenizer_files.names_in(path)]
  return [file for file in found if tf.io.gfile.exists(file)]


# A vocabulary file, or the folder that holds it.
VocabularyPath = Annotated[
  str, paths.Reads(lambda exporter, path: files_at(path))
]


def refuse_different(one: Vocabulary, other: Vocabulary) -> None:
  """Raises `ExportError` unless both have the same tokens."""
  for line, pair in enumerate(
    itertools.zip_longest(one.tokens, other.tokens), start=1
  ):
    if pair[0] != pair[1]:
      raise ExportError(
        f"The vocabularies differ: token {line} is {pair[0]!r} in "
        f"'{one.path}', {pair[1]!r} in '{other.path}'. Remove the one with "
        "which the model was not trained."
      )


def read_vocabulary(
  path: str, special_tokens: Sequence[str] = SPECIAL_TOKENS
) -> Vocabulary:
  """Reads a vocabulary file, or the `vocab.txt` of a folder.

  Args:
    path: The file or the folder.
    special_tokens: The tokens that it must have.

  Raises:
    ExportError: It is missing, empty, not UTF-8, has a token twice, or lacks
      one of the special tokens.
  """
  path = located(path)
  if not tf.io.gfile.exists(path):
    raise ExportError(f"The vocabulary '{path}' does not exist.")
  content, _ = assets.read(path, "vocabulary", encoding="utf-8")
  return of_content(path, content, special_tokens)


def of_content(
  path: str, content: bytes, special_tokens: Sequence[str] = SPECIAL_TOKENS
) -> Vocabulary:
  """Returns the vocabulary whose file, at `path`, would hold `content`.

  Raises:
    ExportError: See `read_vocabulary`.
  """
  text = content.decode()
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
  absent = [token for token in special_tokens if token not in set(tokens)]
  if absent:
    raise ExportError(
      f"The vocabulary '{path}' lacks {', '.join(absent)}. Use one of a BERT, "
      "which has these."
    )
  return Vocabulary(path=path, content=content, tokens=tuple(tokens))
