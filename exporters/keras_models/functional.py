"""What an exporter asks of a functional tf_keras model.

Layers are found by their type and by how they are connected: Keras makes up
names such as `dense_3`, which depend on what was built before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from official.vision.modeling.layers import nn_layers
import tensorflow as tf
import tf_keras

from exporters.errors import ExportError
from exporters.saved_model.published import Hyperparameter

layers = tf_keras.layers


def producer(model: tf_keras.Model, tensor: Any) -> tuple[Any, Any]:
  """Returns the layer of `model` whose output `tensor` is, and its input.

  A layer that takes part in several models has a node for each; the node is
  the one that made `tensor`.
  """
  for layer in model.layers:
    for i in range(len(layer.inbound_nodes)):
      if layer.get_output_at(i) is tensor:
        return layer, layer.get_input_at(i)
  raise ValueError(f"No layer of {model.name} makes {tensor}.")


def head(model: tf_keras.Model) -> tuple[Any, Any]:
  """Returns a classifier's feature vector and its logits, as Keras tensors.

  The logits are the output of the last dense layer, whatever follows it (a
  softmax, a cast). The feature vector is that layer's input, before dropout.

  Raises:
    ExportError: There is no such layer, or it computes more than logits.
  """
  logits = model.outputs[0]
  layer, features = producer(model, logits)
  while not isinstance(layer, layers.Dense):
    if isinstance(layer, layers.InputLayer) or isinstance(features, list):
      raise ExportError(
        f"The model '{model.name}' does not end in a dense layer, so it has no "
        "logits and no feature vector."
      )
    logits = features
    layer, features = producer(model, logits)
  if layer.activation is not tf_keras.activations.linear:
    raise ExportError(
      f"The last dense layer of '{model.name}' applies "
      f"{layer.activation.__name__} itself, so the model has no logits. Build "
      "it without that activation; the weights are the same."
    )
  before, inputs = producer(model, features)
  while isinstance(before, layers.Dropout):
    features = inputs
    before, inputs = producer(model, features)
  return features, logits


def with_free_size(model: tf_keras.Model) -> tf_keras.Model:
  """Returns the model, on the same layers, for images of any size."""
  return tf_keras.models.clone_model(
    model,
    input_tensors=tf_keras.Input([None, None, model.inputs[0].shape[-1]]),
    clone_function=lambda layer: layer,
  )


def regularization_losses(
  model: tf_keras.Model,
) -> tuple[list[Callable[[], tf.Tensor]], int]:
  """Returns the model's regularization losses.

  Returns:
    A function without arguments for each loss that depends on weights alone,
    and how many of `model.losses` depend on inputs too.
  """
  functions = []
  for layer in (model, *_layers(model)):
    # `losses` holds values: a layer computes them again each time that it is
    # asked, its own regularizers' last. Of a composite layer, those of its
    # parts follow, which are asked themselves.
    regularizers = layer._callable_losses
    if _layers(layer):
      functions += regularizers
      continue
    first = len(layer.losses) - len(regularizers)
    functions += [
      _regularization_loss(layer, first + i) for i in range(len(regularizers))
    ]
  return functions, len(model.losses) - len(functions)


def hyperparameters(model: tf_keras.Model) -> dict[str, Hyperparameter]:
  """Returns what a call of the model may override.

  `batch_norm_momentum` is offered where all layers have the same one, and
  `dropout_rate` where all that is random in training is dropout of one rate.
  """
  offered = {}
  batch_norms = [
    layer
    for layer in _layers(model)
    if isinstance(layer, layers.BatchNormalization)
  ]
  momentums = {float(layer.momentum) for layer in batch_norms}
  if len(momentums) == 1:
    offered["batch_norm_momentum"] = Hyperparameter(
      default=momentums.pop(), layers=batch_norms, attribute="momentum"
    )
  random = [layer for layer in _layers(model) if _is_random(layer)]
  dropouts = [layer for layer in random if _drops_elements(layer)]
  rates = {float(layer.rate) for layer in dropouts}
  if len(rates) == 1 and len(dropouts) == len(random):
    offered["dropout_rate"] = Hyperparameter(
      default=rates.pop(), layers=dropouts, attribute="rate"
    )
  return offered


def _regularization_loss(layer: Any, i: int) -> Callable[[], tf.Tensor]:
  return lambda: layer.losses[i]


def _is_random(layer: Any) -> bool:
  """Tells whether a layer computes with random numbers in training."""
  if isinstance(layer, nn_layers.StochasticDepth):
    return bool(layer.get_config()["stochastic_depth_drop_rate"])
  if isinstance(layer, layers.Dropout):
    return bool(layer.rate)
  return isinstance(layer, tf_keras.__internal__.layers.BaseRandomLayer)


def _drops_elements(layer: Any) -> bool:
  # With a noise shape, whole examples are dropped, by rates that grow with
  # depth: that is stochastic depth (https://arxiv.org/abs/1603.09382).
  return isinstance(layer, layers.Dropout) and layer.noise_shape is None


def _layers(layer: Any) -> list[Any]:
  """Returns all layers below one, in a fixed order, each once."""
  return [m for m in layer.submodules if isinstance(m, layers.Layer)]
