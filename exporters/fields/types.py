"""Checks the fields of a dataclass against their annotations.

Gin binds any value to any field. A text where a bool belongs would count as
true, even `'False'`, and give a model that works, but less well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
import inspect
import re
import types
import typing
from typing import Any

from exporters.errors import ExportError

_SCALARS = (bool, int, float, str)


def refuse_other_types(instance: Any) -> None:
  """Raises `ExportError` for a field whose value is not of its type.

  A whole number in a field of type float becomes a float.
  """
  hints = typing.get_type_hints(type(instance))
  for field in dataclasses.fields(instance):
    value, annotation = getattr(instance, field.name), hints[field.name]
    options = _options(annotation)
    if type(value) is int and float in options and int not in options:
      value = float(value)
      # The dataclass may be frozen.
      object.__setattr__(instance, field.name, value)
    if not _is_of(value, annotation):
      raise _error(instance, field.name, value, annotation)
    if dataclasses.is_dataclass(value) and not inspect.isclass(value):
      _refuse_other_scalars(value)


def _refuse_other_scalars(config: Any) -> None:
  """Does the same for numbers, texts and truth values of other packages.

  Model Garden's configurations are annotated too, more loosely.
  """
  try:
    hints = typing.get_type_hints(type(config))
  except NameError:
    return
  for field in dataclasses.fields(config):
    value, annotation = getattr(config, field.name, None), hints[field.name]
    if dataclasses.is_dataclass(value) and not inspect.isclass(value):
      _refuse_other_scalars(value)
    options = set(_options(annotation)) - {types.NoneType}
    if (
      isinstance(value, _SCALARS)
      and options
      and options <= set(_SCALARS)
      and not _is_of(value, annotation)
    ):
      raise _error(config, field.name, value, annotation)


def _error(
  instance: Any, name: str, value: Any, annotation: Any
) -> ExportError:
  options = _options(annotation)
  origins = [typing.get_origin(option) for option in options]
  hint = ""
  shown = repr(value)
  if inspect.isclass(value):
    shown = f"@{value.__name__}"
    hint = f" Write {shown}() in the gin file, with parentheses."
  elif isinstance(value, list) and tuple in origins:
    hint = f" Write {tuple(value)!r}, with round brackets."
  elif isinstance(value, str) and str not in options:
    hint = " In a gin file, only text has quotes."
    if Sequence in origins:
      hint = f" Write [{value!r}], with square brackets."
  names = " or ".join(map(_name, options))
  return ExportError(
    f"{type(instance).__name__}.{name} = {shown} must be {names}.{hint}"
  )


def _name(annotation: Any) -> str:
  if annotation is types.NoneType:
    return "None"
  if inspect.isclass(annotation) and not typing.get_args(annotation):
    return annotation.__name__
  # Without the modules.
  return re.sub(r"\b(?:\w+\.)+", "", str(annotation))


def _options(annotation: Any) -> Sequence[Any]:
  """Returns the annotations of which a value may follow any."""
  if typing.get_origin(annotation) in (typing.Union, types.UnionType):
    return typing.get_args(annotation)
  return (annotation,)


def _is_of(value: Any, annotation: Any) -> bool:
  origin = typing.get_origin(annotation)
  arguments = typing.get_args(annotation)
  kind = origin or annotation
  if origin in (typing.Union, types.UnionType):
    return any(_is_of(value, option) for option in arguments)
  if not inspect.isclass(kind):  # Such as Any.
    return True
  if not _is_instance(value, kind):
    return False
  if kind is tuple and arguments[1:] != (Ellipsis,):
    return len(value) == len(arguments) and all(map(_is_of, value, arguments))
  if issubclass(kind, Mapping) and arguments:
    return all(_is_of(key, arguments[0]) for key in value) and all(
      _is_of(entry, arguments[1]) for entry in value.values()
    )
  if issubclass(kind, Sequence) and arguments:
    # A text is a sequence of letters, which is never meant.
    return not isinstance(value, str) and all(
      _is_of(entry, arguments[0]) for entry in value
    )
  return True


def _is_instance(value: Any, kind: type) -> bool:
  if isinstance(value, bool) and kind in (int, float):
    return False
  return isinstance(value, (int, float) if kind is float else kind)
