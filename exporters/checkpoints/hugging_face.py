"""Hugging Face folders: `config.json` beside `model.safetensors`.

The table below says which tensor of `transformers.BertModel` (or of a model
with heads on it) is which variable of Model Garden's `BertEncoder` and
`MaskedLM`. PyTorch's `Linear` keeps its weight as [outputs, inputs], so kernels
are transposed; attention kernels of Model Garden have an axis for the heads,
which is a reshape of the same numbers.
"""

from collections.abc import Callable, Mapping, Sequence
import json
import os
import re
from typing import Any

import numpy as np
import safetensors
import tensorflow as tf

from exporters.checkpoints.checkpoint import Checkpoint
from exporters.checkpoints.checkpoint import Match
from exporters.checkpoints.mismatch import Mismatch
from exporters.errors import ExportError
from exporters.published import variable_name
from exporters.sentence_embedding import SentenceEmbedding

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
# What else is read, where it is there.
_MORE_FILES = (
  "vocab.txt",
  "tokenizer_config.json",
  "modules.json",
  "*_Pooling/config.json",
)

# Model Garden's variable, Hugging Face's tensor.
_BERT = (
  ("word_embeddings/embeddings", "embeddings.word_embeddings.weight"),
  ("position_embedding/embeddings", "embeddings.position_embeddings.weight"),
  ("type_embeddings/embeddings", "embeddings.token_type_embeddings.weight"),
  ("embeddings/layer_norm/gamma", "embeddings.LayerNorm.weight"),
  ("embeddings/layer_norm/beta", "embeddings.LayerNorm.bias"),
  (
    "transformer/layer_#/self_attention/query/",
    "encoder.layer.#.attention.self.query.",
  ),
  (
    "transformer/layer_#/self_attention/key/",
    "encoder.layer.#.attention.self.key.",
  ),
  (
    "transformer/layer_#/self_attention/value/",
    "encoder.layer.#.attention.self.value.",
  ),
  (
    "transformer/layer_#/self_attention/attention_output/",
    "encoder.layer.#.attention.output.dense.",
  ),
  (
    "transformer/layer_#/self_attention_layer_norm/",
    "encoder.layer.#.attention.output.LayerNorm.",
  ),
  ("transformer/layer_#/intermediate/", "encoder.layer.#.intermediate.dense."),
  ("transformer/layer_#/output/", "encoder.layer.#.output.dense."),
  (
    "transformer/layer_#/output_layer_norm/",
    "encoder.layer.#.output.LayerNorm.",
  ),
  ("pooler_transform/", "pooler.dense."),
  ("cls/predictions/output_bias/bias", "cls.predictions.bias"),
  ("cls/predictions/transform/dense/", "cls.predictions.transform.dense."),
  (
    "cls/predictions/transform/LayerNorm/",
    "cls.predictions.transform.LayerNorm.",
  ),
)
# The last part of a name, where the table leaves it open.
_PARAMETERS = {
  "kernel": "weight",
  "gamma": "weight",
  "beta": "bias",
  "bias": "bias",
}
# No part of the encoder, or computed: they need no counterpart.
_IGNORED = re.compile(
  r"embeddings\.position_ids|(cls|classifier|qa_outputs)\..*"
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
# Hugging Face's "gelu" is exact; Model Garden's is the tanh approximation.
_ACTIVATIONS = {
  "gelu": "exporters>exact_gelu",
  "gelu_new": "gelu",
  "gelu_pytorch_tanh": "gelu",
  "relu": "relu",
  "silu": "swish",
  "swish": "swish",
}


class HuggingFace(Checkpoint):
  """A folder with a BERT of `transformers`, or of `sentence-transformers`."""

  kind = "Hugging Face folder"

  def __init__(self, path: str):
    super().__init__(path)
    self._config = self._json(CONFIG)
    self._refuse_other_architectures()
    self._tensors = self._open()

  def _refuse_other_architectures(self) -> None:
    for key, supported, default in (
      ("model_type", "bert", None),
      ("layer_norm_eps", 1e-12, 1e-12),
      ("position_embedding_type", "absolute", "absolute"),
      # Another mask, another output layer: no tensor's name tells of them.
      ("is_decoder", False, False),
      ("tie_word_embeddings", True, True),
    ):
      value = self._config.get(key, default)
      if value != supported:
        raise ExportError(
          f"'{os.path.join(self.path, CONFIG)}' says {key} = {value!r}; what "
          f"is built here computes with {supported!r}."
        )
    activation = self._config.get("hidden_act", "gelu")
    if activation not in _ACTIVATIONS:
      raise ExportError(
        f"'{os.path.join(self.path, CONFIG)}' says hidden_act = "
        f"{activation!r}; known are {', '.join(sorted(_ACTIVATIONS))}."
      )

  def _open(self) -> dict[str, Callable[[], np.ndarray]]:
    """Returns a function that reads each tensor, by name without prefix."""
    path = os.path.join(self.path, WEIGHTS)
    if not tf.io.gfile.exists(path):
      raise ExportError(
        f"'{self.path}' has a {CONFIG} but no {WEIGHTS}. Save the model with "
        "`save_pretrained(folder, safe_serialization=True)`."
      )
    try:
      file = safetensors.safe_open(self._local(path), framework="np")
    except safetensors.SafetensorError as e:
      raise ExportError(
        f"Cannot read '{os.path.join(self.path, WEIGHTS)}': it is truncated or "
        f"damaged. ({e}) Copy it again, and compare its size."
      ) from e
    return {
      _plain(name): (lambda name=name: file.get_tensor(name))
      for name in file.keys()  # noqa: SIM118 - it is no mapping.
    }

  def match(self, items: Mapping[str, Any]) -> Match:
    pairs, missing, shapes, used = [], [], [], set()
    variables = {
      variable.ref(): variable
      for item in items.values()
      for variable in item.variables
    }
    for variable in variables.values():
      # Without the scope that a pretrainer puts around its head.
      name = variable_name(variable).removeprefix("bert/")
      tensor = tensor_name(name)
      if tensor not in self._tensors:
        missing.append(name)
        continue
      used.add(tensor)
      value = self._tensors[tensor]()
      if name.endswith("/kernel"):
        value = value.T
      if _fits(value.shape, tuple(variable.shape)):
        pairs.append((variable, _reshaped(value, variable.shape)))
      else:
        shapes.append(
          f"{name}: checkpoint {value.shape}, model {tuple(variable.shape)}"
        )
    rest = [name for name in self._tensors if name not in used]
    unexpected = [name for name in rest if not _IGNORED.fullmatch(name)]
    return Match(
      pairs=pairs,
      mismatch=Mismatch(
        missing=missing,
        unexpected=unexpected,
        shapes=shapes,
        restorable=len(pairs),
      ),
      ignored=len(rest) - len(unexpected),
    )

  @property
  def files(self) -> Sequence[str]:
    patterns = (CONFIG, WEIGHTS, *_MORE_FILES)
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
    values = {
      field: self._config[key] for field, key in _FIELDS if key in self._config
    }
    values["hidden_activation"] = _ACTIVATIONS[
      self._config.get("hidden_act", "gelu")
    ]
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


def tensor_name(name: str) -> str | None:
  """Returns the tensor for a variable, or None if the table has none."""
  for garden, hugging_face in _BERT:
    pattern = re.escape(garden).replace(r"\#", r"(\d+)")
    match = re.match(pattern, name)
    if not match:
      continue
    for number in match.groups():
      hugging_face = hugging_face.replace("#", number)
    parameter = name[match.end() :]
    if not parameter:
      return hugging_face
    if parameter in _PARAMETERS:
      return hugging_face + _PARAMETERS[parameter]
  return None


def _plain(name: str) -> str:
  """Drops the prefix of models with heads; maps TF1's spelling of LayerNorm."""
  name = name.removeprefix("bert.")
  return re.sub(
    r"LayerNorm\.(gamma|beta)$",
    lambda m: f"LayerNorm.{_PARAMETERS[m.group(1)]}",
    name,
  )


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
  """Whether `shape` is `wanted` with the axes of the heads joined."""
  if np.prod(shape) != np.prod(wanted):
    return False
  return shape[0] == wanted[0] or shape[-1] == wanted[-1] or len(shape) == 1


def _reshaped(value: np.ndarray, shape: tf.TensorShape) -> Callable[[], Any]:
  return lambda: value.reshape(shape)
