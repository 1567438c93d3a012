"""Checks that call the loaded model; one load serves them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
import inspect
from typing import Any

import tensorflow as tf

from .candidate import Candidate
from .harness import OPERATIONS
from .harness import check
from .numbers import TOLERANCE
from .numbers import difference
from .numbers import flatten
from .numbers import histogram
from .numbers import named
from .numbers import worst
from .results import BASIC
from .results import SAME_NUMBERS
from .results import Finding
from .results import NotApplicableError


@check("loads", level=BASIC, needs=OPERATIONS)
def _loads(candidate: Candidate) -> Finding:
  """What the operations check refuses is not even loaded."""
  missing = [
    name or "the model"
    for name in candidate.callables
    if not callable(candidate.find(name))
  ]
  return Finding(
    len(missing), 0, f"objects not callable: {'; '.join(missing)}".strip(": ")
  )


@check("interface", level=BASIC, needs="loads")
def _interface(candidate: Candidate) -> Finding:
  candidate.require_reference()
  wrong = []
  for name, want in candidate.callables.items():
    loaded = candidate.find(name)
    shown = name or "the model"
    arguments = inspect.getfullargspec(loaded.__call__).args
    expected = ["inputs"] if want["takes_inputs"] else []
    expected += ["training"] if want["training"] else []
    expected += list(want["hyperparameters"])
    if arguments != expected:
      wrong.append(f"{shown}({arguments})")
    for attribute in ("variables", "trainable", "regularization_losses"):
      key = "trainable_variables" if attribute == "trainable" else attribute
      if len(getattr(loaded, key)) != len(want[attribute]):
        wrong.append(f"{shown}.{key}")
    names = [v.name.partition(":")[0] for v in loaded.trainable_variables]
    if names != want["trainable"]:
      wrong.append(f"{shown}: names of trainable variables")
  return Finding(len(wrong), 0, "; ".join(wrong) or "deviations")


@check(SAME_NUMBERS, level=BASIC, needs="interface")
def _same_numbers(candidate: Candidate) -> Finding:
  if candidate.keras:
    return _same_numbers_for_keras(candidate)
  candidate.require_reference()
  calls = [
    (name, candidate.find(name)(*arguments), want)
    for name in candidate.callables
    for arguments, want in candidate.cases(name)
  ]
  finding = candidate.worst(
    (name, difference(got, want)) for name, got, want in calls
  )
  return dataclasses.replace(
    finding, histogram=histogram((got, want) for _, got, want in calls)
  )


def _same_numbers_for_keras(candidate: Candidate) -> Finding:
  """Loads a `tf_keras.Model`, which this form is for."""
  import tf_keras

  if candidate.reference is None:
    raise candidate.without("a reference to compare with")
  model = tf_keras.models.load_model(candidate.path, compile=False)
  return candidate.worst(
    ("tf_keras.models.load_model", difference(model(*arguments), want))
    for arguments, want in candidate.cases_of(candidate.reference[""])
  )


@check("signature", level=BASIC)
def _signature(candidate: Candidate) -> Finding:
  cases = candidate.calls()
  if not cases or "serving_default" not in candidate.model.signatures:
    raise NotApplicableError("the model has no input, or no serving_default")
  if candidate.speaks_for_itself and not isinstance(cases[0][1], Mapping):
    raise candidate.without("names for its outputs")
  signature = candidate.model.signatures["serving_default"]
  serving = candidate.callables[""]["serving"]
  names = candidate.callables[serving]["outputs"]

  def differences():
    for (inputs,), want in candidate.cases_of_signature(serving):
      got = signature(**candidate.named(inputs, serving))
      yield "serving_default", difference(got, named(want, names))
    for name, stated in candidate.callables.items():
      for (inputs,), want in (
        candidate.cases(name) if stated["signature"] else ()
      ):
        further = candidate.model.signatures[name]
        named_inputs = isinstance(inputs, Mapping)
        got = further(**inputs) if named_inputs else further(inputs)
        yield name, difference(got, named(want, stated["outputs"]))

  return candidate.worst(differences())


@check("repeats itself", level=BASIC, needs="interface")
def _repeats(candidate: Candidate) -> Finding:
  """Two inference calls give the same numbers."""
  return candidate.worst(
    (
      name,
      difference(
        candidate.find(name)(*arguments), candidate.find(name)(*arguments)
      ),
    )
    for name in candidate.callables
    for arguments, _ in candidate.cases(name)[:1]
  )


@check("hyperparameters")
def _hyperparameters(candidate: Candidate) -> Finding:
  """Each can be overridden, by a number and by a tensor, with effect."""
  bad, count = [], 0
  for name, want in candidate.callables.items():
    for key, value in want["hyperparameters"].items():
      arguments, outputs = candidate.cases(name)[0]
      loaded = candidate.find(name)
      default = value["default"]
      dtype = tf.int32 if isinstance(default, int) else tf.float32
      for override in (default, tf.constant(default, dtype)):
        count += 1
        got = loaded(*arguments, **{key: override})
        if not difference(got, outputs)[0] <= candidate.tolerance:
          bad.append(f"{name}({key}={override}) differs from the default")
      # Rates and momenta only matter in training, and have their own checks.
      # A length may matter only for an input that is cut.
      if not value["attribute"] and all(
        difference(loaded(*arguments, **{key: default + 1}), outputs)[0]
        <= candidate.tolerance
        for arguments, outputs in candidate.cases(name)
      ):
        bad.append(f"{name}({key}={default + 1}) equals the default")
  if not count:
    raise candidate.without("hyperparameters")
  return Finding(len(bad), 0, "; ".join(bad) or f"wrong calls, of {count}")


@check("regularization losses", needs="interface")
def _regularization_losses(candidate: Candidate) -> Finding:
  candidate.require_reference()
  if not any(w["regularization_losses"] for w in candidate.callables.values()):
    raise candidate.without("regularization losses")

  def differences():
    for name, want in candidate.callables.items():
      losses = [loss() for loss in candidate.find(name).regularization_losses]
      values = [tf.constant(v) for v in want["regularization_losses"]]
      yield name, difference(losses, values)

  return worst(differences())


@check("hub.KerasLayer", level=BASIC)
def _keras_layer(candidate: Candidate) -> Finding:
  import tensorflow_hub as hub

  want = candidate.callables[""]
  if not want["takes_inputs"]:
    raise NotApplicableError("the model takes no input")
  wrong = []
  # It takes a loaded model too, which saves a second load.
  layer = hub.KerasLayer(candidate.model, trainable=True)
  frozen = hub.KerasLayer(candidate.model, trainable=False)
  for arguments, outputs in candidate.cases(""):
    if not difference(frozen(*arguments), outputs)[0] <= candidate.tolerance:
      wrong.append("outputs")
  if len(layer.trainable_weights) != len(want["trainable"]):
    wrong.append(f"{len(layer.trainable_weights)} trainable weights")
  if frozen.trainable_weights or any(float(loss) for loss in frozen.losses):
    wrong.append("trains while frozen")
  if want["trainable"]:
    values = [tf.constant(v) for v in want["regularization_losses"]]
    if not difference(list(layer.losses), values)[0] <= TOLERANCE:
      wrong.append("losses")
  return Finding(len(wrong), 0, "; ".join(wrong) or "deviations")


@check("Dataset.map")
def _dataset_map(candidate: Candidate) -> Finding:
  cases = candidate.calls()
  if not cases or not takes_strings(cases):
    raise NotApplicableError("the model is not a preprocessor")

  def differences():
    for (inputs,), want in cases:
      dataset = tf.data.Dataset.from_tensors(inputs).map(candidate.model)
      yield "", difference(next(iter(dataset)), want)

  return candidate.worst(differences())


@check("dropout", level=BASIC)
def _dropout(candidate: Candidate) -> Finding:
  """Two training calls differ if, and only if, the reference has dropout.

  After the checks that compare numbers: graphs that are called again after
  `without_graph_optimization` have to start anew.
  """
  names = [
    n for n in candidate.callables if candidate.hyperparameters(n, "rate")
  ]
  if not names:
    raise candidate.without("a dropout rate to override")
  fixed = []
  for name in names:
    loaded = candidate.find(name)
    cases = candidate.cases(name)
    (small, _), (large, _) = cases[0], cases[-1]
    off = dict.fromkeys(candidate.hyperparameters(name, "rate"), 0.0)
    with candidate.without_graph_optimization():
      # The largest sample, in which two draws are least likely to be equal.
      default = [loaded(*large, training=True) for _ in range(2)]
      silent = [loaded(*small, training=True, **off) for _ in range(2)]
    random = difference(*default)[0] > candidate.tolerance
    drops = any(candidate.hyperparameters(name, "rate").values())
    if random != drops:
      fixed.append(name or "the model")
    if difference(*silent)[0] > candidate.tolerance:
      fixed.append(f"{name or 'the model'} with {off}")
  return Finding(
    len(fixed), 0, "; ".join(fixed) or "callables with wrong dropout"
  )


def takes_strings(cases: Sequence[Any]) -> bool:
  """Whether the inputs of the cases include strings."""
  (inputs, *_), _ = cases[0]
  return any(t.dtype == tf.string for t in flatten(inputs).values())
