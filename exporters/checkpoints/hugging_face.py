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
import reprlib
from typing import Any

import ml_dtypes  # noqa: F401 - numpy knows bfloat16 by it.
import safetensors
import tensorflow as tf

from exporters.checkpoints import encoder_json
from exporters.checkpoints import torch_file
from exporters.checkpoints import weight_maps
from exporters.checkpoints.checkpoint import EXACT_GELU
from exporters.checkpoints.checkpoint import Tensor
from exporters.checkpoints.named import Mapped
from exporters.checkpoints.sentence_embedding import SentenceEmbedding
from exporters.errors import ExportError

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
)

_FIELDS_OF = {
  "distilbert": encoder_json.DISTILBERT_FIELDS,
  "mobilebert": encoder_json.MOBILEBERT_FIELDS,
}
# What is computed one way only here, beside what every JSON may say.
_ONE_WAY = {
  "layer_norm_eps": 1e-12,
  "position_embedding_type": "absolute",
  # Another mask, another output layer: no tensor's name tells of them.
  "is_decoder": False,
  "tie_word_embeddings": True,
}
# What each computes with when its config.json says nothing.
_DEFAULT_ACTIVATIONS = {"albert": "gelu_new", "mobilebert": "relu"}
# The type of Model Garden's `EncoderConfig`, where there is one; others are a
# BERT encoder.
_TYPES = {"albert": "albert", "mobilebert": "mobilebert"}
# Hugging Face's "gelu" is exact; Model Garden's is the tanh approximation.
_ACTIVATIONS = {
  "gelu": EXACT_GELU,
  "gelu_new": "gelu",
  "gelu_pytorch_tanh": "gelu",
  "relu": "relu",
  "silu": "swish",
  "swish": "swish",
}


# The output bias, which is one tensor under two names.
_BIAS = "predictions.bias"
_DECODER_BIAS = "predictions.decoder.bias"
# What safetensors calls the types that NumPy has, as NumPy calls them.
_DTYPES = {
  "BOOL": "bool",
  "U8": "uint8",
  "U16": "uint16",
  "U32": "uint32",
  "U64": "uint64",
  "I8": "int8",
  "I16": "int16",
  "I32": "int32",
  "I64": "int64",
  "F16": "float16",
  "BF16": "bfloat16",
  "F32": "float32",
  "F64": "float64",
}


class HuggingFace(Mapped):
  """A folder of `transformers`, or of `sentence-transformers`."""

  kind = "Hugging Face folder"

  def __init__(self, path: str, *, weights: str | None = None):
    """Opens the folder.

    Args:
      path: The folder.
      weights: The file of weights, one of `WEIGHTS`. None: the first of them.
    """
    super().__init__(path)
    self._wanted = WEIGHTS if weights is None else (weights,)
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
        f"'{file}' says model_type = {reprlib.repr(kind)}; known are "
        f"{', '.join(known)}."
      )
    keys = [key for _, key in self._fields]
    if self._config.get("embedding_size") is not None:
      keys.append("embedding_size")
    encoder_json.refuse_unfit(self._config, keys, file, _ONE_WAY)
    if self._config.get("quantization_config") is not None:
      raise ExportError(
        f"'{file}' says by its quantization_config that the weights are "
        "quantized. Take the model as it was before."
      )
    if self._activation not in list(_ACTIVATIONS):
      raise ExportError(
        f"'{file}' says {self._activation_key} = "
        f"{reprlib.repr(self._activation)}; known are "
        f"{', '.join(sorted(_ACTIVATIONS))}."
      )

  @property
  def _fields(self) -> Sequence[tuple[str, str]]:
    return _FIELDS_OF.get(self.model_type, encoder_json.FIELDS)

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
    found = [n for n in self._wanted if self._exists(n)]
    if not found:
      raise ExportError(
        f"'{self.path}' has a {CONFIG} but no {', no '.join(self._wanted)}. "
        "Save the model with `save_pretrained(folder)`."
      )
    self._weights = [found[0]]
    if found[0].endswith(".json"):
      self._weights += self._shards(found[0])
    tensors: dict[str, Tensor] = {}
    for file in self._weights:
      if not file.endswith(".json"):
        _add(tensors, self._read(file), self.path)
    plain: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
      # The decoder's bias is the same tensor under another name.
      if name.replace(_DECODER_BIAS, _BIAS) in tensors.keys() - {name}:
        continue
      _add(plain, {self._plain(name): tensor}, self.path)
    return plain

  def _read(self, file: str) -> dict[str, Tensor]:
    path = os.path.join(self.path, file)
    if tf.io.gfile.isdir(path):
      raise ExportError(
        f"'{path}' is a folder; it has to be a file of weights."
      )
    read = torch_file.read if file.endswith(".bin") else _read_safetensors
    try:
      return read(self._local(path), path)
    except OSError as e:
      raise ExportError(
        f"Cannot read '{path}': {e}. Check that it is a file that you may read."
      ) from e

  def _shards(self, index: str) -> list[str]:
    path = os.path.join(self.path, index)
    places = self._json(index).get("weight_map")
    names = list(places.values()) if isinstance(places, dict) else []
    suffixes = (".safetensors", ".bin")
    if not names or not all(
      _is_plain(n) and n.endswith(suffixes) for n in names
    ):
      raise ExportError(
        f"'{path}' does not say by file names, such as '{_SAFETENSORS}', which "
        "tensor is in which file. Get it anew from where the model comes from."
      )
    for name in set(names):
      if not self._exists(name):
        raise ExportError(
          f"'{self.path}' lacks '{name}', which '{path}' names. Copy all of "
          "its files."
        )
    return sorted(set(names))

  def _exists(self, name: str) -> bool:
    return tf.io.gfile.exists(os.path.join(self.path, name))

  def _plain(self, name: str) -> str:
    """Drops the prefix of models with heads, and other spellings.

    TF1's of LayerNorm, and the decoder's of the output bias, which is the same
    tensor under two names, of which `transformers` keeps one.
    """
    name = self.weight_map.plain(name)
    name = name.replace(_DECODER_BIAS, _BIAS)
    name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
    return re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)

  @property
  def tensors(self) -> Mapping[str, Tensor]:
    return self._tensors

  @property
  def files(self) -> Sequence[str]:
    found = [
      f for f in (CONFIG, *self._weights, *_MORE_FILES) if self._exists(f)
    ]
    poolings = [
      os.path.join(name, CONFIG)
      for name in sorted(tf.io.gfile.listdir(self.path))
      if name.rstrip("/").endswith("_Pooling")
      and self._exists(os.path.join(name, CONFIG))
    ]
    return [os.path.join(self.path, name) for name in found + poolings]

  @property
  def vocab_file(self) -> str | None:
    path = os.path.join(self.path, "vocab.txt")
    return path if tf.io.gfile.exists(path) else None

  @property
  def declared(self) -> dict[str, Any]:
    values = {
      field: self._config[key]
      for field, key in self._fields
      if key in self._config
    }
    values["hidden_activation"] = _ACTIVATIONS[self._activation]
    width = self._config.get("embedding_size")
    # Where they are the same, Model Garden has no projection, and may say None.
    if width not in (None, values.get("hidden_size")):
      values["embedding_size"] = width
    if self.model_type in _TYPES:
      values["type"] = _TYPES[self.model_type]
    tokenizer = self._json("tokenizer_config.json", default={})
    lower_case = tokenizer.get("do_lower_case")
    if lower_case is not None:
      if not isinstance(lower_case, bool):
        raise ExportError(
          f"'{os.path.join(self.path, 'tokenizer_config.json')}' says "
          f"do_lower_case = {reprlib.repr(lower_case)}, which is neither true "
          "nor false. Mend the file."
        )
      values["do_lower_case"] = lower_case
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
    file = os.path.join(self.path, "modules.json")
    pooling, normalize = None, False
    for module in modules:
      fields = module if isinstance(module, dict) else {}
      kind, folder = str(fields.get("type")), fields.get("path")
      # Nothing outside this folder, which itself is "". What has no files of
      # its own may leave it out.
      if (
        folder not in ("", None)
        and not _is_plain(folder)
        or (folder is None and kind.endswith("Pooling"))
      ):
        raise ExportError(
          f"'{file}' lists {reprlib.repr(module)}; each module has to have a "
          "type, and for a path the name of a folder beside the file. Get it "
          "anew from where the model comes from."
        )
      kind = kind.rpartition(".")[2]
      if kind == "Pooling":
        config = self._json(os.path.join(folder, CONFIG))
        modes = [k for k, v in config.items() if "pooling_mode" in k and v]
        pooling = modes[0] if len(modes) == 1 else str(modes)
      elif kind == "Normalize":
        normalize = True
      elif kind != "Transformer":
        raise ExportError(
          f"'{file}' lists a {kind[:99]} module; known are Transformer, "
          "Pooling and Normalize."
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
    # A ValueError: no JSON, no UTF-8, or a number of thousands of digits.
    except (ValueError, RecursionError) as e:
      raise ExportError(f"'{path}' is not JSON that can be read: {e}.") from e
    except tf.errors.NotFoundError as e:
      raise ExportError(f"'{path}' does not exist.") from e
    except tf.errors.OpError as e:
      raise ExportError(f"'{path}' is no file that can be read: {e}.") from e
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
  slices = {
    name: file.get_slice(name)
    for name in file.keys()  # noqa: SIM118 - it is no mapping.
  }
  for name, part in slices.items():
    if part.get_dtype() not in _DTYPES:
      raise ExportError(
        f"'{path}' has the tensor '{name}' of the type {part.get_dtype()}; "
        f"known are {', '.join(_DTYPES)}. Take the model as it was before it "
        "was quantized."
      )
  return {
    name: Tensor(
      shape=tuple(part.get_shape()),
      dtype=_DTYPES[part.get_dtype()],
      read=functools.partial(file.get_tensor, name),
    )
    for name, part in slices.items()
  }


def _add(
  tensors: dict[str, Tensor], more: Mapping[str, Tensor], path: str
) -> None:
  """Adds tensors by names that are new: which of two is meant, no one knows."""
  twice = sorted(tensors.keys() & more.keys())
  if twice:
    raise ExportError(
      f"'{path}' has the tensor '{twice[0]}' twice, perhaps with the prefix of "
      "a model with heads and without it. Save the model anew with "
      "`save_pretrained(folder)`."
    )
  tensors.update(more)


def _is_plain(name: Any) -> bool:
  """Whether it is the name of something in a folder, and no way out of it."""
  return (
    isinstance(name, str)
    and name.isprintable()
    and os.path.basename(name) == name
    and name not in ("", ".", "..")
  )
