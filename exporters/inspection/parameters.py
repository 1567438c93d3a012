"""Which tensors hold the parameters of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import math
import re

import numpy as np
import tensorflow as tf

from exporters.checkpoints.checkpoint import Checkpoint
from exporters.checkpoints.checkpoint import Tensor

# What TF1's Adam keeps beside its slots.
_POWERS = re.compile(r"(?:.*/)?beta[12]_power(?:_\d+)?")


def is_parameter(dtype: str) -> bool:
  """Tells by its type whether a tensor is learned, or a counter or a flag.

  Quantized weights are integers of 8 bits; nothing else in a model is.
  """
  try:
    kind = tf.as_dtype(dtype)
  except TypeError:
    return False
  return kind.is_floating or kind.is_complex or kind in (tf.int8, tf.uint8)


def of_checkpoint(checkpoint: Checkpoint) -> dict[str, Tensor]:
  """Returns a checkpoint's tensors without those of its training."""
  return {
    name: tensor
    for name, tensor in checkpoint.tensors.items()
    if name not in checkpoint.training
    and is_parameter(tensor.dtype)
    and not _POWERS.fullmatch(name)
  }


def tied(weights: Mapping[str, Tensor], table: str) -> set[str]:
  """Returns which weights repeat a table, such as that of the word embeddings.

  Args:
    weights: By name.
    table: The name of the table.
  """
  alike = {
    name
    for name, tensor in weights.items()
    if name != table and tensor.shape == weights[table].shape
  }
  if not alike:
    return set()
  values = np.asarray(weights[table].read())
  return {n for n in alike if np.array_equal(weights[n].read(), values)}


def count(shapes: Iterable[tuple[int, ...]]) -> int:
  """Returns how many numbers tensors of these shapes hold."""
  return sum(map(math.prod, shapes))
