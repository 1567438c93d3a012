"""What in a model tells of the machine, or the person, that made it.

It is looked for in strings, never in the bytes of numbers, and so are pages and
records before they are published.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import functools
import json
import os
import re
from typing import Any

from google.protobuf import message

# A home, a temporary directory, or where a notebook keeps its files, whoever's.
_FOLDERS = re.compile(
  r"""
  file:/+[^\s"'<>]+
  | (?<![\w.-])
    (?:
      (?:/[\w.@+-]+)*/(?:home|Users)/[\w.@+-]+/
      | /root/[\w.@+-]+
      | (?:/private)?/(?:tmp|var/tmp|var/folders|dev/shm)/[\w.@+-]+
      | /(?:content|kaggle/(?:working|temp))/[\w.@+-]+
      | [A-Za-z]:[\\/]+(?:Users|Documents\ and\ Settings)[\\/]+[^\\/"'<>|]+[\\/]
    )
  """,
  re.VERBOSE,
)
# Whether there may be any, in bytes that are not read for their strings yet.
_HINTS = re.compile(
  rb"file:/|/home/|/Users/|/root/|/tmp/|/var/folders/|/dev/shm/|/content/"
  rb"|/kaggle/|:[\\/]+(?:Users|Documents and Settings)[\\/]"
)
# An address is not a path, but for one that leads to a file.
_ADDRESS = re.compile(r"\b(?!file:)[a-z][a-z0-9+.-]+://\S*", re.IGNORECASE)
_READABLE = re.compile(rb"[\x20-\x7e]{8,}")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
# The field of a SentencePiece model that holds its pieces, which are words.
_PIECES = 1
_DEEPEST = 32
_LONGEST_JSON = 1 << 26


class _Word(str):
  """One of several strings in a tensor, as those of a vocabulary are."""


def found(folder: str, private: Sequence[str]) -> list[str]:
  """Returns what tells of a machine in a SavedModel, and in which file.

  Weights hold no strings, and a list of words may hold any.

  Args:
    folder: The SavedModel's directory.
    private: Strings that tell of this machine: paths and its name.
  """
  return sorted(
    f"{told!r} in {os.path.relpath(path, folder)}"
    for path in _files(folder)
    for told in _in_file(path, private)
  )


def in_text(text: str, private: Sequence[str]) -> set[str]:
  """Returns which of the strings that tell of this machine a text holds."""
  return {known for known in private if _pattern(known).search(text)}


def in_any_folder(text: str) -> set[str]:
  """Returns the beginnings of paths into anyone's home or temporary folder."""
  return set(_FOLDERS.findall(_ADDRESS.sub("", text)))


@functools.cache
def _pattern(private: str) -> re.Pattern[str]:
  """Returns what finds a path, or a machine's name where it is one.

  A path may be followed by anything. A name that is a plain word, such as
  "bert", is a machine's in an address only; any other is one wherever it is not
  a part of a scope, such as "gpu-7/dense".
  """
  if os.sep in private:
    written = {private, json.dumps(private)[1:-1]}
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, written))})")
  name = re.escape(private)
  ways = [rf"(?:@|//){name}(?![\w-])", rf"(?<![\w./-]){name}:\d"]
  if not private.isalpha():
    ways.append(rf"(?<![\w./-]){name}(?![\w/-])")
  return re.compile("|".join(ways))


def _files(folder: str) -> Iterator[str]:
  for below, _, names in os.walk(folder):
    if os.path.relpath(below, folder).split(os.sep)[0] != "variables":
      yield from (os.path.join(below, name) for name in names)


def _in_file(path: str, private: Sequence[str]) -> set[str]:
  with open(path, "rb") as f:
    content = f.read()
  # Nearly always there is nothing, and to take a graph apart takes long.
  written = {s for text in private for s in (text, json.dumps(text)[1:-1])}
  if not _HINTS.search(content) and not any(
    text.encode() in content for text in written
  ):
    return set()
  mine: set[str] = set()
  others: set[str] = set()
  for text in _texts(path, content):
    mine |= in_text(text, private)
    if not isinstance(text, _Word):
      others |= in_any_folder(text)
  # One path is told of once.
  return mine | {
    other
    for other in others
    if not any(m.startswith(other) or other.startswith(m) for m in mine)
  }


def _texts(path: str, content: bytes) -> Iterator[str]:
  """Yields the strings of a file."""
  if os.path.basename(path) == "saved_model.pb":
    from tensorflow.core.protobuf import saved_model_pb2

    try:
      yield from _of_message(saved_model_pb2.SavedModel.FromString(content))
    except message.DecodeError:
      yield from _of_bytes(content)
  elif os.path.basename(os.path.dirname(path)) != "assets":
    yield from _of_bytes(content)
  elif _text(content) is None:
    # A SentencePiece model says where it was trained.
    for number, value in _fields(content) or [(0, content)]:
      if number != _PIECES:
        yield from _of_bytes(value)
  elif _is_json(content):
    yield content.decode()


def _of_message(proto: Any) -> Iterator[str]:
  """Yields the strings in a protocol buffer, however deep."""
  if proto.DESCRIPTOR.full_name == "tensorflow.TensorProto":
    kind = str if len(proto.string_val) == 1 else _Word
    for value in proto.string_val:
      yield from map(kind, _of_bytes(value))
    return
  for field, value in proto.ListFields():
    is_map = field.message_type and field.message_type.GetOptions().map_entry
    if is_map:
      for key, entry in value.items():
        yield from _of_value(key)
        yield from _of_value(entry)
    elif field.is_repeated:
      for entry in value:
        yield from _of_value(entry)
    else:
      yield from _of_value(value)


def _of_value(value: Any) -> Iterator[str]:
  if isinstance(value, str):
    yield value
  elif isinstance(value, bytes):
    yield from _of_bytes(value)
  elif isinstance(value, message.Message):
    yield from _of_message(value)


def _of_bytes(value: bytes, depth: int = 0) -> Iterator[str]:
  """Yields the text, the strings of the message, or both, that bytes may be."""
  text = _text(value)
  if text is not None:
    yield text
  fields = _fields(value) if depth < _DEEPEST else None
  if fields:
    for _, inner in fields:
      yield from _of_bytes(inner, depth + 1)
  elif text is None:
    yield from (run.decode() for run in _READABLE.findall(value))


def _text(value: bytes) -> str | None:
  try:
    text = value.decode()
  except UnicodeDecodeError:
    return None
  return None if _CONTROL.search(text) else text


def _is_json(content: bytes) -> bool:
  if not content.lstrip().startswith((b"{", b"[")):
    return False
  try:
    json.loads(content[:_LONGEST_JSON])
  except (ValueError, RecursionError):
    return False
  return True


def _fields(value: bytes) -> list[tuple[int, bytes]] | None:
  """Returns the number and bytes of each field of a message that holds bytes.

  None: these bytes are not a message. Its schema need not be known.
  """
  found, at = [], 0
  while at < len(value):
    key, at = _varint(value, at)
    number, kind = key >> 3, key & 7
    if not number:
      return None
    if kind == 0:
      _, at = _varint(value, at)
    elif kind == 2:
      size, at = _varint(value, at)
      found.append((number, value[at : at + size]))
      at += size
    elif kind in (1, 5):
      at += 8 if kind == 1 else 4
    else:
      return None
  return found if at == len(value) else None


def _varint(value: bytes, at: int) -> tuple[int, int]:
  """Returns a number and where the next one begins; past the end if damaged."""
  number = 0
  for shift in range(0, 70, 7):
    if at >= len(value):
      break
    number |= (value[at] & 127) << shift
    at += 1
    if value[at - 1] < 128:
      return number, at
  return 0, len(value) + 1
