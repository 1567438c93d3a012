"""Writes a `Published` as a Reusable SavedModel, the same bytes every time.

Two things differ from a plain `tf.saved_model.save`:

- Each permitted combination of arguments is traced only once. Saving traces
  every `tf.function` again unless it was traced in a saving context, which is
  part of the key that traces are cached by.
- The bytes depend only on the contents. Functions are numbered from a round
  number, and the random uuid of `fingerprint.pb` is replaced with one that is
  derived from the contents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
import contextlib
import functools
import inspect
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import ops
from tensorflow.python.saved_model import save_context

from exporters.errors import explained
from exporters.saved_model import files
from exporters.saved_model import repeated_layers
from exporters.saved_model import signature
from exporters.saved_model.published import SERVING_DEFAULT as SERVING_DEFAULT
from exporters.saved_model.published import Published


def write(published: Published, path: str) -> None:
  """Writes `published` to the new directory `path`."""
  _round_up_numbers()
  options = published.save_options or tf.saved_model.SaveOptions()
  with (
    explained("trace the model"),
    save_context.save_context(options),
  ):
    made: dict[int, tuple[tf.train.Checkpoint, _Call]] = {}
    root, call = _reusable(published, made)
    signatures = {}
    if published.inputs:
      root.serve = _serve(call)
      serving = call
      if published.serving:
        _, serving = made[id(published.served)]
      signatures[SERVING_DEFAULT] = _signature_of(serving, SERVING_DEFAULT)
    for name, sub_object in published.sub_objects.items():
      if sub_object.signature:
        _, call = made[id(sub_object)]
        signatures[name] = _signature_of(call, name)
  tf.saved_model.save(root, path, signatures=signatures, options=options)
  files.write_fingerprint(path)


def reusable(published: Published) -> tf.train.Checkpoint:
  """Returns an object with the interface of the SavedModel that is written."""
  return _reusable(published, {})[0]


def flatten_outputs(outputs: Any, names: tuple[str, ...]) -> dict[str, Any]:
  """Names a call's outputs as the signature does.

  Args:
    outputs: A tensor, a list or tuple, or a dict of tensors, lists and dicts.
    names: Names for the tensor, or for what is in the list.

  Returns:
    A flat dict of tensors; the elements of a list in a dict are `name_0`,
    `name_1`, ..., those of a dict keep their names, and the tensors of a ragged
    or sparse one are called as `signature` names them.
  """
  if isinstance(outputs, (list, tuple)):
    outputs = dict(zip(names, outputs, strict=True))
  if not isinstance(outputs, dict):
    outputs = dict.fromkeys(names, outputs)
  flat: dict[str, Any] = {}
  for name, value in outputs.items():
    if isinstance(value, (list, tuple)):
      for i, element in enumerate(value):
        flat |= signature.parts(f"{name}_{i}", element)
    elif isinstance(value, dict):
      flat |= flatten_outputs(value, ())
    else:
      flat |= signature.parts(name, value)
  return flat


class _Call:
  """The `tf.function` that a consumer calls, with all of its traces.

  Attributes:
    published: What it computes.
    function: The `tf.function`.
  """

  def __init__(self, published: Published, others: Mapping[str, _Call]):
    self.published = published
    # The calls that `Published.function` takes, by its keywords.
    self._others = others
    self._signature = _signature(published)

    def call(*args, **kwargs):
      return self._compute(*args, **kwargs)

    # `tf.function` reads it, and so does a consumer's `inspect`.
    call.__signature__ = self._signature  # type: ignore[attr-defined]
    self.function = tf.function(call, autograph=False)
    flags = (False, True) if published.training else (False,)
    self._traces = [
      (inputs, training, self._trace(inputs, training))
      for training in flags
      for inputs in (published.inputs or [None])
    ]

  def _trace(self, inputs: Any, training: bool):
    published = self.published
    args = () if inputs is None else (inputs,)
    # Saving looks for specs of these names.
    specs = {
      name: tf.TensorSpec([], h.spec.dtype, name)
      for name, h in published.hyperparameters.items()
    }
    return self.function.get_concrete_function(
      *args, **published.arguments(training) | specs
    )

  def _compute(self, *args, **kwargs):
    published = self.published
    arguments = self._signature.bind(*args, **kwargs)
    arguments.apply_defaults()
    given = dict(arguments.arguments)
    hyperparameters = {
      name: tf.convert_to_tensor(given[name], hyperparameter.spec.dtype)
      for name, hyperparameter in published.hyperparameters.items()
    }
    keywords = published.arguments(given.get("training", False))
    for keyword, other in self._others.items():
      keywords[keyword] = functools.partial(
        other.call_by_other, given=hyperparameters
      )
    with contextlib.ExitStack() as stack:
      for name, value in hyperparameters.items():
        hyperparameter = published.hyperparameters[name]
        for layer in hyperparameter.layers:
          stack.enter_context(_assigned(layer, hyperparameter.attribute, value))
        if not hyperparameter.layers:
          keywords[name] = value
      stack.enter_context(repeated_layers.shared())
      args = (given["inputs"],) if published.inputs else ()
      return published.function(*args, **keywords)

  def call_by_other(
    self,
    inputs: Any,
    training: bool = False,
    *,
    given: Mapping[str, tf.Tensor],
  ) -> Any:
    """Calls with those of another's hyperparameters that it has too."""
    hyperparameters = {
      name: value
      for name, value in given.items()
      if name in self.published.hyperparameters
    }
    return self(inputs, training=training, hyperparameters=hyperparameters)

  def __call__(
    self,
    inputs: Any,
    *,
    training: bool = False,
    hyperparameters: Mapping[str, tf.Tensor] | None = None,
  ) -> Any:
    """Calls the trace that accepts such inputs, while another is traced."""
    keywords = self.published.arguments(training) | {
      name: tf.constant(h.default, h.spec.dtype)
      for name, h in self.published.hyperparameters.items()
    }
    keywords |= hyperparameters or {}
    for specs, flag, concrete in self._traces:
      if flag == training and accepts(specs, inputs):
        return concrete(inputs, **keywords)
    raise TypeError(f"No trace accepts the inputs {inputs}.")


def _signature(published: Published) -> inspect.Signature:
  """Returns the signature of a call, with its defaults."""
  keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
  parameters = []
  if published.inputs:
    parameters.append(inspect.Parameter("inputs", keyword))
  if published.training:
    parameters.append(inspect.Parameter("training", keyword, default=False))
  for name, hyperparameter in published.hyperparameters.items():
    parameters.append(
      inspect.Parameter(name, keyword, default=hyperparameter.default)
    )
  return inspect.Signature(parameters)


@contextlib.contextmanager
def _assigned(layer: Any, attribute: str, value: tf.Tensor):
  trained = getattr(layer, attribute)
  if attribute == "rate":
    # Of mixed precision, dropout computes in another type than the argument's.
    value = tf.cast(value, getattr(layer, "compute_dtype", value.dtype))
  setattr(layer, attribute, value)
  try:
    yield
  finally:
    setattr(layer, attribute, trained)


def accepts(specs: Any, inputs: Any) -> bool:
  """Whether `inputs` is a nest that `specs` describes."""
  try:
    tf.nest.assert_same_structure(specs, inputs)
  except (TypeError, ValueError):
    return False
  return all(
    spec is None or spec.is_compatible_with(value)
    for spec, value in zip(
      tf.nest.flatten(specs), tf.nest.flatten(inputs), strict=True
    )
  )


def _reusable(
  published: Published,
  made: dict[int, tuple[tf.train.Checkpoint, _Call]],
  parent: _Call | None = None,
  before: Mapping[str, Published] | None = None,
) -> tuple[tf.train.Checkpoint, _Call]:
  """Returns the object to save, and its call.

  Args:
    published: What to make it of.
    made: The sub-objects made so far, with their calls, so that one with two
      names is one object.
    parent: The call of the model that it is a sub-object of.
    before: The sub-objects of that model that come before it, by name.
  """
  root = tf.train.Checkpoint()
  attach(root, published)
  root.variables = list(published.variables)
  root.trainable_variables = list(published.trainable_variables)
  root.regularization_losses = [
    tf.function(loss, input_signature=[], autograph=False)
    for loss in published.regularization_losses
  ]
  others = {}
  if published.parent and parent:
    others[published.parent] = parent
  if published.built_on:
    core = (before or {}).get(published.built_on)
    if core is None:
      core = published.sub_objects[published.built_on]
      made[id(core)] = _reusable(core, made)
    others[published.built_on] = made[id(core)][1]
  call = _Call(published, others)
  root.__call__ = call.function
  earlier: dict[str, Published] = {}
  for name, sub_object in published.sub_objects.items():
    if id(sub_object) not in made:
      made[id(sub_object)] = _reusable(sub_object, made, call, earlier)
    setattr(root, name, made[id(sub_object)][0])
    earlier[name] = sub_object
  return root, call


def attach(root: Any, published: Published) -> None:
  """Sets `root`'s attributes to what travels with a model besides its calls."""
  for name, value in published.trackables.items():
    setattr(root, name, value)
  for name, value in published.constants.items():
    setattr(root, name, tf.Variable(value, trainable=False, name=name))
  for name, asset in published.assets.items():
    setattr(root, name, tf.saved_model.Asset(asset))


def _serve(call: _Call) -> Callable[..., Any]:
  """Returns the endpoint that Keras 3's `TFSMLayer` calls."""

  def serve(inputs):
    return call(inputs)

  return tf.function(
    serve, input_signature=[call.published.inputs[0]], autograph=False
  )


def _signature_of(call: _Call, name: str):
  """Returns a signature: named tensors in, named tensors out."""
  specs = call.published.inputs[0]
  names = tuple(call.published.outputs)

  def compute(**inputs):
    return flatten_outputs(call(signature.packed(specs, inputs)), names)

  # The graph's function is called after it.
  compute.__name__ = name
  return tf.function(compute, autograph=False).get_concrete_function(
    **signature.named_specs(specs)
  )


def _round_up_numbers() -> None:
  """Moves TensorFlow's counter on to the next multiple of 100,000.

  Functions are named and sorted by this counter, which goes up with everything
  that happens, such as each tensor that is restored. Left alone, it would make
  the bytes depend on the kind of the checkpoint.
  """
  while ops.uid() % 100_000:
    pass
