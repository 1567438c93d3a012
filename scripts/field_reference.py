"""Prints docs/fields.md: every field that a gin file may bind, from the code.

  python -m scripts.field_reference > docs/fields.md

Types and defaults are those of the dataclasses, descriptions those of the
`Attributes` sections of their docstrings.
"""

from collections.abc import Iterator
import dataclasses
import importlib
import inspect
import pathlib
import re
import types
import typing
from typing import Annotated, Any

from exporters.command_line import program

_ROOT = pathlib.Path(__file__).parents[1]

_INTRODUCTION = """\
# Fields

What a gin file may bind to each exporter, the page and the recipe. Written from
the code by `python -m scripts.field_reference > docs/fields.md`.

[Gin in five minutes](gin.md) says how to write a value: text in quotes, a list
as `('a', 'b')`, an object as `@encoders.EncoderConfig()`. A *path* is text; a
relative one starts at the working directory. Fields of the objects themselves,
such as `encoders.BertEncoderConfig` or `backbones.ResNet`, are Model Garden's.
"""
_SHARED_FIELDS = """\
## Shared fields

Bind these to the exporter in hand: `bert.BertExporter.trainable = 'pooler'`.
"""
# Classes whose fields several exporters have, the most general one first, and
# classes that are not exporters.
_SHARED = (
  ("exporters.base", "Exporter"),
  ("exporters.base", "CheckpointExporter"),
  ("exporters.text.encoder_exporter", "EncoderExporter"),
  ("exporters.text_task", "TextTaskExporter"),
  ("exporters.saved_model.labels", "Labelled"),
  ("exporters.vision_task", "VisionTaskExporter"),
  ("exporters.video.videos", "VideoExporter"),
  ("exporters.video.official_vision", "VideoClassificationExporter"),
  ("exporters.vision.images", "ImageExporter"),
  ("exporters.vision.official_vision", "VisionExporter"),
  ("exporters.vision.detection", "DetectionExporter"),
)
_OTHERS = (
  ("exporters.recipe", "Recipe"),
  ("exporters.companions", "Companions"),
  ("exporters.release.page", "Page"),
  ("exporters.release.page", "Kaggle"),
)


def main() -> None:
  """Prints the page."""
  program.prepare_tensorflow()
  print("\n".join(page()))


def page() -> Iterator[str]:
  """Yields the lines of docs/fields.md."""
  shared = [_class(*names) for names in _SHARED]
  exporters = [*_exporters()]
  yield _INTRODUCTION
  yield _SHARED_FIELDS
  for cls in shared:
    yield from _section(cls, shared, name="")
  yield "## Exporters\n"
  for cls in exporters:
    yield from _section(cls, [*shared, *exporters])
  yield "## Recipe and page\n"
  for module, class_name in _OTHERS:
    name = f"`{module.rpartition('.')[2]}.{class_name}`: "
    yield from _section(_class(module, class_name), [], name)


def _class(module: str, name: str) -> type:
  return getattr(importlib.import_module(module), name)


def _exporters() -> Iterator[type]:
  """Yields the exporters of the modules at the top of `exporters`."""
  base = _class("exporters.base", "Exporter")
  for path in sorted((_ROOT / "exporters").glob("*.py")):
    module = importlib.import_module(f"exporters.{path.stem}")
    for _, cls in inspect.getmembers(module, inspect.isclass):
      if (
        issubclass(cls, base)
        and cls.__module__ == module.__name__
        and not inspect.isabstract(cls)
        and module.__name__ != base.__module__
      ):
        yield cls


def _section(
  cls: type, others: list[type], name: str | None = None
) -> Iterator[str]:
  """Yields the lines about a class.

  Args:
    cls: The class.
    others: Classes whose fields have sections of their own.
    name: What a gin file calls it. None: as it imports it.
  """
  yield f"### {cls.__name__}\n"
  summary = (inspect.getdoc(cls) or "").partition("\n")[0]
  if name is None:
    name = f"`{cls.__module__.rpartition('.')[2]}.{cls.__name__}`: "
  yield f"{name}{summary}\n"
  inherited = [c for c in others if c is not cls and issubclass(cls, c)]
  own = _own(cls, inherited)
  if own:
    descriptions = _descriptions(cls)
    hints = typing.get_type_hints(cls, include_extras=True)
    yield "| field | type | default | |"
    yield "|---|---|---|---|"
    for field in own:
      cells = (
        f"`{field.name}`",
        _type(hints[field.name]),
        _default(field),
        descriptions[field.name].replace("|", r"\|"),
      )
      yield f"| {' | '.join(cells)} |"
    yield ""
  if inherited:
    *more, last = (f"[{c.__name__}](#{c.__name__.lower()})" for c in inherited)
    which = "Also" if own else "No fields of its own, but"
    above = f"{', '.join(more)} and {last}" if more else last
    yield f"{which} the fields of {above}.\n"


def _own(cls: Any, inherited: list[Any]) -> list[dataclasses.Field]:
  """Returns the fields that no class above has, the required ones first."""
  known = {f.name for s in inherited for f in dataclasses.fields(s)}
  own = [f for f in dataclasses.fields(cls) if f.name not in known]
  return sorted(own, key=lambda field: _default(field) != _REQUIRED)


_REQUIRED = "*required*"


def _default(field: dataclasses.Field) -> str:
  if field.default is not dataclasses.MISSING:
    return f"`{field.default!r}`"
  if field.default_factory is not dataclasses.MISSING:
    return f"`{field.default_factory()!r}`"
  return _REQUIRED


def _type(annotation: Any) -> str:
  """Returns a type as a gin file's author thinks of it."""
  origin = typing.get_origin(annotation)
  arguments = typing.get_args(annotation)
  if annotation in _NAMES:
    return _NAMES[annotation]
  if origin is Annotated:
    return "path"
  if origin in (typing.Union, types.UnionType):
    # Whatever may be any object may be None too.
    arguments = (object,) if object in arguments else arguments
    return " or ".join(map(_type, arguments))
  name = getattr(origin, "__name__", "")
  if name == "Sequence":
    return f"list of {_type(arguments[0])}"
  if name == "tuple":
    return f"({', '.join(map(_type, arguments))})"
  if name == "Mapping":
    return f"dict of {_type(arguments[0])} to {_type(arguments[1])}"
  if name == "Callable":
    return "function"
  module = annotation.__module__.rpartition(".")[2]
  return f"`{module}.{annotation.__name__}`"


_NAMES = {
  str: "text",
  bool: "truth value",
  int: "whole number",
  float: "number",
  object: "any",
  type(None): "None",
}


def _descriptions(cls: type) -> dict[str, str]:
  """Returns what the docstring's `Attributes` section says of each field."""
  _, _, section = (inspect.getdoc(cls) or "").partition("Attributes:\n")
  return {
    name: " ".join(text.split())
    for name, text in re.findall(
      r"^  (\w+): (.*(?:\n    .*)*)", section, re.MULTILINE
    )
  }


if __name__ == "__main__":
  program.run(main, modules=[])
