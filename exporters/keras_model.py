r"""Exports any functional tf_keras model, whole or sliced: a template to copy.

  python -m exporters.keras_model \
    --gin_file=configs/keras_model/keras_model.gin \
    --gin_bindings="MODEL_FILE = '/path/to/model.keras'" \
    --gin_bindings="keras_model.KerasModelExporter.output_layer = 'features'" \
    --export_path=/tmp/features

  layer = hub.KerasLayer("/tmp/features", trainable=True)
  layer(inputs)  # From the model's inputs to the output of `output_layer`.

This is the general case of "Saving from Keras" in
https://www.tensorflow.org/hub/exporting_tf2_saved_model. A model with several
inputs takes a dict, by the names of its input layers; one with several outputs
returns a dict, by the names of its output layers.
"""

if __name__ == "__main__":
  # The command starts here; the gin file imports this module by its name.
  from exporters.command_line import export_command

  export_command.run()

from collections.abc import Callable
import dataclasses
from typing import Any
import zipfile

import numpy as np
import tensorflow as tf
import tf_keras
from typing_extensions import override

from exporters import base
from exporters.errors import ExportError
from exporters.errors import first_line
from exporters.keras_models import functional


@dataclasses.dataclass(frozen=True, kw_only=True)
class KerasModelExporter(base.Exporter):
  """Publishes a model with the weights that it has.

  Attributes:
    model_file: A `.keras` or `.h5` file, or a Keras SavedModel. It may hold
      code (Lambda layers), so take it only from people you trust. Its custom
      classes must be registered: import their module in the gin file.
    model_function: A function that returns the model, instead of a file.
    input_layer: The name of the first layer to publish; its input becomes that
      of the published model. None: the model's own inputs.
    output_layer: The name of the last layer to publish. None: the model's own
      outputs.
    sample_sizes: The size to put where the model leaves one open, for each of
      the two inputs with which the artifact is checked.
  """

  model_file: base.FilePath | None = None
  model_function: Callable[[], tf_keras.Model] | None = None
  input_layer: str | None = None
  output_layer: str | None = None
  sample_sizes: tuple[int, int] = (32, 48)

  @override
  def build(self) -> base.Build:
    model = self._sliced(self._whole())
    inputs, outputs = _input_specs(model.inputs, model.input_names), None
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
    file, function = self.model_file, self.model_function
    if file is not None and function is None:
      model, where = _load(file), f"'{file}'"
    elif function is not None and file is None:
      model, where = function(), "model_function"
    else:
      raise ExportError("Set exactly one of model_file and model_function.")
    if not isinstance(model, tf_keras.Model) or not model.inputs:
      raise ExportError(
        f"{where} does not give a functional tf_keras model. Wrap what it "
        "gives: tf_keras.Model(inputs, model(inputs)), with "
        "inputs = tf_keras.Input(...)."
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
        f"The output of '{self.output_layer or model.output_names}' cannot be "
        "computed from the input of "
        f"'{self.input_layer or model.input_names}' alone. Choose an "
        "input_layer that is on every path to the output_layer."
      ) from e


def _load(path: str) -> tf_keras.Model:
  try:
    return tf_keras.models.load_model(path, compile=False)
  except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as e:
    raise ExportError(
      f"Cannot load a tf_keras model from '{path}'. ({first_line(e)}) It must "
      "hold a whole model, not only weights, and custom classes must be "
      "registered: import their module in the gin file."
    ) from e


def _layer(model: tf_keras.Model, name: str) -> Any:
  names = [layer.name for layer in model.layers]
  if name not in names:
    raise ExportError(
      f"The model has no layer '{name}'. Its layers are {', '.join(names)}."
    )
  return model.get_layer(name)


def _input_specs(tensors: list[Any], names: list[str]) -> Any:
  """Returns the spec of a model's one input, or a dict of several by name."""
  if len(tensors) == 1:
    return tf.TensorSpec(tensors[0].shape, tensors[0].dtype, "inputs")
  return {
    name: tf.TensorSpec(tensor.shape, tensor.dtype, name)
    for name, tensor in zip(names, tensors, strict=True)
  }


def _sampler(batch: int, size: int) -> Callable[[tf.TensorSpec], np.ndarray]:
  """Returns a function that draws an input of a spec.

  Floats are in [0, 1), other numbers 0 or 1.

  Args:
    batch: The size of the batch.
    size: What any other dimension gets that the spec leaves open.
  """
  rng = np.random.default_rng(0)

  def sample(spec: tf.TensorSpec) -> np.ndarray:
    shape = [batch, *(size if n is None else n for n in spec.shape[1:])]
    dtype = spec.dtype.as_numpy_dtype
    if spec.dtype.is_floating:
      return rng.random(shape).astype(dtype)
    return rng.integers(2, size=shape).astype(dtype)

  return sample
