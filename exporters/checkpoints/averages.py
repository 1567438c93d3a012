"""Averages of weights: where a training keeps them, and of which weight.

The average over the last steps is usually the better model, and the one that
the training evaluates. So where a checkpoint has averages, they are restored in
place of the weights. They are kept in three ways:

- Model Garden's `ExponentialMovingAverage` keeps a weight's average in its slot
  `average`, as other optimizers with slots do.
- An optimizer of tf_keras with `use_ema` has a list of averages, each named
  after its weight: `Adam/average/dense/kernel`.
- TF1's `tf.train.ExponentialMovingAverage` names that of `dense/kernel`
  `dense/kernel/ExponentialMovingAverage`.

Which weight an average is of follows from the slot or from the name, never from
shapes.
"""

from collections.abc import Iterable, Mapping, Sequence
import re
from typing import Any, TypeVar

from exporters.errors import ExportError

# What TF1 adds to the name of a weight, with a number if that is taken.
TF1_SUFFIX = re.compile(r"/ExponentialMovingAverage(_\d+)?$")
# A slot, and a part of the names that tf_keras gives.
_AVERAGE = "average"
# The attribute of a tf_keras optimizer that lists its averages.
_LIST = "_model_variables_moving_average"

Average = TypeVar("Average")
Weight = TypeVar("Weight")


def of_names(
  averages: Iterable[tuple[str, Average]],
  weights: Mapping[str, Sequence[Weight]],
) -> dict[Weight, Average | None]:
  """Pairs weights with their averages by names.

  Args:
    averages: Each with its name.
    weights: By name, those that have it.

  Returns:
    The average of each weight that has one; None if the names leave open which
    one that is.
  """
  found: dict[Weight, Average | None] = {}
  for name, average in averages:
    weight_name = _weight(name, weights)
    same_name = () if weight_name is None else weights[weight_name]
    for weight in same_name:
      is_certain = len(same_name) == 1 and weight not in found
      found[weight] = average if is_certain else None
  return found


def of_objects(nodes: Sequence[Any]) -> dict[int, int | None]:
  """Pairs the ids of weights with those of their averages.

  Args:
    nodes: The nodes of a `TrackableObjectGraph`.

  Returns:
    The average of each weight that has one; None if the graph leaves open which
    one that is.
  """
  listed = {
    average.node_id
    for node in nodes
    for child in node.children
    if child.local_name == _LIST
    for average in nodes[child.node_id].children
  }
  weights: dict[str, list[int]] = {}
  for node_id, node in enumerate(nodes):
    for attribute in node.attributes:
      if node_id not in listed:
        weights.setdefault(attribute.full_name, []).append(node_id)
  found = of_names(
    (
      (attribute.full_name, node_id)
      for node_id in sorted(listed)
      for attribute in nodes[node_id].attributes
    ),
    weights,
  )
  for node in nodes:
    for slot in node.slot_variables:
      if slot.slot_name == _AVERAGE:
        weight = slot.original_variable_node_id
        average = slot.slot_variable_node_id
        found[weight] = None if weight in found else average
  return found


def uncertain(path: str, reason: str) -> ExportError:
  """Returns the error for averages of which the weights are not certain.

  Args:
    path: The checkpoint's path.
    reason: What is not certain, as the rest of a sentence about the checkpoint.
  """
  return ExportError(
    f"The checkpoint '{path}' {reason}. Set average_weights = False to restore "
    "the weights themselves, or have the training put the averages in their "
    "place before it saves (optimizer.finalize_variable_values)."
  )


def ambiguous(path: str, weight: str) -> ExportError:
  """Returns the error for several averages or weights of one name.

  Args:
    path: The checkpoint's path.
    weight: The name of the weight.
  """
  return uncertain(
    path,
    f"has averages of weights, but not only one for the name '{weight}', so "
    "they can't be told apart",
  )


def _weight(name: str, weights: Mapping[str, Any]) -> str | None:
  """Returns the name of the weight that an average is of, if one fits."""
  parts = name.split("/")
  for i, part in enumerate(parts):
    weight = "/".join(parts[i + 1 :])
    if part == _AVERAGE and weight in weights:
      return weight
  # Scopes may come before the weight's name, so the longest that fits is it.
  if parts[-1] == _AVERAGE or TF1_SUFFIX.search(name):
    for i in range(len(parts) - 1):
      weight = "/".join(parts[i:-1])
      if weight in weights:
        return weight
  return None
