"""The keys of the JSON beside an encoder's weights, and what they may say.

google-research's `bert_config.json` and the `config.json` of `transformers` use
the same keys, except for DistilBERT.
"""

from collections.abc import Iterable, Mapping
import reprlib
from typing import Any

from exporters.checkpoints.encoder_fields import bert_name
from exporters.errors import ExportError


def _fields(*keys: str) -> tuple[tuple[str, str], ...]:
  """Returns pairs: a field of `BertEncoderConfig`, and its key in the JSON."""
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
# MobileBERT has more keys than BERT; Model Garden's fields have the same names.
MOBILEBERT_FIELDS = FIELDS + _fields(
  "intra_bottleneck_size",
  "use_bottleneck_attention",
  "key_query_shared_bottleneck",
  "num_feedforward_networks",
  "normalization_type",
  "classifier_activation",
)
# Keys for which Model Garden has no field: the one value that it computes with.
_ONE_WAY = {
  "layer_norm_eps": 1e-12,
  # ALBERT: one layer that is shared by all.
  "num_hidden_groups": 1,
  "inner_group_num": 1,
  # MobileBERT as published.
  "trigram_input": True,
  "use_bottleneck": True,
}
# What a value must be, in words and as a test.
_SIZE = ("a size", lambda value: type(value) is int and 0 <= value < 2**31)
_RATE = (
  "a rate between 0 and 1",
  lambda value: type(value) in (int, float) and 0 <= value <= 1,
)
_CHOICE = ("true or false", lambda value: isinstance(value, bool))
_NAME = ("a name", lambda value: isinstance(value, str))
# By key; all others are sizes.
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


def kind(content: Mapping[str, Any]) -> str | None:
  """Returns the architecture that a JSON's keys show; None if it is no encoder.

  By the name that `transformers` gives it. What has no keys of another is a
  BERT, or an ELECTRA, whose keys are the same.
  """
  for name, key in (
    ("albert", "num_hidden_groups"),
    ("mobilebert", "intra_bottleneck_size"),
    ("distilbert", "n_layers"),
    ("bert", "num_hidden_layers"),
  ):
    if key in content:
      return name
  return None


def refuse_unfit(
  content: Mapping[str, Any],
  keys: Iterable[str],
  path: str,
  one_way: Mapping[str, Any] | None = None,
) -> None:
  """Raises `ExportError` for values that are wrong or not supported.

  Args:
    content: What the JSON holds.
    keys: The keys that are read, if they are there.
    path: The file, for messages.
    one_way: Further keys, each with the one value that is supported.
  """
  for key, only in {**_ONE_WAY, **(one_way or {})}.items():
    value = content.get(key, only)
    if value != only:
      raise ExportError(
        f"'{path}' says {key} = {reprlib.repr(value)}, but Model Garden's "
        f"encoder computes with {only!r}, so its outputs would differ. Such a "
        "model can't be exported."
      )
  for key in keys:
    wanted, is_fit = _WANTED.get(key, _SIZE)
    if key in content and not is_fit(content[key]):
      raise ExportError(
        f"'{path}' says {key} = {reprlib.repr(content[key])}, which is not "
        f"{wanted}. Fix the file, or download it again."
      )
