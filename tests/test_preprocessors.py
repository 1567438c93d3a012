"""Preprocessors, string by string beside Model Garden's own."""

import itertools
from typing import Any, NamedTuple
import unicodedata

import numpy as np
from official.nlp.modeling import layers
from official.nlp.tools import tokenization as pre_training
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from exporters import bert_preprocessor
from exporters import checks
from exporters.errors import ExportError
from exporters.life_cycle import exporting
from exporters.text import sentencepiece_model
from scripts.small_instances import sentencepiece_model as small_sentencepiece
from tests import small_bert
from tests import wheels

_ODD = [
  "",
  " ",
  "\t\n\r",
  "hello world",
  "Hello, WORLD!",
  "[CLS] hello [SEP] [MASK] <pad>",
  "##s hello##s",
  # Accents, composed and as combining marks, and marks without a letter.
  "naïve café Ångström façade résumé jalapeño Über Straße",
  "nai\u0308ve cafe\u0301 A\u030angstro\u0308m",
  "\u0301\u0308",
  "e\u0301\u0302\u0303\u0304",
  # Case that changes a length.
  "İSTANBUL ıstanbul ǅ ﬁ ß ẞ Σσς",
  # CJK, with and without spaces, Hangul and kana, full width.
  "東京は日本の首都です",
  "hello東京world",
  "한국어 텍스트",
  "ｈｅｌｌｏ　ｗｏｒｌｄ！",
  # Other scripts, right to left, joiners.
  "Привет, мир! Γειά σου Κόσμε",
  "שָׁלוֹם עולם مرحبا بالعالم",
  "नमस्ते दुनिया ไทย",
  # Emoji, of several code points too.
  "🙂",
  "hello🙂world 👩‍👩‍👧‍👦 🇨🇭 👍🏽",
  # Control and invisible characters, replacement, private use.
  "hel\u0000lo \u0001wor\u0007ld\u007f",
  "hello\u200bworld\u00a0soft\u00adhyphen\ufeff",
  "\ufffd\ue000 hello",
  "line\u2028separator\u2029paragraph",
  # Very long words, and a very long text.
  "a" * 100,
  "a" * 101,
  "hello" * 200,
  "é" * 300,
  "hello world " * 300,
  "!?.,;:-()[]{}\"'`~@#$%^&*_+=|\\/<>",
  "x²+y²≠z² ½ ℵ Ⅷ ①",
]


def strings() -> list[str]:
  """Returns over 200 strings: the odd ones, and random mixtures of them."""
  rng = np.random.default_rng(0)
  alphabet = sorted(set(itertools.chain.from_iterable(_ODD)))
  mixed = [
    "".join(rng.choice(alphabet, size=rng.integers(1, 60))) for _ in range(200)
  ]
  return _ODD + mixed


def _is_ordinary(char: str) -> bool:
  """Whether Model Garden's layers treat a character as pre-training did.

  They fold its case, take invisible characters for the ends of words, and
  replace its compatibility forms.
  """
  return char == " " or not (
    char == "\ufffd"
    or char.casefold() != char.lower()
    or unicodedata.normalize("NFKC", char) != char
    or unicodedata.category(char)[0] in "CZM"
  )


def ordinary_strings() -> list[str]:
  """Returns over 200 strings of the odd ones' ordinary characters."""
  every = ["".join(filter(_is_ordinary, text)).split() for text in strings()]
  return [
    " ".join(words) for words in every if max(map(len, words), default=0) < 50
  ]


class Pair(NamedTuple):
  ours: Any
  garden: Any
  uncased: bool
  in_python: Any


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp("tokens")
  small_bert.write_vocabulary(folder / "vocab.txt")
  small_sentencepiece.write(folder / "sp.model")
  return folder


def exported(folder, name, **fields):
  path = str(folder / name)
  exporter = bert_preprocessor.BertPreprocessorExporter(
    default_seq_length=24, **fields
  )
  exporting.export(exporter, export_path=path, level=checks.NONE)
  return hub.load(path)


@pytest.fixture(
  scope="module",
  params=[("vocab_file", False), ("sp_model_file", True)],
  ids=["wordpiece", "sentencepiece"],
)
def pair(request, folder):
  """Our preprocessor and Model Garden's, from the same file."""
  kind, do_lower_case = request.param
  file = str(folder / ("vocab.txt" if kind == "vocab_file" else "sp.model"))
  fields = {kind: file, "do_lower_case": do_lower_case}
  if kind == "vocab_file":
    full = pre_training.FullTokenizer(file, do_lower_case=do_lower_case)
    split = full.tokenize
  else:
    full = pre_training.FullSentencePieceTokenizer(file)

    def split(text):
      text = pre_training.preprocess_text(text, lower=do_lower_case)
      return full.tokenize(text)

  garden = wheels.module("official.nlp.tools.export_tfhub_lib")
  garden = garden.create_preprocessing(
    tokenize_with_offsets=kind == "vocab_file", default_seq_length=24, **fields
  )
  return Pair(
    exported(folder, f"{kind}_{do_lower_case}", **fields),
    garden,
    do_lower_case,
    lambda text: full.convert_tokens_to_ids(split(text)),
  )


@pytest.mark.parametrize("make", [strings, ordinary_strings])
def test_there_are_two_hundred_strings(make):
  assert len(set(make())) > 200


def test_ids_are_those_of_pre_training(pair):
  """In Python, as google-research's code computes them."""
  got = pair.ours.tokenize(tf.constant(strings()))
  if got.ragged_rank == 2:
    got = got.merge_dims(1, 2)
  for text, ids in zip(strings(), got.to_list(), strict=True):
    assert ids == pair.in_python(text), repr(text)


def test_ids_and_default_packing_are_those_of_model_garden(pair):
  ours, garden = pair.ours, pair.garden
  sentences = tf.constant(ordinary_strings())
  want_tokens = garden.tokenize(sentences)
  # With offsets, Model Garden's `tokenize` returns the three.
  if isinstance(want_tokens, (list, tuple)):
    want_tokens, *_ = want_tokens
  _assert_equal(ours.tokenize(sentences), want_tokens)
  _assert_equal(ours(sentences), garden(sentences))


def test_packing_is_that_of_model_garden(pair):
  ours, garden = pair.ours, pair.garden
  sentences = tf.constant(strings())
  tokens = ours.tokenize(sentences)
  shifted = ours.tokenize(tf.roll(sentences, 1, axis=0))
  for segments in ([tokens], [tokens, shifted]):
    for seq_length in (5, 64):
      _assert_equal(
        ours.bert_pack_inputs(segments, seq_length=seq_length),
        # Meant to be saved, so an attribute of the instance.
        garden.bert_pack_inputs.__call__(
          segments, seq_length=tf.constant(seq_length)
        ),
      )


def test_special_tokens_are_those_of_model_garden(pair):
  ours, garden = pair.ours, pair.garden
  _assert_equal(
    ours.tokenize.get_special_tokens_dict(),
    garden.tokenize.get_special_tokens_dict.__call__(),
  )


def test_offsets_are_those_of_model_garden(pair):
  ours, garden = pair.ours, pair.garden
  if not hasattr(garden, "tokenize_with_offsets"):
    assert not hasattr(ours, "tokenize_with_offsets")
    return
  sentences = tf.constant(ordinary_strings())
  _assert_equal(
    ours.tokenize_with_offsets(sentences),
    garden.tokenize_with_offsets(sentences),
  )


def test_sentencepiece_has_offsets_where_nothing_is_stripped(folder):
  model_file = str(folder / "sp.model")
  ours = exported(
    folder,
    "offsets",
    sp_model_file=model_file,
    strip_diacritics=False,
    do_lower_case=True,
  )
  garden = layers.SentencepieceTokenizer(
    model_file_path=model_file,
    lower_case=True,
    strip_diacritics=False,
    tokenize_with_offsets=True,
  )
  sentences = tf.constant(ordinary_strings())
  _assert_equal(ours.tokenize_with_offsets(sentences), garden(sentences))


def test_accents_and_case_count_in_cased_text_alone(pair):
  plain, accented = pair.ours.tokenize(["naive", "NAI\u0308VE"]).to_list()
  assert (plain == accented) == pair.uncased


@pytest.mark.parametrize(
  ("content", "reason"),
  [
    (None, "is not a file"),
    (b"", "is not a SentencePiece model"),
    (b"[PAD]\n[UNK]\n", "is not a SentencePiece model"),
  ],
)
def test_refuses_what_is_no_sentencepiece_model(tmp_path, content, reason):
  if content is not None:
    (tmp_path / "sp.model").write_bytes(content)
  with pytest.raises(ExportError, match=reason):
    sentencepiece_model.read(str(tmp_path / "sp.model"))


def test_refuses_a_model_without_special_pieces(tmp_path):
  small_sentencepiece.write(tmp_path / "sp.model", special=False)
  with pytest.raises(ExportError, match=r"lacks <pad>, \[CLS\]"):
    sentencepiece_model.read(str(tmp_path / "sp.model"))


def test_needs_one_of_the_two_files(folder):
  for files in ({}, {"vocab_file": "a", "sp_model_file": "b"}):
    exporter = bert_preprocessor.BertPreprocessorExporter(
      do_lower_case=True, **files
    )
    with pytest.raises(ExportError, match="exactly one of vocab_file"):
      exporter.build()


def _assert_equal(got, want):
  tf.nest.assert_same_structure(got, want, check_types=False)
  pairs = zip(
    tf.nest.flatten(got, expand_composites=True),
    tf.nest.flatten(want, expand_composites=True),
    strict=True,
  )
  for got_part, want_part in pairs:
    assert got_part.dtype == want_part.dtype
    np.testing.assert_array_equal(got_part, want_part)
