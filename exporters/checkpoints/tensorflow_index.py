"""Looks through the index of a TensorFlow checkpoint before TensorFlow does.

TensorFlow's reader ends the process for an entry that it cannot parse, or that
has an impossible shape. An index is a table of LevelDB, without compression:
https://github.com/google/leveldb/blob/main/doc/table_format.md. Checksums are
left to TensorFlow, which knows what to do with wrong ones.
"""

from __future__ import annotations

from collections.abc import Iterator
import math
import struct
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import tensor_bundle_pb2

_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
_FOOTER = 48
# Whether a block is compressed, and its checksum.
_TRAILER = 5
_HIGHEST_RANK = 254
_MOST_ELEMENTS = 1 << 63
# Keys share beginnings. What grows more than this by that is no checkpoint's.
_LARGEST_RATIO, _SMALL = 64, 1 << 20


def refuse_damaged(content: bytes) -> None:
  """Raises `ValueError` for an index that TensorFlow could not survive.

  Args:
    content: The file.
  """
  left = _LARGEST_RATIO * len(content) + _SMALL
  slices: set[Any] = set()
  for key, value in _entries(content):
    left -= len(key)
    if left < 0:
      raise ValueError("its names are larger than any model's")
    try:
      if key:
        _refuse_impossible(
          key, tensor_bundle_pb2.BundleEntryProto.FromString(value), slices
        )
      else:
        tensor_bundle_pb2.BundleHeaderProto.FromString(value)
    except DecodeError as e:
      raise ValueError("it has an entry that does not parse") from e


def shards(content: bytes) -> int:
  """Returns over how many files the tensors are spread.

  Args:
    content: The file.

  Raises:
    ValueError: It is damaged.
  """
  for key, value in _entries(content):
    if not key:
      try:
        return tensor_bundle_pb2.BundleHeaderProto.FromString(value).num_shards
      except DecodeError as e:
        raise ValueError("it has a header that does not parse") from e
  raise ValueError("it has no header")


def _refuse_impossible(key: bytes, entry: Any, slices: set[Any]) -> None:
  sizes = [dimension.size for dimension in entry.shape.dim]
  if (
    entry.shape.unknown_rank
    or len(sizes) > _HIGHEST_RANK
    or any(size < 0 for size in sizes)
    or math.prod(sizes) >= _MOST_ELEMENTS
  ):
    raise ValueError("it has a tensor of an impossible shape")
  for part in entry.slices:
    extents = tuple(
      (e.start, e.length if e.HasField("length") else -1) for e in part.extent
    )
    if (key, extents) in slices:
      raise ValueError("it has a part of a tensor twice")
    slices.add((key, extents))


def _entries(content: bytes) -> Iterator[tuple[bytes, bytes]]:
  """Yields the keys and values of a table."""
  if not content.endswith(_MAGIC) or len(content) < _FOOTER:
    raise ValueError("its end is missing")
  at = len(content) - _FOOTER
  for _ in range(2):  # Of the block of metadata, which is empty.
    _, at = _varint(content, at)
  for _, handle in _block(content, *_handle(content, at)):
    yield from _block(content, *_handle(handle, 0))


def _handle(content: bytes, at: int) -> tuple[int, int]:
  """Returns the place and the size of a block."""
  place, at = _varint(content, at)
  return place, _varint(content, at)[0]


def _block(
  content: bytes, place: int, size: int
) -> Iterator[tuple[bytes, bytes]]:
  end = place + size
  if size < 4 or end + _TRAILER > len(content) - _FOOTER:
    raise ValueError("it has a block that is not there")
  if content[end]:
    # TensorFlow reads such tables, but has not written any since 1.1.
    raise ValueError(
      "it is compressed. If TensorFlow can restore it, save it again"
    )
  # What follows the entries: where keys are whole, and how many such there are.
  (count,) = struct.unpack_from("<I", content, end - 4)
  end -= 4 * (count + 1)
  if end < place:
    raise ValueError("it has a block that does not parse")
  starts = {
    start + place for start in struct.unpack_from(f"<{count}I", content, end)
  }
  at, key = place, None
  while at < end:
    begin, before = at, key or b""
    shared, at = _varint(content, at)
    more, at = _varint(content, at)
    length, at = _varint(content, at)
    if shared > len(before) or at + more + length > end:
      raise ValueError("it has an entry that does not parse")
    found = before[:shared] + content[at : at + more]
    if key is not None and found <= key:
      raise ValueError("its entries are not in order")
    if begin in starts:
      starts.remove(begin)
      if shared:
        raise ValueError("it has an entry that does not parse")
    key, at = found, at + more + length
    yield key, content[at - length : at]
  if starts - {place}:
    raise ValueError("it has a block that does not parse")


def _varint(content: bytes, at: int) -> tuple[int, int]:
  number = 0
  for shift in range(0, 64, 7):
    if at >= len(content):
      break
    number |= (content[at] & 127) << shift
    at += 1
    if content[at - 1] < 128:
      return number, at
  raise ValueError("it has a number that does not parse")
