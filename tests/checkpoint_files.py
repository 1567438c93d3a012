"""Writes checkpoints as others do, from tensors that `transformers` names."""

from collections.abc import Mapping
import json
import pathlib
import re
import struct
import zipfile

import numpy as np
import safetensors.numpy
import tensorflow as tf

_MAGIC = 0x1950A86A20F9469CFC6C


def hugging_face(folder: pathlib.Path, kind: str, config, tensors) -> None:
  folder.mkdir()
  (folder / "config.json").write_text(json.dumps({"model_type": kind} | config))
  safetensors.numpy.save_file(dict(tensors), folder / "model.safetensors")


def tf1(
  prefix: pathlib.Path, tensors: Mapping[str, np.ndarray], renames=()
) -> None:
  """Writes a checkpoint of google-research/bert, as a training leaves it."""
  found = tf1_names(tensors, renames)
  found["global_step"] = np.int64(1000)
  found["bert/pooler/dense/bias/adam_m"] = np.zeros([4], np.float32)
  save_tf1(prefix, found)


def tf1_names(
  tensors: Mapping[str, np.ndarray], renames=()
) -> dict[str, np.ndarray]:
  """Names them such as `bert/encoder/layer_0/output/dense/kernel`."""
  found = {}
  for name, value in tensors.items():
    # PyTorch's layers by their TF1 parameters.
    if re.search(r"(LayerNorm|layer_norm)", name):
      name = name.replace(".weight", ".gamma").replace(".bias", ".beta")
    elif "_embeddings." in name:
      name = name.removesuffix(".weight")
    elif name.endswith(".weight"):
      name, value = name.removesuffix("weight") + "kernel", value.T
    name = name.replace("predictions.bias", "predictions.output_bias")
    for old, new in renames:
      name = name.replace(old, new)
    found[name.replace("layer.", "layer_").replace(".", "/")] = value
  return found


def save_tf1(prefix: pathlib.Path, found: Mapping[str, np.ndarray]) -> None:
  names = sorted(found)
  tf.raw_ops.SaveV2(
    prefix=str(prefix),
    tensor_names=names,
    shape_and_slices=[""] * len(names),
    tensors=[tf.constant(found[name]) for name in names],
  )


# TF1's ALBERT has the same structure under names of its own.
ALBERT_RENAMES = (
  ("albert.", "bert."),
  (
    "encoder.albert_layer_groups.0.albert_layers.0.",
    "encoder.transformer.group_0.inner_group_0.",
  ),
  ("attention.LayerNorm", "LayerNorm"),
  ("full_layer_layer_norm", "LayerNorm_1"),
  ("attention.dense", "attention_1.output.dense"),
  ("attention.query", "attention_1.self.query"),
  ("attention.key", "attention_1.self.key"),
  ("attention.value", "attention_1.self.value"),
  ("ffn_output", "ffn_1.intermediate.output.dense"),
  ("ffn.", "ffn_1.intermediate.dense."),
  ("pooler", "pooler.dense"),
  ("predictions.dense", "cls.predictions.transform.dense"),
  ("predictions.LayerNorm", "cls.predictions.transform.LayerNorm"),
  ("predictions.output_bias", "cls.predictions.output_bias"),
)


MOBILEBERT_RENAMES = (
  ("mobilebert.", "bert."),
  ("ffn.", "ffn_layer_"),
  # Layer norms that do not normalize.
  ("LayerNorm", "FakeLayerNorm"),
)


class Pickle:
  """Assembles what `torch.save` pickles, opcode by opcode."""

  STORAGES = {
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
  }
  ORDERED_DICT = b"ccollections\nOrderedDict\n)R"

  @staticmethod
  def text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()

  @staticmethod
  def number(number: int) -> bytes:
    return b"J" + struct.pack("<i", number)

  @classmethod
  def numbers(cls, numbers) -> bytes:
    return b"(" + b"".join(map(cls.number, numbers)) + b"t"

  @classmethod
  def tensor(
    cls, key, dtype, size, shape, strides, offset=0, more=b""
  ) -> bytes:
    storage = f"ctorch\n{cls.STORAGES[dtype]}\n".encode()
    return (
      b"ctorch._utils\n_rebuild_tensor_v2\n(("
      + cls.text("storage")
      + storage
      + cls.text(key)
      + cls.text("cpu")
      + cls.number(size)
      + more
      + b"tQ"
      + cls.number(offset)
      + cls.numbers(shape)
      + cls.numbers(strides)
      + b"\x89"
      + cls.ORDERED_DICT
      + b"tR"
    )

  @classmethod
  def state(cls, tensors: Mapping[str, bytes]) -> bytes:
    """An OrderedDict of tensors, with the attribute `_metadata`."""
    items = b"".join(cls.text(name) + value for name, value in tensors.items())
    metadata = b"}" + cls.text("_metadata") + cls.ORDERED_DICT + b"sb"
    return (
      b"\x80\x02" + cls.ORDERED_DICT + b"(" + items + b"u" + metadata + b"."
    )


def _strides(array: np.ndarray) -> list[int]:
  return [stride // array.itemsize for stride in array.strides]


def _pickled(tensors: Mapping[str, np.ndarray], more: bytes = b"") -> bytes:
  return Pickle.state(
    {
      name: Pickle.tensor(
        str(i), a.dtype.name, a.size, a.shape, _strides(a), more=more
      )
      for i, (name, a) in enumerate(tensors.items())
    }
  )


def torch_zip(path: pathlib.Path, tensors: Mapping[str, np.ndarray]) -> None:
  """Writes the format of PyTorch since 1.6; strides as the arrays have them."""
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("archive/data.pkl", _pickled(tensors))
    for i, array in enumerate(tensors.values()):
      archive.writestr(f"archive/data/{i}", _bytes(array))
    archive.writestr("archive/version", "3\n")


def torch_legacy(path: pathlib.Path, tensors: Mapping[str, np.ndarray]) -> None:
  """Writes the format of before: pickles, then the storages."""
  magic = _MAGIC.to_bytes(10, "little")
  system = b"}" + Pickle.text("little_endian") + b"\x88s"
  keys = b"".join(Pickle.text(str(i)) for i in range(len(tensors)))
  parts = [
    b"\x80\x02\x8a\x0a" + magic + b".",
    b"\x80\x02M\xe9\x03.",
    b"\x80\x02" + system + b".",
    _pickled(tensors, more=b"N"),
    b"\x80\x02](" + keys + b"e.",
  ]
  for array in tensors.values():
    parts += [struct.pack("<q", array.size), _bytes(array)]
  path.write_bytes(b"".join(parts))


def _bytes(array: np.ndarray) -> bytes:
  # In the order of memory, which strides refer to.
  return array.tobytes(order="A")
