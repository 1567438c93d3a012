"""Writes a `Published` as a Keras SavedModel, for `tf_keras.models.load_model`.

It holds Keras's own traces of the same function, with the trained values of the
hyperparameters. Without any of the code behind it, a consumer gets a
`tf_keras.Model` to call, to fine-tune and to `fit`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from exporters.errors import ExportError
from exporters.saved_model.files import write_fingerprint
from exporters.saved_model.published import Published
from exporters.saved_model.reusable import attach
from exporters.saved_model.reusable import flatten_outputs


def write(published: Published, path: str) -> None:
  """Writes `published` to the new directory `path`.

  Raises:
    ExportError: tf_keras could not read `published` back.
  """
  _refuse_unreadable(published)
  model = _KerasModel(published)
  model.save(path, include_optimizer=False, signatures=_signature(model))
  write_fingerprint(path)


def _refuse_unreadable(published: Published) -> None:
  reason = None
  if published.sub_objects:
    names = ", ".join(f".{name}" for name in published.sub_objects)
    reason = f"it has {names}, which tf_keras does not read back"
  elif len(published.inputs) > 1:
    reason = "it takes inputs of several fixed sizes, but Keras records one"
  elif not published.inputs or not published.training:
    reason = "it is not a trainable model with one input"
  if reason:
    raise ExportError(
      f"This model cannot be written as a Keras SavedModel: {reason}. Leave "
      "keras_saved_model out"
      + (", or with_mlm." if "mlm" in published.sub_objects else ".")
    )


def _signature(model: tf_keras.Model) -> Callable[..., Any]:
  """Returns `serving_default`: named tensors in, named tensors out."""
  (specs,) = model.published.inputs
  named = specs if isinstance(specs, dict) else {specs.name: specs}

  @tf.function(autograph=False)
  def serving_default(**inputs):
    nest = inputs if isinstance(specs, dict) else inputs[specs.name]
    outputs = model(nest, training=False)
    return flatten_outputs(outputs, tuple(model.published.outputs))

  return serving_default.get_concrete_function(**named)


class _Frozen(tf_keras.layers.Layer):
  """Variables that training leaves alone."""

  def __init__(self, variables: Sequence[tf.Variable]):
    super().__init__(trainable=False)
    self.held = list(variables)


class _KerasModel(tf_keras.Model):
  """A `Published` in the way that Keras tracks functions and variables."""

  def __init__(self, published: Published):
    super().__init__()
    self.published = published
    trainable = {v.ref() for v in published.trainable_variables}
    self.trained = list(published.trainable_variables)
    self.frozen = _Frozen(
      [v for v in published.variables if v.ref() not in trainable]
    )
    attach(self, published)
    for loss in published.regularization_losses:
      self.add_loss(loss)
    # A first call would set it too, but to the sizes of its inputs.
    self._set_save_spec(published.inputs[0])

  def call(self, inputs: Any, training: bool = False) -> Any:
    arguments = self.published.arguments(training=training)
    return self.published.function(inputs, **arguments)
