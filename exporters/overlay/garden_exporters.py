"""What the commands at Model Garden's own paths export.

The modules below `official/` have its flags and its functions, and export by
`exporters.life_cycle`. Where Model Garden's output was wrong, theirs is right,
and a line on standard error says what is different.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import re
from typing import Any

import numpy as np
from official.nlp.configs import encoders
from official.nlp.modeling import layers
import tensorflow as tf
import tf_keras

from exporters import base
from exporters import bert
from exporters import checkpoints
from exporters import checks
from exporters.checkpoints.encoder_fields import bert_name
from exporters.errors import ExportError
from exporters.life_cycle import exporting
from exporters.saved_model import assets
from exporters.text.encoder_types import INPUTS
from exporters.vision import images

_ANY_UPPER_CASE = re.compile(r"^(?!\[).*[A-Z]", re.M)


def export(
  exporter: base.Exporter, export_path: str, level: str = checks.NONE
) -> exporting.Export:
  """Exports, and replaces what is at `export_path`, as Model Garden does.

  Functions leave out the checks of a fresh process; commands make them.
  """
  return exporting.export(
    exporter, export_path=export_path, overwrite=True, level=level
  )


def lower_case_of(vocab_file: str) -> bool:
  """Returns whether a vocabulary is of lower-cased text, told by its tokens."""
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
  """A vocabulary that travels with the model, whatever is in it."""

  def __init__(self, path: str):
    with tf.io.gfile.GFile(path, "rb") as f:
      self._content = f.read()
    self._name = path.rpartition("/")[2]

  def require_size(self, embeddings: int) -> None:
    """Takes any."""

  def asset(self) -> str:
    """Returns a path to the content that depends on nothing but it."""
    return assets.asset(self._content, "vocabulary", self._name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GardenBertExporter(bert.BertExporter):
  """Publishes an encoder, and its vocabulary unread."""

  def build(self) -> base.Build:
    build = super().build()
    if not self.sp_model_file:
      return build
    # Model Garden states it for vocabularies alone.
    published = dataclasses.replace(build.published[""], constants={})
    return dataclasses.replace(build, published={"": published})

  def _tokens(self):
    if bool(self.vocab_file) == bool(self.sp_model_file):
      raise ExportError("Set one of vocab_file and sp_model_file.")
    if self.vocab_file:
      return "vocab_file", UnreadFile(self.vocab_file)
    return "sp_model_file", UnreadFile(self.sp_model_file)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MobileBertExporter(GardenBertExporter):
  """Publishes a MobileBERT whose head is as wide as its layers."""

  masked_lm_layer = layers.MobileBertMaskedLM


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListExporter(base.CheckpointExporter):
  """Publishes a Keras model of int32 [batch, seq_length] in a list.

  Attributes:
    model: From a list of inputs to a list of outputs.
    restored: What the checkpoint holds of it, by name.
    outputs: The signature's names of the outputs.
    vocab_file: The vocabulary, which travels unread.
    do_lower_case: Whether text was lower-cased for training.
  """

  model: tf_keras.Model
  restored: Mapping[str, tf_keras.Model]
  outputs: Sequence[str]
  vocab_file: base.FilePath
  do_lower_case: bool

  def build(self) -> base.Build:
    model = self.model
    published = base.Published(
      function=lambda inputs, training: model(inputs, training=training),
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
class ImageFolders(base.CheckpointExporter):
  """Publishes what another exporter does, as Model Garden's commands did.

  Attributes:
    exporter: The other one.
    probabilities: Whether a classifier gives these in place of logits.
  """

  exporter: images.ImageExporter
  probabilities: bool = False
  checkpoint: str = ""

  def __post_init__(self):
    object.__setattr__(self, "checkpoint", self.exporter.checkpoint)
    super().__post_init__()

  @property
  def opened(self) -> checkpoints.Checkpoint:
    return self.exporter.opened

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
    reference=_softmax_of(published.reference),
    outputs=("probabilities", "default"),
  )


def _softmax_of(function: Callable[..., Any]) -> Callable[..., Any]:
  return lambda images, training: tf.nn.softmax(
    function(images, training=training)
  )
