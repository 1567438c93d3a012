"""Layers that repeat are in a graph once, and only those."""

import collections
import functools

import gin
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from exporters import recipe
from exporters.checks import memory
from exporters.companions import single_calls
from exporters.saved_model import repeated_layers
from exporters.saved_model import reusable
from exporters.saved_model.likeness import Likeness
from exporters.saved_model.published import Published
from scripts.small_instances import INSTANCES
from tests import closeness

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
# What stands between a function and its caller.
_BOUNDARY = (*_CALLS, "Identity", "NoOp", "Placeholder", "")


def operations(graph, functions=None) -> collections.Counter:
  """Counts the operations of a graph by kind, those of functions per call."""
  if functions is None:
    functions = {f.signature.name: f for f in graph.library.function}
  nodes = getattr(graph, "node", None) or graph.node_def
  counts = collections.Counter(n.op for n in nodes)
  for node in nodes:
    if node.op in _CALLS:
      counts += operations(functions[node.attr["f"].func.name], functions)
  return collections.Counter(
    {op: n for op, n in counts.items() if op not in _BOUNDARY}
  )


def functions(concrete) -> list[str]:
  """Returns the names of the functions that a graph calls, sorted."""
  return sorted(
    f.signature.name.removeprefix("__inference_").rpartition("_")[0]
    for f in concrete.graph.as_graph_def().library.function
  )


def traced(function, *specs, training: bool = False, share: bool = True):
  """Traces a function, with or without shared layers."""

  def call(*inputs):
    if not share:
      return function(*inputs, training=training)
    with repeated_layers.shared():
      return function(*inputs, training=training)

  return tf.function(call, autograph=False).get_concrete_function(*specs)


@pytest.mark.parametrize("name", sorted(INSTANCES))
def test_every_exporter_computes_the_same(name, tmp_path):
  instance = INSTANCES[name]
  gin.clear_config()
  exporter = recipe.load(
    [instance.leaf], instance.write_inputs(tmp_path)
  ).exporter
  for part in exporter.build().published.values():
    for training in [False, True] if part.training else []:
      trace = functools.partial(
        traced, part.function, *part.inputs[:1], training=training
      )
      plain, shared = trace(share=False), trace()
      assert operations(shared.graph.as_graph_def()) == operations(
        plain.graph.as_graph_def()
      )


class Part(tf_keras.layers.Layer):
  """A layer made of layers, of which a test changes something."""

  def __init__(self, change: str = "", number: int = 0):
    super().__init__()
    self.dense = tf_keras.layers.Dense(3, name=f"dense_{number}")
    self.dropout = tf_keras.layers.Dropout(0.5)
    self.change = change
    self.number = number if "number" in change else 0
    self.notes = {"at": [number]} if "nest" in change else {}
    self.activation = tf.nn.relu
    if change == "function":
      self.activation = lambda x: tf.nn.relu(x) + number
    elif change == "constant":
      self.activation = functools.partial(tf.add, tf.constant(float(number)))
    elif change == "rate":
      self.dropout.rate = 0.25 + number / 8
    elif change == "frozen":
      self.dense.trainable = bool(number % 2)
    elif change == "seed":
      self.dropout = tf_keras.layers.Dropout(0.5, seed=7)
    elif change == "array":
      self.notes = {"array": np.full([3], number)}

  def call(self, inputs, training=None):
    outputs = self.activation(self.dense(inputs))
    outputs = self.dropout(outputs, training=training)
    if self.change == "global":
      outputs += _GLOBAL
    elif self.change == "loss":
      self.add_loss(tf.reduce_sum(outputs))
    elif self.change == "state":
      self.last = outputs
    elif self.change == "python":
      outputs = (outputs, 3)
    if "number" in self.change or "nest" in self.change:
      outputs *= float(self.number or self.notes["at"][0])
    if "array" in self.notes:
      outputs += tf.cast(self.notes["array"], tf.float32)
    return outputs


_GLOBAL = tf.Variable(2.0)


class Stack(tf_keras.layers.Layer):
  """Some of these layers in a row."""

  def __init__(self, change: str = ""):
    super().__init__()
    self.parts = [Part(change, i + 1) for i in range(3)]

  def call(self, inputs, training=None):
    for part in self.parts:
      inputs = part(inputs, training=training)
      if isinstance(inputs, tuple):
        inputs = inputs[0] * inputs[1]
    return inputs


_SPEC = tf.TensorSpec([None, 3], tf.float32)


def built(change: str) -> Stack:
  stack = Stack(change)
  tf_keras.utils.set_random_seed(1)
  stack(tf.zeros([1, 3]))
  tf.random.set_seed(None)
  for i, variable in enumerate(stack.weights):
    variable.assign_add(tf.fill(variable.shape, 0.1 * i))
  return stack


@pytest.mark.parametrize("training", [False, True])
def test_like_layers_are_one_function(training):
  stack = built("")
  concrete = traced(stack, _SPEC, training=training)
  assert functions(concrete) == ["Part"]
  if not training:
    inputs = tf.random.uniform([2, 3])
    closeness.assert_close(concrete(inputs), stack(inputs))


@pytest.mark.parametrize(
  "change",
  [
    "array",
    "constant",
    "frozen",
    "function",
    "global",
    "loss",
    "nest",
    "number",
    "python",
    "rate",
    "seed",
    "state",
  ],
)
def test_layers_that_differ_are_not_shared(change):
  stack = built(change)
  concrete = traced(stack, _SPEC, training=True)
  # Of three layers, two are frozen.
  assert functions(concrete) == (["Part"] if change == "frozen" else [])
  inputs = tf.random.uniform([2, 3])
  still = traced(stack, _SPEC)
  closeness.assert_close(still(inputs), stack(inputs))


def test_gradients_reach_every_variable():
  stack = built("")
  root = reusable.reusable(
    Published(
      function=stack,
      inputs=[_SPEC],
      variables=stack.variables,
      trainable_variables=stack.trainable_variables,
      reference=stack,
    )
  )
  inputs = tf.random.uniform([2, 3]) + 1.0
  found = []
  for function in (root.__call__, stack):
    with tf.GradientTape() as tape:
      outputs = tf.reduce_sum(function(inputs) ** 2)
    found.append(tape.gradient(outputs, stack.trainable_variables))
  for one, other in zip(*found, strict=True):
    closeness.assert_close(one, other)


@pytest.mark.parametrize(
  "spec",
  [
    tf.RaggedTensorSpec([None, None], tf.int32),
    tf.SparseTensorSpec([None, 4], tf.int32),
  ],
)
def test_ragged_and_sparse_inputs(spec):
  class Sum(Part):
    def call(self, inputs, training=None):
      given, ids = inputs
      if isinstance(ids, tf.SparseTensor):
        ids = tf.sparse.to_dense(ids)
      outputs = super().call(given, training)
      return outputs + tf.cast(tf.reduce_sum(ids), tf.float32)

  class Sums(tf_keras.layers.Layer):
    def __init__(self):
      super().__init__()
      self.parts = [Sum(), Sum()]

    def call(self, inputs, training=None):
      given, ids = inputs
      for part in self.parts:
        given = part([given, ids], training=training)
      return given

  layer = Sums()
  ids = tf.RaggedTensor.from_row_lengths([1, 2, 3], [1, 2])
  if isinstance(spec, tf.SparseTensorSpec):
    ids = tf.sparse.from_dense([[1, 0, 2, 3]] * 2)
  inputs = [tf.random.uniform([2, 3]), ids]
  want = layer(inputs)
  concrete = traced(layer, [_SPEC, spec])
  assert functions(concrete) == ["Sum"]
  closeness.assert_close(concrete(inputs), want)


def test_one_layer_called_often_is_one_function():
  inputs = tf_keras.Input([3])
  part = Part()
  model = tf_keras.Model(inputs, part(part(part(inputs))))
  assert functions(traced(model, _SPEC)) == ["Part"]


def test_memory_is_estimated_as_if_it_stood_there_each_time(tmp_path):
  sizes = []
  for share in (False, True):
    stack = built("")
    root = tf.Module()
    root.stack = stack
    concrete = traced(stack, _SPEC, share=share)
    root.call = tf.function(concrete, input_signature=[_SPEC])
    path = tmp_path / f"{share}"
    tf.saved_model.save(root, str(path))
    content = (path / "saved_model.pb").stat().st_size
    sizes.append((memory.sizes(str(path))[1], content))
  (plain, _), (shared, content) = sizes
  assert content < shared
  assert abs(shared - plain) < 0.3 * plain


def test_a_converter_gets_a_function_for_each_call(tmp_path):
  stack = built("")
  root = tf.Module()
  root.stack = stack
  concrete = traced(stack, _SPEC)
  root.call = tf.function(concrete, input_signature=[_SPEC])
  before, after = str(tmp_path / "before"), str(tmp_path / "after")
  tf.saved_model.save(root, before)
  assert single_calls.write(before, after) == after
  # Nothing is left to separate.
  assert single_calls.write(after, str(tmp_path / "again")) == after
  inputs = tf.random.uniform([2, 3])
  model = tf.saved_model.load(after)
  np.testing.assert_array_equal(model.call(inputs), concrete(inputs))
  loaded = model.call.concrete_functions[0]
  assert operations(loaded.graph.as_graph_def()) == operations(
    concrete.graph.as_graph_def()
  )
  assert sum("Part" in name for name in functions(loaded)) == 3


def test_masks_reach_the_layers_they_did():
  class Masked(Part):
    def call(self, inputs, training=None, mask=None):
      outputs = super().call(inputs, training)
      return outputs if mask is None else outputs + 10.0

    def compute_mask(self, inputs, mask=None):
      return mask

  model = tf_keras.Sequential([tf_keras.layers.Masking(), Masked(), Masked()])
  spec = tf.TensorSpec([None, 2, 3], tf.float32)
  inputs = tf.reshape(tf.range(12.0), [2, 2, 3])
  model(inputs)
  closeness.assert_close(traced(model, spec)(inputs), model(inputs))


@pytest.mark.parametrize(
  "change", ["array", "constant", "function", "nest", "number", "rate"]
)
def test_likeness(change):
  def likeness(change, number):
    part = Part(change, number)
    part.build([None, 3])
    part(tf.zeros([1, 3]))
    return Likeness(part)

  assert likeness("", 1) == likeness("", 2)
  assert likeness(change, 1) != likeness(change, 2)
