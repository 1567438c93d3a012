"""Reads what lies in a model's folder about how its text becomes ids.

Hugging Face's folders have `tokenizer_config.json`, `tokenizer.json`,
`special_tokens_map.json` and `added_tokens.json`, those of
sentence-transformers `sentence_bert_config.json`; google-research's have
`vocab.txt` alone. What a preprocessor's graph does not compute is told apart:
an encoder can be published without its preprocessor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
import json
import os
import re
import reprlib
from typing import Any

import tensorflow as tf

from exporters import checkpoints
from exporters.checkpoints import hugging_face_config
from exporters.checkpoints.hugging_face_config import CONFIG
from exporters.checkpoints.hugging_face_config import TOKENIZER_CONFIG
from exporters.checkpoints.hugging_face_config import read_json
from exporters.errors import ExportError
from exporters.errors import first_line
from exporters.saved_model import assets
from exporters.text.tokenization import SPECIAL_TOKENS

_TOKENIZER = "tokenizer.json"
_SPECIAL_TOKENS_MAP = "special_tokens_map.json"
_ADDED_TOKENS = "added_tokens.json"
_SENTENCE_BERT = "sentence_bert_config.json"
_NAMES = (
  CONFIG,
  _TOKENIZER,
  TOKENIZER_CONFIG,
  _SPECIAL_TOKENS_MAP,
  _ADDED_TOKENS,
  _SENTENCE_BERT,
)
# The key under which an export keeps what is not computed here.
_FOREIGN = "not_computed"
# With an id: the name of the fact which token has it.
_TOKEN = "token "
# The tokenizers of `transformers` that compute what BERT's does.
_CLASSES = ("Bert", "DistilBert", "Electra", "MobileBert")
_SENTENCEPIECE_CLASSES = ("Albert",)
# The normalizers of ALBERT's `tokenizer.json`.
_SENTENCEPIECE_STEPS = {
  "Replace",  # Of two backticks or apostrophes, and of spaces.
  "NFKD",
  "StripAccents",
  "Lowercase",
  "Precompiled",  # What the SentencePiece model does itself.
}
# By key of `tokenizer_config.json`: the one value that is computed here.
_USUAL = {
  "do_basic_tokenize": True,
  "padding_side": "right",
  "remove_space": True,
  "truncation_side": "right",
}
# How many letters of a word the library `tokenizers` looks at.
MAX_LETTERS = 100
# By key, in any of these files: the most tokens that the model takes. Where
# `transformers` knows of no limit, it writes a larger number.
_LENGTHS = ("model_max_length", "max_seq_length", "max_position_embeddings")
_NO_LENGTH = 1_000_000


def names_in(path: str) -> list[str]:
  """Returns the paths of these files beside a vocabulary or a checkpoint."""
  folder = folder_of(path)
  paths = [os.path.join(folder, name) for name in _NAMES]
  return [path for path in paths if tf.io.gfile.exists(path)]


def tokens_by_id(said: Mapping[str, Any]) -> dict[int, str]:
  """Returns the tokens that files name with their ids, of what they say."""
  return {
    int(name.removeprefix(_TOKEN)): token
    for name, token in said.items()
    if name.startswith(_TOKEN)
  }


def folder_of(path: str) -> str:
  """Returns the folder in which things lie beside what is at `path`."""
  if not tf.io.gfile.isdir(path):
    return os.path.dirname(path) or os.curdir
  if _is_saved_model(path):
    return os.path.join(path, "assets")
  return hugging_face_config.transformer_folder(path)


def _is_saved_model(path: str) -> bool:
  return tf.io.gfile.exists(os.path.join(path, "saved_model.pb"))


class TokenizerFiles:
  """The files in one folder.

  Attributes:
    files: Their paths.
    declared: What each says, by where it stands; see `facts.agreed`.
    kept_whole: The tokens that are recognised as they stand in a text.
    vocabulary: The file and the tokens of the vocabulary in `tokenizer.json`.
    foreign: What is not computed here, to follow the path of the file that says
      it; by that path.
  """

  def __init__(self, path: str, *, wordpiece: bool = True):
    """Reads the files.

    Args:
      path: A vocabulary or a SentencePiece model, or the path of a checkpoint
        of any kind.
      wordpiece: Whether the vocabulary is one of WordPieces.

    Raises:
      ExportError: A file is damaged.
    """
    self._folder = folder_of(path)
    self._wordpiece = wordpiece
    self.files = names_in(path)
    names = map(os.path.basename, self.files)
    self._contents = {name: read_json(self._folder, name) for name in names}
    self.kept_whole: set[str] = set()
    self.vocabulary: tuple[str, Sequence[str]] | None = None
    self.foreign: list[tuple[str, str]] = []
    readers = {
      _TOKENIZER: self._said_by_tokenizer_json,
      TOKENIZER_CONFIG: self._said_by_tokenizer_config,
      _SPECIAL_TOKENS_MAP: lambda: self._roles(_SPECIAL_TOKENS_MAP),
      _ADDED_TOKENS: self._said_by_added_tokens,
      _SENTENCE_BERT: self._said_by_sentence_bert,
    }
    said = {path: _said_by_saved_model(path)}
    for name, read in readers.items():
      if name in self._contents:
        said[self._at(name)] = self._well_formed(name, read)
    self.declared = {f"'{where}'": one for where, one in said.items() if one}

  @property
  def is_of_hugging_face(self) -> bool:
    """Whether one of Hugging Face's libraries described its text.

    A `config.json` does not: many are of models that google-research's code
    trained.
    """
    return bool(self._contents.keys() - {CONFIG})

  def lengths(self) -> Iterator[tuple[str, int]]:
    """Yields the most tokens that the model takes, after where it stands."""
    for name, content in self._contents.items():
      for key in _LENGTHS:
        value = content.get(key)
        if isinstance(value, (int, float)) and 0 < value < _NO_LENGTH:
          yield f"{key} of '{self._at(name)}'", int(value)

  def _at(self, name: str) -> str:
    return os.path.join(self._folder, name)

  def _well_formed(
    self, name: str, read: Callable[[], dict[str, Any]]
  ) -> dict[str, Any]:
    """Returns what a file says; refuses one of another structure."""
    try:
      return read()
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as e:
      raise ExportError(
        f"'{self._at(name)}' is not as Hugging Face's libraries write it: "
        f"{first_line(e)}. Download it again."
      ) from e

  def _note(self, name: str, what: str) -> None:
    self.foreign.append((self._at(name), what))

  def _said_by_tokenizer_json(self) -> dict[str, Any]:
    content, path = self._contents[_TOKENIZER], self._at(_TOKENIZER)
    for what in ("truncation", "padding"):
      if str(_part(content, what).get("direction")).lower() == "left":
        self._note(_TOKENIZER, f"has {what} on the left")
    said = (
      self._said_of_wordpieces(content, path)
      if self._wordpiece
      else self._said_of_sentencepieces(content)
    )
    if said:
      said |= self._ends(_part(content, "post_processor"))
      said |= self._added(content.get("added_tokens") or [], _TOKENIZER)
    return said

  def _said_of_sentencepieces(
    self, content: Mapping[str, Any]
  ) -> dict[str, Any]:
    """Returns what the `tokenizer.json` of an ALBERT says."""
    model, normalizer = _part(content, "model"), content.get("normalizer") or {}
    kind = model.get("type", "Unigram")
    if kind != "Unigram":
      self._note(_TOKENIZER, f"has the model {reprlib.repr(kind)}")
      return {}
    steps = normalizer.get("normalizers", [normalizer] if normalizer else [])
    found = {str(step["type"]) for step in steps}
    for step in sorted(found - _SENTENCEPIECE_STEPS):
      self._note(_TOKENIZER, f"has the normalizer {reprlib.repr(step)}")
    pieces = [piece for piece, _ in model["vocab"]]
    self.vocabulary = self._at(_TOKENIZER), pieces
    return {
      "do_lower_case": "Lowercase" in found,
      "strip_diacritics": "StripAccents" in found,
    }

  def _said_of_wordpieces(
    self, content: Mapping[str, Any], path: str
  ) -> dict[str, Any]:
    """Returns what the `tokenizer.json` of a BERT says."""
    model, normalizer = _part(content, "model"), _part(content, "normalizer")
    before = len(self.foreign)
    for what, value, wanted in (
      ("the model", model.get("type", "WordPiece"), "WordPiece"),
      ("the prefix", model.get("continuing_subword_prefix", "##"), "##"),
      ("the normalizer", normalizer.get("type"), "BertNormalizer"),
      ("clean_text", normalizer.get("clean_text", True), True),
      (
        "the pre-tokenizer",
        _part(content, "pre_tokenizer").get("type"),
        "BertPreTokenizer",
      ),
    ):
      if value != wanted:
        self._note(
          _TOKENIZER, f"has {what} {reprlib.repr(value)}, not {wanted!r}"
        )
    if len(self.foreign) > before:
      return {}
    said = _switches(
      normalizer, path, lower="lowercase", chinese="handle_chinese_chars"
    )
    limit = model.get("max_input_chars_per_word", MAX_LETTERS)
    said["max_letters_per_word"] = limit
    said["unk_token"] = model.get("unk_token", SPECIAL_TOKENS["unk_token"])
    self.vocabulary = path, _in_order(model.get("vocab"), path)
    return said

  def _said_by_tokenizer_config(self) -> dict[str, Any]:
    content, path = self._contents[TOKENIZER_CONFIG], self._at(TOKENIZER_CONFIG)
    said = _switches(
      content, path, lower="do_lower_case", chinese="tokenize_chinese_chars"
    )
    classes = _CLASSES if self._wordpiece else _SENTENCEPIECE_CLASSES
    kind = str(content.get("tokenizer_class") or classes[0])
    plain = kind.removesuffix("Fast").removesuffix("Tokenizer")
    if _TOKENIZER not in self._contents and plain not in classes:
      self._note(TOKENIZER_CONFIG, f"has the tokenizer {reprlib.repr(kind)}")
    for key, usual in _USUAL.items():
      if content.get(key, usual) not in (usual, None):
        what = f"says {key} = {reprlib.repr(content[key])}"
        self._note(TOKENIZER_CONFIG, what)
    unsplit = content.get("never_split") or []
    if not set(unsplit) <= set(SPECIAL_TOKENS.values()):
      what = f"says never_split = {reprlib.repr(unsplit)}"
      self._note(TOKENIZER_CONFIG, what)
    # Of an earlier export.
    for what in content.get(_FOREIGN) or []:
      self._note(TOKENIZER_CONFIG, str(what))
    if content.get("keep_accents") is not None and not self._wordpiece:
      said["strip_diacritics"] = not _bool(content, "keep_accents", path)
    if "max_input_chars_per_word" in content:
      said["max_letters_per_word"] = content["max_input_chars_per_word"]
    said |= self._roles(TOKENIZER_CONFIG)
    decoder = _part(content, "added_tokens_decoder")
    tokens = [{"id": id_} | token for id_, token in decoder.items()]
    return said | self._added(tokens, TOKENIZER_CONFIG)

  def _roles(self, name: str) -> dict[str, Any]:
    """Returns the special tokens that a file names, by their roles."""
    content = self._contents[name]
    more = content.get("additional_special_tokens") or []
    if not isinstance(more, list):
      raise TypeError(f"additional_special_tokens = {reprlib.repr(more)}")
    self.kept_whole |= {_text(token) for token in more}
    return {r: _text(content[r]) for r in SPECIAL_TOKENS if content.get(r)}

  def _said_by_added_tokens(self) -> dict[str, Any]:
    content = self._contents[_ADDED_TOKENS]
    special = self.kept_whole | set(SPECIAL_TOKENS.values())
    for token in content:
      if token not in special:
        what = f"adds the token {token!r}, looked for in lower-cased text"
        self._note(_ADDED_TOKENS, what)
    return {_fact(id_): token for token, id_ in content.items()}

  def _said_by_sentence_bert(self) -> dict[str, Any]:
    # False leaves it to the tokenizer.
    lower = self._contents[_SENTENCE_BERT].get("do_lower_case")
    return {"do_lower_case": True} if lower is True else {}

  def _added(self, tokens: Sequence[Any], name: str) -> dict[str, Any]:
    said = {}
    for token in tokens:
      text = _text(token)
      for flag in ("single_word", "normalized"):
        if token.get(flag):
          self._note(name, f"looks for the token {text!r} with {flag} = True")
      said[_fact(token["id"])] = text
      self.kept_whole.add(text)
    return said

  def _ends(self, processor: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the tokens that are put around a text, and around a pair."""
    if processor.get("type") == "BertProcessing":
      return {f"{name}_token": processor[name][0] for name in ("cls", "sep")}
    parts = [
      (kind, part.get("id"), part.get("type_id"))
      for template in ("single", "pair")
      for entry in processor.get(template) or ()
      for kind, part in entry.items()
    ]
    tokens = [id_ for kind, id_, _ in parts if kind == "SpecialToken"]
    first, last = (tokens[0], tokens[-1]) if tokens else (None, None)
    single = [
      ("SpecialToken", first, 0),
      ("Sequence", "A", 0),
      ("SpecialToken", last, 0),
    ]
    pair = [*single, ("Sequence", "B", 1), ("SpecialToken", last, 1)]
    if parts != single + pair:
      what = "puts other tokens than [CLS] A [SEP] B [SEP] around texts"
      self._note(_TOKENIZER, what)
      return {}
    return {"cls_token": first, "sep_token": last}


def _said_by_saved_model(path: str) -> dict[str, Any]:
  if not _is_saved_model(path):
    return {}
  said = checkpoints.open_checkpoint(path).declared
  return {name: said[name] for name in ("do_lower_case",) if name in said}


def _part(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
  """Returns an entry that is a dict; of a sequence of one, that one."""
  value = content.get(key)
  for parts in ("normalizers", "pretokenizers", "processors"):
    if isinstance(value, dict) and len(value.get(parts) or ()) == 1:
      (value,) = value[parts]
  return value if isinstance(value, dict) else {}


def _switches(
  content: Mapping[str, Any], path: str, *, lower: str, chinese: str
) -> dict[str, Any]:
  said = {}
  if content.get(lower) is not None:
    said["do_lower_case"] = _bool(content, lower, path)
  if content.get("strip_accents", ...) is None:
    # As in BERT.
    if "do_lower_case" in said:
      said["strip_accents"] = said["do_lower_case"]
  elif "strip_accents" in content:
    said["strip_accents"] = _bool(content, "strip_accents", path)
  if content.get(chinese) is not None:
    said["tokenize_chinese_chars"] = _bool(content, chinese, path)
  return said


def _bool(content: Mapping[str, Any], key: str, path: str) -> bool:
  if not isinstance(content[key], bool):
    raise ExportError(
      f"'{path}' says {key} = {reprlib.repr(content[key])}, which is neither "
      "true nor false. Fix the file."
    )
  return content[key]


def _fact(id_: Any) -> str:
  """Returns the name of the fact which token has an id.

  Raises:
    ValueError: It is not an id.
  """
  # The keys of a JSON object are texts.
  if not re.fullmatch(r"[0-9]{1,9}", str(id_)):
    raise ValueError(f"a token has the id {reprlib.repr(id_)}")
  return f"{_TOKEN}{int(id_)}"


def _text(token: Any) -> str:
  """Returns a token that stands for itself or with its properties."""
  return str(token.get("content") if isinstance(token, dict) else token)


def _in_order(ids: Any, path: str) -> Sequence[str]:
  """Returns the tokens of a dict of ids, in the order of these."""
  if not isinstance(ids, dict) or sorted(ids.values()) != list(range(len(ids))):
    raise ExportError(
      f"The vocabulary in '{path}' does not give its tokens the ids 0, 1, 2 "
      "and so on. Download the file again."
    )
  return sorted(ids, key=ids.__getitem__)


def asset(content: dict[str, Any], foreign: Sequence[tuple[str, str]]) -> str:
  """Returns a path to a `tokenizer_config.json` with what is known."""
  if foreign:
    content = content | {_FOREIGN: [what for _, what in foreign]}
  text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
  return assets.asset(f"{text}\n".encode(), "tokenizer", TOKENIZER_CONFIG)


def refuse(foreign: Sequence[tuple[str, str]]) -> None:
  """Raises `ExportError` if there is what is not computed here."""
  for path, what in foreign[:1]:
    raise ExportError(
      f"'{path}' {what}. A preprocessor here computes what BERT's own "
      "tokenizer does; a model with another needs an exporter of its own."
    )
