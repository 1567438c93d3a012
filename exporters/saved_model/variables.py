"""Small helpers for variables, used in many places."""

from collections.abc import Iterable

import tensorflow as tf


def each_once(variables: Iterable[tf.Variable]) -> list[tf.Variable]:
  """Returns variables without repetitions, in the order of first appearance."""
  return list({variable.ref(): variable for variable in variables}.values())


def variable_name(variable: tf.Variable) -> str:
  """Returns a variable's name without the `:0` that TensorFlow adds."""
  return variable.name.removesuffix(":0")
