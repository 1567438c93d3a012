"""Vocabularies: read as TensorFlow's tables read them, or refused."""

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import pytest
import tensorflow as tf

from exporters.errors import ExportError
from exporters.text import vocabulary
from tests import small_bert


def refusal(path) -> str:
  with pytest.raises(ExportError) as error:
    vocabulary.read_vocabulary(str(path))
  return str(error.value)


def test_missing(tmp_path):
  assert "does not exist" in refusal(tmp_path / "vocab.txt")


@pytest.mark.parametrize("content", [b"", b"\n", b" \n\n"])
def test_empty(tmp_path, content):
  (tmp_path / "vocab.txt").write_bytes(content)
  assert "is empty" in refusal(tmp_path / "vocab.txt")


def test_not_utf8(tmp_path):
  (tmp_path / "vocab.txt").write_bytes(b"[PAD]\nna\xefve\n")
  assert "line 2 has the byte 0xef" in refusal(tmp_path / "vocab.txt")


def test_windows_line_ends(tmp_path):
  (tmp_path / "vocab.txt").write_bytes(b"[PAD]\r\n[UNK]\r\n")
  assert "Windows line ends" in refusal(tmp_path / "vocab.txt")


def test_a_token_twice(tmp_path):
  tokens = [*small_bert.TOKENS, "hello"]
  small_bert.write_vocabulary(tmp_path / "vocab.txt", tokens)
  assert "'hello' on lines [6, 41]" in refusal(tmp_path / "vocab.txt")


@pytest.mark.parametrize("token", vocabulary.SPECIAL_TOKENS)
def test_without_a_special_token(tmp_path, token):
  tokens = [t for t in small_bert.TOKENS if t != token]
  small_bert.write_vocabulary(tmp_path / "vocab.txt", tokens)
  assert f"lacks {token}" in refusal(tmp_path / "vocab.txt")


def test_of_another_size_than_the_model(tmp_path):
  path = small_bert.write_vocabulary(tmp_path / "vocab.txt")
  read = vocabulary.read_vocabulary(str(path))
  assert read.require_size(40) == []
  for size in (39, 32, 300):
    with pytest.raises(ExportError, match=f"40 tokens.*embeddings for {size}"):
      read.require_size(size)


@pytest.mark.parametrize("size", [41, 48, 64, 128])
def test_of_a_padded_table(tmp_path, size):
  path = small_bert.write_vocabulary(tmp_path / "vocab.txt")
  (remark,) = vocabulary.read_vocabulary(str(path)).require_size(size)
  assert f"for {size} tokens and its vocabulary has 40: the last" in remark
  assert f"the last {size - 40} are padding" in remark


def test_folder_that_holds_it(tmp_path):
  small_bert.write_vocabulary(tmp_path / "vocab.txt")
  read = vocabulary.read_vocabulary(str(tmp_path))
  assert list(read.tokens) == small_bert.TOKENS


def test_asset_depends_on_nothing_but_the_content(tmp_path):
  assets = []
  for name in ("a", "b"):
    path = small_bert.write_vocabulary(tmp_path / name)
    assets.append(vocabulary.read_vocabulary(str(path)).asset())
  assert assets[0] == assets[1]
  other = small_bert.write_vocabulary(
    tmp_path / "c", [*small_bert.TOKENS, "more"]
  )
  assert vocabulary.read_vocabulary(str(other)).asset() != assets[0]


_TOKENS = st.lists(
  st.text(
    st.characters(codec="utf-8", exclude_characters="\n\r"), min_size=1
  ).filter(str.strip),
  unique=True,
).map(lambda tokens: [t for t in tokens if t not in small_bert.TOKENS])


@settings(max_examples=50, deadline=None)
@given(_TOKENS)
def test_ids_are_those_of_tensorflows_table(tmp_path_factory, tokens):
  tokens = [*small_bert.TOKENS, *tokens]
  path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
  path.write_bytes("".join(f"{t}\n" for t in tokens).encode())
  read = vocabulary.read_vocabulary(str(path))
  initializer = tf.lookup.TextFileInitializer(
    read.asset(),
    tf.string,
    tf.lookup.TextFileIndex.WHOLE_LINE,
    tf.int64,
    tf.lookup.TextFileIndex.LINE_NUMBER,
  )
  table = tf.lookup.StaticHashTable(initializer, default_value=-1)
  ids = table.lookup(tf.constant(list(read.tokens)))
  assert ids.numpy().tolist() == list(range(len(tokens)))
