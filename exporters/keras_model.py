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
inputs takes a dict, by its own keys or the names of its input layers; one with
several outputs returns a dict, by its own keys or the names of its output
layers.
"""

if __name__ == "__main__":
  # The command starts here; the gin file imports this module by its name.
  from exporters.command_line import export_command

  export_command.run()

from collections.abc import Callable, Sequence
import contextlib
import dataclasses
import functools
from typing import Any

import tensorflow as tf
import tf_keras
from typing_extensions import override

from exporters import base
from exporters.errors import ExportError
from exporters.keras_models import functional
from exporters.keras_models import inputs as inputs_lib
from exporters.keras_models import loading
from exporters.keras_models import outputs as outputs_lib
from exporters.keras_models import state
from exporters.keras_models import tap
from exporters.saved_model import fixed_ids


@dataclasses.dataclass(frozen=True, kw_only=True)
class KerasModelExporter(base.Exporter):
  """Publishes a model with the weights that it has.

  Attributes:
    model_file: A `.keras` or `.h5` file, or a Keras SavedModel. Its custom
      classes must be registered: import their module in the gin file.
    safe_mode: Whether to refuse code in the file: a Lambda layer of a Python
      lambda runs when it is loaded, so take it only from people you trust.
    average_weights: Whether to publish the averages of the weights that the
      optimizer in the file kept. None: if the file has them.
    model_function: A function that returns the model, instead of a file.
    input_layer: The name of the first layer to publish; its input becomes that
      of the published model. None: the model's own inputs.
    output_layer: The name of the last layer to publish. None: the model's own
      outputs.
    output_names: What to call the outputs, in their order. None: as the model
      does; the keys of its dict, or the names of its output layers.
    sample_sizes: The size to put where the model leaves one open, for each of
      the two inputs with which the artifact is checked. None: 32 and 48, or as
      much more as the model needs to give anything.
  """

  model_file: base.FilePath | None = None
  safe_mode: bool = True
  average_weights: bool | None = None
  model_function: Callable[[], tf_keras.Model] | None = None
  input_layer: str | None = None
  output_layer: str | None = None
  output_names: Sequence[str] | None = None
  sample_sizes: tuple[int, int] | None = None

  @override
  def build(self) -> base.Build:
    owners = self._whole()
    model = self._sliced(owners)
    inputs = inputs_lib.specs(model)
    sizes = self.sample_sizes or inputs_lib.sample_sizes(model)
    name = functools.partial(
      outputs_lib.named, outputs_lib.keys(model, self.output_names)
    )
    losses, left_out = functional.regularization_losses(model)
    published = base.Published(
      function=lambda inputs, training: name(
        outputs_lib.call(model, inputs, training=training)
      ),
      inputs=[inputs],
      outputs=outputs_lib.signature_names(model, self.output_names),
      hyperparameters=functional.hyperparameters(model),
      variables=_variables(model.variables),
      trainable_variables=_variables(model.trainable_variables),
      regularization_losses=losses,
      trackables=state.trackables(model),
      samples=[
        tf.nest.map_structure(inputs_lib.sampler(batch, size), inputs)
        for batch, size in zip((1, 3), sizes, strict=True)
      ],
      reference=lambda inputs, training: name(
        self._as_its_owner_calls_it(owners, inputs, training, sizes[0])
      ),
      remarks=_remarks(left_out),
    )
    return base.Build(published={"": published})

  def _whole(self) -> tf_keras.Model:
    file, function = self.model_file, self.model_function
    if file is not None and function is None:
      model = loading.load(file, safe_mode=self.safe_mode)
      loading.take_averages(model, file, wanted=self.average_weights)
      where = f"'{file}'"
    elif function is not None and file is None:
      if self.average_weights:
        raise ExportError(
          "average_weights is for a model_file. A model_function returns the "
          "weights to publish: call optimizer.finalize_variable_values in it."
        )
      model, where = function(), "model_function"
    else:
      raise ExportError("Set exactly one of model_file and model_function.")
    if not isinstance(model, tf_keras.Model) or not model.inputs:
      raise ExportError(
        f"{where} does not give a functional tf_keras model. Wrap what it "
        "gives: tf_keras.Model(inputs, model(inputs)), with "
        "inputs = tf_keras.Input(...)."
      )
    fixed_ids.renew(model)
    return model

  def _sliced(self, model: tf_keras.Model) -> tf_keras.Model:
    """Returns the part to publish; the model itself if that is all of it."""
    if self.input_layer is None and self.output_layer is None:
      return model
    inputs, outputs = model.inputs, model.outputs
    if self.input_layer is not None:
      inputs = _layer(model, self.input_layer).input
      _refuse_mask(inputs, self.input_layer)
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

  def _as_its_owner_calls_it(
    self, model: tf_keras.Model, inputs: Any, training: bool, size: int
  ) -> Any:
    """Returns what the whole model computes where it is cut."""
    with contextlib.ExitStack() as stack:
      if self.input_layer is not None:
        first = _layer(model, self.input_layer)
        batch = tf.shape(tf.nest.flatten(inputs)[0])[0]
        stack.enter_context(tap.tapped(first, instead=inputs))
        inputs = tf.nest.map_structure(
          inputs_lib.blank(batch, size), inputs_lib.specs(model)
        )
      if self.output_layer is None:
        return outputs_lib.call(model, inputs, training=training)
      last = stack.enter_context(tap.tapped(_layer(model, self.output_layer)))
      outputs_lib.call(model, inputs, training=training)
      return last.outputs


def _remarks(left_out: int) -> list[str]:
  if not left_out:
    return []
  return [
    "The model was trained with losses that depend on its inputs or "
    f"activations ({left_out} of them). A SavedModel cannot carry these; add "
    "them again for fine-tuning."
  ]


def _variables(weights: Sequence[Any]) -> list[tf.Variable]:
  # A vocabulary counts as a weight, and is in a table.
  return [weight for weight in weights if isinstance(weight, tf.Variable)]


def _refuse_mask(inputs: Any, name: str) -> None:
  for tensor in tf.nest.flatten(inputs):
    if getattr(tensor, "_keras_mask", None) is not None:
      raise ExportError(
        f"The layer '{name}' gets a mask from the layers before it, which the "
        "published model would not have. Choose an input_layer before the mask "
        "is made."
      )


def _layer(model: tf_keras.Model, name: str) -> Any:
  names = [layer.name for layer in model.layers]
  if name not in names:
    raise ExportError(
      f"The model has no layer '{name}'. Its layers are {', '.join(names)}."
    )
  return model.get_layer(name)
