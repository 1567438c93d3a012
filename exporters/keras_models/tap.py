"""Looks into a model while it runs as its owner runs it.

A part of a model is published by building a new model on the same layers. What
that is compared with is the owner's model, called whole, with a look at what
goes into a layer and what comes out of it. So whatever the new model leaves
out, an overridden `call` say, or a mask, shows as a difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
from typing import Any

import tf_keras


@dataclasses.dataclass
class Tap:
  """What went through a layer in its last call.

  Attributes:
    inputs: What it was called with, as one nest.
    outputs: What it returned.
    mask: The mask that it was called with. None: no mask, or the layer takes
      none.
  """

  inputs: Any = None
  outputs: Any = None
  mask: Any = None


@contextlib.contextmanager
def tapped(
  layer: tf_keras.layers.Layer, *, instead: Any = None
) -> Iterator[Tap]:
  """Records the calls of a layer.

  Args:
    layer: The layer.
    instead: What the layer gets in place of its inputs. None: its inputs.

  Yields:
    What the last call took and gave.
  """
  call: Callable[..., Any] = layer.call
  tap = Tap()

  def tapped_call(inputs, *args, **kwargs):
    tap.inputs = inputs if instead is None else instead
    tap.mask = kwargs.get("mask")
    tap.outputs = call(tap.inputs, *args, **kwargs)
    return tap.outputs

  # Keras looks at the instance first, and knows from the class which arguments
  # a call takes.
  before = vars(layer).get("call")
  layer.call = tapped_call
  try:
    yield tap
  finally:
    if before:
      layer.call = before
    else:
      del layer.call
