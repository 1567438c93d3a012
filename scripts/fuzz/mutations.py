"""Changes files at random: bytes, JSON and protocol buffers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
import copy
import json
import random
from typing import Any

from google.protobuf import message
from google.protobuf.descriptor import FieldDescriptor

from scripts.fuzz import Mutate

# No file grows beyond this.
LARGEST = 1 << 18
_MOST_CHANGES = 4
_NUMBERS = (0, 1, -1, 2, 127, 255, 2**31 - 1, 2**31, 2**32, 2**63 - 1, -(2**63))
_VALUES: tuple[Any, ...] = (
  *_NUMBERS, None, True, False, 0.5, 1e308, float("inf"), float("nan"), 2**200,
  "", "x", "../x", "/etc/passwd", "\x1b[2J", "\ud800", "\x00", [], {}, [[]],
  [None], {"": None}, "a" * 5000,
)  # fmt: skip


def of_bytes(
  content: bytes, rng: random.Random, seeds: Sequence[bytes]
) -> bytes:
  """Returns bytes with a few changes."""
  changed = bytearray(content)
  for _ in range(rng.randint(1, _MOST_CHANGES)):
    at = rng.randint(0, len(changed))
    end = min(len(changed), at + rng.choice((1, 1, 2, 4, 8, 64)))
    what = rng.randrange(6)
    if what == 0 and at < len(changed):
      changed[at] ^= 1 << rng.randrange(8)
    elif what == 1:
      del changed[at:end]
    elif what == 2:
      number = rng.choice(_NUMBERS) % (1 << 64)
      size = rng.choice((1, 2, 4, 8))
      little = (number % (1 << (8 * size))).to_bytes(size, "little")
      changed[at : at + size] = rng.choice((little, little[::-1]))
    elif what == 3:
      changed[at:at] = rng.randbytes(rng.choice((1, 2, 4)))
    elif what == 4:
      changed[at:at] = changed[at:end] * rng.choice((1, 1, 2, 1000))
    else:
      other = rng.choice(seeds)
      start = rng.randint(0, len(other))
      changed[at:end] = other[start : start + rng.choice((4, 16, 64))]
  return bytes(changed[:LARGEST])


def of_json(
  content: bytes, rng: random.Random, seeds: Sequence[bytes]
) -> bytes:
  """Returns JSON with other values in a few places; sometimes other bytes."""
  try:
    root = [json.loads(content)]
  except (ValueError, RecursionError):
    return of_bytes(content, rng, seeds)
  if not rng.randrange(8):
    return of_bytes(content, rng, seeds)
  for _ in range(rng.randint(1, _MOST_CHANGES)):
    places = list(_places(root))
    nest, key = rng.choice(places)
    what = rng.randrange(6)
    if what == 0 and nest is not root:
      del nest[key]
    elif what == 1 and isinstance(nest, list) and nest is not root:
      nest.insert(key, copy.deepcopy(nest[key]))
    elif what == 2 and isinstance(nest, dict):
      other, name = rng.choice(places)
      nest[name if isinstance(name, str) else str(other)[:20]] = nest.pop(key)
    elif what == 3:
      other, name = rng.choice(places)
      nest[key] = copy.deepcopy(other[name])
    elif what == 4:
      nest[key] = rng.choice(([nest[key]], {"x": nest[key]}))
    else:
      nest[key] = copy.deepcopy(rng.choice(_VALUES))
  return json.dumps(root[0]).encode()[:LARGEST]


def _places(root: list[Any]) -> Iterator[tuple[Any, Any]]:
  pending: list[Any] = [root]
  while pending:
    nest = pending.pop()
    for key in list(nest) if isinstance(nest, dict) else range(len(nest)):
      yield nest, key
      if isinstance(nest[key], (dict, list)):
        pending.append(nest[key])


def of_message(kind: Callable[[], Any]) -> Mutate:
  """Returns what changes the fields of a protocol buffer, or its bytes."""

  def mutate(
    content: bytes, rng: random.Random, seeds: Sequence[bytes]
  ) -> bytes:
    if not rng.randrange(4):
      return of_bytes(content, rng, seeds)
    proto = kind()
    try:
      proto.ParseFromString(content)
    except message.DecodeError:
      return of_bytes(content, rng, seeds)
    try:
      for _ in range(rng.randint(1, _MOST_CHANGES)):
        _change_message(proto, rng)
    except UnicodeDecodeError:  # Earlier changes left what is not text.
      return of_bytes(content, rng, seeds)
    changed = proto.SerializePartialToString()
    return changed if len(changed) <= LARGEST else content

  return mutate


def _change_message(proto: Any, rng: random.Random) -> None:
  messages = list(_messages(proto))
  changed = rng.choice(messages)
  fields = changed.ListFields()
  if fields and rng.randrange(4):
    field, _ = rng.choice(fields)
  else:
    field = rng.choice(changed.DESCRIPTOR.fields or [None])
  if field is None:
    return
  if not rng.randrange(5):
    changed.ClearField(field.name)
  elif field.type == FieldDescriptor.TYPE_MESSAGE:
    _change_inner(changed, field, messages, rng)
  elif not field.is_repeated:
    setattr(changed, field.name, _scalar(field, changed, messages, rng))
  else:
    values = getattr(changed, field.name)
    what = rng.randrange(3)
    if values and what:
      at = rng.randrange(len(values))
      if what == 1:
        del values[at]
      else:
        values[at] = _scalar(field, changed, messages, rng)
    else:
      values.append(_scalar(field, changed, messages, rng))


def _change_inner(
  changed: Any, field: Any, messages: list[Any], rng: random.Random
) -> None:
  """Puts a copy of a message of the same type into a field."""
  alike = [m for m in messages if m.DESCRIPTOR is field.message_type]
  is_map = field.message_type.GetOptions().map_entry
  values = getattr(changed, field.name)
  if is_map:
    # Entries of maps are no messages of their own here.
    if values:
      del values[rng.choice(list(values))]
  elif field.is_repeated:
    if values and rng.randrange(2):
      del values[rng.randrange(len(values))]
    elif alike:
      values.add().CopyFrom(copy.deepcopy(rng.choice(alike)))
    else:
      values.add()
  elif alike:
    values.CopyFrom(copy.deepcopy(rng.choice(alike)))
  else:
    values.SetInParent()


def _scalar(
  field: Any, changed: Any, messages: list[Any], rng: random.Random
) -> Any:
  kind = field.cpp_type
  if kind == FieldDescriptor.CPPTYPE_STRING:
    alike = [
      value
      for other in messages
      for f, value in other.ListFields()
      if f.cpp_type == kind and not f.is_repeated and f.type == field.type
    ]
    if alike and rng.randrange(3):
      return rng.choice(alike)
    text = rng.choice(
      ("", "x", "../x", "/etc/passwd", "\x1b[2J", "^a:0", "a:9")
    )
    is_text = field.type == FieldDescriptor.TYPE_STRING
    return text if is_text else text.encode()
  if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
    return rng.choice((0.0, -1.0, 1e300, float("nan")))
  if kind == FieldDescriptor.CPPTYPE_BOOL:
    return bool(rng.randrange(2))
  if kind == FieldDescriptor.CPPTYPE_ENUM:
    return rng.choice(list(field.enum_type.values_by_number))
  bits = 32 if "32" in _NAMES_OF_TYPES[kind] else 64
  number = rng.choice((*_NUMBERS, *range(10)))
  if "UINT" in _NAMES_OF_TYPES[kind]:
    return number % (1 << bits)
  half = 1 << (bits - 1)
  return (number + half) % (2 * half) - half


_NAMES_OF_TYPES = {
  FieldDescriptor.CPPTYPE_INT32: "INT32",
  FieldDescriptor.CPPTYPE_INT64: "INT64",
  FieldDescriptor.CPPTYPE_UINT32: "UINT32",
  FieldDescriptor.CPPTYPE_UINT64: "UINT64",
}


def _messages(proto: Any) -> Iterator[Any]:
  pending = [proto]
  while pending:
    found = pending.pop()
    yield found
    for field, value in found.ListFields():
      if field.type != FieldDescriptor.TYPE_MESSAGE:
        continue
      if field.message_type.GetOptions().map_entry:
        inner = field.message_type.fields_by_name["value"]
        if inner.type == FieldDescriptor.TYPE_MESSAGE:
          pending += value.values()
      elif field.is_repeated:
        pending += value
      else:
        pending.append(value)
