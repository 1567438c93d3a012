"""Brings together all that is known of how a model's text becomes pieces.

What lies beside the vocabulary and beside the weights, what the gin file says,
and, where nobody says it, what the code of the model's origin does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
import os
from typing import Any

import tensorflow as tf

from exporters.errors import ExportError
from exporters.text import beside
from exporters.text import python_tokenizer
from exporters.text import sample_text
from exporters.text import tokenizer_files
from exporters.text import vocabulary as vocabulary_lib
from exporters.text.tokenization import SPECIAL_TOKENS
from exporters.text.tokenization import Tokenization
from exporters.text.vocabulary import Vocabulary
from exporters.text.wordpiece import WordPieceTokenizer

# The fields of `Tokenization`, by the names that gin files and `facts` use.
_FIELDS = {
  "strip_accents": "strip_accents",
  "tokenize_chinese_chars": "split_chinese",
  "max_letters_per_word": "max_letters",
}
# How many letters of a word google-research's tokenizers look at.
MAX_LETTERS = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class WordPieceSource:
  """A vocabulary, and how text is split into its tokens.

  Attributes:
    vocabulary: The vocabulary.
    tokenization: How text is split.
    lengths: The most tokens that the model takes, by where it stands.
    foreign: What of its splitting is not computed here; see `TokenizerFiles`.
  """

  vocabulary: Vocabulary
  tokenization: Tokenization
  lengths: Mapping[str, int]
  foreign: Sequence[tuple[str, str]] = ()
  words = True

  def require_size(self, embeddings: int) -> list[str]:
    """Returns what to say of embeddings without tokens; see `vocabulary`."""
    return self.vocabulary.require_size(embeddings)

  def asset(self) -> str:
    """Returns a path to the vocabulary that depends only on its content."""
    return self.vocabulary.asset()

  def tokenizer(self) -> WordPieceTokenizer:
    """Returns what is published."""
    return WordPieceTokenizer(self.vocabulary, self.tokenization)

  def in_python(self) -> python_tokenizer.InPython:
    """Returns what it is compared with."""
    return python_tokenizer.of_wordpieces(self.tokenization)

  def samples(self) -> Sequence[Sequence[str]]:
    """Returns batches of texts to compare both by."""
    *others, last = sample_text.SENTENCES
    own = sample_text.of_vocabulary(
      self.vocabulary.tokens, self.in_python(), self.tokenization.max_letters
    )
    return [*others, [*last, *own]]

  @property
  def mask(self) -> str:
    """The token for a word to find."""
    return self.tokenization.special_tokens["mask_token"]

  @property
  def kept_whole(self) -> Sequence[str]:
    """The tokens that are recognised as they stand in a text."""
    return self.tokenization.kept_whole

  def with_mask_whole(self) -> WordPieceSource:
    """Returns the same, with `mask` recognised as it stands in a text."""
    kept = tuple(sorted({*self.kept_whole, self.mask}))
    tokenization = dataclasses.replace(self.tokenization, kept_whole=kept)
    return dataclasses.replace(self, tokenization=tokenization)

  def pieces(self) -> Sequence[str]:
    """Returns the tokens, in the order of their ids."""
    return self.vocabulary.tokens

  def strings(self) -> vocabulary_lib.Strings:
    """Returns what looks up tokens by their ids, in a graph."""
    return vocabulary_lib.Strings(self.vocabulary)

  def remarks(self) -> list[str]:
    """Returns sentences for those who publish or use the preprocessor."""
    wanted = self.tokenization
    found = [
      f"A word of more than {wanted.max_letters} letters becomes "
      f"{wanted.unknown}, as in the model's training."
    ]
    if wanted.strip_accents != wanted.lower_case:
      cased = "lower-cased" if wanted.lower_case else "not lower-cased"
      accents = "stripped" if wanted.strip_accents else "kept"
      found.append(f"Text is {cased}, and its accents are {accents}.")
    if not wanted.split_chinese:
      found.append("Chinese characters are not split into words of their own.")
    if wanted.kept_whole:
      found.append(
        f"{', '.join(wanted.kept_whole[:9])} in a text are taken as these "
        "tokens, as the model's own tokenizer does."
      )
    return found

  @property
  def unknown_id(self) -> int:
    """The id of the unknown token."""
    return self.vocabulary.tokens.index(self.tokenization.unknown)

  def as_json(self) -> str | None:
    """Returns a path to the facts, to be read with the vocabulary later on.

    None if they are those of google-research's tokenizer, which lie nowhere.
    """
    wanted = self.tokenization
    if not wanted.rust:
      return None
    more = set(wanted.kept_whole) - set(wanted.special_tokens.values())
    content = {
      "additional_special_tokens": sorted(more),
      "do_lower_case": wanted.lower_case,
      "max_input_chars_per_word": wanted.max_letters,
      "model_max_length": min(self.lengths.values(), default=None),
      "strip_accents": wanted.strip_accents,
      "tokenize_chinese_chars": wanted.split_chinese,
      "tokenizer_class": "BertTokenizer",
      **wanted.special_tokens,
    }
    return tokenizer_files.asset(content, self.foreign)


def of_google_research(
  vocabulary: Vocabulary, *, lower_case: bool
) -> WordPieceSource:
  """Returns a vocabulary with the tokenizer that BERT was published with."""
  return WordPieceSource(
    vocabulary=vocabulary,
    tokenization=Tokenization(
      vocabulary=vocabulary.tokens,
      lower_case=lower_case,
      strip_accents=lower_case,
      split_chinese=True,
      max_letters=MAX_LETTERS,
      special_tokens=SPECIAL_TOKENS,
      kept_whole=(),
      rust=False,
    ),
    lengths={},
  )


def read(
  *,
  vocab_file: str | None,
  checkpoint: str | None = None,
  stated: Mapping[str, Any],
) -> WordPieceSource | None:
  """Reads a vocabulary and what lies beside it and beside a checkpoint.

  Args:
    vocab_file: The vocabulary, or a folder that holds it.
    checkpoint: The path of a checkpoint, which may have the same beside it.
    stated: What the gin file says, by the names of its fields.

  Returns:
    None if there is no vocabulary.

  Raises:
    ExportError: A file is damaged, or two contradict each other or the gin
      file.
  """
  said = beside.read([vocab_file, checkpoint], stated, wordpiece=True)
  usual = {"max_letters_per_word": tokenizer_files.MAX_LETTERS}
  known = (usual if said.of_hugging_face else {}) | said.known
  _refuse_no_limit(known)
  special_tokens = {
    role: known.get(role, token) for role, token in SPECIAL_TOKENS.items()
  }
  files = [vocabulary_lib.located(path) for path in (vocab_file,) if path]
  if checkpoint:
    folder = tokenizer_files.folder_of(checkpoint)
    files.append(os.path.join(folder, vocabulary_lib.NAME))
  vocabulary = _vocabulary(
    files, said.vocabularies, list(special_tokens.values())
  )
  if vocabulary is None:
    return None
  vocabulary = vocabulary.with_added(tokenizer_files.tokens_by_id(known))
  kept = set(said.kept_whole)
  if said.of_hugging_face:
    kept |= set(special_tokens.values())
  unknown = sorted(kept - set(vocabulary.tokens))
  if unknown:
    raise ExportError(
      f"The vocabulary '{vocabulary.path}' lacks {', '.join(unknown)}, which "
      "the files beside it name as special tokens. Use the files with which "
      "the model was trained."
    )
  plain = of_google_research(vocabulary, lower_case=known["do_lower_case"])
  wanted = dataclasses.replace(
    plain.tokenization,
    special_tokens=special_tokens,
    kept_whole=tuple(sorted(kept)),
    rust=said.of_hugging_face,
    **{field: known[name] for name, field in _FIELDS.items() if name in known},
  )
  return dataclasses.replace(
    plain,
    tokenization=wanted,
    lengths=said.lengths,
    foreign=said.foreign,
  )


def _vocabulary(
  files: Sequence[str],
  lists: Sequence[tuple[str, Sequence[str]]],
  special_tokens: Sequence[str],
) -> Vocabulary | None:
  """Returns the one vocabulary that all the files hold."""
  found = [
    vocabulary_lib.read_vocabulary(file, special_tokens)
    for file in dict.fromkeys(files)
    if tf.io.gfile.exists(file)
  ]
  for path, tokens in lists:
    content = "".join(f"{token}\n" for token in tokens).encode()
    found.append(vocabulary_lib.of_content(path, content, special_tokens))
  for other in found[1:]:
    vocabulary_lib.refuse_different(found[0], other)
  return found[0] if found else None


def _refuse_no_limit(known: Mapping[str, Any]) -> None:
  limit = known.get("max_letters_per_word", 1)
  if type(limit) is not int or limit < 1:
    raise ExportError(
      f"max_letters_per_word = {limit!r} is not a number of letters. Set it to "
      "the longest word that the model's training split."
    )
