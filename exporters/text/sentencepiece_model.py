"""Reads and checks a SentencePiece model before anything is built on it."""

import dataclasses
import functools
import os
from typing import Annotated

import sentencepiece
import tensorflow as tf
import tensorflow_text as tf_text

from exporters.errors import ExportError
from exporters.fields import paths
from exporters.saved_model import assets
from exporters.text import tokenizer_files
from exporters.text import vocabulary

# By ALBERT's names; a preprocessor needs each.
SPECIAL_PIECES = ("<pad>", "[CLS]", "[SEP]", "[MASK]")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SentencePieceModel:
  """A SentencePiece model.

  Attributes:
    path: The file, for messages.
    content: The file, byte for byte.
    pieces: The number of pieces in it.
  """

  path: str
  content: bytes
  pieces: int

  @functools.cached_property
  def processor(self) -> sentencepiece.SentencePieceProcessor:
    """The model, loaded."""
    return sentencepiece.SentencePieceProcessor(model_proto=self.content)

  def tokens(self) -> list[str]:
    """Returns the pieces, in the order of their ids."""
    return [self.processor.IdToPiece(i) for i in range(self.pieces)]

  def require_size(self, embeddings: int) -> list[str]:
    """Returns what to say of embeddings without pieces; see `vocabulary`."""
    what = f"SentencePiece model '{self.path}'"
    return vocabulary.require_size(what, self.pieces, "pieces", embeddings)

  def asset(self) -> str:
    """Returns a path to the content that depends only on the content."""
    return assets.asset(self.content, "sentencepiece", "sp.model")


class Strings(tf.Module):
  """Looks up pieces by their ids, in a graph; "" for an id without one."""

  def __init__(self, model: SentencePieceModel):
    super().__init__(name="strings")
    self._pieces = model.pieces
    self._tokenizer = tf_text.SentencepieceTokenizer(model=model.content)

  def __call__(self, ids: tf.Tensor) -> tf.Tensor:
    """Returns the pieces."""
    exists = (ids >= 0) & (ids < self._pieces)
    found = self._tokenizer.id_to_string(tf.where(exists, ids, 0))
    return tf.where(exists, found, "")


def located(path: str) -> str:
  """Returns the path of a SentencePiece model: `path`, or the one in a folder.

  Raises:
    ExportError: The folder holds none, or several.
  """
  if not tf.io.gfile.isdir(path):
    return path
  found = beside(path)
  if len(found) != 1:
    raise ExportError(
      f"The folder '{path}' holds {len(found)} files *.model. Name the "
      "SentencePiece model itself."
    )
  return found[0]


def beside(path: str) -> list[str]:
  """Returns the paths of the SentencePiece models beside what is at `path`."""
  folder = tokenizer_files.folder_of(path)
  return sorted(tf.io.gfile.glob(os.path.join(folder, "*.model")))


def _files(path: str) -> list[str]:
  return [located(path), *tokenizer_files.names_in(path)]


# A SentencePiece model, or the folder that holds it.
ModelPath = Annotated[str, paths.Reads(lambda exporter, path: _files(path))]


def read(path: str) -> SentencePieceModel:
  """Reads a SentencePiece model.

  Raises:
    ExportError: It is missing or damaged, or lacks a special piece.
  """
  if not tf.io.gfile.exists(path) or tf.io.gfile.isdir(path):
    raise ExportError(f"The SentencePiece model '{path}' is not a file.")
  with tf.io.gfile.GFile(path, "rb") as f:
    content = f.read()
  processor = sentencepiece.SentencePieceProcessor()
  try:
    loaded = bool(content) and processor.LoadFromSerializedProto(content)
  except RuntimeError:
    loaded = False
  if not loaded:
    raise ExportError(
      f"'{path}' is not a SentencePiece model, or it is damaged. Use the "
      "binary file (ALBERT's 30k-clean.model), not the list of pieces (.vocab)."
    )
  unknown = processor.unk_id()
  absent = [p for p in SPECIAL_PIECES if processor.PieceToId(p) == unknown]
  if absent:
    raise ExportError(
      f"The SentencePiece model '{path}' lacks {', '.join(absent)}. Use one of "
      "an ALBERT, which has these."
    )
  found = SentencePieceModel(
    path=path, content=content, pieces=processor.GetPieceSize()
  )
  try:
    found.tokens()
  except UnicodeDecodeError as e:
    raise ExportError(
      f"The SentencePiece model '{path}' is damaged: a piece is not UTF-8. "
      "Copy it again, and compare its size."
    ) from e
  return found
