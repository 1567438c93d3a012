"""Brings together what lies beside a vocabulary, and beside the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

from exporters.text import facts
from exporters.text import tokenizer_files
from exporters.text.tokenizer_files import TokenizerFiles


@dataclasses.dataclass(frozen=True, kw_only=True)
class Beside:
  """What all folders together say, in agreement with the gin file.

  Attributes:
    known: The facts, by name.
    of_hugging_face: Whether one of Hugging Face's libraries described the text.
    kept_whole: See `TokenizerFiles`.
    vocabularies: See `TokenizerFiles.vocabulary`.
    declared: See `TokenizerFiles`.
    lengths: The most tokens that the model takes, by where it stands.
    foreign: See `TokenizerFiles`.
  """

  known: dict[str, Any]
  of_hugging_face: bool
  kept_whole: frozenset[str]
  vocabularies: Sequence[tuple[str, Sequence[str]]]
  declared: Mapping[str, Mapping[str, Any]]
  lengths: Mapping[str, int]
  foreign: Sequence[tuple[str, str]]


def read(
  paths: Sequence[str | None], stated: Mapping[str, Any], *, wordpiece: bool
) -> Beside:
  """Reads what lies beside a vocabulary and beside a checkpoint.

  Args:
    paths: Theirs. None: there is none.
    stated: What the gin file says, by the names of its fields.
    wordpiece: Whether the vocabulary is one of WordPieces.

  Raises:
    ExportError: A file is damaged, or two contradict each other or the gin
      file.
  """
  by_folder = {tokenizer_files.folder_of(path): path for path in paths if path}
  folders = [TokenizerFiles(p, wordpiece=wordpiece) for p in by_folder.values()]
  declared = {w: said for f in folders for w, said in f.declared.items()}
  return Beside(
    known=facts.agreed({facts.GIN: stated} | declared),
    of_hugging_face=any(f.is_of_hugging_face for f in folders),
    kept_whole=frozenset(token for f in folders for token in f.kept_whole),
    vocabularies=[f.vocabulary for f in folders if f.vocabulary],
    declared=declared,
    lengths={where: most for f in folders for where, most in f.lengths()},
    foreign=[one for f in folders for one in f.foreign],
  )
