r"""Exports MobileBERT and its `.mlm`, with Model Garden's flags.

  python -m official.projects.mobilebert.export_tfhub \
    --bert_config_file=/path/to/bert_config.json \
    --model_checkpoint_path=/path/to/mobilebert.ckpt \
    --vocab_file=/path/to/vocab.txt --export_path=/tmp/mobilebert

The model is that of `exporters.bert`, with the head of this architecture.
"""

from typing import Any

from absl import flags

from exporters.command_line import program

_BERT_CONFIG_FILE = flags.DEFINE(
  program.PathParser(),
  "bert_config_file",
  None,
  "The JSON file that describes the architecture.",
)
_CHECKPOINT = flags.DEFINE(
  program.PathParser(),
  "model_checkpoint_path",
  None,
  "The pretrainer's checkpoint, of any kind.",
)
_EXPORT_PATH = flags.DEFINE(
  program.PathParser(), "export_path", None, "The directory to write."
)
_VOCAB_FILE = flags.DEFINE(
  program.PathParser(), "vocab_file", None, "The vocabulary."
)
_DO_LOWER_CASE = flags.DEFINE_bool(
  "do_lower_case", True, "Whether text was lower-cased for training."
)
_CHECKS = program.define_checks()

# Pairs of `BertConfig`'s and `MobileBertEncoderConfig`'s name of a field.
_FIELDS = (
  ("vocab_size", "word_vocab_size"),
  ("embedding_size", "word_embed_size"),
  ("type_vocab_size", "type_vocab_size"),
  ("max_position_embeddings", "max_sequence_length"),
  ("num_hidden_layers", "num_blocks"),
  ("hidden_size", "hidden_size"),
  ("num_attention_heads", "num_attention_heads"),
  ("intermediate_size", "intermediate_size"),
  ("hidden_act", "hidden_activation"),
  ("hidden_dropout_prob", "hidden_dropout_prob"),
  ("attention_probs_dropout_prob", "attention_probs_dropout_prob"),
  ("intra_bottleneck_size", "intra_bottleneck_size"),
  ("initializer_range", "initializer_range"),
  ("use_bottleneck_attention", "use_bottleneck_attention"),
  ("key_query_shared_bottleneck", "key_query_shared_bottleneck"),
  ("num_feedforward_networks", "num_feedforward_networks"),
  ("normalization_type", "normalization_type"),
  ("classifier_activation", "classifier_activation"),
)


def export_bert_tfhub(
  bert_config: Any,
  model_checkpoint_path: str,
  hub_destination: str,
  vocab_file: str,
  do_lower_case: bool,
  *,
  level: str = "none",
) -> None:
  """Restores a pretrainer and exports its encoder with `.mlm`.

  Args:
    bert_config: A `BertConfig` of `official.projects.mobilebert.model_utils`.
    model_checkpoint_path: The pretrainer's checkpoint, of any kind.
    hub_destination: Where the SavedModel appears.
    vocab_file: The vocabulary.
    do_lower_case: Whether text was lower-cased for training.
    level: Which checks a fresh process makes.
  """
  from official.nlp.configs import encoders

  from exporters.overlay import garden_exporters

  fields = encoders.MobileBertEncoderConfig(
    **{theirs: getattr(bert_config, ours) for ours, theirs in _FIELDS}
  )
  garden_exporters.export(
    garden_exporters.MobileBertExporter(
      checkpoint=model_checkpoint_path,
      encoder=encoders.EncoderConfig(type="mobilebert", mobilebert=fields),
      vocab_file=vocab_file,
      do_lower_case=do_lower_case,
      with_mlm=True,
    ),
    hub_destination,
    level,
  )


def main() -> None:
  """Exports what the flags describe."""
  program.prepare_tensorflow()
  from official.projects.mobilebert import model_utils

  from exporters.overlay import arguments

  arguments.require(
    bert_config_file=_BERT_CONFIG_FILE.value,
    model_checkpoint_path=_CHECKPOINT.value,
    export_path=_EXPORT_PATH.value,
    vocab_file=_VOCAB_FILE.value,
  )
  export_bert_tfhub(
    model_utils.BertConfig.from_json_file(_BERT_CONFIG_FILE.value),
    _CHECKPOINT.value,
    _EXPORT_PATH.value,
    _VOCAB_FILE.value,
    _DO_LOWER_CASE.value,
    level=_CHECKS.value,
  )


if __name__ == "__main__":
  program.run(main, modules=[__name__])
