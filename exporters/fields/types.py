"""Checks the fields of a dataclass against their annotations.

Gin binds any value to any field. A text where a bool belongs would count as
true, even `'False'`, and give a model that works, but less well.
"""

from collections.abc import Iterator
import dataclasses
import inspect
import types
import typing
from typing import Any

from exporters.errors import ExportError


def refuse_other_types(instance: Any) -> None:
  """Raises `ExportError` for a field whose value is not of its type.

  The type of a container is checked, but not the types of what it holds.
  """
  hints = typing.get_type_hints(type(instance))
  for field in dataclasses.fields(instance):
    value = getattr(instance, field.name)
    kinds = tuple(_kinds(hints[field.name]))
    if not any(_is_of(value, kind) for kind in kinds):
      names = " or ".join(
        "None" if kind is types.NoneType else kind.__name__ for kind in kinds
      )
      hint = ""
      if inspect.isclass(value):
        hint = f" Write @{value.__name__}() in the gin file, with parentheses."
      elif isinstance(value, str):
        hint = " In a gin file, only text has quotes."
      raise ExportError(
        f"{type(instance).__name__}.{field.name} = {value!r} must be "
        f"{names}.{hint}"
      )


def _kinds(annotation: Any) -> Iterator[type]:
  """Yields the classes that an annotation allows."""
  origin = typing.get_origin(annotation)
  if origin in (typing.Union, types.UnionType):
    for argument in typing.get_args(annotation):
      yield from _kinds(argument)
  elif annotation is Any:
    yield object
  else:
    yield origin or annotation


def _is_of(value: Any, kind: type) -> bool:
  if isinstance(value, bool) and kind in (int, float):
    return False
  return isinstance(value, (int, float) if kind is float else kind)
