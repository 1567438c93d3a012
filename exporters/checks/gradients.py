"""Checks gradients in every way that a consumer computes them."""

from __future__ import annotations

from collections.abc import Sequence
import itertools
import math
from typing import Any

import tensorflow as tf

from .candidate import Candidate
from .harness import check
from .numbers import difference
from .numbers import flatten
from .results import ALL
from .results import BASIC
from .results import Finding
from .results import NotApplicableError

# Later ones reuse the gradients of the first, or the functions that TensorFlow
# has built for them, which is what takes long.
_UNIT = "gradients"
# Gradients in half precision may overflow where a training scales its loss, as
# with `tf_keras.mixed_precision.LossScaleOptimizer`.
_SCALES = (1.0, 2.0**-10)
# How far a training step goes, as a share of the norm of all weights; of those
# whose norm is below 1, in itself.
_STEP = 0.01
# How often a step that changes nothing is tried ten times as long.
_LONGER = 2


def _loss(outputs: Any) -> tf.Tensor:
  """Returns a scalar that depends on every floating-point output."""
  return tf.add_n(
    [
      tf.reduce_sum(t**2) / 2.0 + tf.reduce_sum(t)
      for t in (
        tf.cast(t, tf.float32)
        for t in flatten(outputs).values()
        if t.dtype.is_floating
      )
    ]
  )


def _norm(values: Sequence[Any]) -> float:
  """Returns the norm of all numbers in tensors, variables or slices.

  Unlike `tf.linalg.global_norm`, of different types: in half precision, some
  layers keep their weights in another one.
  """
  squares = [
    tf.reduce_sum(tf.square(tf.cast(getattr(v, "values", v), tf.float32)))
    for v in values
  ]
  return float(tf.sqrt(tf.add_n(squares)))


def _scale(candidate: Candidate) -> float:
  """Returns by how much to scale a loss, as the first gradients showed."""
  return candidate.memo.get("scale", 1.0)


def _finding(
  variables: Sequence[tf.Variable], gradients: Sequence[Any]
) -> Finding:
  """Counts the variables whose gradient is missing or not finite."""
  bad = [
    variable.name
    for variable, gradient in zip(variables, gradients, strict=True)
    if gradient is None
    or not bool(
      tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(gradient)))
    )
  ]
  detail = f"variables without a gradient, of {len(variables)}"
  if bad:
    detail += f": {'; '.join(bad[:5])}"
  return Finding(len(bad), 0, detail)


def _arguments(candidate: Candidate, name: str) -> list[Any]:
  """Returns arguments of a callable, of the sample that has gradients."""
  cases = candidate.cases(name)
  arguments, _ = cases[min(candidate.memo.get("case", 0), len(cases) - 1)]
  return arguments


def _trained(candidate: Candidate) -> tuple[Any, list[Any], dict[str, Any]]:
  """Returns the first trainable callable, and the arguments to train it with.

  Dropout rates are 0, so that the gradients are the same each time.
  """
  name = candidate.trainable_callables()[0]
  arguments = _arguments(candidate, name)
  rates = dict.fromkeys(candidate.hyperparameters(name, "rate"), 0.0)
  return candidate.find(name), arguments, candidate.training(name) | rates


@check("gradients", level=BASIC, unit=_UNIT)
def _gradients(candidate: Candidate) -> Finding:
  """Through `hub.KerasLayer`."""
  import tensorflow_hub as hub

  loaded, _, keywords = _trained(candidate)
  rates = {k: v for k, v in keywords.items() if k != "training"}
  layer = hub.KerasLayer(loaded, trainable=True, arguments=rates)
  weights = layer.trainable_weights
  # Batch normalization may make a batch of one all zeros, without gradients.
  cases = range(len(candidate.cases(candidate.trainable_callables()[0])))
  for scale, case in itertools.product(_SCALES, cases):
    candidate.memo.update(scale=scale, case=case)
    _, arguments, _ = _trained(candidate)
    with candidate.without_graph_optimization(), tf.GradientTape() as tape:
      loss = scale * _loss(layer(*arguments, training=True))
      gradients = tape.gradient(loss, weights)
    finding = _finding(weights, gradients)
    if any(g is None for g in gradients):
      break
    if not finding.figure and any(
      bool(tf.reduce_any(tf.convert_to_tensor(g) != 0)) for g in gradients
    ):
      break
  if candidate.level == ALL:
    candidate.memo["gradients"] = gradients
  return finding


@check("a training step", needs="gradients", unit=_UNIT)
def _training_step(candidate: Candidate) -> Finding:
  """One step along the gradients changes what an inference call returns.

  Of probabilities near 0 and 1, the loss alone may stay what it is.
  """
  loaded, arguments, _ = _trained(candidate)
  weights = list(loaded.trainable_variables)
  before = [tf.identity(weight) for weight in weights]
  # Taken out, and freed one by one, because they are as large as the model.
  gradients = candidate.memo.pop("gradients")
  size = _norm(gradients)
  if not size:
    return Finding(1, 0, "all gradients of the samples are zero")
  step = _STEP * max(1.0, _norm(weights)) / size
  try:
    with candidate.without_graph_optimization():
      old = loaded(*arguments)
      for weight in reversed(weights):
        gradient = tf.convert_to_tensor(gradients.pop())
        weight.assign_sub(step * gradient)
      new = loaded(*arguments)
      moved = difference(new, old)[0] > 0
      for _ in range(_LONGER):
        if moved:
          break
        # In few digits, a short step may be rounded away. What a long one moves
        # by less than the tolerance is rounding too.
        for weight, value in zip(weights, before, strict=True):
          weight.assign(value + 10 * (weight - value))
        new = loaded(*arguments)
        moved = difference(new, old)[0] > candidate.tolerance
  finally:
    for weight, value in zip(weights, before, strict=True):
      weight.assign(value)
  losses = [float(_loss(outputs)) for outputs in (old, new)]
  moved = moved and math.isfinite(losses[1])
  return Finding(0 if moved else 1, 0, f"loss {losses[0]:g} to {losses[1]:g}")


@check("gradients of a persistent tape", needs="gradients", unit=_UNIT)
def _persistent_gradients(candidate: Candidate) -> Finding:
  loaded, arguments, keywords = _trained(candidate)
  weights = list(loaded.trainable_variables)
  try:
    with candidate.without_graph_optimization():
      with tf.GradientTape(persistent=True) as tape:
        loss = _scale(candidate) * _loss(loaded(*arguments, **keywords))
      tape.gradient(loss, weights[-1:])
      gradients = tape.gradient(loss, weights)
  except Exception as e:
    # The function that failed is kept, and would fail other tapes too.
    candidate.drop()
    if (
      isinstance(e, ValueError)
      and "without handle data" in str(e)
      and _has_loop(candidate)
    ):
      raise NotApplicableError(
        "TensorFlow cannot record a loop of a loaded model on such a tape"
      ) from e
    raise
  return _finding(weights, gradients)


def _has_loop(candidate: Candidate) -> bool:
  """Tells whether a graph has a loop, as those of many recurrent layers do."""
  library = candidate.proto.meta_graphs[0].graph_def.library
  return any(
    node.op in ("While", "StatelessWhile")
    for function in library.function
    for node in function.node_def
  )


@check("gradients in a tf.function", needs="gradients", unit=_UNIT)
def _graph_gradients(candidate: Candidate) -> Finding:
  """For the callable with the most variables, which has the heads too."""
  name = max(
    candidate.trainable_callables(),
    key=lambda n: len(candidate.callables[n]["trainable"]),
  )
  loaded = candidate.find(name)
  arguments = _arguments(candidate, name)
  weights = list(loaded.trainable_variables)
  scale = _scale(candidate)

  @tf.function(autograph=False)
  def step():
    with tf.GradientTape() as tape:
      loss = scale * _loss(loaded(*arguments, **candidate.training(name)))
    return tape.gradient(loss, weights)

  with candidate.without_graph_optimization():
    gradients = step()
  return _finding(weights, gradients)
