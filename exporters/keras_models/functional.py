"""Slices of a functional tf_keras model, its losses and its rates.

Layers are found by their type and by how they are connected, because Keras
generates names such as `dense_3`, which depend on what was built before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from official.vision.modeling.layers import nn_layers
import tensorflow as tf
import tf_keras

from exporters.errors import ExportError
from exporters.saved_model.published import Hyperparameter

layers = tf_keras.layers
_BATCH_NORMS = (
  layers.BatchNormalization,
  layers.experimental.SyncBatchNormalization,
)


def producer(model: tf_keras.Model, tensor: Any) -> tuple[Any, Any]:
  """Returns the layer of `model` whose output is `tensor`, and its input then.

  A layer that is part of several models has several outputs, each with its own
  input; and each of them may be a nest.

  Raises:
    ValueError: No layer has this output.
  """
  for layer in model.layers:
    for i in range(len(layer.inbound_nodes)):
      outputs = tf.nest.flatten(layer.get_output_at(i))
      if any(output is tensor for output in outputs):
        return layer, layer.get_input_at(i)
  raise ValueError(f"No layer of {model.name} has the output {tensor}.")


def head(model: tf_keras.Model) -> tuple[Any, Any]:
  """Returns a classifier's feature vector and its logits, as Keras tensors.

  The logits are the output of the last dense layer, whatever follows it (a
  softmax, a cast). The feature vector is that layer's input, before any
  dropout.

  Raises:
    ExportError: There is no such layer, or it computes more than logits.
  """
  logits = model.outputs[0]
  layer, features = producer(model, logits)
  while not isinstance(layer, layers.Dense):
    if isinstance(layer, layers.InputLayer) or isinstance(features, list):
      raise ExportError(
        f"The model '{model.name}' does not end in a dense layer, so it has no "
        "logits and no feature vector. `exporters.keras_model` exports any "
        "layer's output."
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
  """Returns a model on the same layers for images of any size."""
  return tf_keras.models.clone_model(
    model,
    input_tensors=tf_keras.Input([None, None, model.inputs[0].shape[-1]]),
    clone_function=lambda layer: layer,
  )


def on_outputs(model: tf_keras.Model, names: Collection[str]) -> tf_keras.Model:
  """Returns a model on the layers that some outputs depend on.

  Args:
    model: One whose inputs are a tensor or a dict, and whose outputs are a
      dict.
    names: The names of the outputs to keep.

  Returns:
    A model without the other outputs, and without the inputs of a dict that
    only those depend on.
  """
  outputs = {name: model.output[name] for name in sorted(names)}
  inputs = model.input
  if isinstance(inputs, Mapping):
    pending, seen = list(outputs.values()), set()
    while pending:
      tensor = pending.pop()
      if id(tensor) not in seen:
        seen.add(id(tensor))
        pending += tensor.node.keras_inputs
    inputs = {name: x for name, x in inputs.items() if id(x) in seen}
  return tf_keras.Model(inputs, outputs)


def regularization_losses(
  model: tf_keras.Model,
) -> tuple[list[Callable[[], tf.Tensor]], int]:
  """Returns the model's regularization losses.

  Returns:
    A function without arguments for each loss that depends on weights alone,
    and how many of `model.losses` depend on inputs too.
  """
  functions: list[Callable[[], tf.Tensor]] = []
  for layer in (model, *_layers(model)):
    # `losses` has only values: a layer computes them again whenever it is asked
    # for them, those of its own regularizers last. A composite layer's are
    # followed by those of its parts, which are asked themselves.
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
  """Returns what a call of the model may override, by name.

  `batch_norm_momentum` is offered if all layers but frozen ones have the same
  momentum, and `dropout_rate` if all that is random in training is dropout of
  one rate.
  """
  offered = {}
  batch_norms = [
    layer
    for layer in _layers(model)
    # A frozen one keeps its averages.
    if isinstance(layer, _BATCH_NORMS) and layer.trainable
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
  """Tells whether a layer draws random numbers in training."""
  if isinstance(layer, nn_layers.StochasticDepth):
    return bool(layer.get_config()["stochastic_depth_drop_rate"])
  if isinstance(layer, layers.Dropout):
    return bool(layer.rate)
  return isinstance(layer, tf_keras.__internal__.layers.BaseRandomLayer)


def _drops_elements(layer: Any) -> bool:
  # A Dropout layer with a noise shape drops whole examples, at rates that grow
  # with depth: that is stochastic depth (https://arxiv.org/abs/1603.09382).
  return isinstance(layer, layers.Dropout) and layer.noise_shape is None


def _layers(layer: Any) -> list[Any]:
  """Returns all layers below one, in a fixed order, each once."""
  return [m for m in layer.submodules if isinstance(m, layers.Layer)]
