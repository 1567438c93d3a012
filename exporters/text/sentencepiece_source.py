"""Brings together all that is known of how a model's text becomes pieces.

The same as `wordpiece_source`, for SentencePiece.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
import re
from typing import Any

import sentencepiece

from exporters.text import facts
from exporters.text import python_tokenizer
from exporters.text import sample_text
from exporters.text import sentencepiece_model
from exporters.text.sentencepiece_model import SentencePieceModel
from exporters.text.sentencepiece_tokenizer import SentencePieceTokenizer
from exporters.text.tokenizer_files import TokenizerFiles

# ALBERT's training split these further, if a model had any.
_NUMBER_AND_COMMA = re.compile(r".*\d,")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SentencePieceSource:
  """A SentencePiece model, and what becomes of text before it.

  Attributes:
    model: The model.
    options: The further arguments of `SentencePieceTokenizer`.
    lengths: The most tokens that the encoder takes, by where it stands.
    foreign: What of its splitting is not computed here; see `TokenizerFiles`.
  """

  model: SentencePieceModel
  options: Mapping[str, Any]
  lengths: Mapping[str, int]
  foreign: Sequence[tuple[str, str]] = ()
  words = False

  def require_size(self, embeddings: int) -> list[str]:
    """Returns what to say of embeddings without pieces; see `vocabulary`."""
    return self.model.require_size(embeddings)

  def asset(self) -> str:
    """Returns a path to the model that depends only on its content."""
    return self.model.asset()

  def tokenizer(self) -> SentencePieceTokenizer:
    """Returns what is published."""
    return SentencePieceTokenizer(self.model, **self.options)

  def in_python(self) -> python_tokenizer.InPython:
    """Returns what it is compared with."""
    return python_tokenizer.of_sentencepieces(
      self.model.content, **self.options
    )

  def samples(self) -> Sequence[Sequence[str]]:
    """Returns batches of texts to compare both by."""
    return sample_text.SENTENCES

  def remarks(self) -> list[str]:
    """Returns sentences for those who publish or use the preprocessor."""
    return [
      f"ALBERT's training split pieces such as {piece!r} once more; this "
      "preprocessor does not."
      for piece in self._pieces()
      if _NUMBER_AND_COMMA.fullmatch(piece)
    ][:1]

  def _pieces(self) -> list[str]:
    processor = sentencepiece.SentencePieceProcessor(
      model_proto=self.model.content
    )
    return [processor.IdToPiece(i) for i in range(self.model.pieces)]

  @property
  def unknown_id(self) -> int:
    """The id of the unknown piece."""
    processor = sentencepiece.SentencePieceProcessor(
      model_proto=self.model.content
    )
    return processor.unk_id()


def read(
  *,
  sp_model_file: str,
  checkpoint: str | None = None,
  stated: Mapping[str, Any],
) -> SentencePieceSource:
  """Reads a SentencePiece model and what lies beside it and a checkpoint.

  Args:
    sp_model_file: The model, or a folder that holds it.
    checkpoint: The path of a checkpoint, which may have the same beside it.
    stated: What the gin file says, by the names of its fields.

  Raises:
    ExportError: A file is damaged, or two contradict each other or the gin
      file.
  """
  model = sentencepiece_model.read(sentencepiece_model.located(sp_model_file))
  folders = [
    TokenizerFiles(path, wordpiece=False)
    for path in (sp_model_file, checkpoint)
    if path
  ]
  known = facts.agreed(
    {facts.GIN: stated}
    | {where: said for f in folders for where, said in f.declared.items()}
  )
  of_hugging_face = any(f.is_of_hugging_face for f in folders)
  return SentencePieceSource(
    model=model,
    options={
      "lower_case": known["do_lower_case"],
      "strip_diacritics": known.get("strip_diacritics", True),
      "kept_whole": sentencepiece_model.SPECIAL_PIECES * of_hugging_face,
      "replace_quotes": of_hugging_face,
    },
    lengths={where: most for f in folders for where, most in f.lengths()},
    foreign=[one for f in folders for one in f.foreign],
  )
