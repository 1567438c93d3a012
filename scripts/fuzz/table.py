"""Writes the index of a TensorFlow checkpoint around entries of any kind.

It is a table of LevelDB, in which a checksum stands behind each block. A change
at random breaks it, and the reader would look no further.
https://github.com/google/leveldb/blob/main/doc/table_format.md
"""

from __future__ import annotations

from collections.abc import Mapping
import struct

_MAGIC = 0xDB4775248B80FB57
_POLYNOMIAL = 0x82F63B78  # Of CRC-32C, its bits reversed.
_FOOTER = 48


def _row(byte: int) -> int:
  for _ in range(8):
    byte = byte >> 1 ^ _POLYNOMIAL * (byte & 1)
  return byte


_ROWS = [_row(byte) for byte in range(256)]


def around(block: bytes) -> bytes:
  """Returns a table of one block of entries."""
  handle = varint(0) + varint(len(block))
  # A key behind all others, and where the block is.
  entry = of_entries({b"\xff": handle})
  content = _with_checksum(block)
  handles = b""
  for other in (of_entries({}), entry):
    handles += varint(len(content)) + varint(len(other))
    content += _with_checksum(other)
  footer = handles.ljust(_FOOTER - 8, b"\x00") + struct.pack("<Q", _MAGIC)
  return content + footer


def of_entries(entries: Mapping[bytes, bytes]) -> bytes:
  """Returns a block of keys and values."""
  content = b""
  for key, value in entries.items():
    content += varint(0) + varint(len(key)) + varint(len(value)) + key + value
  # The first key is whole, and that is all that a reader needs.
  return content + struct.pack("<II", 0, 1)


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


def varint(number: int) -> bytes:
  """Returns a number in as many bytes as it needs."""
  found = bytearray()
  while number > 127:
    found.append(number & 127 | 128)
    number >>= 7
  return bytes([*found, number])
