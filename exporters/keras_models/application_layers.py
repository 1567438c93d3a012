"""The layers that Keras's own models are built of and that no API names.

tf_keras does not find them itself when it loads such a model from an `.h5` or
`.keras` file, unless it is told where they are.
"""

from __future__ import annotations

from collections.abc import Mapping
import functools
import sys

import tf_keras


@functools.cache
def classes() -> Mapping[str, type]:
  """Returns the classes of layers that `tf_keras.applications` defines."""
  modules = {
    function.__module__
    for function in vars(tf_keras.applications).values()
    if callable(function)
  }
  return {
    name: value
    for module in sorted(modules)
    for name, value in vars(sys.modules[module]).items()
    if isinstance(value, type)
    and issubclass(value, tf_keras.layers.Layer)
    and value.__module__ == module
  }
