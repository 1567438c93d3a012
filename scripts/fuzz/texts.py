"""Targets: text beside weights, and the gin files that people write."""

from __future__ import annotations

from collections.abc import Sequence
import contextlib
import functools
import io
import json
import pathlib
import re
import types
from typing import Any

import gin
import sentencepiece

from exporters.checkpoints import file_kinds
from exporters.checkpoints import params_file
from exporters.errors import ExportError
from exporters.gin_files import imports
from exporters.gin_files import reading
from exporters.saved_model import labels
from exporters.text import encoder_file
from exporters.text import sentencepiece_model
from exporters.text import sentencepiece_source
from exporters.text import vocabulary
from exporters.text import wordpiece_source
from scripts.fuzz import Target
from scripts.fuzz import checkpoints
from scripts.fuzz import mutations

_ROOT = pathlib.Path(__file__).parents[2]
_GIN = "exporters.gin_files"
_YAML = "exporters.checkpoints.yaml_file"

# What a gin file says, where a training's params.yaml says it too.
_STATED = {
  "task": {
    "model": {"encoder": {"type": "bert"}, "sizes": [1, 2], "rate": 0.1},
    "name": "x",
  }
}
_PARAMS = b"""\
task: &task
  model:
    encoder: {type: bert, bert: {hidden_size: 4, num_layers: 1}}
    sizes: !!python/tuple [1, 2]
    rate: 0.1
  name: x
  when: 2001-12-14t21:59:43.10-05:00
  numbers: [0x1F, 0o7, 1:30, .inf, ~, !!binary "YQ==", !!int "3", !!float "1"]
  more: !!set {a, b}
again: {<<: *task, list: !!omap [a: 1]}
"""
_ENCODER_YAML = b"""\
task:
  model:
    encoder:
      type: bert
      bert: {hidden_size: 4, num_layers: 1, vocab_size: 8}
"""

# What the seeds of gin files import and include.
_KNOWN = {
  b"__gin__",
  b"dynamic_registration",
  b"exporters",
  b"exporters.release",
  b"low_level",
  b"recipe",
  b"page",
  b"'configs/publisher.gin'",
  b"'./none.gin'",
}


def _params(content: bytes, folder: pathlib.Path) -> None:
  (folder / "params.yaml").write_bytes(content)
  checkpoint: Any = types.SimpleNamespace(path=str(folder), files=[])
  params_file.refuse_contradictions(checkpoint, _STATED)


def _encoder_yaml(content: bytes, folder: pathlib.Path) -> None:
  path = folder / "params.yaml"
  path.write_bytes(content)
  checkpoint: Any = types.SimpleNamespace(path=str(folder), files=[])
  encoder_file.beside(checkpoint)
  encoder_file.experiments_beside(checkpoint)
  encoder_file.read_encoder_file(str(path)).config()


def _encoder_json(content: bytes, folder: pathlib.Path) -> None:
  path = folder / "bert_config.json"
  path.write_bytes(content)
  checkpoint: Any = types.SimpleNamespace(path=str(folder), files=[])
  encoder_file.beside(checkpoint)
  encoder_file.read_encoder_file(str(path)).config()


_TOKENIZER = {
  "truncation": {"direction": "Right"},
  "padding": None,
  "normalizer": {
    "type": "BertNormalizer",
    "clean_text": True,
    "handle_chinese_chars": True,
    "strip_accents": None,
    "lowercase": True,
  },
  "pre_tokenizer": {"type": "BertPreTokenizer"},
  "post_processor": {
    "type": "TemplateProcessing",
    "single": [
      {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
      {"Sequence": {"id": "A", "type_id": 0}},
      {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
    ],
    "pair": [
      {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
      {"Sequence": {"id": "A", "type_id": 0}},
      {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
      {"Sequence": {"id": "B", "type_id": 1}},
      {"SpecialToken": {"id": "[SEP]", "type_id": 1}},
    ],
  },
  "added_tokens": [{"id": 0, "content": "[PAD]", "normalized": False}],
  "model": {
    "type": "WordPiece",
    "unk_token": "[UNK]",
    "continuing_subword_prefix": "##",
    "max_input_chars_per_word": 100,
    "vocab": {
      "[PAD]": 0,
      "[UNK]": 1,
      "[CLS]": 2,
      "[SEP]": 3,
      "[MASK]": 4,
      "a": 5,
    },
  },
}
_ALBERT = {
  "normalizer": {
    "type": "Sequence",
    "normalizers": [{"type": "Replace"}, {"type": "Lowercase"}],
  },
  "post_processor": {
    "type": "BertProcessing",
    "sep": ["[SEP]", 3],
    "cls": ["[CLS]", 2],
  },
  "added_tokens": [],
  "model": {"type": "Unigram", "vocab": [["<pad>", 0.0], ["[CLS]", 0.0]]},
}
_TOKENIZER_CONFIG = {
  "do_lower_case": True,
  "strip_accents": None,
  "tokenize_chinese_chars": True,
  "tokenizer_class": "BertTokenizer",
  "model_max_length": 512,
  "never_split": ["[CLS]"],
  "keep_accents": False,
  "additional_special_tokens": ["<x>"],
  "cls_token": {"content": "[CLS]"},
  "added_tokens_decoder": {"0": {"content": "[PAD]", "normalized": False}},
}


def _tokenizer(content: bytes, folder: pathlib.Path) -> None:
  try:
    files = json.loads(content)
  except (ValueError, RecursionError):
    files = None
  if not isinstance(files, dict):
    (folder / "tokenizer.json").write_bytes(content)
  else:
    for name in (*_BESIDE, "tokenizer.json"):
      (folder / name).unlink(missing_ok=True)
      if name in files:
        text = json.dumps(files[name])
        (folder / name).write_text(text, encoding="utf-8")
  (folder / "sp.model").write_bytes(_one_model())
  stated = {"do_lower_case": True}
  with contextlib.suppress(ExportError):
    words = wordpiece_source.read(vocab_file=str(folder), stated=stated)
    if words:
      words.remarks()
      words.in_python()
  pieces = sentencepiece_source.read(
    sp_model_file=str(folder / "sp.model"), stated=stated
  )
  pieces.remarks()


_BESIDE = (
  "config.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "sentence_bert_config.json",
)


def _seeds_of_tokenizer() -> Sequence[bytes]:
  found = (
    {
      "tokenizer.json": _TOKENIZER,
      "tokenizer_config.json": _TOKENIZER_CONFIG,
      "special_tokens_map.json": {"cls_token": "[CLS]"},
      "added_tokens.json": {"<x>": 6},
      "sentence_bert_config.json": {"max_seq_length": 128},
      "config.json": {"max_position_embeddings": 512},
    },
    {
      "tokenizer.json": _ALBERT,
      "tokenizer_config.json": _TOKENIZER_CONFIG,
    },
  )
  return [json.dumps(files).encode() for files in found]


def _vocabulary(content: bytes, folder: pathlib.Path) -> None:
  (folder / "vocab.txt").write_bytes(content)
  vocabulary.read_vocabulary(str(folder))


def _labels(content: bytes, folder: pathlib.Path) -> None:
  path = folder / "labels.txt"
  path.write_bytes(content)
  labels.read_labels(str(path), "background").require_size(3)


def _pieces(content: bytes, folder: pathlib.Path) -> None:
  path = folder / "sp.model"
  path.write_bytes(content)
  found = sentencepiece_model.read(str(path)).tokens()
  "".join(found)


@functools.cache
def _one_model() -> bytes:
  file = io.BytesIO()
  sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(["a quick brown fox jumps over the lazy dog"] * 9),
    model_writer=file,
    vocab_size=33,
    pad_id=0,
    unk_id=1,
    bos_id=-1,
    eos_id=-1,
    user_defined_symbols=["[CLS]", "[SEP]", "[MASK]"],
    normalization_rule_name="identity",
    minloglevel=9,
  )
  return file.getvalue()


def _gin(content: bytes, folder: pathlib.Path) -> None:
  path = folder / "model.gin"
  path.write_bytes(content)
  imports.modules([str(path)])
  # A gin file may import any module, which would then run.
  if _foreign_import(content):
    return
  try:
    reading.parse([str(path)], [])
  finally:
    gin.clear_config()


def _foreign_import(content: bytes) -> bool:
  found = set(re.findall(rb"(?:import|from|include)\s*(\S+)", content))
  return not found <= _KNOWN


def _seeds_of_gin() -> Sequence[bytes]:
  return [
    (_ROOT / "configs/low_level/multiply.gin").read_bytes(),
    b"A = 1\nx/B = [%A, ('a', {1: None}), 1e-3]  # No\n"
    b"C = \\\n  'long ' 'text'\n"
    b"D = '''more\n'''\ninclude './none.gin'\n",
  ]


def _kind(content: bytes, folder: pathlib.Path) -> None:
  path = folder / "checkpoint"
  path.write_bytes(content)
  file_kinds.kind_of(str(path))


def _seeds_of_kinds() -> Sequence[bytes]:
  return [
    *checkpoints.TARGETS["PyTorch file"].seeds(),
    *checkpoints.TARGETS["safetensors"].seeds(),
    *checkpoints.TARGETS["TF index"].seeds(),
    *checkpoints.TARGETS["Keras archive"].seeds(),
    b'{"format": "layers-model"}',
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x03\x00",
    b"\x08\x01\x12\x00",
    b"\x0a\x06\x0a\x01a\x12\x01B\x12\x00\x1a\x00",
    b"\x08\x07\x12\x01a\x3a\x00\x42\x00",
    b"\x08\x07\x12\x00\xc2\x0c\x00",
    b'model_checkpoint_path: "ckpt"',
  ]


TARGETS = {
  "params.yaml": Target(
    read=_params,
    seeds=lambda: [_PARAMS, _ENCODER_YAML],
    mutate=mutations.of_bytes,
    parts=("exporters.checkpoints.params_file", _YAML),
  ),
  "encoder YAML": Target(
    read=_encoder_yaml,
    seeds=lambda: [_PARAMS, _ENCODER_YAML],
    mutate=mutations.of_bytes,
    parts=("exporters.text.encoder_file", _YAML),
  ),
  "encoder JSON": Target(
    read=_encoder_json,
    seeds=lambda: [json.dumps(checkpoints.CONFIG).encode()],
    mutate=mutations.of_json,
    parts=("exporters.text.encoder_file", "exporters.checkpoints.encoder_json"),
  ),
  "tokenizer": Target(
    read=_tokenizer,
    seeds=_seeds_of_tokenizer,
    mutate=mutations.of_json,
    parts=(
      "exporters.text.tokenizer_files",
      "exporters.text.beside",
      "exporters.text.wordpiece_source",
      "exporters.text.sentencepiece_source",
    ),
  ),
  "vocabulary": Target(
    read=_vocabulary,
    seeds=lambda: ["\n".join(vocabulary.SPECIAL_TOKENS).encode() + b"\na\n"],
    mutate=mutations.of_bytes,
    parts=("exporters.text.vocabulary",),
  ),
  "labels": Target(
    read=_labels,
    seeds=lambda: [b"\xef\xbb\xbfcat\r\ndog\n"],
    mutate=mutations.of_bytes,
    parts=("exporters.saved_model.labels",),
  ),
  "SentencePiece model": Target(
    read=_pieces,
    seeds=lambda: [_one_model()],
    mutate=mutations.of_bytes,
    parts=("exporters.text.sentencepiece_model",),
  ),
  "gin file": Target(
    read=_gin,
    seeds=_seeds_of_gin,
    mutate=mutations.of_bytes,
    parts=(f"{_GIN}.reading", f"{_GIN}.wording", f"{_GIN}.imports"),
  ),
  "kinds of files": Target(
    read=_kind,
    seeds=_seeds_of_kinds,
    mutate=mutations.of_bytes,
    parts=("exporters.checkpoints.file_kinds",),
  ),
}
