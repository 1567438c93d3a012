"""What a recipe may change in what any exporter publishes."""

from collections.abc import Callable, Mapping
import dataclasses
import re
from typing import Any

from exporters.errors import ExportError
from exporters.errors import did_you_mean
from exporters.saved_model.published import Hyperparameter
from exporters.saved_model.published import Published


def with_defaults(
  published: Published, defaults: Mapping[str, float]
) -> Published:
  """Returns `published` with other defaults for some arguments of a call.

  Raises:
    ExportError: There is no such argument, or a value does not suit it.
  """
  callables = published.callables().values()
  offered = {name for c in callables for name in c.hyperparameters}
  for name in defaults:
    if name not in offered:
      raise ExportError(
        f"hyperparameter_defaults names '{name}', but this model has "
        f"{', '.join(sorted(offered)) or 'no hyperparameters'}."
        f"{did_you_mean(name, offered)}"
      )

  def change(one: Published) -> dict[str, Any]:
    changed = {
      name: dataclasses.replace(
        hyperparameter, default=_default(name, hyperparameter, defaults[name])
      )
      for name, hyperparameter in one.hyperparameters.items()
      if name in defaults
    }
    return {"hyperparameters": {**one.hyperparameters, **changed}}

  return _changed(published, change, {})


def compiled_pattern(pattern: str) -> re.Pattern[str]:
  """Returns the field `trainable`; raises `ExportError` if it is no pattern."""
  try:
    return re.compile(pattern)
  except re.error as e:
    raise ExportError(
      f"trainable = '{pattern}' is not a regular expression: {e}."
    ) from e


def with_trainable(published: Published, pattern: str) -> Published:
  """Returns `published` with only the matching variables left trainable.

  Raises:
    ExportError: `pattern` is not a regular expression, or nothing matches.
  """
  compiled = compiled_pattern(pattern)

  def change(one: Published) -> dict[str, Any]:
    trained = one.trainable_variables
    return {
      "trainable_variables": [v for v in trained if compiled.search(v.name)]
    }

  changed = _changed(published, change, {})
  if not changed.every("trainable_variables"):
    names = [v.name for v in published.every("trainable_variables")[:3]]
    raise ExportError(
      f"trainable = '{pattern}' matches none of the trained variables, such as "
      f"{', '.join(names) or '(there are none)'}."
    )
  return changed


def _changed(
  published: Published,
  change: Callable[[Published], dict[str, Any]],
  made: dict[int, Published],
) -> Published:
  """Returns a copy, with one copy of each sub-object for all of its names."""
  if id(published) not in made:
    sub_objects = {
      name: _changed(sub_object, change, made)
      for name, sub_object in published.sub_objects.items()
    }
    made[id(published)] = dataclasses.replace(
      published, sub_objects=sub_objects, **change(published)
    )
  return made[id(published)]


def _default(name: str, hyperparameter: Hyperparameter, given: Any) -> float:
  """Returns `given` as a number of the same type as the trained value."""
  if isinstance(given, bool) or not isinstance(given, (int, float)):
    raise ExportError(
      f"hyperparameter_defaults has {name} = {given!r}, which is not a number."
    )
  rate = hyperparameter.attribute == "rate"
  if hyperparameter.layers and (not 0 <= given <= 1 or rate and given == 1):
    raise ExportError(
      f"hyperparameter_defaults has {name} = {given}, but a "
      f"{hyperparameter.attribute} is between 0 and 1."
    )
  value = type(hyperparameter.default)(given)
  if value != given:
    raise ExportError(
      f"hyperparameter_defaults has {name} = {given}, which must be a whole "
      "number."
    )
  return value
