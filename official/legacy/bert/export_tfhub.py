r"""Exports a legacy BERT with lists of inputs, with Model Garden's flags.

  python -m official.legacy.bert.export_tfhub \
    --bert_config_file=/path/to/bert_config.json \
    --model_checkpoint_path=/path/to/bert_model.ckpt \
    --vocab_file=/path/to/vocab.txt --export_path=/tmp/bert

For users who depend on the form of these models: [input_word_ids, input_mask,
input_type_ids] to [pooled_output, sequence_output], or with
`--model_type=squad` to [start_logits, end_logits]. Export new models with
`exporters.bert`: they take and return dicts.
"""

from __future__ import annotations

import typing

from absl import flags

from exporters.command_line import program

if typing.TYPE_CHECKING:
  from official.legacy.bert import configs
  import tf_keras

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
  "The checkpoint, of any kind.",
)
_EXPORT_PATH = flags.DEFINE(
  program.PathParser(), "export_path", None, "The directory to write."
)
_VOCAB_FILE = flags.DEFINE(
  program.PathParser(), "vocab_file", None, "The vocabulary."
)
_DO_LOWER_CASE = flags.DEFINE_bool(
  "do_lower_case",
  None,
  "Whether text was lower-cased for training. If not set, the vocabulary's "
  "tokens tell.",
)
_MODEL_TYPE = flags.DEFINE_enum(
  "model_type", "encoder", ["encoder", "squad"], "What to export."
)
_CHECKS = program.define_checks()


def create_bert_model(
  bert_config: configs.BertConfig,
) -> tuple[tf_keras.Model, tf_keras.Model]:
  """Returns a model with lists of inputs and outputs, and its encoder."""
  from official.legacy.bert import bert_models
  import tf_keras

  from exporters.text.encoder_types import INPUTS

  encoder = bert_models.get_transformer_encoder(
    bert_config, sequence_length=None
  )
  inputs = [
    tf_keras.layers.Input((None,), dtype="int32", name=name) for name in INPUTS
  ]
  sequence_output, pooled_output = encoder(inputs)
  return tf_keras.Model(inputs, [pooled_output, sequence_output]), encoder


def export_bert_tfhub(
  bert_config: configs.BertConfig,
  model_checkpoint_path: str,
  hub_destination: str,
  vocab_file: str,
  do_lower_case: bool | None = None,
  *,
  level: str = "none",
) -> None:
  """Restores an encoder and exports it.

  Args:
    bert_config: The architecture.
    model_checkpoint_path: A checkpoint of any kind.
    hub_destination: Where the SavedModel appears.
    vocab_file: The vocabulary.
    do_lower_case: Whether text was lower-cased for training. None: the
      vocabulary's tokens tell.
    level: Which checks a fresh process makes.
  """
  model, encoder = create_bert_model(bert_config)
  _export(
    model,
    {"model": encoder, "encoder": encoder},
    ("pooled_output", "sequence_output"),
    model_checkpoint_path,
    hub_destination,
    vocab_file,
    do_lower_case,
    level,
  )


def export_bert_squad_tfhub(
  bert_config: configs.BertConfig,
  model_checkpoint_path: str,
  hub_destination: str,
  vocab_file: str,
  do_lower_case: bool | None = None,
  *,
  level: str = "none",
) -> None:
  """Restores a model for question answering and exports it.

  See `export_bert_tfhub` for the arguments.
  """
  from official.legacy.bert import bert_models

  model, _ = bert_models.squad_model(bert_config, max_seq_length=None)
  _export(
    model,
    {"model": model},
    ("start_logits", "end_logits"),
    model_checkpoint_path,
    hub_destination,
    vocab_file,
    do_lower_case,
    level,
    # The logits don't depend on the encoder's pooler.
    trainable="^(?!pooler_transform/)",
  )


def _export(
  model,
  restored,
  outputs,
  checkpoint,
  path,
  vocab_file,
  do_lower_case,
  level,
  trainable=None,
) -> None:
  from exporters.overlay import arguments
  from exporters.overlay import garden_exporters

  if do_lower_case is None:
    do_lower_case = garden_exporters.lower_case_of(vocab_file)
    arguments.note(
      f"do_lower_case = {do_lower_case}, by the tokens in '{vocab_file}', not "
      "by its name; set --do_lower_case to state it."
    )
  garden_exporters.export(
    garden_exporters.ListExporter(
      checkpoint=checkpoint,
      model=model,
      restored=restored,
      outputs=outputs,
      vocab_file=vocab_file,
      do_lower_case=do_lower_case,
      trainable=trainable,
    ),
    path,
    level,
  )


def main() -> None:
  """Exports what the flags describe."""
  program.prepare_tensorflow()
  from official.legacy.bert import configs

  from exporters.overlay import arguments

  arguments.require(
    bert_config_file=_BERT_CONFIG_FILE.value,
    model_checkpoint_path=_CHECKPOINT.value,
    export_path=_EXPORT_PATH.value,
    vocab_file=_VOCAB_FILE.value,
  )
  arguments.note(
    "export new models with `python -m exporters.bert`: they take and return "
    "dicts."
  )
  export = {"encoder": export_bert_tfhub, "squad": export_bert_squad_tfhub}
  export[_MODEL_TYPE.value](
    configs.BertConfig.from_json_file(_BERT_CONFIG_FILE.value),
    _CHECKPOINT.value,
    _EXPORT_PATH.value,
    _VOCAB_FILE.value,
    _DO_LOWER_CASE.value,
    level=_CHECKS.value,
  )


if __name__ == "__main__":
  program.run(main, modules=[__name__])
