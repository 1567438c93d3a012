"""Targets: the files of weights, and the JSON that says what they are."""

from __future__ import annotations

from collections.abc import Sequence
import io
import json
import pathlib
import re
import struct
import tempfile
from typing import Any
import zipfile

import h5py
import numpy as np
import safetensors.numpy
import tensorflow as tf
import tf_keras

from exporters import checkpoints
from exporters.checkpoints import safetensors_file
from exporters.checkpoints import torch_file
from exporters.checkpoints.checkpoint import Tensor
from exporters.errors import ExportError
from exporters.inspection import identity
from exporters.inspection import keras_files
from scripts.fuzz import Target
from scripts.fuzz import mutations
from scripts.fuzz import table

_EXPORTERS = "exporters.checkpoints"
# Numbers that are read of any tensor, to see whether that ends in one error.
_MOST_NUMBERS = 1 << 20

_STATE = (
  b"\x80\x02ccollections\nOrderedDict\n)R(X\x01\x00\x00\x00w"
  b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage"
  b"ctorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ"
  b"K\x00K\x02K\x03\x86K\x03K\x01\x86\x89ccollections\nOrderedDict\n)RtR"
  b"u}X\x09\x00\x00\x00_metadataccollections\nOrderedDict\n)Rsb."
)
# All other opcodes that are known, and some that are not.
_OPCODES = (
  b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x05state\x94"
  b"\x8c\x0bcollections\x94\x8c\x0bOrderedDict\x94\x93)R\x94\x88N\x85]\x94"
  b"(K\x01M\x02\x01\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00G?\xf0\x00\x00"
  b"\x00\x00\x00\x00e\x86h\x02\x87l(dq\x01j\x01\x00\x00\x00r\x02\x00\x00\x00"
  b"a0C\x01x\x8fVtext\nI1\nL1L\ncposix\nsystem\nib.\x81"
)
_LEGACY = b"".join(
  (
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.",
    b"\x80\x02}X\x0d\x00\x00\x00little_endian\x88s.",
    _STATE,
    b"\x80\x02]X\x01\x00\x00\x000a.",
    struct.pack("<Q6f", 6, *range(6)),
  )
)


def _read_all(tensors: dict[str, Tensor] | Any) -> None:
  """Reads the numbers of each tensor; an `ExportError` ends that one alone."""
  for tensor in list(tensors.values())[:20]:
    if np.prod(tensor.shape, dtype=float) <= _MOST_NUMBERS:
      try:
        np.asarray(tensor.read())
      except ExportError:
        continue


def open_all(path: pathlib.Path) -> None:
  """Opens a checkpoint and reads all that it has."""
  opened = checkpoints.open_checkpoint(str(path))
  _ = opened.training, opened.parts, opened.files, opened.averages
  _read_all(opened.tensors)


def _zip(members: dict[str, bytes], **kwargs: Any) -> bytes:
  file = io.BytesIO()
  with zipfile.ZipFile(file, "w", **kwargs) as archive:
    for name, content in members.items():
      archive.writestr(name, content)
  return file.getvalue()


def _torch_zip(program: bytes) -> bytes:
  numbers = struct.pack("<6f", *range(6))
  return _zip(
    {
      "model/data.pkl": program,
      "model/byteorder": b"little",
      "model/data/0": numbers,
    }
  )


def _program(content: bytes, folder: pathlib.Path) -> None:
  _torch(_torch_zip(content), folder)


def _torch(content: bytes, folder: pathlib.Path) -> None:
  path = folder / "pytorch_model.bin"
  path.write_bytes(content)
  _read_all(torch_file.read(str(path), str(path)))


def _safetensors(content: bytes, folder: pathlib.Path) -> None:
  path = folder / "model.safetensors"
  path.write_bytes(content)
  _read_all(safetensors_file.read(str(path), str(path)))


def _safetensors_header(content: bytes, folder: pathlib.Path) -> None:
  """Reads a header, and as many numbers as it says."""
  ends = map(int, re.findall(rb"(\d{1,4})\]", content))
  numbers = bytes(max(ends, default=0))
  _safetensors(struct.pack("<Q", len(content)) + content + numbers, folder)


def _seeds_of_safetensors() -> Sequence[bytes]:
  one: dict[str, np.ndarray] = {
    "w": np.ones([2, 3], np.float32),
    "b": np.ones([3], np.int8),
  }
  return [safetensors.numpy.save(one, {"format": "pt"})]


def _seeds_of_header() -> Sequence[bytes]:
  (one,) = _seeds_of_safetensors()
  size = struct.unpack("<Q", one[:8])[0]
  return [one[8 : 8 + size].strip()]


def _saved() -> Sequence[tuple[bytes, bytes]]:
  """Returns small checkpoints of TF2 and TF1: the index, and the data."""
  layer = tf_keras.layers.Dense(2)
  layer.build([None, 3])
  optimizer = tf_keras.optimizers.Adam(use_ema=True)
  optimizer.build(layer.trainable_weights)
  found = []
  with tempfile.TemporaryDirectory() as folder:
    tf.train.Checkpoint(model=layer, optimizer=optimizer).write(f"{folder}/tf2")
    tf.raw_ops.SaveV2(
      prefix=f"{folder}/tf1",
      tensor_names=[
        "bert/embeddings/word_embeddings",
        "bert/pooler/dense/kernel",
        "bert/pooler/dense/kernel/ExponentialMovingAverage",
        "global_step",
        "parts",
        "parts",
      ],
      shape_and_slices=[""] * 4 + ["4 2 0,2:0,2", "4 2 2,2:0,2"],
      tensors=[
        tf.ones([4, 2]),
        *[tf.ones([2, 2])] * 2,
        1,
        *[tf.ones([2, 2])] * 2,
      ],
    )
    for name in ("tf2", "tf1"):
      index = pathlib.Path(folder, f"{name}.index").read_bytes()
      data = pathlib.Path(folder, f"{name}.data-00000-of-00001").read_bytes()
      found.append((index, data))
  return found


_DATA: list[bytes] = []


def _tf_data() -> bytes:
  """Returns the larger data file, which is as good as the other."""
  if not _DATA:
    _DATA.append(max((data for _, data in _saved()), key=len))
  return _DATA[0]


def _tf_index(content: bytes, folder: pathlib.Path) -> None:
  (folder / "ckpt.index").write_bytes(content)
  (folder / "ckpt.data-00000-of-00001").write_bytes(_tf_data())
  open_all(folder / "ckpt")


def _tf_block(content: bytes, folder: pathlib.Path) -> None:
  _tf_index(table.around(content), folder)


def _h5(content: bytes, folder: pathlib.Path) -> None:
  path = folder / "model.h5"
  path.write_bytes(content)
  keras_files.read(str(path))
  open_all(path)


def _model() -> tf_keras.Model:
  model = tf_keras.Sequential(
    [tf_keras.layers.Dense(2, activation="softmax", input_shape=[3])]
  )
  model.compile("adam", "sparse_categorical_crossentropy")
  model.optimizer.build(model.trainable_weights)
  return model


def _saved_model_file(name: str, *, weights: bool = False) -> bytes:
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, name)
    (_model().save_weights if weights else _model().save)(str(path))
    return path.read_bytes()


def _seeds_of_h5() -> Sequence[bytes]:
  return [
    _saved_model_file("model.h5"),
    _saved_model_file("model.weights.h5", weights=True),
    _saved_model_file("weights.h5", weights=True),
    _h5_of(json.loads(_seeds_of_attributes()[0])),
  ]


def _h5_of(attributes: dict[str, Any]) -> bytes:
  """Returns a file of one layer with these attributes, where HDF5 has such."""
  file = io.BytesIO()
  with h5py.File(file, "w") as f:
    weights = f.create_group("model_weights")
    layer = weights.create_group("dense")
    layer.create_dataset("kernel:0", data=np.ones([3, 2], np.float32))
    layer["bias:0"] = h5py.SoftLink("/model_weights/dense/kernel:0")
    for name, group in (("root", f), ("weights", weights), ("layer", layer)):
      found = attributes.get(name)
      for key, value in (found if isinstance(found, dict) else {}).items():
        try:
          group.attrs[key] = value
        except (TypeError, ValueError, OSError, OverflowError, RuntimeError):
          continue
  return file.getvalue()


def _h5_attributes(content: bytes, folder: pathlib.Path) -> None:
  try:
    attributes = json.loads(content)
  except (ValueError, RecursionError):
    return
  if isinstance(attributes, dict):
    _h5(_h5_of(attributes), folder)


def _seeds_of_attributes() -> Sequence[bytes]:
  found = {
    "root": {
      "keras_version": "2.20.0",
      "backend": "tensorflow",
      "model_config": _model().to_json(),
      "training_config": '{"loss": "sparse_categorical_crossentropy"}',
    },
    "weights": {"layer_names": ["dense"], "keras_version": "2.20.0"},
    "layer": {"weight_names": ["kernel:0"]},
  }
  return [json.dumps(found).encode()]


def _keras(content: bytes, folder: pathlib.Path) -> None:
  path = folder / "model.keras"
  path.write_bytes(content)
  keras_files.read(str(path))
  open_all(path)


_WEIGHTS: list[bytes] = []


def _keras_config(content: bytes, folder: pathlib.Path) -> None:
  if not _WEIGHTS:
    _WEIGHTS.append(_saved_model_file("model.weights.h5", weights=True))
  config, _, metadata = content.partition(b"\n")
  members = {
    "config.json": config,
    "metadata.json": metadata or b'{"keras_version": "2.20.0"}',
    "model.weights.h5": _WEIGHTS[0],
  }
  _keras(_zip(members), folder)


def _seeds_of_keras_config() -> Sequence[bytes]:
  inputs = tf_keras.Input([None], dtype="int32", name="ids")
  hidden = tf_keras.layers.Embedding(5, 2)(inputs)
  hidden = tf_keras.layers.Lambda(lambda x: x + 1.0)(hidden)
  hidden = tf_keras.layers.GlobalAveragePooling1D()(hidden)
  outputs = {
    "a": tf_keras.layers.Dense(3, activation="softmax")(hidden),
    "b": tf_keras.layers.Softmax()(hidden),
  }
  nested = tf_keras.Model(inputs, outputs)
  config = json.loads(nested.to_json())
  config["config"]["layers"][2]["config"]["function"] = ["code", None, None]
  keras3 = {
    "class_name": "Functional",
    "config": {
      "layers": [
        {
          "class_name": "InputLayer",
          "name": "x",
          "config": {"batch_shape": [None, 3], "dtype": "float32"},
          "inbound_nodes": [],
        },
        {
          "class_name": "Dense",
          "name": "y",
          "config": {"units": 2, "activation": "sigmoid"},
          "inbound_nodes": [
            {
              "args": [
                {
                  "class_name": "__keras_tensor__",
                  "config": {"keras_history": ["x", 0, 0]},
                }
              ]
            }
          ],
        },
      ],
      "input_layers": [["x", 0, 0]],
      "output_layers": [["y", 0, 0]],
    },
    "compile_config": {"loss": "binary_crossentropy", "use_ema": True},
  }
  return [
    _model().to_json().encode(),
    json.dumps(config).encode(),
    json.dumps(keras3).encode(),
  ]


CONFIG = {
  "model_type": "bert",
  "architectures": ["BertForSequenceClassification"],
  "vocab_size": 8,
  "hidden_size": 4,
  "num_hidden_layers": 1,
  "num_attention_heads": 2,
  "intermediate_size": 8,
  "max_position_embeddings": 8,
  "type_vocab_size": 2,
  "hidden_act": "gelu",
  "hidden_dropout_prob": 0.1,
  "layer_norm_eps": 1e-12,
  "id2label": {"0": "no", "1": "yes"},
  "problem_type": "single_label_classification",
}
_LAYER = "encoder.layer.0"
_SHAPES = {
  "embeddings.word_embeddings.weight": [8, 4],
  "embeddings.position_embeddings.weight": [8, 4],
  "embeddings.token_type_embeddings.weight": [2, 4],
  "embeddings.LayerNorm.gamma": [4],
  f"{_LAYER}.attention.self.query.weight": [4, 4],
  f"{_LAYER}.attention.self.query.bias": [4],
  f"{_LAYER}.intermediate.dense.bias": [8],
  "pooler.dense.weight": [4, 4],
  "classifier.weight": [2, 4],
}


def _hugging_face(content: bytes, folder: pathlib.Path) -> None:
  """Reads a folder: a JSON object of file names, and the shapes of tensors."""
  try:
    files = json.loads(content)
  except (ValueError, RecursionError):
    files = None
  if not isinstance(files, dict):
    files = {"config.json": content}
  tensors = files.pop("shapes", _SHAPES)
  (folder / "model.safetensors").write_bytes(_with_shapes(tensors))
  for name in _FILES:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    value = files.get(name)
    if isinstance(value, bytes):
      path.write_bytes(value)
    elif name in files:
      path.write_text(json.dumps(value), encoding="utf-8")
    else:
      path.unlink(missing_ok=True)
  found = identity.identify(str(folder)).checkpoint
  _ = found.task, found.sentence_embedding, found.vocab_file


_FILES = (
  "config.json",
  "tokenizer_config.json",
  "modules.json",
  "1_Pooling/config.json",
  "model.safetensors.index.json",
)


def _with_shapes(tensors: Any) -> bytes:
  """Returns safetensors of zeros, if the shapes are those of arrays at all."""
  header, end = {}, 0
  for name, shape in tensors.items() if isinstance(tensors, dict) else ():
    if isinstance(shape, list) and all(
      type(size) is int and 0 <= size <= 64 for size in shape
    ):
      begin, end = end, end + 4 * int(np.prod(shape[:4], dtype=int))
      header[name] = {
        "dtype": "F32",
        "shape": shape[:4],
        "data_offsets": [begin, end],
      }
  text = json.dumps(header).encode()
  return struct.pack("<Q", len(text)) + text + bytes(min(end, 1 << 20))


def _seeds_of_hugging_face() -> Sequence[bytes]:
  types = (
    ("distilbert", {"dim": 4, "n_layers": 1, "n_heads": 2, "hidden_dim": 8}),
    ("albert", {"embedding_size": 2, "num_hidden_groups": 1}),
    ("electra", {"embedding_size": 2}),
    ("mobilebert", {"intra_bottleneck_size": 2, "embedding_size": 2}),
  )
  found: list[dict[str, Any]] = [
    {
      "config.json": CONFIG,
      "tokenizer_config.json": {"do_lower_case": True},
      "modules.json": [
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"path": "", "type": "sentence_transformers.models.Normalize"},
      ],
      "1_Pooling/config.json": {"pooling_mode_mean_tokens": True},
      "shapes": _SHAPES,
    }
  ]
  found += [
    {"config.json": CONFIG | {"model_type": kind} | more, "shapes": _SHAPES}
    for kind, more in types
  ]
  old = {k: v for k, v in CONFIG.items() if k != "model_type"}
  shapes = {f"bert.{name}": shape for name, shape in _SHAPES.items()}
  found.append({"config.json": old, "shapes": shapes})
  return [json.dumps(files).encode() for files in found]


TARGETS = {
  "pickle program": Target(
    read=_program,
    seeds=lambda: [_STATE, _OPCODES],
    mutate=mutations.of_bytes,
    parts=(f"{_EXPORTERS}.torch_program", f"{_EXPORTERS}.torch_file"),
  ),
  "PyTorch file": Target(
    read=_torch,
    seeds=lambda: [_torch_zip(_STATE), _LEGACY],
    mutate=mutations.of_bytes,
    parts=(f"{_EXPORTERS}.torch_program", f"{_EXPORTERS}.torch_file"),
  ),
  "safetensors": Target(
    read=_safetensors,
    seeds=_seeds_of_safetensors,
    mutate=mutations.of_bytes,
    parts=(f"{_EXPORTERS}.safetensors_file",),
  ),
  "safetensors header": Target(
    read=_safetensors_header,
    seeds=_seeds_of_header,
    mutate=mutations.of_json,
    parts=(f"{_EXPORTERS}.safetensors_file",),
  ),
  "TF index": Target(
    read=_tf_index,
    seeds=lambda: [index for index, _ in _saved()],
    mutate=mutations.of_bytes,
    parts=(
      f"{_EXPORTERS}.tensorflow_files",
      f"{_EXPORTERS}.tensorflow_index",
    ),
  ),
  "TF index with checksums": Target(
    read=_tf_block,
    seeds=lambda: [table.first_block(index) for index, _ in _saved()],
    mutate=mutations.of_bytes,
    parts=(
      f"{_EXPORTERS}.tensorflow_files",
      f"{_EXPORTERS}.tensorflow_index",
      f"{_EXPORTERS}.object_based",
      f"{_EXPORTERS}.tf1",
      f"{_EXPORTERS}.averages",
    ),
  ),
  "HDF5": Target(
    read=_h5,
    seeds=_seeds_of_h5,
    mutate=mutations.of_bytes,
    parts=(f"{_EXPORTERS}.keras_h5", f"{_EXPORTERS}.weights_h5"),
  ),
  "HDF5 attributes": Target(
    read=_h5_attributes,
    seeds=_seeds_of_attributes,
    mutate=mutations.of_json,
    parts=(f"{_EXPORTERS}.keras_h5", "exporters.inspection.keras_files"),
  ),
  "Keras archive": Target(
    read=_keras,
    seeds=lambda: [_saved_model_file("model.keras")],
    mutate=mutations.of_bytes,
    parts=(
      f"{_EXPORTERS}.keras_archive",
      "exporters.inspection.keras_files",
    ),
  ),
  "Keras configuration": Target(
    read=_keras_config,
    seeds=_seeds_of_keras_config,
    mutate=mutations.of_json,
    parts=(
      f"{_EXPORTERS}.keras_archive",
      "exporters.inspection.keras_config",
    ),
  ),
  "Hugging Face folder": Target(
    read=_hugging_face,
    seeds=_seeds_of_hugging_face,
    mutate=mutations.of_json,
    parts=(
      f"{_EXPORTERS}.hugging_face",
      f"{_EXPORTERS}.hugging_face_config",
      f"{_EXPORTERS}.encoder_json",
      f"{_EXPORTERS}.weight_map",
      "exporters.inspection.identity",
    ),
  ),
}
