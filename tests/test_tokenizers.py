"""Text as pieces: as the model's own tokenizer splits it, letter by letter."""

import functools
import json
import sys
import unicodedata

import hypothesis
from hypothesis import strategies
from official.nlp.tools import tokenization as google_research
import pytest
import tensorflow as tf

from exporters import bert_preprocessor
from exporters import checks
from exporters.errors import ExportError
from exporters.life_cycle import exporting
from exporters.text import text_operations
from exporters.text import wordpiece
from exporters.text import wordpiece_source
from tests import tokenizers_reference

_HUGGING_FACE = json.loads(tokenizers_reference.FILE.read_text())
# Capitals of Unicode 14, which TensorFlow 2.20 does not lower-case.
_UNKNOWN_CAPITALS = {
  *range(0x10570, 0x10596),
  *(0x2C2F, 0xA7C0, 0xA7D0, 0xA7D6, 0xA7D8),
}
_KNOWN = [
  chr(point)
  for point in range(sys.maxunicode + 1)
  if unicodedata.category(chr(point)) not in ("Cs", "Cn")
  and point not in _UNKNOWN_CAPITALS
]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
  folder = tmp_path_factory.mktemp("plain")
  return _vocabulary(folder, _HUGGING_FACE["vocabulary"])


def _vocabulary(folder, tokens):
  path = folder / "vocab.txt"
  path.write_text("".join(f"{token}\n" for token in tokens))
  return str(path)


def _google_research(tokens, *, lower_case):
  """Returns the function from a text to its ids, of BERT's own code."""
  ids = {token: i for i, token in enumerate(tokens)}
  basic = google_research.BasicTokenizer(do_lower_case=lower_case)
  pieces = google_research.WordpieceTokenizer(ids)
  return lambda text: [
    ids[piece]
    for word in basic.tokenize(text)
    for piece in pieces.tokenize(word)
  ]


@functools.cache
def _graph(path, **stated):
  source = wordpiece_source.read(vocab_file=path, stated=stated)
  return tf.function(
    source.tokenizer().tokenize,
    input_signature=[tf.TensorSpec([None], tf.string)],
  )


def _ids(path, texts, **stated):
  return _graph(path, **stated)(tf.constant(texts)).merge_dims(1, 2).to_list()


class TestHuggingFace:
  @pytest.mark.parametrize("way", range(len(_HUGGING_FACE["ways"])))
  def test_ids_are_those_of_its_tokenizers(self, way, tmp_path):
    stated = _HUGGING_FACE["ways"][way]
    path = _vocabulary(tmp_path, _HUGGING_FACE["vocabulary"])
    (tmp_path / "tokenizer_config.json").write_text(
      json.dumps(
        {
          "do_lower_case": stated["lowercase"],
          "strip_accents": stated["strip_accents"],
          "tokenize_chinese_chars": stated["handle_chinese_chars"],
          "tokenizer_class": "BertTokenizer",
        }
      )
    )
    texts = _HUGGING_FACE["texts"]
    got = _ids(path, texts, do_lower_case=stated["lowercase"])
    for text, one, want in zip(
      texts, got, _HUGGING_FACE["ids"][way], strict=True
    ):
      assert one == want, repr(text)


class TestGoogleResearch:
  @pytest.mark.parametrize("lower_case", [True, False])
  def test_every_character(self, lower_case, plain):
    """Between letters and alone: it is removed, splits, or becomes another."""
    texts = [f"a{c}b {c}" for c in _KNOWN]
    words = _google_research_words(lower_case)
    source = wordpiece_source.read(
      vocab_file=plain, stated={"do_lower_case": lower_case}
    )
    split = tf.function(source.tokenizer()._words)
    got = split(tf.constant(texts))[0].to_list()
    wrong = [
      c
      for c, one, text in zip(_KNOWN, got, texts, strict=True)
      if [w.decode() for w in one] != words(text)
    ]
    assert not wrong, [hex(ord(c)) for c in wrong[:20]]

  @hypothesis.settings(max_examples=200, deadline=None)
  @hypothesis.given(
    texts=strategies.lists(strategies.text(_KNOWN), min_size=1, max_size=20),
    lower_case=strategies.booleans(),
  )
  def test_any_text(self, plain, texts, lower_case):
    want = _google_research(_HUGGING_FACE["vocabulary"], lower_case=lower_case)
    got = _ids(plain, texts, do_lower_case=lower_case)
    assert got == [want(text) for text in texts]

  @pytest.mark.parametrize("letter", ["a", "ж", "ก", "𝒳"])
  @pytest.mark.parametrize(
    ("fields", "limit"), [({}, 200), ({"max_letters_per_word": 7}, 7)]
  )
  def test_a_word_is_as_long_as_its_letters(
    self, letter, fields, limit, tmp_path
  ):
    tokens = [*tokenizers_reference.SPECIAL_TOKENS, letter, f"##{letter}"]
    path = _vocabulary(tmp_path, tokens)
    got = _ids(
      path,
      [letter * limit, letter * (limit + 1)],
      do_lower_case=False,
      **fields,
    )
    assert got == [[5] + [6] * (limit - 1), [1]]


def _google_research_words(lower_case):
  return google_research.BasicTokenizer(do_lower_case=lower_case).tokenize


class TestTheCheck:
  """The reference is code that shares nothing with the graph."""

  @pytest.mark.parametrize(
    ("module", "name", "broken"),
    [
      (text_operations, "lower_cased", lambda texts, by_letter: texts),
      (wordpiece, "_PUNCTUATION", "[!]"),
      (wordpiece, "_REMOVED", r"\x{0}"),
      (wordpiece, "_CHINESE", r"\x{4E00}"),
      (wordpiece, "_BYTES_OF_A_LETTER", 1),
      (
        wordpiece.WordPieceTokenizer,
        "_too_long",
        lambda self, words: tf.strings.length(words.values) > 100,
      ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
  )
  def test_finds_a_broken_graph(
    self, module, name, broken, tmp_path, monkeypatch
  ):
    monkeypatch.setattr(module, name, broken)
    path = _vocabulary(tmp_path, _HUGGING_FACE["vocabulary"])
    exporter = bert_preprocessor.BertPreprocessorExporter(
      vocab_file=path, do_lower_case=True
    )
    with pytest.raises(
      ExportError, match="same numbers as the reference: failed"
    ):
      exporting.export(
        exporter, export_path=str(tmp_path / "out"), level=checks.BASIC
      )
    assert not (tmp_path / "out").exists()
