"""The exporters behind the commands at Model Garden's own paths.

The modules below `official/` have Model Garden's flags and functions, and
export through `exporters.life_cycle`. They correct what was wrong in Model
Garden's output; a line on standard error says what is different.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import re
from typing import Any

import numpy as np
from official.nlp.configs import encoders
from official.nlp.modeling import layers
import sentencepiece
import tensorflow as tf
import tf_keras
from typing_extensions import override

from exporters import base
from exporters import bert
from exporters import checkpoints
from exporters import checks
from exporters.checkpoints.encoder_fields import bert_name
from exporters.errors import ExportError
from exporters.life_cycle import exporting
from exporters.saved_model import assets
from exporters.text.encoder_exporter import Tokens
from exporters.text.encoder_types import INPUTS
from exporters.text.sentencepiece_model import SentencePieceModel
from exporters.text.vocabulary import Vocabulary
from exporters.vision import images

_ANY_UPPER_CASE = re.compile(r"^(?!\[).*[A-Z]", re.M)


def export(
  exporter: base.Exporter, export_path: str, level: str = checks.NONE
) -> exporting.Export:
  """Exports, and replaces what is at `export_path`, as Model Garden does.

  Args:
    exporter: What to export.
    export_path: Where the SavedModel appears.
    level: Which checks a fresh process makes. Model Garden's functions make
      none unless told to; the commands make all.
  """
  return exporting.export(
    exporter, export_path=export_path, overwrite=True, level=level
  )


def lower_case_of(vocab_file: str) -> bool:
  """Tells by a vocabulary's tokens whether its text was lower-cased."""
  with tf.io.gfile.GFile(vocab_file) as f:
    return not _ANY_UPPER_CASE.search(f.read())


def encoder_config(bert_config: Any) -> encoders.EncoderConfig:
  """Returns the `EncoderConfig` for a legacy `BertConfig`."""
  names = {f.name for f in dataclasses.fields(encoders.BertEncoderConfig)}
  values = {
    bert_name(name): value for name, value in bert_config.to_dict().items()
  }
  return encoders.EncoderConfig(
    type="bert",
    bert=encoders.BertEncoderConfig(
      **{name: value for name, value in values.items() if name in names}
    ),
  )


class UnreadFile:
  """A vocabulary that is published without a look at what is in it.

  It has what `BertExporter` asks of a `WordPieceSource`.
  """

  foreign = ()

  def __init__(self, path: str):
    with tf.io.gfile.GFile(path, "rb") as f:
      self._content = f.read()
    self._name = path.rpartition("/")[2]

  def require_size(self, embeddings: int) -> list[str]:
    """Accepts any number of embeddings."""
    del embeddings
    return []

  def asset(self) -> str:
    """Returns a path to the content that depends only on the content."""
    return assets.asset(self._content, "vocabulary", self._name)

  def as_json(self) -> None:
    """Says nothing of how text is split."""


class _UnreadVocabulary(Vocabulary):
  """A vocabulary whose asset keeps the name of its file."""

  @override
  def asset(self) -> str:
    return UnreadFile(self.path).asset()


def unread_vocabulary(path: str) -> Vocabulary:
  """Returns a vocabulary, whatever is in it."""
  with tf.io.gfile.GFile(path, "rb") as f:
    content = f.read()
  tokens = content.decode(errors="replace").removesuffix("\n").split("\n")
  return _UnreadVocabulary(path=path, content=content, tokens=tuple(tokens))


def unread_sentencepiece_model(path: str) -> SentencePieceModel:
  """Returns a SentencePiece model, whatever pieces it has."""
  with tf.io.gfile.GFile(path, "rb") as f:
    content = f.read()
  processor = sentencepiece.SentencePieceProcessor(model_proto=content)
  return SentencePieceModel(path=path, content=content, pieces=len(processor))


@dataclasses.dataclass(frozen=True, kw_only=True)
class GardenBertExporter(bert.BertExporter):
  """Publishes an encoder, and its vocabulary unread."""

  @override
  def build(self) -> base.Build:
    build = super().build()
    if not self.sp_model_file:
      return build
    # Model Garden publishes `do_lower_case` only with vocabularies.
    published = dataclasses.replace(build.published[""], constants={})
    return dataclasses.replace(build, published={"": published})

  @override
  def tokens(self) -> Tokens:
    if self.vocab_file and not self.sp_model_file:
      return Tokens(name="vocab_file", source=UnreadFile(self.vocab_file))
    if self.sp_model_file and not self.vocab_file:
      return Tokens(name="sp_model_file", source=UnreadFile(self.sp_model_file))
    raise ExportError("Set exactly one of vocab_file and sp_model_file.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MobileBertExporter(GardenBertExporter):
  """Publishes a MobileBERT whose head is as wide as its layers."""

  masked_lm_layer = layers.MobileBertMaskedLM


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListExporter(base.CheckpointExporter):
  """Publishes a Keras text model whose inputs and outputs are lists.

  Attributes:
    model: Takes a list of int32 [batch, seq_length], in the order of
      `encoder_types.INPUTS`; returns a list.
    restored: The models that the checkpoint holds, by the names there.
    outputs: The signature's names of the outputs.
    vocab_file: The vocabulary, which is published unread.
    do_lower_case: Whether text was lower-cased for training.
  """

  model: tf_keras.Model
  restored: Mapping[str, tf_keras.Model]
  outputs: Sequence[str]
  vocab_file: base.FilePath
  do_lower_case: bool

  @override
  def build(self) -> base.Build:
    model = self.model

    def whole(inputs, training):
      return model(inputs, training=training)

    published = base.Published(
      function=whole,
      reference=whole,
      inputs=[[tf.TensorSpec([None, None], tf.int32, name) for name in INPUTS]],
      outputs=self.outputs,
      variables=model.variables,
      trainable_variables=model.trainable_variables,
      constants={"do_lower_case": self.do_lower_case},
      assets={"vocab_file": UnreadFile(self.vocab_file).asset()},
      samples=[
        [np.full([batch, length], i, np.int32) for i in (5, 1, 0)]
        for batch, length in ((1, 16), (3, 24))
      ],
    )
    return base.Build(restores=[self.restored], published={"": published})


@dataclasses.dataclass(frozen=True, kw_only=True)
class OfAnother(base.CheckpointExporter):
  """Publishes what another exporter does, in another form.

  Attributes:
    exporter: The other exporter.
    checkpoint: Not to be set: it is that of the other exporter.
  """

  exporter: base.CheckpointExporter
  checkpoint: str = ""

  def __post_init__(self):
    object.__setattr__(self, "checkpoint", self.exporter.checkpoint)
    super().__post_init__()

  @property
  @override
  def opened(self) -> checkpoints.Checkpoint:
    return self.exporter.opened


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageFolders(OfAnother):
  """Publishes it in Model Garden's folders.

  Attributes:
    probabilities: Whether a classifier returns these instead of logits.
  """

  exporter: images.ImageExporter
  probabilities: bool = False

  @override
  def build(self) -> base.Build:
    build = self.exporter.build()
    published = dict(build.published)
    classifier = [images.CLASSIFICATION]
    if "" in published:
      # One artifact alone has no folder.
      classifier = [""] * (self.exporter.artifacts[0] == images.CLASSIFICATION)
    if self.probabilities:
      for name in classifier:
        published[name] = _with_softmax(published[name])
    if images.FEATURE_VECTOR in published:
      published["feature-vector"] = published.pop(images.FEATURE_VECTOR)
    return dataclasses.replace(build, published=published)


def _with_softmax(published: base.Published) -> base.Published:
  return dataclasses.replace(
    published,
    function=_softmax_of(published.function),
    reference=_softmax_of(published.reference or published.function),
    outputs=("probabilities", "default"),
    api=None,  # The image API asks for logits.
  )


def _softmax_of(function: Callable[..., Any]) -> Callable[..., Any]:
  return lambda images, training: tf.nn.softmax(
    function(images, training=training)
  )
