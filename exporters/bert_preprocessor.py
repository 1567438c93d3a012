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

With a SentencePiece model (`sp_model_file`) instead of a vocabulary, tokens are
[batch, (pieces)]. ALBERT first strips diacritics, and offsets can't count the
bytes that this removes; so `tokenize_with_offsets` is published only if
`strip_diacritics` is False.
"""

if __name__ == "__main__":
  # The command starts here; the gin file imports this module by its name.
  from exporters.command_line import export_command

  export_command.run()

from collections.abc import Callable
import dataclasses
import functools
from typing import Any

import numpy as np
from official.nlp.modeling import layers
import tensorflow as tf
import tf_keras
from typing_extensions import override

from exporters import base
from exporters.errors import ExportError
from exporters.text import sentencepiece_model
from exporters.text import vocabulary

_SENTENCES = (
  np.array(["Hello, world!"]),
  np.array(["A preprocessor.", "", "Ångström & naïve façades — 東京, 🙂"]),
)
# What `bert_pack_inputs` takes: one or two segments, each of tokens, or of
# words that are lists of tokens.
_RAGGED = [
  [tf.RaggedTensorSpec([None] * (ragged_rank + 1), tf.int32)] * segments
  for ragged_rank in (1, 2)
  for segments in (1, 2)
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BertPreprocessorExporter(base.Exporter):
  """Publishes a preprocessor, which turns strings into an encoder's inputs.

  Attributes:
    vocab_file: The WordPiece vocabulary, or a folder that holds `vocab.txt`.
    sp_model_file: The SentencePiece model, instead of a vocabulary.
    do_lower_case: Whether to lower-case text and, with a vocabulary, also strip
      accents, as the encoder's training did.
    strip_diacritics: Whether to strip diacritics before SentencePiece, as
      ALBERT's training did.
    default_seq_length: The length of the encoder's inputs, unless a call of
      `bert_pack_inputs` sets another.
  """

  do_lower_case: bool
  vocab_file: vocabulary.VocabularyPath | None = None
  sp_model_file: base.FilePath | None = None
  strip_diacritics: bool = True
  default_seq_length: int = 128

  @override
  def build(self) -> base.Build:
    if self.default_seq_length < 3:
      raise ExportError(
        f"default_seq_length = {self.default_seq_length} leaves no room for a "
        "token between the first and the last one, which are special. Set it "
        "to 3 or more."
      )
    make_tokenizer = self._tokenizer_factory()
    tokenizer = make_tokenizer(tokenize_with_offsets=False)
    special_tokens = base.Published(
      function=lambda: {
        name: tf.constant(value, tf.int32)
        for name, value in tokenizer.get_special_tokens_dict().items()
      },
      training=False,
    )

    def pack(segments, seq_length):
      return layers.BertPackInputs.bert_pack_inputs(
        segments, seq_length, **_packing_ids(tokenizer)
      )

    tokenizers = {"tokenize": tokenizer}
    if self.vocab_file or not self.strip_diacritics:
      tokenizers["tokenize_with_offsets"] = make_tokenizer(
        tokenize_with_offsets=True
      )
    sub_objects = {
      name: dataclasses.replace(
        _on_sentences(_returning_lists(layer), layer),
        sub_objects={"get_special_tokens_dict": special_tokens},
      )
      for name, layer in tokenizers.items()
    }
    sub_objects["bert_pack_inputs"] = base.Published(
      function=pack,
      inputs=_RAGGED,
      training=False,
      hyperparameters={
        "seq_length": base.Hyperparameter(default=self.default_seq_length)
      },
      samples=_packing_samples(),
    )
    published = dataclasses.replace(
      _on_sentences(
        lambda sentences: pack(tokenizer(sentences), self.default_seq_length),
        tokenizer,
      ),
      sub_objects=sub_objects,
      api="text preprocessor",
    )
    return base.Build(published={"": published})

  def _tokenizer_factory(self) -> Callable[..., tf_keras.layers.Layer]:
    """Returns a function of `tokenize_with_offsets` that makes a tokenizer."""
    if self.vocab_file and not self.sp_model_file:
      return functools.partial(
        layers.BertTokenizer,
        vocab_file=vocabulary.read_vocabulary(self.vocab_file).asset(),
        lower_case=self.do_lower_case,
      )
    if self.sp_model_file and not self.vocab_file:
      return functools.partial(
        layers.SentencepieceTokenizer,
        model_file_path=sentencepiece_model.read(self.sp_model_file).asset(),
        lower_case=self.do_lower_case,
        strip_diacritics=self.strip_diacritics,
      )
    raise ExportError("Set exactly one of vocab_file and sp_model_file.")


def _returning_lists(layer: tf_keras.layers.Layer) -> Callable[..., Any]:
  """Returns `layer`, but with lists in place of its tuples.

  The preprocessors that Model Garden has published return lists.
  """

  def call(sentences):
    outputs = layer(sentences)
    return list(outputs) if isinstance(outputs, tuple) else outputs

  return call


def _on_sentences(
  function: Callable[..., Any], tokenizer: tf_keras.layers.Layer
) -> base.Published:
  return base.Published(
    function=function,
    inputs=[tf.TensorSpec([None], tf.string, name="sentences")],
    training=False,
    trackables={"tokenizer": tokenizer},
    samples=_SENTENCES,
  )


def _packing_ids(tokenizer: tf_keras.layers.Layer) -> dict[str, int]:
  ids = tokenizer.get_special_tokens_dict()
  names = ("start_of_sequence_id", "end_of_segment_id", "padding_id")
  return {name: ids[name] for name in names}


def _packing_samples() -> list[list[tf.RaggedTensor]]:
  tokens = tf.ragged.constant([[5, 6, 7], [], [8] * 300], tf.int32)
  words = tf.ragged.constant(
    [[[5, 6], [7]], [], [[8] * 200, [9] * 200]], tf.int32, ragged_rank=2
  )
  return [[tokens], [tokens, tokens], [words], [words, words]]
