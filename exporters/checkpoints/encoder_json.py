"""What the JSON beside an encoder's weights says, whoever wrote it.

google-research's `bert_config.json` and the `config.json` of `transformers` use
the same keys, but for DistilBERT's.
"""

from collections.abc import Iterable, Mapping
import reprlib
from typing import Any

from exporters.checkpoints.encoder_fields import bert_name
from exporters.errors import ExportError


def _fields(*keys: str) -> tuple[tuple[str, str], ...]:
  """Returns the field of `BertEncoderConfig` for each key of the JSON."""
  return tuple((bert_name(key), key) for key in keys)


FIELDS = _fields(
  "vocab_size",
  "hidden_size",
  "num_hidden_layers",
  "num_attention_heads",
  "intermediate_size",
  "max_position_embeddings",
  "type_vocab_size",
  "hidden_dropout_prob",
  "attention_probs_dropout_prob",
)
DISTILBERT_FIELDS = _fields(
  "vocab_size",
  "dim",
  "n_layers",
  "n_heads",
  "hidden_dim",
  "max_position_embeddings",
  "dropout",
  "attention_dropout",
)
# MobileBERT has more than BERT, and calls it as Model Garden does.
MOBILEBERT_FIELDS = FIELDS + _fields(
  "intra_bottleneck_size",
  "use_bottleneck_attention",
  "key_query_shared_bottleneck",
  "num_feedforward_networks",
  "normalization_type",
  "classifier_activation",
)
# What Model Garden computes one way only, and has no field for.
_ONE_WAY = {
  # ALBERT: one layer that is shared by all.
  "num_hidden_groups": 1,
  "inner_group_num": 1,
  # MobileBERT as published.
  "trigram_input": True,
  "use_bottleneck": True,
}
# What a value has to be, by its key.
_SIZE = ("size", lambda value: type(value) is int and 0 <= value < 2**31)
_RATE = ("rate", lambda value: type(value) in (int, float) and 0 <= value <= 1)
_CHOICE = ("truth value", lambda value: isinstance(value, bool))
_NAME = ("name", lambda value: isinstance(value, str))
_WANTED = {
  "hidden_dropout_prob": _RATE,
  "attention_probs_dropout_prob": _RATE,
  "dropout": _RATE,
  "attention_dropout": _RATE,
  "use_bottleneck_attention": _CHOICE,
  "key_query_shared_bottleneck": _CHOICE,
  "classifier_activation": _CHOICE,
  "normalization_type": _NAME,
  "hidden_act": _NAME,
}


def refuse_unfit(
  content: Mapping[str, Any],
  keys: Iterable[str],
  path: str,
  one_way: Mapping[str, Any] | None = None,
) -> None:
  """Raises `ExportError` for values that are odd, or that nothing computes.

  Args:
    content: The JSON.
    keys: Those that are read, if they are there.
    path: The file, for messages.
    one_way: Further keys, with the one value that is computed with.
  """
  for key, only in {**_ONE_WAY, **(one_way or {})}.items():
    value = content.get(key, only)
    if value != only:
      raise ExportError(
        f"'{path}' says {key} = {reprlib.repr(value)}; what is built here "
        f"computes with {only!r}."
      )
  for key in keys:
    wanted, is_fit = _WANTED.get(key, _SIZE)
    if key in content and not is_fit(content[key]):
      raise ExportError(
        f"'{path}' says {key} = {reprlib.repr(content[key])}, which is no "
        f"{wanted}. Mend the file, or take it from where the model comes from."
      )
