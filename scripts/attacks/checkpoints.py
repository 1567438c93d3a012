"""Checkpoints, and what lies beside them, that were made to do harm."""

from __future__ import annotations

from collections.abc import Callable
import json
import os
import pathlib
import pickle
import struct
import zipfile

import h5py
import numpy as np

from scripts.attacks import Attack

_INSPECT = "scripts.inspect"


def _file(name: str, content: bytes | Callable[[], bytes]):
  """Returns what writes one file."""

  def write(folder: pathlib.Path) -> pathlib.Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content())
    return path

  return write


class _Evil:
  def __reduce__(self):
    return os.system, ("touch /tmp/attack_was_here",)


CONFIG = {
  "model_type": "bert",
  "vocab_size": 30,
  "hidden_size": 8,
  "num_hidden_layers": 1,
  "num_attention_heads": 2,
  "intermediate_size": 16,
  "max_position_embeddings": 16,
  "type_vocab_size": 2,
}


def _beside_config(name: str, content: bytes):
  """Returns what writes a folder of Hugging Face's."""

  def write(folder: pathlib.Path) -> pathlib.Path:
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / name).write_bytes(content)
    return folder

  return write


def _safetensors(header: bytes, length: int | None = None) -> bytes:
  size = len(header) if length is None else length
  return struct.pack("<Q", size) + header


def _entry(begin: int, end: int, shape: list[int]) -> dict:
  return {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}


def _tensors(**entries: dict) -> bytes:
  return _safetensors(json.dumps(entries).encode()) + bytes(64)


def _external(folder: pathlib.Path) -> pathlib.Path:
  """Weights whose numbers HDF5 would read from another file."""

  def add(layer: h5py.Group) -> None:
    external = [("/etc/passwd", 0, 64)]
    layer.create_dataset("kernel:0", [16], "f4", external=external)

  return _h5(folder, add)


def _linked(folder: pathlib.Path) -> pathlib.Path:
  """Weights that are a link into another file."""
  with h5py.File(folder / "other.h5", "w") as f:
    f["weight"] = np.ones([4], np.float32)

  def add(layer: h5py.Group) -> None:
    layer["kernel:0"] = h5py.ExternalLink(str(folder / "other.h5"), "/weight")

  return _h5(folder, add)


def _circular(folder: pathlib.Path) -> pathlib.Path:
  """A group that holds itself."""

  def add(layer: h5py.Group) -> None:
    layer["kernel:0"] = layer

  return _h5(folder, add)


def _large(folder: pathlib.Path) -> pathlib.Path:
  """A dataset of 4 TB, of which nothing is stored: it would read as zeros."""

  def add(layer: h5py.Group) -> None:
    layer.create_dataset("kernel:0", [10**12], "f4", chunks=(1 << 20,))

  return _h5(folder, add)


def _h5(
  folder: pathlib.Path, add: Callable[[h5py.Group], None]
) -> pathlib.Path:
  """Writes weights as Keras does: one layer, with what `add` puts into it."""
  path = folder / "model.h5"
  with h5py.File(path, "w") as f:
    weights = f.create_group("model_weights")
    weights.attrs["layer_names"] = [b"dense"]
    layer = weights.create_group("dense")
    layer.attrs["weight_names"] = [b"kernel:0"]
    add(layer)
  return path


def _bomb(folder: pathlib.Path) -> pathlib.Path:
  """A model of Keras 3 whose configuration unpacks to 4 GB."""
  path = folder / "model.keras"
  with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("metadata.json", '{"keras_version": "3.0.0"}')
    with archive.open("config.json", "w", force_zip64=True) as f:
      for _ in range(256):
        f.write(b" " * (16 << 20))
    archive.writestr("model.weights.h5", b"")
  return path


def _nested_json(folder: pathlib.Path) -> pathlib.Path:
  (folder / "config.json").write_text("[" * 200_000)
  (folder / "pytorch_model.bin").write_bytes(b"")
  return folder


def _laughs(folder: pathlib.Path) -> pathlib.Path:
  """A params.yaml of aliases of aliases: 10^9 texts, once expanded."""
  lines = ['a0: &a0 ["lol", "lol", "lol", "lol", "lol"]']
  lines += [
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)
  ]
  (folder / "params.yaml").write_text("\n".join(lines))
  import tensorflow as tf

  tf.train.Checkpoint(kernel=tf.Variable(tf.ones([4]))).write(
    str(folder / "bert_model.ckpt")
  )
  return folder / "bert_model.ckpt"


def _shard_outside(folder: pathlib.Path) -> pathlib.Path:
  """Shards by the name of a file outside the folder."""
  (folder / "secret.safetensors").write_bytes(_tensors(w=_entry(0, 4, [1])))
  inner = folder / "model"
  inner.mkdir()
  (inner / "config.json").write_text(json.dumps(CONFIG))
  (inner / "model.safetensors.index.json").write_text(
    json.dumps({"metadata": {}, "weight_map": {"w": "../secret.safetensors"}})
  )
  return inner


def _pipe(folder: pathlib.Path) -> pathlib.Path:
  os.mkfifo(folder / "model.safetensors")
  (folder / "config.json").write_text('{"model_type": "bert"}')
  return folder


def _zeros(folder: pathlib.Path) -> pathlib.Path:
  (folder / "vocab.txt").symlink_to("/dev/zero")
  return folder


ATTACKS = {
  "a pickle that runs a command": Attack(
    command=_INSPECT,
    write=_beside_config("pytorch_model.bin", pickle.dumps(_Evil())),
    says="asks for '(posix|nt).system'",
  ),
  "a header of 2^60 bytes": Attack(
    command=_INSPECT,
    write=_beside_config("model.safetensors", _safetensors(b"{}", 1 << 60)),
    says="header too large",
  ),
  "a header nested 200,000 deep": Attack(
    command=_INSPECT,
    write=_beside_config("model.safetensors", _safetensors(b"[" * 200_000)),
    says="invalid JSON in header",
  ),
  "tensors that overlap": Attack(
    command=_INSPECT,
    write=_beside_config(
      "model.safetensors",
      _tensors(a=_entry(0, 32, [8]), b=_entry(16, 48, [8])),
    ),
    says="invalid offset",
  ),
  "a tensor before the file": Attack(
    command=_INSPECT,
    write=_beside_config("model.safetensors", _tensors(a=_entry(-32, 0, [8]))),
    says="invalid value",
  ),
  "a tensor of 10^18 elements": Attack(
    command=_INSPECT,
    write=_beside_config(
      "model.safetensors", _tensors(a=_entry(0, 4 * 10**18, [10**18]))
    ),
    says="overflow",
  ),
  "HDF5 numbers from /etc/passwd": Attack(
    command=_INSPECT, write=_external, says="lies in another file"
  ),
  "an HDF5 link into another file": Attack(
    command=_INSPECT, write=_linked, says="is a link"
  ),
  "an HDF5 group that holds itself": Attack(
    command=_INSPECT, write=_circular, says="not an array of numbers"
  ),
  "HDF5 numbers that nobody stored, 4 TB": Attack(
    command=_INSPECT, write=_large, says="of which 0 are stored"
  ),
  "a configuration that unpacks to 4 GB": Attack(
    command=_INSPECT, write=_bomb, says="does not compress"
  ),
  "JSON nested 200,000 deep": Attack(
    command=_INSPECT, write=_nested_json, says="recursion depth"
  ),
  "YAML of aliases of aliases": Attack(
    command=_INSPECT, write=_laughs, says="its aliases stand for too much"
  ),
  "a shard outside the folder": Attack(
    command=_INSPECT, write=_shard_outside, says="does not say by file names"
  ),
  "a pipe in place of the weights": Attack(
    command=_INSPECT, write=_pipe, says="is not a file but a pipe"
  ),
  "a link from the vocabulary to /dev/zero": Attack(
    command=_INSPECT, write=_zeros, says="is not a file but a device"
  ),
}
