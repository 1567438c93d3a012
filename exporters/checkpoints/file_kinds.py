"""Names files of other formats by their first bytes.

So that a message can call a file what it is. Little is read, and nothing is
unpacked, parsed as a whole or run.
"""

from __future__ import annotations

from collections.abc import Iterator
import dataclasses
import os
import re
import tarfile
from typing import Any
import zipfile
import zlib

import tensorflow as tf

KERAS = "a Keras model"
_HEAD = 1 << 12
# Fields of a protocol buffer, and members of an archive, that are looked at.
_MOST = 4096


@dataclasses.dataclass(frozen=True)
class FileKind:
  """What a file is.

  Attributes:
    name: With its article, such as "an ONNX model".
    advice: How to go on, in a sentence.
  """

  name: str
  advice: str

  def __str__(self) -> str:
    return f"{self.name}. {self.advice}"

  @property
  def is_model(self) -> bool:
    """Whether it is or may hold a model, in a form that is not exported."""
    return self.advice == _UNPACK or _SOURCE in self.advice

  @property
  def of_hugging_face(self) -> bool:
    """Whether its `config.json` would say what is in it."""
    return self.advice == _HUGGING_FACE


_SOURCE = "Export the TensorFlow model or checkpoint that it was made from."
_UNPACK = "Unpack it, and name what is in it."
_AGAIN = "Get the file again from where it comes from."
_PICKLE = FileKind(
  "a Python pickle",
  "Loading it would run code in it, so it is not read. " + _SOURCE,
)
_HUGGING_FACE = (
  "If it is a Hugging Face model, put it into a folder with its config.json, "
  "and name that folder. If not: export the TensorFlow model or checkpoint "
  "that it was made from."
)
# By the bytes at an offset.
_MAGIC = (
  (0, b"version https://git-lfs", "a pointer of Git LFS, not the file itself",
   "Run `git lfs pull` where it comes from."),
  (4, b"TFL3", "a TFLite model", _SOURCE),
  (0, b"GGUF", "a GGUF file of llama.cpp", _SOURCE),
  (0, b"\x93NUMPY", "a NumPy array", _SOURCE),
  (0, b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19", "a PyTorch file",
   _HUGGING_FACE),
  (0, b"BZh", "a bzip2 file", _UNPACK),
  (0, b"\xfd7zXZ\x00", "an xz file", _UNPACK),
  (0, b"\x28\xb5\x2f\xfd", "a zstd file", _UNPACK),
  (0, b"\x04\x22\x4d\x18", "an LZ4 file", _UNPACK),
  (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
  (0, b"Rar!", "a RAR archive", _UNPACK),
  (257, b"ustar", "a tar archive", _UNPACK),
)  # fmt: skip
_TABLE_END = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"


def kind_of(path: str) -> FileKind | None:
  """Returns what a file is; None for a folder, and for what nothing tells."""
  if not tf.io.gfile.exists(path) or tf.io.gfile.isdir(path):
    return None
  size = tf.io.gfile.stat(path).length
  with tf.io.gfile.GFile(path, "rb") as file:
    head = file.read(_HEAD)
    if not head:
      return FileKind("an empty file", _AGAIN)
    for offset, magic, name, advice in _MAGIC:
      if head.startswith(magic, offset):
        return FileKind(name, advice)
    return (
      _archive(file, head)
      or _pickle(head)
      or _safetensors(head)
      or _table(file, size)
      or _protocol_buffer(file, head, size)
      or _text(path, head)
    )


def _archive(file: Any, head: bytes) -> FileKind | None:
  if head.startswith(b"\x1f\x8b"):
    try:
      inner = zlib.decompressobj(31).decompress(head, tarfile.BLOCKSIZE)
    except zlib.error:
      inner = b""
    tar = inner.startswith(b"ustar", 257)
    return FileKind("a tar.gz archive" if tar else "a gzip file", _UNPACK)
  if not head.startswith(b"PK\x03\x04"):
    return None
  try:
    file.seek(0)
    names = zipfile.ZipFile(file).namelist()[:_MOST]
  except (
    zipfile.BadZipFile,
    NotImplementedError,
    OSError,
    tf.errors.OpError,
    ValueError,
  ):
    return FileKind("a zip archive that is truncated or damaged", _AGAIN)
  inner_names = {name.partition("/")[2] for name in names}
  if {"data.pkl", "constants.pkl"} <= inner_names:
    return FileKind("a TorchScript model", _SOURCE)
  if "data.pkl" in inner_names:
    return FileKind("a PyTorch file", _HUGGING_FACE)
  if names and all(name.endswith(".npy") for name in names):
    return FileKind("a NumPy .npz archive", _SOURCE)
  if {"config.json", "model.weights.h5"} <= set(names):
    return FileKind(KERAS, "Name it MODEL_FILE of keras_model.gin.")
  return FileKind("a zip archive", _UNPACK)


def _pickle(head: bytes) -> FileKind | None:
  return _PICKLE if re.match(rb"\x80[\x02-\x05]", head) else None


def _safetensors(head: bytes) -> FileKind | None:
  length = int.from_bytes(head[:8], "little")
  if head[8:9] == b"{" and 2 <= length < 1 << 27:
    return FileKind("a safetensors file", _HUGGING_FACE)
  return None


def _table(file: Any, size: int) -> FileKind | None:
  if size < len(_TABLE_END):
    return None
  file.seek(size - len(_TABLE_END))
  if file.read(len(_TABLE_END)) != _TABLE_END:
    return None
  return FileKind(
    "the index of a TensorFlow checkpoint",
    "Name it without its `.index`, beside all of its `.data-*-of-*`.",
  )


def _protocol_buffer(file: Any, head: bytes, size: int) -> FileKind | None:
  fields = list(_fields(file, size))
  numbers = {number for number, _, _ in fields}
  if not fields:
    return None
  (first, kind, at) = fields[0]
  if (first, kind) == (1, 0) and numbers <= {1, 2} and 2 in numbers:
    return FileKind(
      "the graph of a SavedModel", "Name the folder in which it lies."
    )
  if (first, kind) == (1, 0) and {7, 8} <= numbers and max(numbers) < 32:
    return FileKind("an ONNX model", _SOURCE)
  if (first, kind) == (1, 0) and 2 in numbers and max(numbers) >= 200:
    return FileKind("a Core ML model", _SOURCE)
  if (first, kind) == (1, 2) and numbers <= {1, 2, 3, 4, 5}:
    if re.match(rb"\x0a.[\w./^-]+\x12.[A-Z]\w+", head[at:], re.DOTALL):
      return FileKind(
        "a frozen graph",
        "Its weights are constants, which nobody could train. " + _SOURCE,
      )
    if {2, 3} <= numbers:
      return FileKind(
        "the graph of a TF1 checkpoint (.meta)",
        "Name the checkpoint: the same path without `.meta`.",
      )
  return None


def _fields(file: Any, size: int) -> Iterator[tuple[int, int, int]]:
  """Yields number, wire type and place of a message's fields, if it is one."""
  found: list[tuple[int, int, int]] = []
  at = 0
  while at < size and len(found) < _MOST:
    file.seek(at)
    piece = file.read(24)
    key, begin = _varint(piece, 0)
    number, kind = key >> 3, key & 7
    if not number or kind not in (0, 1, 2, 5):
      return
    if kind == 2:
      length, begin = _varint(piece, begin)
      end = begin + length
    elif kind == 0:
      end = _varint(piece, begin)[1]
    else:
      end = begin + (8 if kind == 1 else 4)
    found.append((number, kind, at + begin))
    at += end
  if at == size or len(found) == _MOST:
    yield from found


def _varint(piece: bytes, at: int) -> tuple[int, int]:
  number = 0
  for shift in range(0, 70, 7):
    if at >= len(piece):
      break
    number |= (piece[at] & 127) << shift
    at += 1
    if piece[at - 1] < 128:
      break
  return number, at


def _text(path: str, head: bytes) -> FileKind | None:
  try:
    # A character may be cut in two.
    text = head.decode(
      "utf-8-sig", "ignore" if len(head) == _HEAD else "strict"
    )
  except UnicodeDecodeError:
    return None
  if re.search(r"[\x00-\x08\x0e-\x1f]", text):
    return None
  begin = text.lstrip()[:64].lower()
  if begin.startswith(("<!doctype html", "<html")):
    return FileKind(
      "a web page", "A download went wrong: open its address in a browser."
    )
  if os.path.basename(path) == "checkpoint" and "model_checkpoint_path" in text:
    return FileKind(
      "the list of a folder's checkpoints", "Name the folder, or one of them."
    )
  if begin.startswith("{"):
    return _json(text)
  return FileKind("a text file", "Name the file or folder with the weights.")


def _json(text: str) -> FileKind:
  if re.search(r'"format"\s*:\s*"(layers|graph)-model"', text):
    return FileKind("a TensorFlow.js model", _SOURCE)
  if re.search(r'"(model_type|architectures)"\s*:', text):
    return FileKind(
      "the description of a Hugging Face model",
      "Name the folder in which it lies, with the weights.",
    )
  if re.search(r'"class_name"\s*:\s*"(Functional|Sequential|Model)"', text):
    return FileKind(
      "the architecture of a Keras model, without its weights",
      "Save the model itself: model.save('model.keras').",
    )
  return FileKind("a JSON file", "Name the file or folder with the weights.")
