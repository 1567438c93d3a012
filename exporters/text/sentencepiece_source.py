"""Brings together all that is known of how a model's text becomes pieces.

The same as `wordpiece_source`, for SentencePiece.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
import re
from typing import Any

from exporters.errors import ExportError
from exporters.text import beside
from exporters.text import python_tokenizer
from exporters.text import sample_text
from exporters.text import sentencepiece_model
from exporters.text import tokenizer_files
from exporters.text.sentencepiece_model import SentencePieceModel
from exporters.text.sentencepiece_tokenizer import SentencePieceTokenizer

# ALBERT's pieces, by the names that `transformers` gives their roles.
_ROLES = {
  "pad_token": "<pad>",
  "unk_token": "<unk>",
  "cls_token": "[CLS]",
  "sep_token": "[SEP]",
  "mask_token": "[MASK]",
}
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

  def as_json(self) -> str | None:
    """Returns a path to the facts, to be read with the model later on.

    None if they are those of google-research's code, which lie nowhere.
    """
    if not self.options.get("replace_quotes"):
      return None
    more = set(self.options["kept_whole"]) - set(_ROLES.values())
    content = {
      "additional_special_tokens": sorted(more),
      "do_lower_case": self.options["lower_case"],
      "keep_accents": not self.options["strip_diacritics"],
      "model_max_length": min(self.lengths.values(), default=None),
      "tokenizer_class": "AlbertTokenizer",
    }
    return tokenizer_files.asset(content, self.foreign)

  def samples(self) -> Sequence[Sequence[str]]:
    """Returns batches of texts to compare both by."""
    return sample_text.SENTENCES

  mask = _ROLES["mask_token"]

  @property
  def kept_whole(self) -> Sequence[str]:
    """The pieces that are recognised as they stand in a text."""
    return self.options.get("kept_whole", ())

  def with_mask_whole(self) -> SentencePieceSource:
    """Returns the same, with `mask` recognised as it stands in a text."""
    kept = tuple(sorted({*self.kept_whole, self.mask}))
    options = {**self.options, "kept_whole": kept}
    return dataclasses.replace(self, options=options)

  def pieces(self) -> Sequence[str]:
    """Returns the pieces, in the order of their ids."""
    return self.model.tokens()

  def strings(self) -> sentencepiece_model.Strings:
    """Returns what looks up pieces by their ids, in a graph."""
    return sentencepiece_model.Strings(self.model)

  def remarks(self) -> list[str]:
    """Returns sentences for those who publish or use the preprocessor."""
    return [
      f"ALBERT's training split pieces such as {piece!r} once more; this "
      "preprocessor does not."
      for piece in self.model.tokens()
      if _NUMBER_AND_COMMA.fullmatch(piece)
    ][:1]

  @property
  def unknown_id(self) -> int:
    """The id of the unknown piece."""
    return self.model.processor.unk_id()


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
  path = sentencepiece_model.located(sp_model_file)
  model = sentencepiece_model.read(path)
  said = beside.read([sp_model_file, checkpoint], stated, wordpiece=False)
  known, pieces = said.known, model.tokens()
  kept = set(said.kept_whole)
  if said.of_hugging_face:
    kept |= set(_ROLES.values())
  _refuse_others(
    path,
    pieces,
    said.vocabularies,
    tokenizer_files.tokens_by_id(known) | {t: t for t in kept - set(pieces)},
  )
  return SentencePieceSource(
    model=model,
    options={
      "lower_case": known["do_lower_case"],
      "strip_diacritics": known.get("strip_diacritics", True),
      "kept_whole": tuple(sorted(kept)),
      "replace_quotes": said.of_hugging_face,
    },
    lengths=said.lengths,
    foreign=[
      *said.foreign,
      *(
        (where.strip("'"), f"names {one[role]!r} as its {role}, not {piece!r}")
        for where, one in said.declared.items()
        for role, piece in _ROLES.items()
        if one.get(role, piece) != piece
      ),
    ],
  )


def _refuse_others(
  path: str,
  pieces: Sequence[str],
  others: Sequence[tuple[str, Sequence[str]]],
  tokens: Mapping[Any, str],
) -> None:
  """Raises `ExportError` if what lies beside a model is of another one.

  Args:
    path: The model.
    pieces: Its pieces, in the order of their ids.
    others: The pieces that other files list, after these files.
    tokens: Pieces that other files name, by their ids.
  """
  for where, other in others:
    if list(other) != list(pieces):
      raise ExportError(
        f"'{where}' and '{path}' have different pieces. Use the files with "
        "which the model was trained."
      )
  for id_, token in tokens.items():
    if id_ not in range(len(pieces)) or pieces[id_] != token:
      raise ExportError(
        f"The files beside '{path}' name the token {token!r}, which the model "
        "does not have there. Use the files with which it was trained."
      )
