"""Hugging Face folders: `config.json` beside the weights.

The weights are `model.safetensors` or, of before that, `pytorch_model.bin`,
either in one file or in several with an index. What each tensor is, the tables
in `weight_maps` say.
"""

from collections.abc import Mapping, Sequence
import functools
import json
import os
import re
from typing import Any

import ml_dtypes  # noqa: F401 - numpy knows bfloat16 by it.
import safetensors
import tensorflow as tf

from exporters.checkpoints import torch_pickle
from exporters.checkpoints import weight_maps
from exporters.checkpoints.checkpoint import Tensor
from exporters.checkpoints.named import Mapped
from exporters.errors import ExportError
from exporters.sentence_embedding import SentenceEmbedding

CONFIG = "config.json"
_SAFETENSORS = "model.safetensors"
_PICKLE = "pytorch_model.bin"
# In this order. An index names files and says which tensor is in which.
WEIGHTS = (
  _SAFETENSORS,
  f"{_SAFETENSORS}.index.json",
  _PICKLE,
  f"{_PICKLE}.index.json",
)
# What else is read, where it is there.
_MORE_FILES = (
  "vocab.txt",
  "tokenizer_config.json",
  "modules.json",
  "*_Pooling/config.json",
)

# Model Garden's field, key of config.json.
_FIELDS = (
  ("vocab_size", "vocab_size"),
  ("hidden_size", "hidden_size"),
  ("num_layers", "num_hidden_layers"),
  ("num_attention_heads", "num_attention_heads"),
  ("intermediate_size", "intermediate_size"),
  ("max_position_embeddings", "max_position_embeddings"),
  ("type_vocab_size", "type_vocab_size"),
  ("dropout_rate", "hidden_dropout_prob"),
  ("attention_dropout_rate", "attention_probs_dropout_prob"),
)
# DistilBERT has names of its own.
_DISTILBERT_FIELDS = (
  ("vocab_size", "vocab_size"),
  ("hidden_size", "dim"),
  ("num_layers", "n_layers"),
  ("num_attention_heads", "n_heads"),
  ("intermediate_size", "hidden_dim"),
  ("max_position_embeddings", "max_position_embeddings"),
  ("dropout_rate", "dropout"),
  ("attention_dropout_rate", "attention_dropout"),
)
# MobileBERT has more than BERT.
_MOBILEBERT_FIELDS = (
  *_FIELDS,
  ("intra_bottleneck_size", "intra_bottleneck_size"),
  ("use_bottleneck_attention", "use_bottleneck_attention"),
  ("key_query_shared_bottleneck", "key_query_shared_bottleneck"),
  ("num_feedforward_networks", "num_feedforward_networks"),
  ("normalization_type", "normalization_type"),
  ("classifier_activation", "classifier_activation"),
)
_FIELDS_OF = {
  "distilbert": _DISTILBERT_FIELDS,
  "mobilebert": _MOBILEBERT_FIELDS,
}
# What each computes with when its config.json says nothing.
_DEFAULT_ACTIVATIONS = {"albert": "gelu_new", "mobilebert": "relu"}
# The type of Model Garden's `EncoderConfig`, where there is one; others are a
# BERT encoder.
_TYPES = {"albert": "albert", "mobilebert": "mobilebert"}
# Hugging Face's "gelu" is exact; Model Garden's is the tanh approximation.
_ACTIVATIONS = {
  "gelu": "exporters>exact_gelu",
  "gelu_new": "gelu",
  "gelu_pytorch_tanh": "gelu",
  "relu": "relu",
  "silu": "swish",
  "swish": "swish",
}


class HuggingFace(Mapped):
  """A folder of `transformers`, or of `sentence-transformers`."""

  kind = "Hugging Face folder"

  def __init__(self, path: str):
    super().__init__(path)
    self._config = self._json(CONFIG)
    self._refuse_other_architectures()
    self.weight_map = weight_maps.HUGGING_FACE[self.model_type]
    self._tensors = self._open()

  def _refuse_other_architectures(self) -> None:
    file = os.path.join(self.path, CONFIG)
    kind, known = (
      self._config.get("model_type"),
      sorted(weight_maps.HUGGING_FACE),
    )
    if kind not in known:
      raise ExportError(
        f"'{file}' says model_type = {kind!r}; known are {', '.join(known)}."
      )
    for key, supported in (
      ("layer_norm_eps", 1e-12),
      ("position_embedding_type", "absolute"),
      # Another mask, another output layer: no tensor's name tells of them.
      ("is_decoder", False),
      ("tie_word_embeddings", True),
      # ALBERT: one layer that is shared by all.
      ("num_hidden_groups", 1),
      ("inner_group_num", 1),
      # MobileBERT as published.
      ("trigram_input", True),
      ("use_bottleneck", True),
    ):
      value = self._config.get(key, supported)
      if value != supported:
        raise ExportError(
          f"'{file}' says {key} = {value!r}; what is built here computes with "
          f"{supported!r}."
        )
    if self._activation not in list(_ACTIVATIONS):
      raise ExportError(
        f"'{file}' says {self._activation_key} = {self._activation!r}; known "
        f"are {', '.join(sorted(_ACTIVATIONS))}."
      )

  @property
  def model_type(self) -> str:
    """What `transformers` calls the architecture."""
    return self._config["model_type"]

  @property
  def _activation_key(self) -> str:
    return "activation" if self.model_type == "distilbert" else "hidden_act"

  @property
  def _activation(self) -> str:
    default = _DEFAULT_ACTIVATIONS.get(self.model_type, "gelu")
    return self._config.get(self._activation_key, default)

  def _open(self) -> dict[str, Tensor]:
    """Returns the tensors, by name without prefix."""
    found = [n for n in WEIGHTS if self._exists(n)]
    if not found:
      raise ExportError(
        f"'{self.path}' has a {CONFIG} but no {', no '.join(WEIGHTS)}. Save "
        "the model with `save_pretrained(folder)`."
      )
    self._weights = [found[0]]
    if found[0].endswith(".json"):
      self._weights += self._shards(found[0])
    tensors: dict[str, Tensor] = {}
    for name in self._weights:
      if name.endswith(".json"):
        continue
      path = os.path.join(self.path, name)
      read = torch_pickle.read if name.endswith(".bin") else _read_safetensors
      tensors |= read(self._local(path), path)
    return {self._plain(name): tensor for name, tensor in tensors.items()}

  def _shards(self, index: str) -> list[str]:
    path = os.path.join(self.path, index)
    places = self._json(index).get("weight_map")
    names = set(places.values()) if isinstance(places, dict) else {None}
    for name in names:
      # Nothing outside the folder, whoever wrote the index.
      if not isinstance(name, str) or os.path.basename(name) != name:
        raise ExportError(
          f"'{path}' does not say by file names which tensor is in which file."
        )
      if not self._exists(name):
        raise ExportError(
          f"'{self.path}' lacks '{name}', which '{path}' names. Copy all of "
          "its files."
        )
    return sorted(names)

  def _exists(self, name: str) -> bool:
    return tf.io.gfile.exists(os.path.join(self.path, name))

  def _plain(self, name: str) -> str:
    """Drops the prefix of models with heads, and other spellings.

    TF1's of LayerNorm, and the decoder's of the output bias, which is the same
    tensor under two names, of which `transformers` keeps one.
    """
    name = self.weight_map.plain(name)
    name = name.replace("predictions.decoder.bias", "predictions.bias")
    name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
    return re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)

  @property
  def tensors(self) -> Mapping[str, Tensor]:
    return self._tensors

  @property
  def files(self) -> Sequence[str]:
    patterns = (CONFIG, *self._weights, *_MORE_FILES)
    return [
      path
      for pattern in patterns
      for path in sorted(tf.io.gfile.glob(os.path.join(self.path, pattern)))
    ]

  @property
  def vocab_file(self) -> str | None:
    path = os.path.join(self.path, "vocab.txt")
    return path if tf.io.gfile.exists(path) else None

  @property
  def declared(self) -> dict[str, Any]:
    fields = _FIELDS_OF.get(self.model_type, _FIELDS)
    values = {
      field: self._config[key] for field, key in fields if key in self._config
    }
    values["hidden_activation"] = _ACTIVATIONS[self._activation]
    width = self._config.get("embedding_size")
    # Where they are the same, Model Garden has no projection, and may say None.
    if width not in (None, values.get("hidden_size")):
      values["embedding_size"] = width
    if self.model_type in _TYPES:
      values["type"] = _TYPES[self.model_type]
    tokenizer = self._json("tokenizer_config.json", default={})
    if "do_lower_case" in tokenizer:
      values["do_lower_case"] = tokenizer["do_lower_case"]
    return values

  @property
  def sentence_embedding(self) -> SentenceEmbedding | None:
    """What `modules.json` makes of the tokens' outputs; None without one.

    Raises:
      ExportError: It lists a module that is not known here.
    """
    modules = self._json("modules.json", default=[])
    if not modules:
      return None
    pooling, normalize = None, False
    for module in modules:
      kind = module["type"].rpartition(".")[2]
      if kind == "Pooling":
        config = self._json(os.path.join(module["path"], "config.json"))
        modes = [k for k, v in config.items() if "pooling_mode" in k and v]
        pooling = modes[0] if len(modes) == 1 else str(modes)
      elif kind == "Normalize":
        normalize = True
      elif kind != "Transformer":
        raise ExportError(
          f"'{os.path.join(self.path, 'modules.json')}' lists a {kind} module; "
          "known are Transformer, Pooling and Normalize."
        )
    return SentenceEmbedding.from_pooling_mode(
      pooling, normalize=normalize, path=self.path
    )

  def _json(self, name: str, default: Any = None) -> Any:
    path = os.path.join(self.path, name)
    if default is not None and not tf.io.gfile.exists(path):
      return default
    try:
      with tf.io.gfile.GFile(path) as f:
        value = json.load(f)
    except (json.JSONDecodeError, UnicodeDecodeError) as e:
      raise ExportError(f"'{path}' is not JSON: {e}.") from e
    except tf.errors.NotFoundError as e:
      raise ExportError(f"'{path}' does not exist.") from e
    expected = list if name == "modules.json" else dict
    if not isinstance(value, expected):
      raise ExportError(
        f"'{path}' holds a {type(value).__name__}, not a {expected.__name__}."
      )
    return value


def _read_safetensors(local: str, path: str) -> dict[str, Tensor]:
  try:
    file = safetensors.safe_open(local, framework="np")
  except safetensors.SafetensorError as e:
    raise ExportError(
      f"Cannot read '{path}': it is truncated or damaged. ({e}) Copy it again, "
      "and compare its size."
    ) from e
  return {
    name: Tensor(
      shape=tuple(file.get_slice(name).get_shape()),
      dtype=_dtype(file.get_slice(name).get_dtype()),
      read=functools.partial(file.get_tensor, name),
    )
    for name in file.keys()  # noqa: SIM118 - it is no mapping.
  }


def _dtype(name: str) -> str:
  """Returns what "F32" and the like are elsewhere; "BOOL" is no other's."""
  for short, long in (("BF", "bfloat"), ("F", "float"), ("U", "uint")):
    if name.startswith(short):
      return name.replace(short, long, 1)
  return name.lower() if name == "BOOL" else name.replace("I", "int", 1)
