"""One small encoder of each type that Model Garden builds."""

from typing import Any

from official.nlp.configs import encoders
from official.projects.roformer import roformer
from official.projects.teams import teams
import tf_keras

from scripts.small_instances import bert

_SIZES = {
  "vocab_size": 40,
  "hidden_size": 16,
  "num_layers": 1,
  "num_attention_heads": 2,
}
_BERT = _SIZES | {"intermediate_size": 32, "max_position_embeddings": 32}
# A layer that mixes, and one that attends.
_MIXER = _SIZES | {
  "num_layers": 2,
  "attention_layers": [1],
  "inner_dim": 32,
  "max_sequence_length": 32,
}

# Fields of the types' configurations that differ from the defaults.
FIELDS: dict[str, dict[str, Any]] = {
  "bert_v2": _BERT,
  # ELECTRA's discriminator is a BERT with an embedding projection.
  "bert": _BERT | {"embedding_size": 8},
  "albert": _BERT
  | {
    "num_layers": 2,
    "embedding_width": 8,
    "dropout_rate": 0.1,
    "attention_dropout_rate": 0.1,
  },
  "mobilebert": {
    "word_vocab_size": 40,
    "word_embed_size": 8,
    "max_sequence_length": 32,
    "num_blocks": 1,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "intra_bottleneck_size": 8,
    "key_query_shared_bottleneck": True,
    "num_feedforward_networks": 2,
    "normalization_type": "no_norm",
    "classifier_activation": False,
  },
  # Its random blocks lie anywhere in the first 1024 tokens.
  "bigbird": _BERT | {"max_position_embeddings": 1024, "block_size": 64},
  "kernel": _BERT | {"num_random_features": 8},
  "reuse": _BERT,
  "query_bert": _BERT | {"embedding_size": 8},
  "fnet": _MIXER,
  "sparse_mixer": _MIXER | {"moe_layers": [0], "num_experts": 2},
  "funnel": _SIZES
  | {"inner_dim": 32, "max_position_embeddings": 32, "pool_stride": 1},
}
ANY = {
  "teams": teams.TeamsEncoderConfig(**_BERT | {"embedding_size": 8}),
  "roformer": roformer.RoformerEncoderConfig(**_BERT),
}
TYPES = (*FIELDS, *ANY)


def config(name: str, **fields) -> encoders.EncoderConfig:
  """Returns the configuration of a small encoder, with other `fields`."""
  if name in ANY:
    return encoders.EncoderConfig(type="any", any=ANY[name])
  found = encoders.EncoderConfig(type=name)
  for key, value in (FIELDS[name] | fields).items():
    setattr(found.get(), key, value)
  return found


def encoder(name: str) -> tf_keras.Model:
  """Returns the encoder with random weights."""
  model = encoders.build_encoder(config(name))
  length = config(name).get().as_dict().get("max_sequence_length", 8)
  if not model.built:
    model(bert.inputs(1, length))
  bert.randomize(model, seed=1)
  return model


def layers(name: str) -> int:
  """Returns how many transformer layers the encoder has."""
  return 2 if name in ("albert", "fnet", "sparse_mixer") else 1
