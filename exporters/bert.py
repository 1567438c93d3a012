"""Exports BERT: a core model is published, a pretrainer is restored.

  python -m exporters.bert \\
    --gin_file=configs/bert/small_bert_en_uncased_L-2_H-128_A-2.gin \\
    --gin_bindings="CHECKPOINT = '/path/to/bert_model.ckpt'" \\
    --gin_bindings="VOCAB_FILE = '/path/to/vocab.txt'" \\
    --export_path=/tmp/small_bert

What is published follows
https://www.tensorflow.org/hub/common_saved_model_apis/text, for transformer
encoders:

  encoder = hub.load("/tmp/small_bert")
  outputs = encoder(dict(
    input_word_ids=...,  # Shape [batch, seq_length], dtype=int32
    input_mask=...,      # Shape [batch, seq_length], dtype=int32
    input_type_ids=...,  # Shape [batch, seq_length], dtype=int32
  ))
  outputs["pooled_output"]    # Shape [batch, width], dtype=float32
  outputs["sequence_output"]  # Shape [batch, seq_length, width], dtype=float32
  outputs["encoder_outputs"]  # List of the same, one for each layer
  outputs["default"]          # Alias of pooled_output; of a sentence encoder,
                              # its sentence embedding, [batch, width]

With `with_mlm`, `encoder.mlm` takes `masked_lm_positions` [batch, predictions],
int32, too, and adds `mlm_logits` [batch, predictions, vocab_size], float32.
`.vocab_file` and `.do_lower_case` tell how text becomes ids.
"""

if __name__ == "__main__":
  # Only the entrance: the gin file imports this module under its own name.
  from exporters import cli

  cli.run()

from collections.abc import Mapping
import dataclasses

from official.modeling import tf_utils
from official.nlp.configs import encoders as encoder_configs
from official.nlp.modeling import models
import tensorflow as tf

from exporters import base
from exporters import encoders
from exporters import vocabulary
from exporters.errors import ExportError


@dataclasses.dataclass(frozen=True, kw_only=True)
class BertExporter(base.CheckpointExporter):
  """Publishes a BERT encoder, with its masked language model on request.

  Attributes:
    encoder: The architecture.
    do_lower_case: Whether text was lower-cased for training. Stated, because a
      wrong guess gives a model that works, only worse.
    vocab_file: The WordPiece vocabulary. None: the one in the checkpoint's
      folder.
    with_mlm: Whether to publish `.mlm`; the checkpoint must have the head.
    copy_pooler_dense_to_encoder: Whether the pooler is that of the next
      sentence head, as `BertPretrainerV2` trains it. Otherwise it is the
      encoder's own, which such a pretrainer leaves as it was drawn.
  """

  encoder: encoder_configs.EncoderConfig
  do_lower_case: bool
  vocab_file: str | None = None
  with_mlm: bool = False
  copy_pooler_dense_to_encoder: bool = False

  def build(self) -> base.Build:
    checkpoint = self.opened
    encoder, rates, activation = encoders.build(
      self.encoder, checkpoint.declared, do_lower_case=self.do_lower_case
    )
    vocab = vocabulary.read_vocabulary(
      self.vocab_file or checkpoint.vocab_file or self._no_vocabulary()
    )
    vocab.require_size(encoder.get_embedding_table().shape[0])
    embed = checkpoint.sentence_embedding

    def core(inputs, training):
      outputs = dict(encoder(inputs, training=training))
      outputs["default"] = (
        embed(outputs["sequence_output"], inputs["input_mask"])
        if embed
        else outputs["pooled_output"]
      )
      return outputs

    restored = {"encoder": encoder, "model": encoder}
    sub_objects = {}
    if self.with_mlm:
      pretrainer = models.BertPretrainerV2(
        encoder, mlm_activation=tf_utils.get_activation(activation)
      )
      restored |= pretrainer.checkpoint_items
      sub_objects["mlm"] = _masked_lm(pretrainer, rates)
    restores = [restored]
    if self.copy_pooler_dense_to_encoder:
      restores.append({"next_sentence.pooler_dense": encoder.pooler_layer})
    published = base.Published(
      function=core,
      inputs=[encoders.input_specs()],
      hyperparameters=encoders.hyperparameters(encoder, rates),
      variables=encoder.variables,
      trainable_variables=encoder.trainable_variables,
      constants={"do_lower_case": self.do_lower_case},
      assets={"vocab_file": vocab.asset()},
      sub_objects=sub_objects,
      samples=encoders.samples(len(vocab.tokens)),
    )
    return base.Build(restores=restores, published={"": published})

  def _no_vocabulary(self):
    raise ExportError(
      f"The checkpoint '{self.checkpoint}' brings no vocabulary. Name the one "
      "that it was trained with: --gin_bindings=\"VOCAB_FILE = '...'\"."
    )


def _masked_lm(
  pretrainer: models.BertPretrainerV2, rates: Mapping[str, float]
) -> base.Published:
  """Returns `.mlm`: the encoder's outputs and `mlm_logits`."""
  encoder = pretrainer.encoder_network
  inputs = encoders.input_specs("masked_lm_positions")
  # The first call builds the head.
  pretrainer({name: tf.zeros([1, 1], tf.int32) for name in inputs})

  def masked_lm(inputs, training):
    inputs = dict(inputs)
    positions = inputs.pop("masked_lm_positions")
    outputs = dict(encoder(inputs, training=training))
    outputs["mlm_logits"] = pretrainer.masked_lm(
      outputs["sequence_output"], masked_positions=positions
    )
    return outputs

  return base.Published(
    function=masked_lm,
    inputs=[inputs],
    hyperparameters=encoders.hyperparameters(pretrainer, rates),
    variables=pretrainer.variables,
    trainable_variables=pretrainer.trainable_variables,
    samples=encoders.samples(
      encoder.get_embedding_table().shape[0], positions=True
    ),
    source=pretrainer,
  )
