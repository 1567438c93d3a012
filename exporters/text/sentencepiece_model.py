"""Reads and checks a SentencePiece model before anything is built on it."""

import dataclasses

import sentencepiece
import tensorflow as tf

from exporters.errors import ExportError
from exporters.saved_model import assets

# What ALBERT's models call them; a preprocessor needs each.
SPECIAL_PIECES = ("<pad>", "[CLS]", "[SEP]", "[MASK]")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SentencePieceModel:
  """A model file.

  Attributes:
    path: The file, for messages.
    content: The file, byte for byte.
    pieces: How many pieces it knows.
  """

  path: str
  content: bytes
  pieces: int

  def require_size(self, embeddings: int) -> None:
    """Raises `ExportError` unless there is an embedding for each piece."""
    if self.pieces != embeddings:
      raise ExportError(
        f"The SentencePiece model '{self.path}' has {self.pieces} pieces, but "
        f"the model has embeddings for {embeddings}. Take the one that the "
        "model was trained with."
      )

  def asset(self) -> str:
    """Returns a path to the content that depends on nothing but it."""
    return assets.asset(self.content, "sentencepiece", "sp.model")


def read(path: str) -> SentencePieceModel:
  """Reads a SentencePiece model.

  Raises:
    ExportError: It is missing, no such model, or lacks a special piece.
  """
  if not tf.io.gfile.exists(path) or tf.io.gfile.isdir(path):
    raise ExportError(f"The SentencePiece model '{path}' is no file.")
  with tf.io.gfile.GFile(path, "rb") as f:
    content = f.read()
  processor = sentencepiece.SentencePieceProcessor()
  try:
    loaded = bool(content) and processor.LoadFromSerializedProto(content)
  except RuntimeError:
    loaded = False
  if not loaded:
    raise ExportError(
      f"'{path}' is no SentencePiece model, or it is damaged. It is the binary "
      "file (30k-clean.model of ALBERT), not the list of pieces (.vocab)."
    )
  unknown = processor.unk_id()
  absent = [p for p in SPECIAL_PIECES if processor.PieceToId(p) == unknown]
  if absent:
    raise ExportError(
      f"The SentencePiece model '{path}' lacks {', '.join(absent)}. Is it the "
      "one of an ALBERT?"
    )
  return SentencePieceModel(
    path=path, content=content, pieces=processor.GetPieceSize()
  )
