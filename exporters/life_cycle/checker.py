"""Has a fresh process check an artifact, as a consumer would."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import contextlib
import dataclasses
import functools
import json
import os
import re
import socket
import sys
from typing import Any

import numpy as np
import tensorflow as tf

from exporters import checks
from exporters.bounds import free_memory
from exporters.bounds import limits
from exporters.checks import memory
from exporters.errors import ExportError
from exporters.errors import first_line
from exporters.life_cycle import consumer as consumer_lib
from exporters.life_cycle import temporary
from exporters.saved_model import reusable
from exporters.saved_model.published import Published
from exporters.saved_model.variables import variable_name

# The operations that draw random numbers, or the seed of these.
_RANDOM = re.compile(r"Random|Multinomial|^Rng|TruncatedNormal")


class Checker:
  """A process of `exporters.checks` that waits for artifacts to check.

  It is started early, so that it imports TensorFlow while this process builds
  and restores. With `checks.NONE` it is not started.

  Args:
    level: Which checks to run.
    consumer: A process that was started elsewhere. None: one is started.
    limit: What the processes may take.
  """

  def __init__(
    self,
    level: str,
    consumer: consumer_lib.Consumer | None = None,
    limit: limits.Limits | None = None,
  ):
    if level not in checks.LEVELS:
      raise ExportError(
        f"There is no level of checks '{level}'; choose one of "
        f"{', '.join(checks.LEVELS)}."
      )
    self._level = level
    self._consumer = consumer
    self._limit = limit or limits.Limits()
    self._started = contextlib.ExitStack()

  def __enter__(self) -> Checker:
    if self._level != checks.NONE and not self._consumer:
      self._consumer = self._started.enter_context(consumer_lib.started())
    return self

  def __exit__(self, *unused_exception) -> None:
    self._started.close()

  def check(
    self,
    published: Published | None,
    path: str,
    *,
    scratch: str,
    private: Sequence[str],
    keras: bool = False,
  ) -> list[checks.Result]:
    """Returns the results for the SavedModel at `path`.

    Args:
      published: What it was written from, with its reference. None: unknown.
      path: Its directory.
      scratch: A directory for temporary files.
      private: Strings that must not be in it, besides this machine's own paths.
      keras: Whether it is of the form that `tf_keras.models.load_model` reads.

    Raises:
      ExportError: A process died or went beyond its limits, or the checks
        would not fit into memory.
    """
    if self._level == checks.NONE or not self._consumer:
      return []
    consumer = self._consumer
    plan = _plan(path, self._level, consumer.cores)
    job: dict[str, Any] = {
      "path": path,
      "scratch": scratch,
      "reference": os.path.join(scratch, "reference.json"),
      "arrays": os.path.join(scratch, "arrays.npz"),
      "results": os.path.join(scratch, "results.json"),
      "private": [*private, *private_strings()],
      "level": self._level,
      "processes": plan.processes,
      "keeps": plan.keeps,
      "cores": consumer.cores,
      "keras": keras,
      "stranger": published is None,
      "needs_text": not published or "tensorflow_text" in sys.modules,
    }
    with limits.enforced(self._limit, consumer.pid):
      _send(consumer, json.dumps(job))
      # Meanwhile, the consumer loads the model.
      arrays: list[np.ndarray] = []
      reference = published and {
        name: stated(callable_, arrays)
        for name, callable_ in published.callables().items()
      }
      np.savez(job["arrays"], *arrays)
      with open(job["reference"], "w") as f:
        json.dump(reference, f)
      _send(consumer, "")
      if not consumer.answers.readline():
        raise _died(consumer)
    with open(job["results"]) as f:
      return [checks.Result(**result) for result in json.load(f)]


def _plan(path: str, level: str, cores: int) -> memory.Plan:
  """Returns how to run the checks of a model with the memory that there is."""
  known = memory.plans(*memory.sizes(path), level)
  free = free_memory.available()
  plan = memory.choose(known, cores=cores, free=free)
  if plan:
    return plan
  assert free is not None
  least = min(p.bytes for p in known)
  # Functions that call functions that call functions may need any number.
  gigabytes = f"{least / 1e9:.{'1f' if least < 1e15 else '0e'}}"
  fewer = "--checks=basic or " if level == checks.ALL else ""
  raise ExportError(
    f"The checks of this model need about {gigabytes} GB of memory, but "
    f"{free / 1e9:.1f} GB are available. Free some, or use {fewer}"
    "--checks=none."
  )


def _send(consumer: consumer_lib.Consumer, line: str) -> None:
  try:
    consumer.jobs.write(f"{line}\n".encode())
    consumer.jobs.flush()
  except BrokenPipeError as e:
    raise _died(consumer) from e


def _died(consumer: consumer_lib.Consumer) -> ExportError:
  # It closes its output when it ends, after all else is written.
  consumer.answers.read()
  consumer.stderr.seek(0)
  said = consumer.stderr.read().decode(errors="replace").strip()
  crash = re.search(r"^Fatal Python error: (.+)", said, re.M)
  if crash:
    place = re.search(r'checks/(\w+)\.py", line \d+ in (\w+)', said)
    where = f" in {place[2]} of checks/{place[1]}.py" if place else ""
    return ExportError(
      f"TensorFlow itself crashed{where} ({crash[1]}), as it may for "
      "consumers of this model. Its oneDNN kernels are often the cause: try "
      "again with TF_ENABLE_ONEDNN_OPTS=0 in the environment."
    )
  last = said.rpartition("\n")[2]
  return ExportError(
    "The process that checks the model was killed, perhaps because memory "
    f"ran out. {last}".strip()
  )


def stated(published: Published, arrays: list[np.ndarray]) -> dict[str, Any]:
  """Returns what the checks compare a loaded callable with, as JSON.

  Args:
    published: The callable that was written.
    arrays: Gets the samples, and the reference's outputs for them, appended.
  """
  updates: dict[Any, int] = {}
  cases = [
    {
      "arguments": [checks.encode(a, arrays) for a in arguments],
      "outputs": checks.encode(outputs, arrays),
    }
    for arguments, outputs in _reference_calls(published, updates)
  ]
  return {
    "cases": cases,
    "takes_inputs": bool(published.inputs),
    "api": published.api,
    "fixed_batch": any(
      spec.shape.rank and spec.shape[0] is not None
      for inputs in published.inputs
      for name, spec in checks.flatten(inputs).items()
      if name not in published.unbatched
    ),
    "unbatched": sorted(published.unbatched),
    "signature": published.signature,
    "serving": published.serving,
    "stream": published.stream and dataclasses.asdict(published.stream),
    "training": published.training,
    "outputs": list(published.outputs),
    "variables": [variable_name(v) for v in published.variables],
    "trainable": [variable_name(v) for v in published.trainable_variables],
    "regularization_losses": [
      float(loss()) for loss in published.regularization_losses
    ],
    "hyperparameters": {
      name: {"default": h.default, "attribute": h.attribute}
      for name, h in published.hyperparameters.items()
    },
    "updates": [updates.get(v.ref(), 0) for v in published.variables],
  }


@contextlib.contextmanager
def _counted(published: Published, updates: dict[Any, int]) -> Iterator[None]:
  """Counts how often each layer with moving averages is called in a block.

  In training, that is how often its averages are updated.

  Args:
    published: It has the layers.
    updates: Gets the counts, by the references of the layer's variables.
  """
  layers = [
    layer
    for h in published.hyperparameters.values()
    if h.attribute == "momentum"
    for layer in h.layers
    if hasattr(layer, "variables")
  ]
  updates.clear()

  def counting(layer, call):
    def counted(*args, **kwargs):
      for variable in layer.variables:
        updates[variable.ref()] = updates.get(variable.ref(), 0) + 1
      return call(*args, **kwargs)

    return counted

  # As in `keras_models.tap`: Keras looks at the instance first.
  for layer in layers:
    layer.call = counting(layer, layer.call)
  try:
    yield
  finally:
    for layer in layers:
      del layer.call


def _reference_calls(
  published: Published, updates: dict[Any, int]
) -> Iterator[tuple[list[Any], Any]]:
  """Yields each sample, as arguments, with the reference's outputs for it.

  Args:
    published: What to call.
    updates: Gets what `_counted` counts in a call.
  """
  reference = published.reference or published.function
  keywords = published.arguments(training=False)
  if not published.inputs:
    yield [], reference(**keywords)
    return

  def call(inputs):
    with _counted(published, updates):
      return reference(inputs, **keywords)

  # Traced, because a graph's numbers differ from eager ones in the last digit;
  # once for all samples of the same structure.
  traced = [
    tf.function(call, input_signature=[specs], autograph=False)
    for specs in published.inputs
  ]
  for sample in published.samples:
    inputs = tensors(sample)
    function = next(
      function
      for specs, function in zip(published.inputs, traced, strict=True)
      if reusable.accepts(specs, inputs)
    )
    try:
      outputs = function(inputs)
    except (tf.errors.InvalidArgumentError, ValueError) as e:
      raise ExportError(
        "The model cannot be called with a sample input of shape "
        f"{_shapes(inputs)}: {first_line(e)[:300]}. If it is too small, choose "
        "a larger one; for a Keras model, KerasModelExporter.sample_sizes."
      ) from e
    if not any(map(tf.size, tf.nest.flatten(outputs, expand_composites=True))):
      raise ExportError(
        f"For a sample input of shape {_shapes(inputs)}, the model's output is "
        f"empty ({_shapes(outputs)}), so there is nothing to compare. Choose a "
        "larger one; for a Keras model, KerasModelExporter.sample_sizes."
      )
    _refuse_random(function, inputs, outputs)
    yield [inputs], outputs


def _refuse_random(function: Any, inputs: Any, outputs: Any) -> None:
  """Raises `ExportError` if another inference call gives other numbers."""
  graph = function.get_concrete_function().graph.as_graph_def()
  nodes = [
    *graph.node,
    *(n for f in graph.library.function for n in f.node_def),
  ]
  random = [node.name for node in nodes if _RANDOM.search(node.op)]
  if not random:
    return
  flat = functools.partial(tf.nest.flatten, expand_composites=True)
  for one, other in zip(flat(outputs), flat(function(inputs)), strict=True):
    if one.shape == other.shape and bool(tf.reduce_all(tf.equal(one, other))):
      continue
    raise ExportError(
      "The model's outputs are random although training is False: "
      f"'{random[0]}' draws new numbers in each call. Build the model "
      "so that it does so only in training: call its Keras layers without "
      "training=True."
    )


def _shapes(nest: Any) -> str:
  return ", ".join(
    str(tuple(tensor.shape))
    for tensor in tf.nest.flatten(nest, expand_composites=True)
  )


def tensors(nest: Any) -> Any:
  """Returns a nest of arrays as one of tensors."""
  return tf.nest.map_structure(
    tf.convert_to_tensor, nest, expand_composites=True
  )


def private_strings() -> list[str]:
  """Returns strings that identify this machine: its paths, its name."""
  folders = {os.path.expanduser("~"), os.getcwd(), temporary.shared()}
  host = socket.gethostname()
  # Device names in graphs contain /job:localhost.
  names = [] if host == "localhost" else [host]
  return [os.path.join(f, "") for f in sorted(folders - {os.sep})] + names
