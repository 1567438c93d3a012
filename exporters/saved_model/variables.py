"""What is asked of variables in many places."""

from collections.abc import Iterable

import tensorflow as tf


def each_once(variables: Iterable[tf.Variable]) -> list[tf.Variable]:
  """Returns variables without repetition, in the order of their first."""
  return list({variable.ref(): variable for variable in variables}.values())


def variable_name(variable: tf.Variable) -> str:
  """Returns a variable's name without the number of TensorFlow's output."""
  return variable.name.removesuffix(":0")
