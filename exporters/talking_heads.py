r"""Exports Talking-Heads BERT: restores a pretrainer and publishes its encoder.

  python -m exporters.talking_heads \
    --gin_file=configs/talking_heads/talkheads_ggelu_bert_en_base.gin \
    --gin_bindings="CHECKPOINT = '/path/to/talking_heads/ckpt'" \
    --gin_bindings="VOCAB_FILE = '/path/to/vocab.txt'" \
    --export_path=/tmp/talkheads_ggelu_bert_en_base

Inputs and outputs are those of `exporters.bert`. The papers:
https://arxiv.org/abs/2003.02436 (attention) and
https://arxiv.org/abs/2002.05202 (gated feed-forward layers).
"""

if __name__ == "__main__":
  # The command starts here; the gin file imports this module by its name.
  from exporters.command_line import export_command

  export_command.run()

import dataclasses

from official.modeling import tf_utils
from official.modeling.hyperparams import base_config
from official.nlp.configs import encoders
from official.nlp.modeling import layers
from official.nlp.modeling import networks
import tf_keras

from exporters import bert


@dataclasses.dataclass
class TalkingHeadsEncoderConfig(encoders.BertEncoderConfig):
  """The sizes and rates of a Talking-Heads BERT."""


@base_config.bind(TalkingHeadsEncoderConfig)
def build_encoder(config: TalkingHeadsEncoderConfig) -> tf_keras.Model:
  """Builds the encoder that a configuration describes."""

  def initializer() -> tf_keras.initializers.Initializer:
    return tf_keras.initializers.TruncatedNormal(config.initializer_range)

  return networks.EncoderScaffold(
    pooled_output_dim=config.hidden_size,
    pooler_layer_initializer=initializer(),
    embedding_cfg={
      "vocab_size": config.vocab_size,
      "type_vocab_size": config.type_vocab_size,
      "hidden_size": config.hidden_size,
      "max_seq_length": config.max_position_embeddings,
      "initializer": initializer(),
      "dropout_rate": config.dropout_rate,
    },
    num_hidden_instances=config.num_layers,
    hidden_cls=layers.TransformerScaffold,
    hidden_cfg={
      "num_attention_heads": config.num_attention_heads,
      "inner_dim": config.intermediate_size,
      "inner_activation": tf_utils.get_activation(config.hidden_activation),
      "attention_cls": layers.TalkingHeadsAttention,
      "feedforward_cls": layers.GatedFeedforward,
      "dropout_rate": config.dropout_rate,
      "attention_dropout_rate": config.attention_dropout_rate,
      "kernel_initializer": initializer(),
    },
    dict_outputs=True,
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TalkingHeadsExporter(bert.BertExporter):
  """Publishes a Talking-Heads BERT, with `.mlm` on request."""
