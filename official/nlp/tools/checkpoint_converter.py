r"""Converts a text encoder's checkpoint, of any kind, to Model Garden's own.

  python -m official.nlp.tools.checkpoint_converter \
    --bert_config_file=/path/to/bert_config.json \
    --model_checkpoint_path=/path/to/hugging_face_folder \
    --converted_checkpoint_path=/tmp/converted/ckpt

Writes an object-based TF2 checkpoint of `encoder=` and, with `--with_mlm`, of
`masked_lm=`, from which Model Garden's training starts: its `init_checkpoint`.
An export needs no conversion.
"""

from absl import flags

from exporters.command_line import program

_BERT_CONFIG_FILE = flags.DEFINE(
  program.PathParser(),
  "bert_config_file",
  None,
  "A `bert_config.json` that describes the architecture. Set this or "
  "--encoder_config_file.",
)
_ENCODER_CONFIG_FILE = flags.DEFINE(
  program.PathParser(),
  "encoder_config_file",
  None,
  "A YAML file with an `EncoderConfig` that describes it.",
)
_CHECKPOINT = flags.DEFINE(
  program.PathParser(),
  "model_checkpoint_path",
  None,
  "The checkpoint, of any kind that `exporters.checkpoints` opens.",
)
_CONVERTED = flags.DEFINE(
  program.PathParser(),
  "converted_checkpoint_path",
  None,
  "The prefix of the files to write.",
)
_WITH_MLM = flags.DEFINE_bool(
  "with_mlm",
  False,
  "Whether to convert the masked language model's head as well.",
)


def convert(
  config, checkpoint_path: str, converted_path: str, *, with_mlm: bool = False
) -> None:
  """Converts a checkpoint.

  Args:
    config: The `EncoderConfig`.
    checkpoint_path: A checkpoint of any kind.
    converted_path: The prefix of the files to write.
    with_mlm: Whether to convert the masked language model's head as well.

  Raises:
    ExportError: The checkpoint can't be read, or does not fit the architecture.
  """
  from official.modeling import tf_utils
  from official.nlp.modeling import models
  import tensorflow as tf

  from exporters import checkpoints
  from exporters.text import encoders

  opened = checkpoints.open_checkpoint(checkpoint_path)
  with checkpoints.uninitialized():
    encoder = encoders.build(config, {"the checkpoint": opened.declared})
    items = {"encoder": encoder.model}
    if with_mlm:
      pretrainer = models.BertPretrainerV2(
        encoder.model,
        mlm_activation=tf_utils.get_activation(encoder.activation),
      )
      pretrainer(pretrainer.inputs)  # Creates the variables of the head.
      items = pretrainer.checkpoint_items
  checkpoints.restore(opened, items | {"model": encoder.model})
  tf.train.Checkpoint(**items).write(converted_path)


def main() -> None:
  """Converts what the flags describe."""
  program.prepare_tensorflow()
  from exporters.overlay import arguments
  from exporters.text import encoder_file

  arguments.require(
    model_checkpoint_path=_CHECKPOINT.value,
    converted_checkpoint_path=_CONVERTED.value,
  )
  file = arguments.require_one(
    bert_config_file=_BERT_CONFIG_FILE.value,
    encoder_config_file=_ENCODER_CONFIG_FILE.value,
  )
  config = encoder_file.read_encoder_file(file).config()
  convert(config, _CHECKPOINT.value, _CONVERTED.value, with_mlm=_WITH_MLM.value)


if __name__ == "__main__":
  program.run(main, modules=[__name__])
