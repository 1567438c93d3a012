"""Exports Model Garden's modules for serving: its functions as signatures.

Each function of an `ExportModule` becomes a signature and a callable of the
same name. Where an exporter of the same model is known, its call and its
sub-objects are beside them, on the same variables:

  model(images)                    # As that exporter publishes it.
  model.signatures["serving_default"](inputs=...)  # As Model Garden's.
"""

from collections.abc import Callable, Mapping
import copy
import dataclasses
import functools
import itertools
import os
import tempfile
from typing import Any

import tensorflow as tf
from tensorflow.python.trackable import resource
from typing_extensions import override

from exporters import base
from exporters.life_cycle import exporting
from exporters.overlay import arguments
from exporters.overlay import garden_exporters
from exporters.overlay import serving_samples
from exporters.saved_model.published import SERVING_DEFAULT as SERVING_DEFAULT

# A file that is in every SavedModel, and in nothing else.
_SAVED_MODEL = "saved_model.pb"
# What a SavedModel's directory may have.
_PARTS = ("assets", "assets.extra", "variables", "fingerprint.pb", _SAVED_MODEL)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModuleExporter(base.Exporter):
  """Publishes the functions of a module, with the weights that it has.

  Attributes:
    module: An `ExportModule` of Model Garden.
    function_keys: The names of signatures, by the module's keys of functions.
    save_options: The `tf.saved_model.SaveOptions`, or None.
  """

  module: tf.Module
  function_keys: Mapping[str, str]
  save_options: tf.saved_model.SaveOptions | None = None

  @override
  def build(self) -> base.Build:
    return base.Build(published={"": self._published()})

  def _published(self) -> base.Published:
    """Returns a model whose call is that of its first signature."""
    module: Any = self.module
    signatures = _signatures(module, copy.copy(module), self.function_keys)
    # A subclassed model has its variables only once it has been called.
    signatures = {
      name: dataclasses.replace(
        signature,
        variables=getattr(module.model, "variables", ()),
        trackables=_trackables(module),
      )
      for name, signature in signatures.items()
    }
    first = SERVING_DEFAULT
    if first not in signatures:
      first = next(iter(signatures))
    model = signatures.pop(first)
    if first != SERVING_DEFAULT:
      # The same under its own name, once in the graph.
      signatures[first] = dataclasses.replace(
        model, function=lambda inputs, core: core(inputs, False), parent="core"
      )
    return dataclasses.replace(
      model,
      signature=False,
      sub_objects=signatures,
      save_options=self.save_options,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RestoredModuleExporter(ModuleExporter, base.CheckpointExporter):
  """The same, with the weights of a checkpoint.

  Attributes:
    items: What to restore, by the names that the checkpoint has for it.
  """

  items: Mapping

  @override
  def build(self) -> base.Build:
    return base.Build(restores=[self.items], published={"": self._published()})


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServedExporter(ModuleExporter, garden_exporters.OfAnother):
  """Adds the signatures of a module to another exporter's one artifact."""

  @override
  def build(self) -> base.Build:
    build = self.exporter.build()
    (published,) = build.published.values()
    module: Any = self.module
    module.model = module.served(build.restores[0]["model"])
    signatures = {
      name: self._signature(key, name, published)
      for key, name in self.function_keys.items()
    }
    published = dataclasses.replace(
      published,
      sub_objects={**published.sub_objects, **signatures},
      serving=SERVING_DEFAULT
      if SERVING_DEFAULT in signatures
      else published.serving,
      save_options=self.save_options,
    )
    return dataclasses.replace(build, published={"": published})

  def _signature(
    self, key: str, name: str, published: base.Published
  ) -> base.Published:
    """Returns what serves `key`, on the call of `published` if it can."""
    owner: Any = self.module
    module = owner.serving(key)
    if not module.calls_published:
      module.inference_step = module.model.call
      return dataclasses.replace(
        _signatures(module, copy.copy(module), {key: name})[name],
        variables=module.model.variables,
      )
    reference = copy.copy(module)
    reference.inference_step = functools.partial(
      published.reference or published.function, training=False
    )
    signature = _signatures(module, reference, {key: name})[name]

    def function(inputs, core):
      module.inference_step = lambda images: core(images, False)
      return signature.function(inputs)

    return dataclasses.replace(
      signature,
      function=function,
      parent="core",
      variables=published.variables,
    )


def export(
  module: Any,
  function_keys: Mapping[str, str],
  path: str,
  *,
  checkpoint_path: str | None = None,
  checkpoint: tf.train.Checkpoint | None = None,
  exporter: base.CheckpointExporter | None = None,
  save_options: tf.saved_model.SaveOptions | None = None,
  level: str = "none",
) -> None:
  """Exports a module's functions; see `official.core.export_base`.

  Args:
    module: The `ExportModule`.
    function_keys: The names of signatures, by the module's keys of functions.
    path: Where the SavedModel appears. What else is there stays.
    checkpoint_path: A checkpoint of any kind. None: the weights it has.
    checkpoint: The objects to restore. None: the model.
    exporter: Another exporter of the same model, from that checkpoint.
    save_options: Those of the SavedModel.
    level: Which checks a fresh process makes.
  """
  fields: dict[str, Any] = {
    "module": module,
    "function_keys": dict(function_keys),
    "save_options": save_options,
  }
  chosen: base.Exporter
  if exporter:
    chosen = ServedExporter(**fields, exporter=exporter)
  elif checkpoint_path:
    chosen = RestoredModuleExporter(
      **fields, checkpoint=checkpoint_path, items=_items(module, checkpoint)
    )
  else:
    chosen = ModuleExporter(**fields)
  done = _export_beside(chosen, path, level)
  for artifact in done.artifacts:
    for remark in artifact.remarks:
      arguments.note(remark)


def _export_beside(
  exporter: base.Exporter, path: str, level: str
) -> exporting.Export:
  """Exports to `path`, and keeps what is there already.

  A directory with nothing but a SavedModel is replaced as a whole.
  """
  if not os.path.isdir(path) or set(os.listdir(path)) <= {*_PARTS}:
    return garden_exporters.export(exporter, path, level)
  with tempfile.TemporaryDirectory(prefix=".", dir=path) as scratch:
    new = os.path.join(scratch, "new")
    done = garden_exporters.export(exporter, new, level)
    old = os.path.join(scratch, "old")
    os.mkdir(old)
    # The file that makes it a SavedModel goes first and comes last.
    for part in reversed(_PARTS):
      if os.path.lexists(os.path.join(path, part)):
        os.rename(os.path.join(path, part), os.path.join(old, part))
    for part in _PARTS:
      if os.path.lexists(os.path.join(new, part)):
        os.rename(os.path.join(new, part), os.path.join(path, part))
  return done


def _items(
  module: Any, checkpoint: tf.train.Checkpoint | None
) -> Mapping[str, Any]:
  if checkpoint is None:
    return {"model": module.model}
  return dict(tf.train.TrackableView(checkpoint).children(checkpoint))


def _trackables(module: Any) -> dict[str, Any]:
  """Returns what the functions of a module may use: its model, and more."""
  kinds = (tf.Module, tf.Variable, resource.CapturableResource)
  found = {
    name: value
    for name, value in vars(module).items()
    if isinstance(value, kinds) and value is not module.model
  }
  return {**found, "model": _without_functions(module.model, {})}


def _without_functions(trackable: Any, made: dict[int, Any]) -> Any:
  """Returns objects of the same names that hold the same variables and tables.

  Keras would save functions of each of its layers, which nothing calls.

  Args:
    trackable: The object.
    made: What was returned so far, by the object's id.
  """
  if isinstance(trackable, (tf.Variable, resource.CapturableResource)):
    return trackable
  if id(trackable) not in made:
    made[id(trackable)] = copied = tf.train.Checkpoint()
    children = tf.train.TrackableView.children(trackable)
    for name, child in children.items():
      setattr(copied, name, _without_functions(child, made))
  return made[id(trackable)]


def _signatures(
  module: Any, reference: Any, keys: Mapping[str, str]
) -> dict[str, base.Published]:
  """Returns functions of a module as callables that are signatures, by name.

  Args:
    module: The module.
    reference: A module that computes the same, to compare with.
    keys: The names of signatures, by the module's keys of functions. It may
      choose other names.
  """
  traced = module.traced_cheaply() if hasattr(module, "serving") else module
  functions = traced.get_inference_signatures(keys)
  known = {name: key for key, name in keys.items()}
  return {
    name: _signature(
      function,
      functools.partial(_function, keys=keys, name=name),
      (module, reference),
      key=known.get(name, name),
    )
    for name, function in functions.items()
  }


def _function(owner: Any, *, keys: Mapping[str, str], name: str) -> Any:
  return owner.get_inference_signatures(keys)[name]


def _signature(
  function: Any,
  function_of: Callable[[Any], Any],
  modules: tuple[Any, Any],
  *,
  key: str,
) -> base.Published:
  """Returns one function of a module as a callable that is a signature.

  Args:
    function: The concrete function, of which only the inputs and outputs count.
    function_of: Returns that of a module. Traced anew, since traces of another
      context are of no use where a model is saved.
    modules: The module, and one that computes the same, to compare with.
    key: The module's key of the function.
  """
  structure = function.structured_input_signature
  # Arguments that are left out are no tensors, but None.
  leaves = tf.nest.flatten(structure)
  given = [isinstance(leaf, tf.TensorSpec) for leaf in leaves]
  specs = [
    tf.TensorSpec(spec.shape, spec.dtype, argument)
    for spec, argument in zip(
      itertools.compress(leaves, given), _arguments(function), strict=True
    )
  ]
  inputs: Any = specs[0]
  if len(specs) > 1:
    inputs = {spec.name: spec for spec in specs}
  outputs: tuple[str, ...] = ()
  if not isinstance(function.structured_outputs, Mapping):
    count = len(tf.nest.flatten(function.structured_outputs))
    outputs = tuple(f"output_{i}" for i in range(count))

  def caller(owner: Any) -> Callable[..., Any]:
    def call(inputs):
      concrete = function_of(owner)
      tensors = [inputs]
      if len(specs) > 1:
        tensors = [inputs[spec.name] for spec in specs]
      rest = iter(tensors)
      args, kwargs = tf.nest.pack_sequence_as(
        structure, [next(rest) if is_given else None for is_given in given]
      )
      return concrete(*args, **kwargs)

    return call

  return base.Published(
    function=caller(modules[0]),
    inputs=[inputs],
    outputs=outputs,
    training=False,
    signature=True,
    samples=serving_samples.samples(key, inputs),
    reference=caller(modules[1]),
  )


def _arguments(function: Any) -> list[str]:
  """Returns the names that a signature has for a function's inputs."""
  captured = len(function.captured_inputs)
  inputs = function.inputs[: len(function.inputs) - captured]
  return [
    tensor.op.get_attr("_user_specified_name").decode() for tensor in inputs
  ]
