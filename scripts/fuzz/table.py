"""Writes the index of a TensorFlow checkpoint around entries of any kind.

It is a table of LevelDB, in which a checksum stands behind each block. A change
at random breaks it, and the reader would look no further.
https://github.com/google/leveldb/blob/main/doc/table_format.md
"""

from __future__ import annotations

import struct

_MAGIC = 0xDB4775248B80FB57
_POLYNOMIAL = 0x82F63B78  # Of CRC-32C, its bits reversed.
_FOOTER = 48
_NO_ENTRIES = struct.pack("<II", 0, 1)


def _row(byte: int) -> int:
  for _ in range(8):
    byte = byte >> 1 ^ _POLYNOMIAL * (byte & 1)
  return byte


_ROWS = [_row(byte) for byte in range(256)]


def around(block: bytes) -> bytes:
  """Returns a table of one block of entries."""
  handle = _varint(0) + _varint(len(block))
  # One entry: a key behind all others, and where the block is.
  entry = _varint(0) + _varint(1) + _varint(len(handle)) + b"\xff" + handle
  content = _with_checksum(block)
  handles = b""
  for other in (_NO_ENTRIES, entry + _NO_ENTRIES):
    handles += _varint(len(content)) + _varint(len(other))
    content += _with_checksum(other)
  footer = handles.ljust(_FOOTER - 8, b"\x00") + struct.pack("<Q", _MAGIC)
  return content + footer


def first_block(table: bytes) -> bytes:
  """Returns the entries of a table that has one block of them."""
  # The next one, of no entries, begins behind its checksum.
  end, shift = 0, 0
  for byte in table[-_FOOTER:]:
    end |= (byte & 127) << shift
    shift += 7
    if byte < 128:
      break
  return table[: end - 5]


def _with_checksum(block: bytes) -> bytes:
  block += b"\x00"  # It is not compressed.
  crc = 0xFFFFFFFF
  for byte in block:
    crc = crc >> 8 ^ _ROWS[(crc ^ byte) & 255]
  crc ^= 0xFFFFFFFF
  masked = (crc >> 15 | crc << 17) + 0xA282EAD8
  return block + struct.pack("<I", masked & 0xFFFFFFFF)


def _varint(number: int) -> bytes:
  found = bytearray()
  while number > 127:
    found.append(number & 127 | 128)
    number >>= 7
  return bytes([*found, number])
