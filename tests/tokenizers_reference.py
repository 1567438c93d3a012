"""Writes what Hugging Face's `tokenizers` makes of odd texts, for the tests.

  pip install tokenizers==0.21.0
  python -m tests.tokenizers_reference

The library is not among the requirements, so its numbers are kept in
testdata/tokenizers_reference.json: a vocabulary of the texts' own characters,
the texts, and for each way to split them the ids without [CLS] and [SEP].
"""

import itertools
import json
import pathlib
import unicodedata

FILE = pathlib.Path(__file__).parent / "testdata/tokenizers_reference.json"
SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXTS = [
  "",
  " ",
  "\t\n\r",
  "Hello, WORLD!",
  "[CLS] hello[SEP]world [MASK] [mask] [UNK]s <pad>",
  "##s hello##s",
  "naïve café Ångström façade jalapeño Über Straße möchte",
  "nai\u0308ve cafe\u0301 A\u030angstro\u0308m",
  "\u0301\u0308 e\u0301\u0302\u0303\u0304",
  "İSTANBUL ıstanbul ǅ ﬁ ß ẞ Σσς ΟΔΟΣ",
  "東京は日本の首都です hello東京world",
  "\U0002b81f\U0002b820\U0002b91f\U0002b920\U0002b921",
  "한국어 텍스트 ｈｅｌｌｏ　ｗｏｒｌｄ！",
  "Привет, мир! Йод Ёж Γειά σου Κόσμε",
  "שָׁלוֹם עולם مرحبا نमस्ते दुनिया ภาษาไทย",
  "🙂 hello🙂world 👩\u200d👩\u200d👧 🇨🇭 👍🏽",
  "hel\u0000lo \u0001wor\u0007ld\u007f \ufffd\uf0b7 hello",
  "hello\u200bworld\u00a0soft\u00adhyphen\ufeff wide\u3000space",
  "line\u2028separator\u2029paragraph \u0085next",
  "… ™ x²+y²≠z² ½ ℵ Ⅷ ①",
  "!?.,;:-()[]{}\"'`~@#$%^&*_+=|\\/<>",
  "a" * 100,
  "a" * 101,
  "ก" * 34,
  "ก" * 100,
  "ก" * 101,
  "é" * 60,
  "e\u0301" * 60,
]
WAYS = [
  {"lowercase": True, "strip_accents": None, "handle_chinese_chars": True},
  {"lowercase": True, "strip_accents": False, "handle_chinese_chars": True},
  {"lowercase": False, "strip_accents": None, "handle_chinese_chars": True},
  {"lowercase": False, "strip_accents": True, "handle_chinese_chars": True},
  {"lowercase": True, "strip_accents": None, "handle_chinese_chars": False},
]


def vocabulary() -> list[str]:
  """Returns the texts' characters, as they stand and as they are normalised."""
  text = "".join(TEXTS)
  forms = (
    text + text.lower() + unicodedata.normalize("NFD", text + text.lower())
  )
  letters = sorted({c for c in forms if c.strip() and c.isprintable()})
  words = ["hello", "world", "##world", "##lo"]
  rest = itertools.chain(letters, (f"##{c}" for c in letters), words)
  return SPECIAL_TOKENS + list(rest)


def main() -> None:
  """Writes the file."""
  import tokenizers

  tokens = vocabulary()
  ids = []
  for way in WAYS:
    tokenizer = tokenizers.BertWordPieceTokenizer(
      {token: i for i, token in enumerate(tokens)}, **way
    )
    ids.append(
      [tokenizer.encode(t, add_special_tokens=False).ids for t in TEXTS]
    )
  content = {
    "tokenizers": tokenizers.__version__,
    "vocabulary": tokens,
    "texts": TEXTS,
    "ways": WAYS,
    "ids": ids,
  }
  FILE.write_text(json.dumps(content, ensure_ascii=True) + "\n")


if __name__ == "__main__":
  main()
