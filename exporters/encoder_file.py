"""Reads an architecture from the file that its training left.

Two kinds: the `bert_config.json` of google-research/bert and its successors,
which hosts of checkpoints copy beside the weights, and the YAML of Model
Garden's experiments, which has an `EncoderConfig` below `task.model.encoder` or
as its root.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import json
from typing import Any

from official.nlp.configs import encoders
import tensorflow as tf
import yaml

from exporters import encoder_types
from exporters import text_file
from exporters.errors import ExportError

# The JSON's key, the field of `BertEncoderConfig`. Whatever else it holds is
# about training, or for other implementations.
_FIELDS = {
  "vocab_size": "vocab_size",
  "hidden_size": "hidden_size",
  "num_hidden_layers": "num_layers",
  "num_attention_heads": "num_attention_heads",
  "intermediate_size": "intermediate_size",
  "max_position_embeddings": "max_position_embeddings",
  "type_vocab_size": "type_vocab_size",
  "embedding_size": "embedding_size",
  "hidden_act": "hidden_activation",
  "hidden_dropout_prob": "dropout_rate",
  "attention_probs_dropout_prob": "attention_dropout_rate",
}
# What only MobileBERT has, and calls as Model Garden does.
_MOBILEBERT_FIELDS = (
  "intra_bottleneck_size",
  "use_bottleneck_attention",
  "key_query_shared_bottleneck",
  "num_feedforward_networks",
  "normalization_type",
  "classifier_activation",
)
# What Model Garden computes one way only, with no field for it.
_ONLY = {
  "num_hidden_groups": 1,
  "inner_group_num": 1,
  "trigram_input": True,
  "use_bottleneck": True,
}
_RATES = ("dropout_rate", "attention_dropout_rate")
# The implementations that read such files compute both by tanh.
_ACTIVATIONS = {"gelu_new": "gelu"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderFile:
  """What a file says of an encoder.

  Attributes:
    path: The file, for messages.
    type: The type of `EncoderConfig`; None where the file leaves it open.
    values: Sizes and rates, by the names of `BertEncoderConfig`.
  """

  path: str
  type: str | None
  values: Mapping[str, Any]

  @property
  def declared(self) -> dict[str, Any]:
    """All that a gin file must not contradict."""
    kind = {} if self.type is None else {"type": self.type}
    return dict(self.values) | kind

  def config(self) -> encoders.EncoderConfig:
    """Returns what the file describes, where no gin file does."""
    config = encoders.EncoderConfig(type=self.type or "bert")
    if config.type == "any":
      raise ExportError(
        f"'{self.path}' is of type 'any', which says nothing of the class. "
        "Name it in the gin file: encoders.EncoderConfig.any = @...Config()."
      )
    encoder_types.override(config, self.values)
    return config


def read_encoder_file(path: str) -> EncoderFile:
  """Reads a `bert_config.json` or a Model Garden YAML.

  Raises:
    ExportError: The file is missing or describes no encoder.
  """
  if not tf.io.gfile.exists(path):
    raise ExportError(f"The encoder file '{path}' does not exist.")
  _, text = text_file.read(path, "encoder file", encoding="utf-8")
  try:
    # JSON is YAML too, but for a few numbers.
    content = (
      json.loads(text) if path.endswith(".json") else yaml.safe_load(text)
    )
  except (ValueError, RecursionError, yaml.YAMLError) as e:
    message = str(e).replace("\n", " ")
    raise ExportError(
      f"The encoder file '{path}' does not parse: {message}."
    ) from e
  found = _garden(content, path) or _legacy(content, path)
  if found is None:
    raise ExportError(
      f"The encoder file '{path}' describes no encoder: it is neither a "
      "bert_config.json (num_hidden_layers, hidden_size, ...) nor a Model "
      "Garden YAML (task.model.encoder.type)."
    )
  return found


def _legacy(content: Any, path: str) -> EncoderFile | None:
  if not isinstance(content, Mapping) or "num_hidden_layers" not in content:
    return None
  for key, only in _ONLY.items():
    if content.get(key, only) != only:
      raise ExportError(
        f"The encoder file '{path}' says {key} = {content[key]!r}; Model "
        f"Garden computes with {only!r}."
      )
  # Told by what only they have.
  kind = None
  if "num_hidden_groups" in content:
    kind = "albert"
  if "intra_bottleneck_size" in content:
    kind = "mobilebert"
  keys = dict(_FIELDS)
  if kind == "mobilebert":
    keys |= {name: name for name in _MOBILEBERT_FIELDS}
  values = {name: content[key] for key, name in keys.items() if key in content}
  activation = values.get("hidden_activation")
  if isinstance(activation, str):
    values["hidden_activation"] = _ACTIVATIONS.get(activation, activation)
  _refuse_other_types(values, path)
  if kind is None and values.get("embedding_size") == values.get("hidden_size"):
    # Model Garden has no projection then, and a gin file need not say it.
    values.pop("embedding_size", None)
  return EncoderFile(path=path, type=kind, values=values)


def _refuse_other_types(values: Mapping[str, Any], path: str) -> None:
  defaults = encoders.MobileBertEncoderConfig().as_dict()
  for name, value in values.items():
    kinds: tuple[type, ...] = (int,)
    if name in _RATES:
      kinds = (int, float)
    elif name == "hidden_activation" or name in _MOBILEBERT_FIELDS:
      kinds = (type(defaults.get(name, "")),)
    if type(value) not in kinds:
      names = " or ".join(kind.__name__ for kind in kinds)
      raise ExportError(
        f"The encoder file '{path}' says {name} = {value!r}, which must be "
        f"{names}."
      )


def _garden(content: Any, path: str) -> EncoderFile | None:
  for key in ("task", "model", "encoder"):
    if isinstance(content, Mapping) and key in content:
      content = content[key]
  if not isinstance(content, Mapping):
    return None
  usual = encoders.EncoderConfig().type
  kind = content.get("type", usual if usual in content else None)
  if kind is None:
    return None
  values = content.get(kind) or {} if isinstance(kind, str) else {}
  if not isinstance(values, Mapping):
    raise ExportError(
      f"The encoder file '{path}' has {kind}: {values!r} where the fields of "
      "the encoder belong."
    )
  known = {f.name for f in dataclasses.fields(encoders.EncoderConfig)} - {
    "type"
  }
  if kind not in list(known):
    raise ExportError(
      f"The encoder file '{path}' is of type '{kind}'; Model Garden has "
      f"{', '.join(sorted(known))}."
    )
  fields = getattr(encoders.EncoderConfig(), kind).as_dict()
  unknown = values.keys() - fields.keys()
  if unknown and kind != "any":
    raise ExportError(
      f"The encoder file '{path}' sets {', '.join(sorted(unknown))}, which an "
      f"encoder of type '{kind}' does not have."
    )
  return EncoderFile(
    path=path,
    type=kind,
    values={encoder_types.bert_name(k): v for k, v in values.items()},
  )
