"""Aliases of the fields of Model Garden's `BertEncoderConfig`."""

# By `BertEncoderConfig`'s name, the names in google-research's JSON, in that of
# `transformers`, and in Model Garden's other configurations of encoders.
_ALIASES = {
  "vocab_size": ("word_vocab_size",),
  "embedding_size": ("word_embed_size", "embedding_width"),
  "hidden_size": ("dim",),
  "num_layers": ("num_hidden_layers", "n_layers", "num_blocks"),
  "num_attention_heads": ("n_heads",),
  "intermediate_size": ("hidden_dim", "inner_dim"),
  "max_position_embeddings": ("max_sequence_length",),
  "hidden_activation": ("hidden_act", "activation", "inner_activation"),
  "dropout_rate": ("hidden_dropout_prob", "dropout", "output_dropout"),
  "attention_dropout_rate": (
    "attention_probs_dropout_prob",
    "attention_dropout",
  ),
}
_NAMES = {
  alias: name for name, aliases in _ALIASES.items() for alias in aliases
}


def bert_name(field: str) -> str:
  """Returns `BertEncoderConfig`'s name of a field; an unknown one as it is."""
  return _NAMES.get(field, field)
