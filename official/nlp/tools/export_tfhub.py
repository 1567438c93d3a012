r"""Exports a text encoder or its preprocessor, with Model Garden's flags.

  python -m official.nlp.tools.export_tfhub \
    --encoder_config_file=${BERT_DIR:?}/bert_encoder.yaml \
    --model_checkpoint_path=${BERT_DIR:?}/bert_model.ckpt \
    --vocab_file=${BERT_DIR:?}/vocab.txt \
    --export_type=model \
    --export_path=/tmp/bert_model

`exporters.bert` and `exporters.bert_preprocessor` say what is published.
"""

from absl import flags

from exporters.command_line import program

_EXPORT_TYPE = flags.DEFINE_enum(
  "export_type",
  "model",
  ["model", "model_with_mlm", "preprocessing"],
  "What to export: an encoder, an encoder with `.mlm`, or a preprocessor.",
)
_EXPORT_PATH = flags.DEFINE(
  program.PathParser(), "export_path", None, "The directory to write."
)
_ENCODER_CONFIG_FILE = flags.DEFINE(
  program.PathParser(),
  "encoder_config_file",
  None,
  "A YAML file with the `EncoderConfig` of a model. Set this or "
  "--bert_config_file.",
)
_BERT_CONFIG_FILE = flags.DEFINE(
  program.PathParser(),
  "bert_config_file",
  None,
  "A legacy `bert_config.json` of a model.",
)
_COPY_POOLER = flags.DEFINE_bool(
  "copy_pooler_dense_to_encoder",
  False,
  "Publish the pooler of the next sentence head, which `BertPretrainerV2` "
  "trains in place of the encoder's own.",
)
_CHECKPOINT = flags.DEFINE(
  program.PathParser(),
  "model_checkpoint_path",
  None,
  "The checkpoint, of any kind that `exporters.checkpoints` opens.",
)
_VOCAB_FILE = flags.DEFINE(
  program.PathParser(),
  "vocab_file",
  None,
  "The WordPiece vocabulary. Set this or --sp_model_file.",
)
_SP_MODEL_FILE = flags.DEFINE(
  program.PathParser(), "sp_model_file", None, "The SentencePiece model."
)
_DO_LOWER_CASE = flags.DEFINE_bool(
  "do_lower_case",
  None,
  "Whether text was lower-cased for training. If not set, the vocabulary's "
  "tokens tell.",
)
_DEFAULT_SEQ_LENGTH = flags.DEFINE_integer(
  "default_seq_length", 128, "The length of a preprocessor's outputs."
)
_TOKENIZE_WITH_OFFSETS = flags.DEFINE_bool(
  "tokenize_with_offsets",
  False,
  "Whether to publish a preprocessor's `.tokenize_with_offsets`.",
)
_GIN_FILE = flags.DEFINE_multi(
  program.PathParser(),
  flags.ArgumentSerializer(),
  "gin_file",
  None,
  "Gin files for Model Garden's own configurables.",
)
_GIN_PARAMS = flags.DEFINE_multi_string(
  "gin_params", None, "Further lines of gin."
)
_DISABLE_ASSERT = flags.DEFINE_bool(
  "experimental_disable_assert_in_preprocessing",
  False,
  "Leave Assert operations out of a preprocessor, for TPU workers with "
  "TensorFlow 2.4.",
)
_CHECKS = program.define_checks()


def main() -> None:
  """Exports what the flags describe."""
  program.prepare_tensorflow()
  import gin
  from official.nlp.tools import export_tfhub_lib

  from exporters.overlay import arguments

  gin.parse_config_files_and_bindings(_GIN_FILE.value, _GIN_PARAMS.value)
  arguments.require(export_path=_EXPORT_PATH.value)
  tokens = {
    "vocab_file": _VOCAB_FILE.value,
    "sp_model_file": _SP_MODEL_FILE.value,
  }
  arguments.require_one(**tokens)
  do_lower_case = export_tfhub_lib.get_do_lower_case(
    _DO_LOWER_CASE.value, **tokens
  )
  if _EXPORT_TYPE.value == "preprocessing":
    export_tfhub_lib.export_preprocessing(
      _EXPORT_PATH.value,
      **tokens,
      do_lower_case=do_lower_case,
      tokenize_with_offsets=_TOKENIZE_WITH_OFFSETS.value,
      default_seq_length=_DEFAULT_SEQ_LENGTH.value,
      experimental_disable_assert=_DISABLE_ASSERT.value,
      level=_CHECKS.value,
    )
    return
  arguments.require(model_checkpoint_path=_CHECKPOINT.value)
  export_tfhub_lib.export_model(
    _EXPORT_PATH.value,
    **_config(),
    **tokens,
    model_checkpoint_path=_CHECKPOINT.value,
    with_mlm=_EXPORT_TYPE.value == "model_with_mlm",
    copy_pooler_dense_to_encoder=_COPY_POOLER.value,
    do_lower_case=do_lower_case,
    level=_CHECKS.value,
  )


def _config():
  """Returns the argument of `export_model` that describes the architecture."""
  from official.legacy.bert import configs

  from exporters.overlay import arguments
  from exporters.text import encoder_file

  file = arguments.require_one(
    bert_config_file=_BERT_CONFIG_FILE.value,
    encoder_config_file=_ENCODER_CONFIG_FILE.value,
  )
  if _BERT_CONFIG_FILE.value:
    return {"bert_config": configs.BertConfig.from_json_file(file)}
  return {"encoder_config": encoder_file.read_encoder_file(file).config()}


if __name__ == "__main__":
  program.run(main, modules=[__name__])
