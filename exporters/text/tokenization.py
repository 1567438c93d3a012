"""What turns text into the pieces of a vocabulary: the facts, as plain data.

`wordpiece` computes them in a graph, `python_tokenizer` in Python.
"""

from collections.abc import Mapping
import dataclasses

# By the name that `transformers` gives a role: BERT's token for it.
SPECIAL_TOKENS = {
  "pad_token": "[PAD]",
  "unk_token": "[UNK]",
  "cls_token": "[CLS]",
  "sep_token": "[SEP]",
  "mask_token": "[MASK]",
}
# The roles by the names in `get_special_tokens_dict`.
_IDS = {
  "start_of_sequence_id": "cls_token",
  "end_of_segment_id": "sep_token",
  "padding_id": "pad_token",
  "mask_id": "mask_token",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tokenization:
  """How a WordPiece model's text was split in its training.

  Attributes:
    vocabulary: The tokens, in the order of their ids.
    lower_case: Whether text is lower-cased.
    strip_accents: Whether what Unicode calls nonspacing marks is removed.
    split_chinese: Whether each Chinese character is a word of its own.
    max_letters: A word with more letters (code points) is unknown.
    special_tokens: The tokens by their roles, as in `SPECIAL_TOKENS`.
    kept_whole: The tokens that are recognised as they stand in a text.
    rust: Whether the source's own tokenizer is that of Hugging Face's library
      `tokenizers`: it also removes characters for private use, lower-cases
      letter by letter, so that a Greek word never ends in a final sigma, and
      does not split 256 rare Chinese characters.
  """

  vocabulary: tuple[str, ...]
  lower_case: bool
  strip_accents: bool
  split_chinese: bool
  max_letters: int
  special_tokens: Mapping[str, str]
  kept_whole: tuple[str, ...]
  rust: bool

  @property
  def unknown(self) -> str:
    """The token for a word that has no others."""
    return self.special_tokens["unk_token"]

  def special_ids(self) -> dict[str, int]:
    """Returns the scalars of `get_special_tokens_dict`."""
    ids = {"vocab_size": len(self.vocabulary)}
    for name, role in _IDS.items():
      token = self.special_tokens[role]
      if token in self.vocabulary:
        ids[name] = self.vocabulary.index(token)
    return ids
