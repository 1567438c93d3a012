r"""Exports the text preprocessor of a BERT or an ALBERT.

  python -m exporters.bert_preprocessor \
    --gin_file=configs/bert/bert_en_uncased_preprocess.gin \
    --gin_bindings="VOCAB_FILE = '/path/to/vocab.txt'" \
    --export_path=/tmp/bert_en_uncased_preprocess

What is published follows
https://www.tensorflow.org/hub/common_saved_model_apis/text, for preprocessors.
Consumers import `tensorflow_text` before they load it:

  preprocess = hub.load("/tmp/bert_en_uncased_preprocess")
  preprocess(sentences)  # string [batch] to the encoder's dict of int32
                         # [batch, seq_length]
  tokens = preprocess.tokenize(sentences)  # Ragged [batch, (words), (pieces)]
  preprocess.bert_pack_inputs([tokens, more_tokens], seq_length=64)
  preprocess.tokenize_with_offsets(sentences)  # Tokens, start and limit bytes
  preprocess.tokenize.get_special_tokens_dict()  # Scalars, such as mask_id

Text is split as in the model's training: by google-research's tokenizer, or as
the files beside the vocabulary say, those of Hugging Face's folders. Every
export is compared with that code, which runs in Python.

With a SentencePiece model (`sp_model_file`) instead of a vocabulary, tokens are
[batch, (pieces)]. ALBERT first strips diacritics, and offsets can't count the
bytes that this removes; so `tokenize_with_offsets` is published only if
`strip_diacritics` is False.
"""

if __name__ == "__main__":
  # The command starts here; the gin file imports this module by its name.
  from exporters.command_line import export_command

  export_command.run()

import dataclasses
import functools

import numpy as np
from official.nlp.modeling import layers
import tensorflow as tf
from typing_extensions import override

from exporters import base
from exporters.errors import ExportError
from exporters.text import facts
from exporters.text import python_preprocessor
from exporters.text import sample_text
from exporters.text import sentencepiece_model
from exporters.text import sentencepiece_source
from exporters.text import tokenizer_files
from exporters.text import vocabulary
from exporters.text import wordpiece_source
from exporters.text.sentencepiece_source import SentencePieceSource
from exporters.text.wordpiece_source import WordPieceSource

# What `bert_pack_inputs` takes: one or two segments, each of tokens, or of
# words that are lists of tokens.
_RAGGED = [
  [tf.RaggedTensorSpec([None] * (ragged_rank + 1), tf.int32)] * segments
  for ragged_rank in (1, 2)
  for segments in (1, 2)
]
_PACKING_IDS = ("start_of_sequence_id", "end_of_segment_id", "padding_id")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BertPreprocessorExporter(base.Exporter):
  """Publishes a preprocessor, which turns strings into an encoder's inputs.

  What lies beside the vocabulary must not contradict these fields; see
  `exporters.text.tokenizer_files`.

  Attributes:
    vocab_file: The WordPiece vocabulary, or a folder that holds `vocab.txt` or
      `tokenizer.json`.
    sp_model_file: The SentencePiece model, instead of a vocabulary.
    do_lower_case: Whether to lower-case text, as the encoder's training did.
    strip_accents: With a vocabulary, whether to strip accents. None: as the
      files beside it say; else if text is lower-cased, as in BERT.
    tokenize_chinese_chars: With a vocabulary, whether each Chinese character is
      a word. None: as the files beside it say; else they are, as in BERT.
    max_letters_per_word: With a vocabulary, the most letters of a word; a
      longer one is unknown. None: as the files beside it say; else 100 in a
      folder of Hugging Face's, and google-research's 200 in any other.
    strip_diacritics: With a SentencePiece model, whether to strip diacritics,
      as ALBERT's training did.
    default_seq_length: The length of the encoder's inputs, unless a call of
      `bert_pack_inputs` sets another.
    sample_file: A UTF-8 text, such as the model is for. The summary then says
      which share of it became unknown tokens.
  """

  do_lower_case: bool
  vocab_file: vocabulary.VocabularyPath | None = None
  sp_model_file: sentencepiece_model.ModelPath | None = None
  strip_accents: bool | None = None
  tokenize_chinese_chars: bool | None = None
  max_letters_per_word: int | None = None
  strip_diacritics: bool = True
  default_seq_length: int = 128
  sample_file: base.FilePath | None = None

  @override
  def build(self) -> base.Build:
    if self.default_seq_length < 3:
      raise ExportError(
        f"default_seq_length = {self.default_seq_length} leaves no room for a "
        "token between the first and the last one, which are special. Set it "
        "to 3 or more."
      )
    source = self._source()
    tokenizer_files.refuse(source.foreign)
    facts.refuse_longer(self.default_seq_length, source.lengths)
    tokenizer = source.tokenizer()
    ids = tokenizer.special_ids()
    packing_ids = {name: ids[name] for name in _PACKING_IDS}
    in_python = python_preprocessor.PythonPreprocessor(
      source.in_python(),
      words=source.words,
      special_ids=ids,
      seq_length=self.default_seq_length,
    )
    on_sentences = functools.partial(
      base.Published,
      inputs=[tf.TensorSpec([None], tf.string, name="sentences")],
      training=False,
      trackables={"tokenizer": tokenizer},
      samples=[np.array(texts) for texts in source.samples()],
    )

    def special_tokens():
      return {name: tf.constant(id_, tf.int32) for name, id_ in ids.items()}

    def pack(segments, seq_length):
      return layers.BertPackInputs.bert_pack_inputs(
        segments, seq_length, **packing_ids
      )

    def preprocess(sentences):
      return pack(tokenizer.tokenize(sentences), self.default_seq_length)

    names = ["tokenize"]
    if tokenizer.has_offsets:
      names.append("tokenize_with_offsets")
    special = base.Published(function=special_tokens, training=False)
    sub_objects = {
      name: on_sentences(
        function=getattr(tokenizer, name),
        reference=getattr(in_python, name),
        sub_objects={"get_special_tokens_dict": special},
      )
      for name in names
    }
    sub_objects["bert_pack_inputs"] = base.Published(
      function=pack,
      inputs=_RAGGED,
      training=False,
      hyperparameters={
        "seq_length": base.Hyperparameter(default=self.default_seq_length)
      },
      samples=_packing_samples(),
      reference=in_python.bert_pack_inputs,
    )
    published = on_sentences(
      function=preprocess,
      sub_objects=sub_objects,
      api="text preprocessor",
      reference=in_python,
      remarks=self._remarks(source),
    )
    return base.Build(published={"": published})

  def _source(self) -> WordPieceSource | SentencePieceSource:
    """Returns the facts about the vocabulary, and what comes of text by it."""
    if bool(self.vocab_file) == bool(self.sp_model_file):
      raise ExportError("Set exactly one of vocab_file and sp_model_file.")
    stated = {"do_lower_case": self.do_lower_case}
    if self.sp_model_file:
      return sentencepiece_source.read(
        sp_model_file=self.sp_model_file,
        stated=stated | {"strip_diacritics": self.strip_diacritics},
      )
    switches = ("strip_accents", "tokenize_chinese_chars")
    for name in (*switches, "max_letters_per_word"):
      if getattr(self, name) is not None:
        stated[name] = getattr(self, name)
    source = wordpiece_source.read(vocab_file=self.vocab_file, stated=stated)
    if source is None:
      raise ExportError(f"There is no vocabulary at '{self.vocab_file}'.")
    return source

  def _remarks(
    self, source: WordPieceSource | SentencePieceSource
  ) -> list[str]:
    remarks = source.remarks()
    if self.sample_file:
      remarks.append(
        sample_text.unknown_share(
          self.sample_file, source.in_python(), source.unknown_id
        )
      )
    return remarks


def _packing_samples() -> list[list[tf.RaggedTensor]]:
  tokens = tf.ragged.constant([[5, 6, 7], [], [8] * 300], tf.int32)
  words = tf.ragged.constant(
    [[[5, 6], [7]], [], [[8] * 200, [9] * 200]], tf.int32, ragged_rank=2
  )
  return [[tokens], [tokens, tokens], [words], [words, words]]
