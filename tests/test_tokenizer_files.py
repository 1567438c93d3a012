"""What lies beside a vocabulary or the weights is read, by every command."""

import json
import re
import shutil

import pytest
import sentencepiece
import tensorflow as tf

from exporters import bert
from exporters import bert_preprocessor
from exporters import checks
from exporters import recipe
from exporters.errors import ExportError
from exporters.inspection import report
from exporters.life_cycle import exporting
from exporters.saved_model import reusable
from exporters.text import facts
from exporters.text import sentencepiece_source
from exporters.text import vocabulary
from exporters.text import wordpiece_source
from scripts.small_instances import sentencepiece_model as small_sentencepiece
from tests import checkpoint_files
from tests import numpy_bert
from tests import small_bert

_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "naïve", "naive", "N")


def tokenizer_json(tokens=_TOKENS, **normalizer):
  """Returns a file as the library `tokenizers` writes it for a BERT."""
  special = {"single_word": False, "normalized": False, "special": True}
  return {
    "added_tokens": [
      {"id": i, "content": token} | special
      for i, token in enumerate(tokens[:5])
    ],
    "normalizer": {
      "type": "BertNormalizer",
      "clean_text": True,
      "handle_chinese_chars": True,
      "strip_accents": None,
      "lowercase": True,
    }
    | normalizer,
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {
      "type": "BertProcessing",
      "sep": ["[SEP]", 3],
      "cls": ["[CLS]", 2],
    },
    "model": {
      "type": "WordPiece",
      "unk_token": "[UNK]",
      "continuing_subword_prefix": "##",
      "max_input_chars_per_word": 100,
      "vocab": {token: i for i, token in enumerate(tokens)},
    },
  }


@pytest.fixture
def folder(tmp_path):
  folder = tmp_path / "folder"
  folder.mkdir()
  (folder / "vocab.txt").write_text("".join(f"{t}\n" for t in _TOKENS))
  return folder


def write(folder, name, content):
  (folder / name).write_text(json.dumps(content))


def assert_refused(reason, **files):
  exporter = bert_preprocessor.BertPreprocessorExporter(
    do_lower_case=True, **files
  )
  with pytest.raises(ExportError, match=reason):
    exporter.build()


def read(folder, **stated):
  stated = {"do_lower_case": True} | stated
  return wordpiece_source.read(
    vocab_file=str(folder / "vocab.txt"), stated=stated
  )


# By case: the file, what it says, what the gin file says, and the line that
# names both.
_CONTRADICTIONS = {
  "lower-casing": (
    "tokenizer_config.json",
    {"do_lower_case": False},
    {},
    "do_lower_case: True in the gin file, False in",
  ),
  "lower-casing, before": (
    "sentence_bert_config.json",
    {"do_lower_case": True},
    {"do_lower_case": False},
    "do_lower_case: False in the gin file, True in",
  ),
  "accents": (
    "tokenizer_config.json",
    {"do_lower_case": True, "strip_accents": False},
    {"strip_accents": True},
    "strip_accents: True in the gin file, False in",
  ),
  "accents by lower-casing": (
    "tokenizer_config.json",
    {"do_lower_case": True, "strip_accents": None},
    {"strip_accents": False},
    "strip_accents: False in the gin file, True in",
  ),
  "Chinese": (
    "tokenizer_config.json",
    {"tokenize_chinese_chars": False},
    {"tokenize_chinese_chars": True},
    "tokenize_chinese_chars: True in the gin file, False in",
  ),
  "the normalizer": (
    "tokenizer.json",
    tokenizer_json(lowercase=False),
    {},
    "do_lower_case: True in the gin file, False in",
  ),
  "letters": (
    "tokenizer.json",
    tokenizer_json(),
    {"max_letters_per_word": 200},
    "max_letters_per_word: 200 in the gin file, 100 in",
  ),
}


class TestContradictions:
  @pytest.mark.parametrize("case", _CONTRADICTIONS)
  def test_both_values_are_named(self, case, folder):
    name, content, stated, line = _CONTRADICTIONS[case]
    write(folder, name, content)
    with pytest.raises(ExportError) as error:
      read(folder, **stated)
    assert f"  {line} '{folder / name}'\n" in str(error.value)

  def test_two_files(self, folder):
    write(folder, "tokenizer_config.json", {"unk_token": "[MASK]"})
    write(folder, "special_tokens_map.json", {"unk_token": "[UNK]"})
    with pytest.raises(
      ExportError, match=r"unk_token: '\[MASK\]' in .*\[UNK\]"
    ):
      read(folder)

  def test_two_vocabularies(self, folder):
    write(folder, "tokenizer.json", tokenizer_json((*_TOKENS[:-1], "M")))
    with pytest.raises(ExportError, match="token 8 is 'N' in .*, 'M' in"):
      read(folder)

  def test_an_added_token_of_another_id(self, folder):
    write(
      folder, "special_tokens_map.json", {"additional_special_tokens": ["<x>"]}
    )
    write(folder, "added_tokens.json", {"<x>": 6})
    with pytest.raises(ExportError, match="id 6 to the token '<x>'.*'naive'"):
      read(folder)

  def test_longer_than_the_model_takes(self, folder):
    write(folder, "tokenizer_config.json", {"model_max_length": 64})
    exporter = bert_preprocessor.BertPreprocessorExporter(
      vocab_file=str(folder), do_lower_case=True
    )
    with pytest.raises(
      ExportError, match="128 in the gin file.*: 64, by model_max"
    ):
      exporter.build()

  def test_of_the_same_value_there_is_none(self):
    places = {"a": {"x": 1, "y": 2}, "b": {"y": 2, "z": 3}}
    assert facts.agreed(places) == {"x": 1, "y": 2, "z": 3}


class TestTaken:
  """Ids by hand: a letter of `_TOKENS` is its place there."""

  @pytest.mark.parametrize(
    ("name", "content", "lower_case", "text", "want"),
    [
      ("tokenizer_config.json", {"do_lower_case": True}, True, "NAÏVE", [6]),
      (
        "tokenizer_config.json",
        {"do_lower_case": True, "strip_accents": False},
        True,
        "NAÏVE",
        [5],
      ),
      (
        "tokenizer.json",
        tokenizer_json(strip_accents=False),
        True,
        "Naïve",
        [5],
      ),
      (
        "tokenizer_config.json",
        {"do_lower_case": False, "strip_accents": True},
        False,
        "naïve N",
        [6, 7],
      ),
      ("special_tokens_map.json", {"mask_token": "N"}, False, "xNx", [1, 7, 1]),
      (
        "special_tokens_map.json",
        {"cls_token": {"content": "[CLS]", "lstrip": False}},
        False,
        "N[CLS]",
        [7, 2],
      ),
      # Nothing beside it: google-research's tokenizer knows no such tokens.
      (None, None, False, "N [MASK]", [7, 1, 1, 1]),
    ],
  )
  def test_ids(self, name, content, lower_case, text, want, folder):
    if name:
      write(folder, name, content)
    source = read(folder, do_lower_case=lower_case)
    got = source.tokenizer().tokenize(tf.constant([text]))
    assert got.merge_dims(1, 2).to_list() == [want]

  def test_a_folder_with_tokenizer_json_alone(self, tmp_path):
    write(tmp_path, "tokenizer.json", tokenizer_json())
    exporter = bert_preprocessor.BertPreprocessorExporter(
      vocab_file=str(tmp_path), do_lower_case=True, default_seq_length=4
    )
    exporting.export(
      exporter, export_path=str(tmp_path / "out"), level=checks.BASIC
    )
    loaded = tf.saved_model.load(str(tmp_path / "out"))
    assert loaded(["naive"])["input_word_ids"].numpy().tolist() == [
      [2, 6, 3, 0]
    ]
    ids = loaded.tokenize.get_special_tokens_dict()
    assert {name: int(id_) for name, id_ in ids.items()} == {
      "vocab_size": 8,
      "padding_id": 0,
      "start_of_sequence_id": 2,
      "end_of_segment_id": 3,
      "mask_id": 4,
    }

  def test_the_folder_that_modules_json_names(self, tmp_path, folder):
    folder.rename(tmp_path / "0_Transformer")
    write(
      tmp_path / "0_Transformer",
      "tokenizer_config.json",
      {"do_lower_case": True},
    )
    kind = "sentence_transformers.models.Transformer"
    write(tmp_path, "modules.json", [{"type": kind, "path": "0_Transformer"}])
    source = wordpiece_source.read(
      vocab_file=None, checkpoint=str(tmp_path), stated={"do_lower_case": True}
    )
    assert source.vocabulary.tokens == _TOKENS
    with pytest.raises(
      ExportError, match="0_Transformer/tokenizer_config.json"
    ):
      wordpiece_source.read(
        vocab_file=None,
        checkpoint=str(tmp_path),
        stated={"do_lower_case": False},
      )

  def test_tokens_that_were_added_to_the_vocabulary(self, folder):
    write(
      folder, "special_tokens_map.json", {"additional_special_tokens": ["<x>"]}
    )
    write(folder, "added_tokens.json", {"<x>": 8})
    source = read(folder)
    assert source.vocabulary.tokens == (*_TOKENS, "<x>")
    got = source.tokenizer().tokenize(tf.constant(["naive<x>"]))
    assert got.merge_dims(1, 2).to_list() == [[6, 8]]

  def test_provenance_has_each_file(self, folder):
    write(folder, "tokenizer_config.json", {"do_lower_case": True})
    assert vocabulary.files_at(str(folder)) == [
      str(folder / "vocab.txt"),
      str(folder / "tokenizer_config.json"),
    ]

  def test_limit_is_a_number_of_letters(self, folder):
    for limit in (0, -1, 2.5, True):
      with pytest.raises(ExportError, match="is not a number of letters"):
        read(folder, max_letters_per_word=limit)


class TestRefused:
  @pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
      ("tokenizer.json", {"model": {"type": "BPE"}}, "the model 'BPE'"),
      (
        "tokenizer.json",
        tokenizer_json() | {"normalizer": {"type": "Lowercase"}},
        "the normalizer 'Lowercase'",
      ),
      (
        "tokenizer.json",
        tokenizer_json() | {"pre_tokenizer": {"type": "Whitespace"}},
        "the pre-tokenizer 'Whitespace'",
      ),
      (
        "tokenizer_config.json",
        {"tokenizer_class": "RobertaTokenizer"},
        "the tokenizer 'RobertaTokenizer'",
      ),
      (
        "tokenizer_config.json",
        {"do_basic_tokenize": False},
        "do_basic_tokenize",
      ),
      ("tokenizer_config.json", {"never_split": ["a"]}, "never_split"),
      (
        "tokenizer_config.json",
        {"do_lower_case": "yes"},
        "neither true nor false",
      ),
      ("added_tokens.json", {"word": 8}, "adds the token 'word'"),
      (
        "tokenizer_config.json",
        {"padding_side": "left"},
        "padding_side = 'left'",
      ),
      (
        "tokenizer.json",
        tokenizer_json() | {"truncation": {"direction": "Left"}},
        "has truncation on the left",
      ),
      (
        "tokenizer.json",
        tokenizer_json() | {"post_processor": None},
        "puts other tokens than",
      ),
      # Of another structure than Hugging Face's libraries write.
      (
        "tokenizer.json",
        tokenizer_json() | {"added_tokens": ["x"]},
        "tokenizer.json' is not as",
      ),
      (
        "tokenizer.json",
        tokenizer_json()
        | {"model": {"type": "WordPiece", "vocab": {"a": "0", "b": 1}}},
        "tokenizer.json' is not as",
      ),
      (
        "special_tokens_map.json",
        {"additional_special_tokens": "[X]"},
        "special_tokens_map.json' is not as",
      ),
      (
        "special_tokens_map.json",
        {"pad_token": "<pad>"},
        "lacks <pad>",
      ),
    ],
  )
  def test_what_is_not_computed_here(self, name, content, reason, folder):
    write(folder, name, content)
    assert_refused(reason, vocab_file=str(folder))

  def test_its_encoder_is_taken(self, tmp_path):
    """With a remark, also when it is exported once more."""
    folder = tmp_path / "folder"
    config = numpy_bert.CONFIGS["bert"] | {"hidden_act": "gelu_new"}
    checkpoint_files.hugging_face(
      folder, "bert", config, numpy_bert.tensors("bert")
    )
    small_bert.write_vocabulary(folder / "vocab.txt")
    kind = {"tokenizer_class": "BertJapaneseTokenizer", "do_lower_case": True}
    write(folder, "tokenizer_config.json", kind)
    for path, out in (("folder", "first"), ("first", "again")):
      exporter = bert.BertExporter(
        checkpoint=str(tmp_path / path),
        encoder=small_bert.config(),
        do_lower_case=True,
      )
      published = exporter.build().published[""]
      (remark,) = published.remarks
      assert "no preprocessor here computes" in remark
      assert "has the tokenizer 'BertJapaneseTokenizer'" in remark
      reusable.write(published, str(tmp_path / out))
    preprocessor = bert_preprocessor.BertPreprocessorExporter(
      vocab_file=str(tmp_path / "again"), do_lower_case=True
    )
    with pytest.raises(ExportError, match="BertJapaneseTokenizer"):
      preprocessor.build()


class TestSentencePiece:
  """The same files beside a SentencePiece model, as ALBERT's folders have."""

  @pytest.fixture
  def folder(self, tmp_path):
    folder = tmp_path / "albert"
    folder.mkdir()
    small_sentencepiece.write(folder / "spiece.model")
    return folder

  def _read(self, folder, **stated):
    return sentencepiece_source.read(
      sp_model_file=str(folder), stated={"do_lower_case": True} | stated
    )

  def _tokenizer_json(self, folder, *steps):
    processor = sentencepiece.SentencePieceProcessor(
      str(folder / "spiece.model")
    )
    pieces = [processor.IdToPiece(i) for i in range(len(processor))]
    return {
      "normalizer": {
        "type": "Sequence",
        "normalizers": [{"type": step} for step in steps],
      },
      "post_processor": {
        "type": "BertProcessing",
        "sep": ["[SEP]", 3],
        "cls": ["[CLS]", 2],
      },
      "model": {"type": "Unigram", "vocab": [[p, 0.0] for p in pieces]},
    }

  @pytest.mark.parametrize(
    ("stated", "line"),
    [
      (
        {"do_lower_case": False},
        "do_lower_case: False in the gin file, True in",
      ),
      (
        {"strip_diacritics": False},
        "strip_diacritics: False in the gin file, True in",
      ),
    ],
  )
  def test_tokenizer_json_is_read(self, folder, stated, line):
    content = self._tokenizer_json(folder, "NFKD", "StripAccents", "Lowercase")
    write(folder, "tokenizer.json", content)
    self._read(folder)
    with pytest.raises(ExportError, match=line):
      self._read(folder, **stated)

  def test_pieces_of_another_model(self, folder):
    content = self._tokenizer_json(folder, "StripAccents", "Lowercase")
    content["model"]["vocab"].reverse()
    write(folder, "tokenizer.json", content)
    with pytest.raises(ExportError, match="have different pieces"):
      self._read(folder)

  @pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
      (
        "special_tokens_map.json",
        {"mask_token": "<mask>"},
        "names '<mask>' as its mask_token",
      ),
      (
        "tokenizer_config.json",
        {"tokenizer_class": "XLNetTokenizer"},
        "the tokenizer 'XLNetTokenizer'",
      ),
      (
        "tokenizer_config.json",
        {"remove_space": False},
        "remove_space = False",
      ),
    ],
  )
  def test_what_is_not_computed_here(self, name, content, reason, folder):
    write(folder, name, content)
    assert_refused(reason, sp_model_file=str(folder))

  def test_a_token_that_the_model_lacks(self, folder):
    more = {"additional_special_tokens": ["<ent>"]}
    write(folder, "special_tokens_map.json", more)
    with pytest.raises(ExportError, match="name the token '<ent>'"):
      self._read(folder)

  def test_facts_travel_with_an_export(self, folder, tmp_path):
    said = {"do_lower_case": True, "keep_accents": True}
    write(folder, "tokenizer_config.json", said)
    first = self._read(folder, strip_diacritics=False)
    (tmp_path / "assets").mkdir()
    shutil.copy(folder / "spiece.model", tmp_path / "assets/sp.model")
    config = tmp_path / "assets/tokenizer_config.json"
    tf.io.gfile.copy(first.as_json(), str(config))
    again = self._read(tmp_path / "assets", strip_diacritics=False)
    assert again.options == first.options
    with pytest.raises(ExportError, match="strip_diacritics: True in the gin"):
      self._read(tmp_path / "assets", strip_diacritics=True)


class TestBesideTheWeights:
  """An encoder's exporter reads the same files, beside any checkpoint."""

  @pytest.fixture(params=["tf1", "tf2", "h5", "folder"])
  def checkpoint(self, request, tmp_path):
    tensors = numpy_bert.tensors("bert")
    folder = tmp_path / "weights"
    folder.mkdir()
    small_bert.write_vocabulary(folder / "vocab.txt")
    if request.param == "folder":
      shutil.rmtree(folder)
      config = numpy_bert.CONFIGS["bert"] | {"hidden_act": "gelu_new"}
      checkpoint_files.hugging_face(folder, "bert", config, tensors)
      small_bert.write_vocabulary(folder / "vocab.txt")
      return folder
    if request.param == "tf1":
      names = checkpoint_files.tf1_names(tensors)
      checkpoint_files.save_tf1(folder / "model.ckpt", names)
      return folder / "model.ckpt"
    model = small_bert.encoder()
    if request.param == "tf2":
      tf.train.Checkpoint(encoder=model).write(str(folder / "ckpt"))
      return folder / "ckpt"
    model.save_weights(folder / "encoder.h5")
    return folder / "encoder.h5"

  def _build(self, checkpoint, **fields):
    fields = {"encoder": small_bert.config(), "do_lower_case": True} | fields
    return bert.BertExporter(checkpoint=str(checkpoint), **fields).build()

  def test_lower_casing(self, checkpoint, tmp_path):
    folder = tmp_path / "weights"
    write(folder, "tokenizer_config.json", {"do_lower_case": False})
    with pytest.raises(
      ExportError, match="do_lower_case: True in the gin file, F"
    ):
      self._build(checkpoint)

  @pytest.mark.parametrize(
    ("key", "value", "line"),
    [
      (
        "num_attention_heads",
        4,
        "num_attention_heads: 2 in the gin file, 4 in",
      ),
      (
        "hidden_act",
        "relu",
        "hidden_activation: 'gelu' in the gin file, 'relu'",
      ),
      ("layer_norm_eps", 1e-5, "layer_norm_eps"),
    ],
  )
  def test_what_the_shapes_do_not_tell(
    self, checkpoint, tmp_path, key, value, line
  ):
    folder = tmp_path / "weights"
    name = "bert_config.json"
    if checkpoint == folder:
      name = "config.json"
    config = numpy_bert.CONFIGS["bert"] | {"hidden_act": "gelu_new", key: value}
    write(folder, name, config)
    with pytest.raises(ExportError, match=line):
      self._build(checkpoint)

  def test_the_architecture_is_that_of_the_file_beside(self, tmp_path):
    tensors = numpy_bert.tensors("bert")
    names = checkpoint_files.tf1_names(tensors)
    checkpoint_files.save_tf1(tmp_path / "model.ckpt", names)
    small_bert.write_vocabulary(tmp_path / "vocab.txt")
    config = numpy_bert.CONFIGS["bert"] | {"hidden_act": "gelu_new"}
    write(tmp_path, "bert_config.json", config)
    published = self._build(tmp_path / "model.ckpt", encoder=None).published[""]
    assert len(published.variables) == 5 + 16 * 2 + 2


class TestSampleText:
  def test_share_of_unknown_tokens(self, folder, tmp_path):
    (tmp_path / "sample.txt").write_text("naive naïve\nN what 東\n")
    exporter = bert_preprocessor.BertPreprocessorExporter(
      vocab_file=str(folder),
      do_lower_case=False,
      sample_file=str(tmp_path / "sample.txt"),
    )
    remarks = exporter.build().published[""].remarks
    assert (
      "Of the 5 tokens of a sample text, 2 (40.00%) are unknown ones."
      in remarks
    )

  @pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe"])
  def test_that_is_none(self, content, folder, tmp_path):
    (tmp_path / "sample.txt").write_bytes(content)
    exporter = bert_preprocessor.BertPreprocessorExporter(
      vocab_file=str(folder),
      do_lower_case=False,
      sample_file=str(tmp_path / "sample.txt"),
    )
    with pytest.raises(ExportError, match="sample text"):
      exporter.build()


class TestInspect:
  """A folder without weights."""

  @pytest.mark.parametrize("lower_case", [True, False])
  def test_a_tokenizer_json_says_how_it_is_exported(self, tmp_path, lower_case):
    write(tmp_path, "tokenizer.json", tokenizer_json(lowercase=lower_case))
    found = report.read(str(tmp_path))
    assert found.facts == [
      ("kind", "WordPiece tokenizer, without weights"),
      ("do_lower_case", str(lower_case)),
    ]
    bindings = re.findall(r'--gin_bindings="(.+)"', found.command)
    gin_file = re.search(r"--gin_file=(\S+)", found.command)[1]
    exporter = recipe.load([gin_file], bindings).exporter
    assert isinstance(exporter, bert_preprocessor.BertPreprocessorExporter)
    assert exporter.do_lower_case is lower_case
    exporter.build()

  def test_a_vocabulary_does_not_say_whether_text_is_lower_cased(
    self, tmp_path
  ):
    small_bert.write_vocabulary(tmp_path / "vocab.txt")
    found = report.read(str(tmp_path))
    assert dict(found.facts)["do_lower_case"].startswith("not said")
    assert f"VOCAB_FILE = '{tmp_path}'" in found.command

  def test_a_sentencepiece_model(self, tmp_path):
    small_sentencepiece.write(tmp_path / "spiece.model")
    found = report.read(str(tmp_path))
    assert dict(found.facts)["kind"].startswith("SentencePiece tokenizer")
    assert f"SP_MODEL_FILE = '{tmp_path}/spiece.model'" in found.command

  def test_weights_that_cannot_be_read_are_not_hidden(self, tmp_path):
    write(tmp_path, "tokenizer.json", tokenizer_json())
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ExportError):
      report.read(str(tmp_path))

  def test_an_albert_with_wordpieces(self, tmp_path):
    """As of Chinese ALBERTs, and of those that read molecules."""
    config, tensors = numpy_bert.CONFIGS["albert"], numpy_bert.tensors("albert")
    folder = tmp_path / "albert"
    checkpoint_files.hugging_face(folder, "albert", config, tensors)
    words = [*_TOKENS[:5], *map(str, range(numpy_bert.VOCABULARY - 5))]
    (folder / "vocab.txt").write_text("\n".join(words))
    gin_file = tmp_path / "albert.gin"
    gin_file.write_text(report.read(str(folder)).gin)
    bindings = ["DO_LOWER_CASE = False"]
    exporter = recipe.load([str(gin_file)], bindings).exporter
    assert "vocab_file" in exporter.build().published[""].assets
