"""What a recipe may change of what an exporter publishes, whichever it is."""

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
  """Returns it with other values for arguments that a call leaves out.

  Raises:
    ExportError: A name is of no argument, or a value can't be one.
  """
  callables = published.callables().values()
  offered = {name for c in callables for name in c.hyperparameters}
  for name in defaults:
    if name not in offered:
      raise ExportError(
        f"hyperparameter_defaults names '{name}', but this model offers "
        f"{', '.join(sorted(offered)) or 'none'}."
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


def with_trainable(published: Published, pattern: str) -> Published:
  """Returns it with those variables frozen in whose name nothing matches.

  Raises:
    ExportError: `pattern` is no regular expression, or matches nowhere.
  """
  try:
    compiled = re.compile(pattern)
  except re.error as e:
    raise ExportError(
      f"trainable = '{pattern}' is no regular expression: {e}."
    ) from e

  def change(one: Published) -> dict[str, Any]:
    trained = one.trainable_variables
    return {
      "trainable_variables": [v for v in trained if compiled.search(v.name)]
    }

  changed = _changed(published, change, {})
  if not changed.every("trainable_variables"):
    names = [v.name for v in published.every("trainable_variables")[:3]]
    raise ExportError(
      f"trainable = '{pattern}' is found in no name of a trained variable. "
      f"Names are such as {', '.join(names) or '(there are none)'}."
    )
  return changed


def _changed(
  published: Published,
  change: Callable[[Published], dict[str, Any]],
  made: dict[int, Published],
) -> Published:
  """Returns a copy; one of each sub-object, however many names it has."""
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
  """Returns `given` as a number of the trained one's type, the argument's."""
  if isinstance(given, bool) or not isinstance(given, (int, float)):
    raise ExportError(
      f"hyperparameter_defaults has {name} = {given!r}, which is no number."
    )
  rate = hyperparameter.attribute == "rate"
  if hyperparameter.layers and (not 0 <= given <= 1 or rate and given == 1):
    raise ExportError(
      f"hyperparameter_defaults has {name} = {given}; a "
      f"{hyperparameter.attribute} lies between 0 and 1."
    )
  value = type(hyperparameter.default)(given)
  if value != given:
    raise ExportError(
      f"hyperparameter_defaults has {name} = {given}, which must be whole."
    )
  return value
