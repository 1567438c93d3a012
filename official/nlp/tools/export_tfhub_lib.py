"""Model Garden's functions that export text encoders, on `exporters`.

Their signatures are those of the module of this name in tf-models-official.
They write Reusable SavedModels through `exporters.bert` and
`exporters.bert_preprocessor`, and take vocabularies as they are.
"""

import contextlib
import dataclasses
import os
from typing import Any

from official.legacy.bert import configs
from official.modeling import tf_utils
from official.nlp.configs import encoders
from official.nlp.modeling import models
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

# Model Garden replaces the same function; it has no public name.
from tensorflow.python.ops import control_flow_assert
import tf_keras
from typing_extensions import override

from exporters import base
from exporters import bert_preprocessor
from exporters import checks
from exporters.overlay import arguments
from exporters.overlay import garden_exporters
from exporters.saved_model import reusable
from exporters.text import sentencepiece_source
from exporters.text import wordpiece_source


def get_bert_encoder(bert_config: configs.BertConfig) -> tf_keras.Model:
  """Builds the encoder of a legacy configuration, with a dict of outputs."""
  return encoders.build_encoder(garden_exporters.encoder_config(bert_config))


def get_do_lower_case(
  do_lower_case: bool | None,
  vocab_file: str | None = None,
  sp_model_file: str | None = None,
) -> bool:
  """Returns `do_lower_case`; if it is None, what the vocabulary's tokens tell.

  Raises:
    ValueError: None of the arguments is set.
  """
  if do_lower_case is not None:
    return do_lower_case
  if vocab_file:
    do_lower_case = garden_exporters.lower_case_of(vocab_file)
    arguments.note(
      f"do_lower_case = {do_lower_case}, by the tokens in '{vocab_file}', not "
      "by its name; set --do_lower_case to state it."
    )
    return do_lower_case
  if sp_model_file:
    # As in all ALBERTs that were published.
    arguments.note("do_lower_case = True, as for every ALBERT.")
    return True
  raise ValueError("Must set vocab_file or sp_model_file.")


def _create_model(
  *,
  bert_config: configs.BertConfig | None = None,
  encoder_config: encoders.EncoderConfig | None = None,
  with_mlm: bool,
) -> tuple[tf_keras.Model, Any]:
  """Returns the model to export, and the model to restore.

  With `with_mlm`, the model to export has an attribute `mlm`, another model.
  """
  config = _one_config(bert_config, encoder_config)
  encoder = encoders.build_encoder(config)
  inputs = _by_name(encoder.inputs)
  outputs = dict(encoder(inputs))
  outputs["default"] = outputs["pooled_output"]
  core = tf_keras.Model(inputs, outputs)
  if not with_mlm:
    return core, encoder
  activation = tf_utils.get_activation(config.get().hidden_activation)
  pretrainer = models.BertPretrainerV2(encoder, mlm_activation=activation)
  inputs = _by_name(pretrainer.inputs)
  mlm = tf_keras.Model(inputs, pretrainer(inputs))
  # An attribute, not a part of the model: its weights are not the core's.
  core._auto_track_sub_layers = False
  core.mlm = mlm
  return core, pretrainer


def _by_name(inputs: Any) -> dict[str, Any]:
  if isinstance(inputs, dict):
    return inputs
  return {tensor.name: tensor for tensor in inputs}


def _one_config(
  bert_config: configs.BertConfig | None,
  encoder_config: encoders.EncoderConfig | None,
) -> encoders.EncoderConfig:
  if (bert_config is None) == (encoder_config is None):
    raise ValueError(
      "Exactly one of `bert_config` and `encoder_config` can be specified, "
      f"but got {bert_config} and {encoder_config}"
    )
  return encoder_config or garden_exporters.encoder_config(bert_config)


def export_model(
  export_path: str,
  *,
  bert_config: configs.BertConfig | None = None,
  encoder_config: encoders.EncoderConfig | None = None,
  model_checkpoint_path: str,
  with_mlm: bool,
  copy_pooler_dense_to_encoder: bool = False,
  vocab_file: str | None = None,
  sp_model_file: str | None = None,
  do_lower_case: bool | None = None,
  level: str = checks.NONE,
) -> None:
  """Exports an encoder; see `exporters.bert` for what is published.

  Args:
    export_path: Where the SavedModel appears.
    bert_config: A legacy configuration.
    encoder_config: A configuration of any type, instead of a legacy one.
    model_checkpoint_path: A checkpoint of any kind.
    with_mlm: Whether to publish `.mlm`.
    copy_pooler_dense_to_encoder: Whether to publish the next sentence head's
      pooler in place of the encoder's own.
    vocab_file: The WordPiece vocabulary.
    sp_model_file: The SentencePiece model, instead of a vocabulary.
    do_lower_case: Whether text was lower-cased for training; required with a
      vocabulary.
    level: Which checks a fresh process makes.

  Raises:
    ValueError: The arguments don't fit together.
    ExportError: The model can't be exported.
  """
  config = _one_config(bert_config, encoder_config)
  if vocab_file and do_lower_case is None:
    raise ValueError("Must pass do_lower_case if passing vocab_file.")
  if not vocab_file and not sp_model_file:
    raise ValueError("Must set vocab_file or sp_model_file")
  garden_exporters.export(
    garden_exporters.GardenBertExporter(
      checkpoint=model_checkpoint_path,
      encoder=config,
      do_lower_case=bool(do_lower_case),
      vocab_file=vocab_file,
      # As in Model Garden, a vocabulary takes precedence.
      sp_model_file=None if vocab_file else sp_model_file,
      with_mlm=with_mlm,
      copy_pooler_dense_to_encoder=copy_pooler_dense_to_encoder,
    ),
    export_path,
    level,
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Preprocessor(bert_preprocessor.BertPreprocessorExporter):
  """Publishes a preprocessor, even if its vocabulary lacks special tokens."""

  with_offsets: bool

  @override
  def build(self) -> base.Build:
    build = super().build()
    root = build.published[""]
    sub_objects = dict(root.sub_objects)
    if not self.with_offsets:
      sub_objects.pop("tokenize_with_offsets", None)
    root = dataclasses.replace(root, sub_objects=sub_objects)
    return dataclasses.replace(build, published={"": root})

  @override
  def _source(self):
    if self.vocab_file:
      vocabulary = garden_exporters.unread_vocabulary(self.vocab_file)
      return wordpiece_source.of_google_research(
        vocabulary, lower_case=self.do_lower_case
      )
    return sentencepiece_source.SentencePieceSource(
      model=garden_exporters.unread_sentencepiece_model(self.sp_model_file),
      options={
        "lower_case": self.do_lower_case,
        "strip_diacritics": self.strip_diacritics,
      },
      lengths={},
    )


def _preprocessor(
  *,
  vocab_file: str | None,
  sp_model_file: str | None,
  do_lower_case: bool,
  tokenize_with_offsets: bool,
  default_seq_length: int,
) -> _Preprocessor:
  if bool(vocab_file) == bool(sp_model_file):
    raise ValueError("Must set exactly one of vocab_file, sp_model_file")
  return _Preprocessor(
    vocab_file=vocab_file,
    sp_model_file=sp_model_file,
    do_lower_case=do_lower_case,
    with_offsets=tokenize_with_offsets,
    default_seq_length=default_seq_length,
  )


def create_preprocessing(
  *,
  vocab_file: str | None = None,
  sp_model_file: str | None = None,
  do_lower_case: bool,
  tokenize_with_offsets: bool,
  default_seq_length: int,
) -> tf.train.Checkpoint:
  """Returns a preprocessor to call or to save with `tf.saved_model.save`.

  It has the attributes of an exported one: `tokenize`, `bert_pack_inputs` and,
  on request, `tokenize_with_offsets`. See `export_preprocessing` for the
  arguments.
  """
  exporter = _preprocessor(
    vocab_file=vocab_file,
    sp_model_file=sp_model_file,
    do_lower_case=do_lower_case,
    tokenize_with_offsets=tokenize_with_offsets,
    default_seq_length=default_seq_length,
  )
  return reusable.reusable(exporter.build().published[""])


def export_preprocessing(
  export_path: str,
  *,
  vocab_file: str | None = None,
  sp_model_file: str | None = None,
  do_lower_case: bool,
  tokenize_with_offsets: bool,
  default_seq_length: int,
  experimental_disable_assert: bool = False,
  level: str = checks.NONE,
) -> None:
  """Exports a preprocessor; see `exporters.bert_preprocessor`.

  Args:
    export_path: Where the SavedModel appears.
    vocab_file: The WordPiece vocabulary.
    sp_model_file: The SentencePiece model, instead of a vocabulary.
    do_lower_case: Whether to lower-case text.
    tokenize_with_offsets: Whether to publish `.tokenize_with_offsets`.
    default_seq_length: The length of its outputs.
    experimental_disable_assert: Whether to leave out Assert operations, which
      TensorFlow 2.4 places wrongly on TPU workers.
    level: Which checks a fresh process makes.

  Raises:
    ValueError: Not exactly one of the two files is set.
    ExportError: The preprocessor can't be exported.
    AssertionError: Assert operations are left in spite of the request.
  """
  exporter = _preprocessor(
    vocab_file=vocab_file,
    sp_model_file=sp_model_file,
    do_lower_case=do_lower_case,
    tokenize_with_offsets=tokenize_with_offsets,
    default_seq_length=default_seq_length,
  )
  with (
    _without_assert()
    if experimental_disable_assert
    else (contextlib.nullcontext())
  ):
    garden_exporters.export(exporter, export_path, level)
  if experimental_disable_assert:
    _check_no_assert(export_path)


@contextlib.contextmanager
def _without_assert():
  """Traces models without TensorFlow's own assertions."""
  asserting = control_flow_assert.Assert
  control_flow_assert.Assert = lambda *args, **kwargs: (
    None if tf.executing_eagerly() else tf.no_op()
  )
  try:
    yield
  finally:
    control_flow_assert.Assert = asserting


def _check_no_assert(saved_model_path: str) -> None:
  """Raises `AssertionError` if a SavedModel has Assert operations."""
  file = os.path.join(saved_model_path, "saved_model.pb")
  with tf.io.gfile.GFile(file, "rb") as f:
    proto = saved_model_pb2.SavedModel.FromString(f.read())
  graph = proto.meta_graphs[0].graph_def
  nodes = [*graph.node]
  for function in graph.library.function:
    nodes += function.node_def
  found = [node.name for node in nodes if node.op == "Assert"]
  if found:
    raise AssertionError(
      f"failed to suppress {len(found)} Assert ops in '{saved_model_path}', "
      f"such as {found[0]}"
    )
