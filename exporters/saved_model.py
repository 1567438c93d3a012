"""Writes a `Published` as a Reusable SavedModel, the same bytes every time.

Two things differ from a plain `tf.saved_model.save`. Each permitted combination
of arguments is traced once: saving traces every `tf.function` again, because
its save context is part of the functions' cache key, so the functions that are
saved here are thin ones that do nothing but call a trace made before. And what
is not of the contents is not in the bytes: functions are numbered from a round
number, and the random uuid of `fingerprint.pb` is replaced by one derived from
the contents.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import functools
import hashlib
import inspect
import os
from typing import Any
import uuid

import tensorflow as tf
from tensorflow.core.protobuf import fingerprint_pb2
from tensorflow.python.framework import ops

from exporters.published import Published

SERVING_DEFAULT = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY


def write(published: Published, path: str) -> None:
  """Writes `published` to the new directory `path`."""
  _round_up_numbers()
  root, traces = _reusable(published, {})
  signatures = {}
  if published.inputs:
    root.serve = _serve(published, traces)
    signatures[SERVING_DEFAULT] = _serving_default(published, traces)
  tf.saved_model.save(root, path, signatures=signatures)
  _write_fingerprint(path)


def reusable(published: Published) -> tf.train.Checkpoint:
  """Returns an object to call, with the interface of what `write` writes."""
  return _reusable(published, {})[0]


def flatten_outputs(outputs: Any, names: tuple[str, ...]) -> dict[str, Any]:
  """Names a call's outputs as the signature does.

  Args:
    outputs: A tensor or a list of tensors; or a dict of tensors and of lists of
      tensors.
    names: The names of an output that is a tensor, or of those in the list.

  Returns:
    A flat dict of tensors; the elements of a list are `name_0`, `name_1`, ...
  """
  if isinstance(outputs, (list, tuple)):
    return dict(zip(names, outputs, strict=True))
  if not isinstance(outputs, dict):
    return dict.fromkeys(names, outputs)
  flat = {}
  for name, value in outputs.items():
    if isinstance(value, (list, tuple)):
      flat |= {f"{name}_{i}": element for i, element in enumerate(value)}
    else:
      flat[name] = value
  return flat


class _Traces:
  """One concrete function for each permitted combination of arguments."""

  def __init__(self, published: Published, parent: _Traces | None = None):
    self.published = published
    self._parent = parent
    flags = (False, True) if published.training else (False,)
    self.combinations = [
      (inputs, training)
      for training in flags
      for inputs in (published.inputs or [None])
    ]
    self._concrete = [
      self._trace(inputs, training) for inputs, training in self.combinations
    ]

  def _trace(self, inputs: Any, training: bool):
    published = self.published

    def call(inputs, hyperparameters):
      keywords = published.arguments(training)
      if published.parent:
        keywords[published.parent] = functools.partial(
          self._call_parent, hyperparameters=hyperparameters
        )
      with contextlib.ExitStack() as stack:
        for name, value in hyperparameters.items():
          hyperparameter = published.hyperparameters[name]
          for layer in hyperparameter.layers:
            stack.enter_context(
              _assigned(layer, hyperparameter.attribute, value)
            )
          if not hyperparameter.layers:
            keywords[name] = value
        args = () if inputs is None else (inputs,)
        return published.function(*args, **keywords)

    specs = {name: h.spec for name, h in published.hyperparameters.items()}
    return tf.function(call, autograph=False).get_concrete_function(
      inputs, specs
    )

  def _call_parent(self, inputs: Any, training: bool, *, hyperparameters):
    names = self._parent.published.hyperparameters
    return self._parent(
      inputs, training, {name: hyperparameters[name] for name in names}
    )

  def __call__(self, inputs: Any, training: bool, hyperparameters):
    for (specs, flag), concrete in zip(
      self.combinations, self._concrete, strict=True
    ):
      if flag == training and accepts(specs, inputs):
        return concrete(inputs, hyperparameters)
    raise TypeError(f"No trace accepts the inputs {inputs}.")


@contextlib.contextmanager
def _assigned(layer: Any, attribute: str, value: tf.Tensor):
  trained = getattr(layer, attribute)
  setattr(layer, attribute, value)
  try:
    yield
  finally:
    setattr(layer, attribute, trained)


def accepts(specs: Any, inputs: Any) -> bool:
  """Whether `inputs` is a nest of what `specs` describes."""
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
  made: dict[int, tf.train.Checkpoint],
  parent: _Traces | None = None,
) -> tuple[tf.train.Checkpoint, _Traces]:
  """Returns the object to save and the traces that its functions call.

  Args:
    published: What it is.
    made: The sub-objects so far; what has two names is one object.
    parent: The traces of what it is a sub-object of.
  """
  root = tf.train.Checkpoint()
  attach(root, published)
  root.variables = list(published.variables)
  root.trainable_variables = list(published.trainable_variables)
  root.regularization_losses = [
    tf.function(loss, input_signature=[], autograph=False)
    for loss in published.regularization_losses
  ]
  traces = _Traces(published, parent)
  root.__call__ = _callable(published, traces)
  for name, sub_object in published.sub_objects.items():
    if id(sub_object) not in made:
      made[id(sub_object)], _ = _reusable(sub_object, made, traces)
    setattr(root, name, made[id(sub_object)])
  return root, traces


def attach(root: Any, published: Published) -> None:
  """Sets what travels with a model, calls apart, as attributes of `root`."""
  for name, value in published.trackables.items():
    setattr(root, name, value)
  for name, value in published.constants.items():
    setattr(root, name, tf.Variable(value, trainable=False, name=name))
  for name, asset in published.assets.items():
    setattr(root, name, tf.saved_model.Asset(asset))


def _callable(published: Published, traces: _Traces) -> Callable[..., Any]:
  """Returns the `tf.function` that a consumer calls, traced completely."""
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
  signature = inspect.Signature(parameters)

  def call(*args, **kwargs):
    arguments = signature.bind(*args, **kwargs)
    arguments.apply_defaults()
    values = dict(arguments.arguments)
    inputs = values.pop("inputs", None)
    training = values.pop("training", False)
    return traces(inputs, training, values)

  # `tf.function` reads it, and a consumer's `inspect` after it.
  call.__signature__ = signature
  function = tf.function(call, autograph=False)
  specs = {name: h.spec for name, h in published.hyperparameters.items()}
  for inputs, training in traces.combinations:
    args = () if inputs is None else (inputs,)
    function.get_concrete_function(
      *args, **published.arguments(training) | specs
    )
  return function


def _defaults(published: Published) -> dict[str, tf.Tensor]:
  return {
    name: tf.constant(hyperparameter.default, hyperparameter.spec.dtype)
    for name, hyperparameter in published.hyperparameters.items()
  }


def _serve(published: Published, traces: _Traces) -> Callable[..., Any]:
  """Returns an endpoint of one nest, which Keras 3's `TFSMLayer` calls."""

  def serve(inputs):
    return traces(inputs, False, _defaults(published))

  return tf.function(
    serve, input_signature=[published.inputs[0]], autograph=False
  )


def _serving_default(published: Published, traces: _Traces):
  """Returns the signature: named tensors in, named tensors out."""
  specs = published.inputs[0]
  named = specs
  if not isinstance(specs, dict):
    named = {spec.name: spec for spec in tf.nest.flatten(specs)}

  def serving_default(**inputs):
    nest = inputs
    if not isinstance(specs, dict):
      tensors = [inputs[spec.name] for spec in tf.nest.flatten(specs)]
      nest = tf.nest.pack_sequence_as(specs, tensors)
    outputs = traces(nest, False, _defaults(published))
    return flatten_outputs(outputs, tuple(published.outputs))

  return tf.function(serving_default, autograph=False).get_concrete_function(
    **named
  )


def _round_up_numbers() -> None:
  """Brings TensorFlow's counter to the next multiple of 100,000.

  It goes up with all that happens, the tensors of a restore too, and functions
  are named and sorted by it. So a checkpoint of one kind and the same weights
  in another would give other bytes.
  """
  while ops.uid() % 100_000:
    pass


def _write_fingerprint(path: str) -> None:
  """Replaces the random uuid by one that follows from the contents.

  `variables.index` stands for the weights: it holds the CRC-32C, the shape and
  the place of each. So nothing large is read again.
  """
  digest = hashlib.sha256()
  for name in files(path):
    if name != "fingerprint.pb" and ".data-" not in name:
      digest.update(f"{name}\n".encode())
      with open(os.path.join(path, name), "rb") as f:
        digest.update(hashlib.file_digest(f, "sha256").digest())
  fingerprint_path = os.path.join(path, "fingerprint.pb")
  with open(fingerprint_path, "rb") as f:
    fingerprint = fingerprint_pb2.FingerprintDef.FromString(f.read())
  fingerprint.uuid = str(uuid.UUID(bytes=digest.digest()[:16], version=4))
  with open(fingerprint_path, "wb") as f:
    f.write(fingerprint.SerializeToString(deterministic=True))


def files(path: str) -> list[str]:
  """Returns the files below a directory, relative to it, in order."""
  return sorted(
    os.path.relpath(os.path.join(folder, name), path).replace(os.sep, "/")
    for folder, _, names in os.walk(path)
    for name in names
  )
