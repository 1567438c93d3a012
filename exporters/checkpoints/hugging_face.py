"""Hugging Face folders: `config.json` beside the weights.

The weights are `model.safetensors` or the older `pytorch_model.bin`, either in
one file or in several with an index, or `tf_model.h5`. `weight_maps` says which
tensor is which variable.
"""

from collections.abc import Mapping, Sequence
import os
import re
from typing import Any

import tensorflow as tf
from typing_extensions import override

from exporters.checkpoints import file_kinds
from exporters.checkpoints import safetensors_file
from exporters.checkpoints import tf_model_h5
from exporters.checkpoints import torch_file
from exporters.checkpoints import weight_maps
from exporters.checkpoints.checkpoint import Tensor
from exporters.checkpoints.hugging_face_config import CONFIG
from exporters.checkpoints.hugging_face_config import MODULES
from exporters.checkpoints.hugging_face_config import OLD_CONFIG
from exporters.checkpoints.hugging_face_config import TOKENIZER_CONFIG
from exporters.checkpoints.hugging_face_config import HuggingFaceConfig
from exporters.checkpoints.hugging_face_config import is_plain_name
from exporters.checkpoints.hugging_face_config import read_json
from exporters.checkpoints.hugging_face_config import transformer_folder
from exporters.checkpoints.named import Mapped
from exporters.checkpoints.sentence_embedding import SentenceEmbedding
from exporters.checkpoints.trained_task import TrainedTask
from exporters.errors import ExportError

_SAFETENSORS = "model.safetensors"
_PICKLE = "pytorch_model.bin"
_H5 = "tf_model.h5"
# In the order in which they are looked for. An index names files and says which
# tensor is in which.
WEIGHTS = (
  _SAFETENSORS,
  f"{_SAFETENSORS}.index.json",
  _PICKLE,
  f"{_PICKLE}.index.json",
  _H5,
)
# What reads a file, by the end of its name.
_READERS = {
  ".safetensors": safetensors_file.read,
  ".bin": torch_file.read,
  ".pt": torch_file.read,
  ".pth": torch_file.read,
  _H5: tf_model_h5.read,
}
_VOCABULARY = "vocab.txt"
# The output bias, which is one tensor under two names.
_BIAS = "predictions.bias"
_DECODER_BIAS = "predictions.decoder.bias"


class HuggingFace(Mapped):
  """A folder of `transformers`, or of `sentence-transformers`."""

  kind = "Hugging Face folder"

  def __init__(self, path: str, *, weights: str | None = None):
    """Opens the folder.

    Args:
      path: The folder.
      weights: The name of the file of weights; see `is_weights`. None: the
        first of `WEIGHTS` that the folder has.

    Raises:
      ExportError: A file is missing or damaged, or the model is not supported.
    """
    super().__init__(path)
    self._wanted = WEIGHTS if weights is None else (weights,)
    self._folder = path if weights else transformer_folder(path)
    if not self._exists(CONFIG) and not self._exists(OLD_CONFIG):
      raise ExportError(
        f"The weights in '{self._folder}' lie there without their {CONFIG}. "
        "Names and shapes of tensors don't tell the activation or the number "
        f"of heads, so get the {CONFIG} from where the weights come from "
        "(`save_pretrained` writes both)."
      )
    self._config = HuggingFaceConfig(self._folder, root=path)
    self.weight_map = weight_maps.HUGGING_FACE[self._config.model_type]
    self._tensors = self._open()
    self.weight_map = weight_maps.of_hugging_face(
      self._config.model_type, self._tensors
    )

  @property
  @override
  def tensors(self) -> Mapping[str, Tensor]:
    return self._tensors

  @property
  @override
  def files(self) -> Sequence[str]:
    names = (
      self._config.name,
      *self._weights,
      _VOCABULARY,
      TOKENIZER_CONFIG,
    )
    poolings = [
      os.path.join(name, CONFIG)
      for name in sorted(tf.io.gfile.listdir(self.path))
      if name.rstrip("/").endswith("_Pooling")
    ]
    paths = [os.path.join(self._folder, name) for name in names]
    paths += [os.path.join(self.path, n) for n in (MODULES, *poolings)]
    return [path for path in paths if tf.io.gfile.exists(path)]

  @property
  @override
  def vocab_file(self) -> str | None:
    path = os.path.join(self._folder, _VOCABULARY)
    return path if tf.io.gfile.exists(path) else None

  @property
  @override
  def declared(self) -> dict[str, Any]:
    return self._config.declared

  @property
  @override
  def sentence_embedding(self) -> SentenceEmbedding | None:
    return self._config.sentence_embedding

  @property
  @override
  def task(self) -> TrainedTask:
    return self._config.task

  def _open(self) -> dict[str, Tensor]:
    """Returns the tensors, by their plain names."""
    found = [n for n in self._wanted if self._exists(n)]
    if not found:
      raise ExportError(
        f"'{self._folder}' has a {self._config.name}, but no "
        f"{' or '.join(self._wanted)}. "
        "Save the model with `save_pretrained(folder)`."
      )
    self._weights = [found[0]]
    if found[0].endswith(".json"):
      self._weights += self._shards(found[0])
    tensors: dict[str, Tensor] = {}
    for file in self._weights:
      if not file.endswith(".json"):
        _add(tensors, self._read(file), self._folder)
    scope = self._scope(tensors)
    self._refuse_untyped(scope)
    plain: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
      # Of the output bias under both names, one is enough.
      if name.replace(_DECODER_BIAS, _BIAS) in tensors.keys() - {name}:
        continue
      _add(plain, {self._plain(name, scope): tensor}, self._folder)
    return plain

  def _read(self, file: str) -> dict[str, Tensor]:
    path = os.path.join(self._folder, file)
    if tf.io.gfile.isdir(path):
      raise ExportError(f"'{path}' is a folder, not a file of weights.")
    (read,) = (read for end, read in _READERS.items() if file.endswith(end))
    try:
      return read(self._local(path), path)
    except OSError as e:
      raise ExportError(
        f"Cannot read '{path}': {e}. Check that it is a file and that you may "
        "read it."
      ) from e

  def _shards(self, index: str) -> list[str]:
    """Returns the names of the files that an index lists."""
    path = os.path.join(self._folder, index)
    places = read_json(self._folder, index).get("weight_map")
    names = list(places.values()) if isinstance(places, dict) else []
    suffixes = (".safetensors", ".bin")
    if not names or not all(
      is_plain_name(n) and n.endswith(suffixes) for n in names
    ):
      raise ExportError(
        f"'{path}' does not say by file names, such as '{_SAFETENSORS}', which "
        "tensor is in which file. Download it again."
      )
    for name in set(names):
      if not self._exists(name):
        raise ExportError(
          f"'{self._folder}' lacks '{name}', which '{path}' lists. Copy all "
          "files of the folder."
        )
    return sorted(set(names))

  def _exists(self, name: str) -> bool:
    return tf.io.gfile.exists(os.path.join(self._folder, name))

  def _refuse_untyped(self, scope: str) -> None:
    """Refuses names that may be of an architecture that no file names.

    Args:
      scope: What stands before the names of the encoder's tensors.
    """
    wrapper = scope.removesuffix(self.weight_map.prefix)
    if wrapper == scope and not self._config.is_typed:
      raise ExportError(
        f"'{os.path.join(self._folder, self._config.name)}' has no model_type, "
        f"and the names of the tensors begin with '{scope}', so this may be "
        f"another architecture than {self._config.model_type}. If it is that, "
        f'add "model_type": "{self._config.model_type}" to the file.'
      )

  def _plain(self, name: str, scope: str) -> str:
    """Returns a tensor's name in the one spelling that the tables have.

    Without the prefix of models with heads, without TF1's names of LayerNorm's
    parameters, and with the first of the output bias's two names, of which
    `transformers` keeps one.
    """
    name = self.weight_map.plain(name, scope)
    name = name.replace(_DECODER_BIAS, _BIAS)
    name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
    return re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)


def is_weights(path: str) -> bool:
  """Tells whether a file is one whose `config.json` says what is in it.

  Other formats have files that end in `.bin` too, so a name alone does not
  tell, unless it is one of `WEIGHTS`.
  """
  if not tf.io.gfile.exists(path) or tf.io.gfile.isdir(path):
    return False
  folder, name = os.path.split(path)
  if name in WEIGHTS:
    return True
  if not name.endswith(tuple(_READERS)):
    return False
  if any(
    tf.io.gfile.exists(os.path.join(folder, c)) for c in (CONFIG, OLD_CONFIG)
  ):
    return True
  kind = file_kinds.kind_of(path)
  return kind is not None and kind.of_hugging_face


def is_folder(path: str) -> bool:
  """Tells whether a folder is one of these, not one of TF checkpoints."""
  if not tf.io.gfile.isdir(path):
    return False
  names = tf.io.gfile.listdir(path)
  if MODULES in names and not {CONFIG, *WEIGHTS} & set(names):
    return transformer_folder(path) != path
  found = [CONFIG in names, any(name in WEIGHTS for name in names)]
  of_tensorflow = any(name.endswith(".index") for name in names)
  return all(found) if of_tensorflow else any(found)


def _add(
  tensors: dict[str, Tensor], more: Mapping[str, Tensor], path: str
) -> None:
  """Adds tensors, unless a name is there already: which one is meant?"""
  twice = sorted(tensors.keys() & more.keys())
  if twice:
    raise ExportError(
      f"'{path}' has the tensor '{twice[0]}' twice, perhaps once with the "
      "prefix of a model with heads and once without. Save the model again "
      "with `save_pretrained(folder)`."
    )
  tensors.update(more)
