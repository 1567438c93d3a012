r"""Exports BERT: restores a pretrainer and publishes its encoder.

  python -m exporters.bert \
    --gin_file=configs/bert/small_bert_en_uncased_L-2_H-128_A-2.gin \
    --gin_bindings="CHECKPOINT = '/path/to/bert_model.ckpt'" \
    --gin_bindings="VOCAB_FILE = '/path/to/vocab.txt'" \
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
  outputs["default"]          # Alias of pooled_output; for a sentence encoder,
                              # its sentence embedding, [batch, width]

With `with_mlm`, `encoder.mlm` also takes `masked_lm_positions`, int32
[batch, predictions], and adds `mlm_logits`, float32 [batch, predictions,
vocab_size]. `.vocab_file` (or `.sp_model_file`) and `.do_lower_case` say how
text becomes ids.

Every type of `EncoderConfig` that has a pooled output is published in this
form: MobileBERT's `encoder_outputs` leave out the embeddings; FNet and
SparseMixer take one length, BigBird its maximum and some halves of it, as the
signature says. A Funnel that shortens the text is refused.
"""

if __name__ == "__main__":
  # The command starts here; the gin file imports this module by its name.
  from exporters.command_line import export_command

  export_command.run()

from collections.abc import Mapping
import dataclasses
from typing import Any, ClassVar

from official.nlp.modeling import layers
from official.nlp.modeling import models
import tensorflow as tf
import tf_keras
from typing_extensions import override

from exporters import base
from exporters.checkpoints.sentence_embedding import SentenceEmbedding
from exporters.errors import ExportError
from exporters.saved_model.variables import each_once
from exporters.text import encoders
from exporters.text import task_heads
from exporters.text.encoder_exporter import EncoderExporter


@dataclasses.dataclass(frozen=True, kw_only=True)
class BertExporter(EncoderExporter):
  """Publishes a BERT encoder, with its masked language model on request.

  Attributes:
    masked_lm_layer: The class of `.mlm`'s head, which subclasses may replace.
    with_mlm: Whether to publish `.mlm`; the checkpoint must have its head.
    copy_pooler_dense_to_encoder: Whether to publish the pooler of the next
      sentence head, which `BertPretrainerV2` trains, in place of the encoder's
      own, which it leaves at its random initial values.
  """

  masked_lm_layer: ClassVar[type[tf_keras.layers.Layer]] = layers.MaskedLM
  with_mlm: bool = False
  copy_pooler_dense_to_encoder: bool = False

  @override
  def build(self) -> base.Build:
    encoder = self.built_encoder()
    tokens = self.tokens()
    remarks = tokens.remarks(encoder.vocab_size)
    embed = self.opened.sentence_embedding

    def core(inputs, training):
      outputs = encoder(inputs, training)
      outputs["default"] = (
        embed(outputs["sequence_output"], inputs["input_mask"])
        if embed
        else outputs["pooled_output"]
      )
      return outputs

    def reference(inputs, training):
      return _by_model_garden(encoder, embed, inputs, training)

    model = encoder.model
    restored = {"encoder": model, "model": model}
    sub_objects = {}
    if self.with_mlm:
      restored["masked_lm"] = head = self._head(encoder)
      sub_objects["mlm"] = _masked_lm(head, encoder)
    restores = [restored]
    if self.copy_pooler_dense_to_encoder:
      restores.append({"next_sentence.pooler_dense": self._pooler(encoder)})
    published = base.Published(
      function=core,
      inputs=encoder.input_specs(),
      hyperparameters=encoder.hyperparameters(),
      variables=model.variables,
      trainable_variables=model.trainable_variables,
      api="text encoder",
      constants={"do_lower_case": self.do_lower_case}
      | (embed.constants if embed else {}),
      assets=tokens.assets(),
      sub_objects=sub_objects,
      samples=encoder.samples(),
      reference=reference,
      remarks=remarks,
    )
    return base.Build(restores=restores, published={"": published})

  def _head(self, encoder: encoders.Encoder) -> tf_keras.layers.Layer:
    try:
      return task_heads.masked_lm(self.masked_lm_layer, encoder)
    except ExportError as e:
      raise ExportError(
        f"An encoder of type '{encoder.type}' cannot have `.mlm`: it does not "
        "expose its embedding table, which the head shares. Set with_mlm = "
        "False."
      ) from e

  def _pooler(self, encoder: encoders.Encoder) -> tf_keras.layers.Layer:
    pooler = getattr(encoder.model, "pooler_layer", None)
    if pooler is None:
      raise ExportError(
        f"An encoder of type '{encoder.type}' has no pooler that could be "
        "replaced by the next sentence head's. Set "
        "copy_pooler_dense_to_encoder = False."
      )
    return pooler


def _by_model_garden(
  encoder: encoders.Encoder,
  embed: SentenceEmbedding | None,
  inputs: Mapping[str, tf.Tensor],
  training: bool,
) -> dict[str, Any]:
  """Returns what the encoder's own class computes, for comparison."""
  made = encoder.model(inputs, training=training)
  tokens = made["sequence_output"]
  outputs = {name: made[name] for name in encoder.extra_outputs} | {
    "sequence_output": tokens,
    "pooled_output": made["pooled_output"],
    # Some begin with the embeddings.
    "encoder_outputs": list(made["encoder_outputs"])[-encoder.num_layers :],
    "default": made["pooled_output"],
  }
  if embed:
    # Sentence by sentence, of its own tokens alone.
    count = tf.reduce_sum(inputs["input_mask"], axis=1)
    if embed.pooling == "first":
      count = tf.ones_like(count)
    own = tf.RaggedTensor.from_tensor(tokens, lengths=count)
    embedding = tf.reduce_mean(own, axis=1)
    if embed.normalize:
      length = tf.norm(embedding, axis=1, keepdims=True)
      embedding /= length
    outputs["default"] = embedding
  return outputs


def _masked_lm(
  head: tf_keras.layers.Layer, encoder: encoders.Encoder
) -> base.Published:
  """Returns `.mlm`, which adds `mlm_logits` to the encoder's outputs."""

  def masked_lm(inputs, training, core=encoder):
    inputs = dict(inputs)
    positions = inputs.pop("masked_lm_positions")
    outputs = dict(core(inputs, training))
    outputs.pop("default", None)
    outputs["mlm_logits"] = head(
      outputs["sequence_output"], masked_positions=positions
    )
    return outputs

  def reference(inputs, training):
    # Model Garden's own, created outside the graph that is being traced.
    with tf.init_scope():
      pretrainer = models.BertPretrainerV2(
        encoder.model, customized_masked_lm=head
      )
    outputs = pretrainer(inputs, training=training)
    published = encoder.published_outputs(outputs)
    return published | {"mlm_logits": outputs["mlm_logits"]}

  return base.Published(
    function=masked_lm,
    inputs=encoder.input_specs("masked_lm_positions"),
    hyperparameters=encoder.hyperparameters(),
    # The head shares the embedding table.
    variables=each_once([*encoder.model.variables, *head.variables]),
    trainable_variables=each_once(
      [*encoder.model.trainable_variables, *head.trainable_variables]
    ),
    parent="core",
    samples=encoder.samples(positions=True),
    reference=reference,
  )
