"""What one SavedModel offers to those who load it, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import dataclasses
from typing import Any

import tensorflow as tf

from exporters.saved_model.variables import each_once


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hyperparameter:
  """A number that a consumer may override in a call, say for fine-tuning.

  Attributes:
    default: The value when a call leaves it out. An int makes the argument an
      int32 scalar, a float a float32 scalar.
    layers: The layers that take it, each by assignment to `attribute` while
      the call is traced. Without layers it is a keyword argument of
      `Published.function`.
    attribute: The name of the layers' attribute, such as "rate".
  """

  default: float | int
  layers: Sequence[Any] = ()
  attribute: str = ""

  @property
  def spec(self) -> tf.TensorSpec:
    dtype = tf.int32 if isinstance(self.default, int) else tf.float32
    return tf.TensorSpec([], dtype)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Published:
  """A callable of the Reusable SavedModel interface, with its attributes.

  https://www.tensorflow.org/hub/reusable_saved_models says what each is for.

  Attributes:
    function: What a call computes: `function(inputs, training=...)`, without
      `training` if that is False here and without `inputs` if there are none;
      returns a tensor or a nest of tensors.
    inputs: The nests of `tf.TypeSpec` that a call accepts, each traced by
      itself. The first one is the input of the signature and of `serve`; its
      tensors are named. Empty for a callable without input.
    outputs: The signature's names for a result that is a single tensor.
    training: Whether a call takes the Python bool `training`.
    hyperparameters: Tensor-valued keyword arguments, by name.
    variables: All that any call uses.
    trainable_variables: Those that a consumer may train.
    regularization_losses: Functions without arguments, each one scalar.
    constants: Facts for the consumer (such as `do_lower_case`), by attribute.
    assets: Files that travel with the model, by attribute.
    trackables: What the function uses besides variables, such as tables.
    sub_objects: Further callables, by attribute.
    parent: Of a sub-object, the keyword by which `function` takes what calls
      the model that it belongs to, so that the graph has this once. None: it
      does not build upon it.
    samples: Inputs to check the artifact with: nests of arrays, of different
      batch sizes and, where `inputs` leave them open, lengths or image sizes.
    reference: What the artifact is compared with, called like `function`; the
      model that the checkpoint was restored into. None: `function` itself.
    remarks: Sentences for those who publish or use the model, about what it
      leaves out or does otherwise than they may expect.
  """

  function: Callable[..., Any]
  inputs: Sequence[Any] = ()
  outputs: Sequence[str] = ("default",)
  training: bool = True
  hyperparameters: Mapping[str, Hyperparameter] = dataclasses.field(
    default_factory=dict
  )
  variables: Sequence[tf.Variable] = ()
  trainable_variables: Sequence[tf.Variable] = ()
  regularization_losses: Sequence[Callable[[], tf.Tensor]] = ()
  constants: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  assets: Mapping[str, str] = dataclasses.field(default_factory=dict)
  trackables: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  sub_objects: Mapping[str, Published] = dataclasses.field(default_factory=dict)
  parent: str | None = None
  samples: Sequence[Any] = ()
  reference: Callable[..., Any] | None = None
  remarks: Sequence[str] = ()

  def callables(self, name: str = "") -> dict[str, Published]:
    """Returns this callable and those below it, by dotted attribute path."""
    found = {name: self}
    for attribute, sub_object in self.sub_objects.items():
      found |= sub_object.callables(f"{name}.{attribute}".lstrip("."))
    return found

  def every(self, attribute: str) -> list[tf.Variable]:
    """Returns `attribute`, variables, of all callables, each once."""
    return each_once(
      variable
      for callable_ in self.callables().values()
      for variable in getattr(callable_, attribute)
    )

  def arguments(self, training: bool) -> dict[str, Any]:
    """Returns the keyword arguments of a plain call of `function`."""
    arguments = {"training": training} if self.training else {}
    for name, hyperparameter in self.hyperparameters.items():
      if not hyperparameter.layers:
        arguments[name] = hyperparameter.default
    return arguments
