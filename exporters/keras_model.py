"""Exports any functional tf_keras model, whole or sliced: a template to copy.

  python -m exporters.keras_model \\
    --gin_file=configs/keras_model/keras_model.gin \\
    --gin_bindings="MODEL_FILE = '/path/to/model.keras'" \\
    --gin_bindings="keras_model.KerasModelExporter.output_layer = 'features'" \\
    --export_path=/tmp/features

  layer = hub.KerasLayer("/tmp/features", trainable=True)
  layer(inputs)  # What the model takes to what `output_layer` gives.

This is the general case of
https://www.tensorflow.org/hub/exporting_tf2_saved_model, "Saving from Keras". A
model with several inputs takes a dict, by the names of its input layers; one
with several outputs returns a dict, by the names of its output layers.
"""

if __name__ == "__main__":
  # Only the entrance: the gin file imports this module under its own name.
  from exporters.command_line import export_command

  export_command.run()

from collections.abc import Callable
import dataclasses
from typing import Any
import zipfile

import numpy as np
import tensorflow as tf
import tf_keras

from exporters import base
from exporters.errors import ExportError
from exporters.keras_models import functional


@dataclasses.dataclass(frozen=True, kw_only=True)
class KerasModelExporter(base.Exporter):
  """Publishes a model with the weights that it has.

  Attributes:
    model_file: A `.keras` or `.h5` file, or a Keras SavedModel. It may hold
      code (Lambda layers): take it from nobody but those you trust. Classes of
      its own must be registered: import their module in the gin file.
    model_function: Returns the model, in place of a file.
    input_layer: The name of the first layer to publish; its input is that of
      the published model. None: the model's own input.
    output_layer: The name of the last layer to publish. None: the model's own
      outputs.
    sample_sizes: What stands for sizes that the model leaves open, in each of
      the two inputs that the artifact is checked with.
  """

  model_file: base.FilePath | None = None
  model_function: Callable[[], tf_keras.Model] | None = None
  input_layer: str | None = None
  output_layer: str | None = None
  sample_sizes: tuple[int, int] = (32, 48)

  def build(self) -> base.Build:
    model = self._sliced(self._whole())
    inputs, outputs = _by_name(model.inputs, model.input_names), None
    if len(model.outputs) > 1:
      outputs = model.output_names

    def function(inputs, training):
      if isinstance(inputs, dict):
        inputs = [inputs[name] for name in model.input_names]
      results = tf.nest.flatten(model(inputs, training=training))
      return dict(zip(outputs, results, strict=True)) if outputs else results[0]

    published = base.Published(
      function=function,
      inputs=[inputs],
      hyperparameters=functional.hyperparameters(model),
      variables=model.variables,
      trainable_variables=model.trainable_variables,
      regularization_losses=functional.regularization_losses(model),
      samples=[
        tf.nest.map_structure(_sampler(batch, size), inputs)
        for batch, size in zip((1, 3), self.sample_sizes, strict=True)
      ],
    )
    return base.Build(published={"": published})

  def _whole(self) -> tf_keras.Model:
    if (self.model_file is None) == (self.model_function is None):
      raise ExportError("Set one of model_file and model_function.")
    if self.model_function is not None:
      model, where = self.model_function(), "model_function"
    else:
      model, where = _load(self.model_file), f"'{self.model_file}'"
    if not isinstance(model, tf_keras.Model) or not model.inputs:
      raise ExportError(
        f"{where} gives no functional tf_keras model. Wrap what it gives: "
        "tf_keras.Model(inputs, model(inputs)), for inputs = tf_keras.Input()."
      )
    return model

  def _sliced(self, model: tf_keras.Model) -> tf_keras.Model:
    inputs, outputs = model.inputs, model.outputs
    if self.input_layer is not None:
      inputs = _layer(model, self.input_layer).input
    if self.output_layer is not None:
      outputs = _layer(model, self.output_layer).output
    try:
      return tf_keras.Model(inputs, outputs)
    except ValueError as e:  # "Graph disconnected", in many words.
      raise ExportError(
        f"The output of '{self.output_layer or model.output_names}' does not "
        f"follow from the input of '{self.input_layer or model.input_names}' "
        "alone. Choose layers between which all paths run."
      ) from e


def _load(path: str) -> tf_keras.Model:
  try:
    return tf_keras.models.load_model(path, compile=False)
  except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as e:
    raise ExportError(
      f"Cannot load a tf_keras model from '{path}'. "
      f"({str(e).partition(chr(10))[0]}) It must be a whole model, not its "
      "weights alone, and its own classes must be registered."
    ) from e


def _layer(model: tf_keras.Model, name: str) -> Any:
  names = [layer.name for layer in model.layers]
  if name not in names:
    raise ExportError(
      f"The model has no layer '{name}'. It has {', '.join(names)}."
    )
  return model.get_layer(name)


def _by_name(tensors: list[Any], names: list[str]) -> Any:
  """Returns the specs of a model's inputs: one, or a dict."""
  if len(tensors) == 1:
    return tf.TensorSpec(tensors[0].shape, tensors[0].dtype, "inputs")
  return {
    name: tf.TensorSpec(tensor.shape, tensor.dtype, name)
    for name, tensor in zip(names, tensors, strict=True)
  }


def _sampler(batch: int, size: int) -> Callable[[tf.TensorSpec], np.ndarray]:
  """Returns a function that draws an input: numbers in [0, 1], or 0 and 1."""
  rng = np.random.default_rng(0)

  def sample(spec: tf.TensorSpec) -> np.ndarray:
    shape = [batch, *(size if n is None else n for n in spec.shape[1:])]
    dtype = spec.dtype.as_numpy_dtype
    if spec.dtype.is_floating:
      return rng.random(shape).astype(dtype)
    return rng.integers(2, size=shape).astype(dtype)

  return sample
