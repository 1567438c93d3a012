"""Model Garden's own modules where this repository has one of the same name."""

import importlib.metadata
import importlib.util
import types


def module(name: str) -> types.ModuleType:
  """Returns the installed wheel's module `name`, whatever comes before it."""
  wheel = importlib.metadata.distribution("tf-models-official")
  file = wheel.locate_file(f"{name.replace('.', '/')}.py")
  spec = importlib.util.spec_from_file_location(f"wheels.{name}", file)
  found = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(found)
  return found
