"""Gives recurrent layers the same ids in every export.

`LSTM` and `GRU` of tf_keras mark their two implementations, for CPU and GPU,
with a random id, by which TensorFlow finds one in place of the other. It stands
in the graph, so no two exports would have the same bytes. Here the ids follow
from the model. They differ between models, because consumers put several into
one graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
import contextlib
import copy
import hashlib
from typing import Any
from unittest import mock
import uuid

import tensorflow as tf
import tf_keras
from tf_keras.src.layers.rnn import gru
from tf_keras.src.layers.rnn import gru_lstm_utils
from tf_keras.src.layers.rnn import lstm

_MODULES = (gru, gru_lstm_utils, lstm)


class _Ids:
  """Stands in for the module `uuid`.

  Args:
    variables: Returns those of the model, when the first id is needed.
  """

  def __init__(self, variables: Callable[[], Iterable[tf.Variable]]):
    self._variables = variables
    self._seed = ""
    self._number = 0

  def uuid4(self) -> uuid.UUID:
    """Returns the next id."""
    self._seed = self._seed or _digest(self._variables())
    self._number += 1
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{self._seed} {self._number}")


@contextlib.contextmanager
def fixed(variables: Callable[[], Iterable[tf.Variable]]) -> Iterator[None]:
  """Makes all ids in a block follow from a model.

  Args:
    variables: Returns those of the model, when the first id is needed.
  """
  ids = _Ids(variables)
  with contextlib.ExitStack() as stack:
    for module in _MODULES:
      stack.enter_context(mock.patch.object(module, "uuid", ids))
    yield


def renew(model: tf_keras.Model) -> None:
  """Gives the layers of a model, which made an id when they were made, another.

  Also forgets what they have traced, and the dropout masks of those traces,
  which `tf.Module.submodules` cannot walk past.
  """
  with fixed(lambda: _numeric(model.weights)):
    for part in tf.train.TrackableView(model).descendants():
      if hasattr(part, "_defun_wrapper"):
        part._defun_wrapper = copy.deepcopy(part._defun_wrapper)
      if hasattr(part, "reset_dropout_mask"):
        part.reset_dropout_mask()
        part.reset_recurrent_dropout_mask()


def _numeric(weights: Iterable[Any]) -> list[tf.Variable]:
  return [weight for weight in weights if isinstance(weight, tf.Variable)]


def _digest(variables: Iterable[tf.Variable]) -> str:
  digest = hashlib.sha256()
  with tf.init_scope():  # An id is needed while a graph is traced.
    for variable in variables:
      digest.update(f"{variable.name} {variable.shape}".encode())
      if variable.dtype != tf.string:
        digest.update(variable.numpy().tobytes())
  return digest.hexdigest()
