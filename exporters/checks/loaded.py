"""Checks by inference calls of the loaded model; one load serves them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
import inspect
from typing import Any

import tensorflow as tf

from .harness import BASIC
from .harness import OPERATIONS
from .harness import SAME_NUMBERS
from .harness import Finding
from .harness import NotApplicable
from .harness import check
from .numbers import TOLERANCE
from .numbers import difference
from .numbers import flatten
from .numbers import histogram
from .numbers import worst
from .subject import Subject


@check("loads", level=BASIC, needs=OPERATIONS)
def _loads(subject: Subject) -> Finding:
  """What is made of operations that are not on the list is not even loaded."""
  missing = [
    name or "the model"
    for name in subject.callables
    if not callable(subject.find(name))
  ]
  return Finding(len(missing), 0, f"{' '.join(missing)} not callable".strip())


@check("interface", level=BASIC, needs="loads")
def _interface(subject: Subject) -> Finding:
  subject.require_source()
  wrong = []
  for name, want in subject.callables.items():
    loaded = subject.find(name)
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
def _same_numbers(subject: Subject) -> Finding:
  subject.require_source()
  calls = [
    (name, subject.find(name)(*arguments), want)
    for name in subject.callables
    for arguments, want in subject.cases(name)
  ]
  finding = worst((name, difference(got, want)) for name, got, want in calls)
  return dataclasses.replace(
    finding, histogram=histogram((got, want) for _, got, want in calls)
  )


@check("signature", level=BASIC)
def _signature(subject: Subject) -> Finding:
  cases = subject.calls()
  if not cases or "serving_default" not in subject.model.signatures:
    raise NotApplicable("the model has no input, or no serving_default")
  if subject.source is None and not isinstance(cases[0][1], Mapping):
    raise NotApplicable("there is no source that says the outputs' names")
  signature = subject.model.signatures["serving_default"]
  names = subject.callables[""]["outputs"]

  def differences():
    for (inputs,), want in subject.served():
      got = signature(**subject.named(inputs))
      if isinstance(want, (list, tuple)):
        want = dict(zip(names, want, strict=True))
      elif not isinstance(want, Mapping):
        want = dict.fromkeys(names, want)
      yield "serving_default", difference(got, flatten(want))

  return worst(differences())


@check("repeats itself", level=BASIC, needs="interface")
def _repeats(subject: Subject) -> Finding:
  """Two calls outside training give the same numbers."""
  return worst(
    (
      name,
      difference(
        subject.find(name)(*arguments), subject.find(name)(*arguments)
      ),
    )
    for name in subject.callables
    for arguments, _ in subject.cases(name)[:1]
  )


@check("hyperparameters")
def _hyperparameters(subject: Subject) -> Finding:
  """Each override is accepted, as a number and as a tensor, and heeded."""
  bad, count = [], 0
  for name, want in subject.callables.items():
    for key, value in want["hyperparameters"].items():
      arguments, outputs = subject.cases(name)[0]
      loaded = subject.find(name)
      default = value["default"]
      dtype = tf.int32 if isinstance(default, int) else tf.float32
      for override in (default, tf.constant(default, dtype)):
        count += 1
        got = loaded(*arguments, **{key: override})
        if not difference(got, outputs)[0] <= TOLERANCE:
          bad.append(f"{name}({key}={override}) differs from the default")
      # Rates and momenta show in training alone, and have their own checks.
      if not value["attribute"]:
        got = loaded(*arguments, **{key: default + 1})
        if difference(got, outputs)[0] <= TOLERANCE:
          bad.append(f"{name}({key}={default + 1}) equals the default")
  if not count:
    raise NotApplicable("the model has no hyperparameters")
  return Finding(len(bad), 0, "; ".join(bad) or f"of {count} calls")


@check("regularization losses", needs="interface")
def _regularization_losses(subject: Subject) -> Finding:
  subject.require_source()
  if not any(w["regularization_losses"] for w in subject.callables.values()):
    raise NotApplicable("the source has no regularization losses")

  def differences():
    for name, want in subject.callables.items():
      losses = [loss() for loss in subject.find(name).regularization_losses]
      values = [tf.constant(v) for v in want["regularization_losses"]]
      yield name, difference(losses, values)

  return worst(differences())


@check("hub.KerasLayer", level=BASIC)
def _keras_layer(subject: Subject) -> Finding:
  import tensorflow_hub as hub

  want = subject.callables[""]
  if not want["takes_inputs"]:
    raise NotApplicable("the model takes no input")
  wrong = []
  # What is loaded already is a callable to it: no second load.
  layer = hub.KerasLayer(subject.model, trainable=True)
  frozen = hub.KerasLayer(subject.model, trainable=False)
  for arguments, outputs in subject.cases(""):
    if not difference(frozen(*arguments), outputs)[0] <= TOLERANCE:
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
def _dataset_map(subject: Subject) -> Finding:
  cases = subject.calls()
  if not cases or not takes_strings(cases):
    raise NotApplicable("the model is no preprocessor")

  def differences():
    for (inputs,), want in cases:
      dataset = tf.data.Dataset.from_tensors(inputs).map(subject.model)
      yield "", difference(next(iter(dataset)), want)

  return worst(differences())


@check("dropout", level=BASIC)
def _dropout(subject: Subject) -> Finding:
  """Two calls differ in training, as far as the source has dropout.

  The last check of this load: the calls after `once` start anew.
  """
  names = [n for n in subject.callables if subject.hyperparameters(n, "rate")]
  if not names:
    raise NotApplicable("the source has no dropout")
  fixed = []
  for name in names:
    loaded = subject.find(name)
    cases = subject.cases(name)
    (small, _), (large, _) = cases[0], cases[-1]
    off = dict.fromkeys(subject.hyperparameters(name, "rate"), 0.0)
    with subject.once():
      # The largest, in which two draws are least likely to be the same.
      default = [loaded(*large, training=True) for _ in range(2)]
      silent = [loaded(*small, training=True, **off) for _ in range(2)]
    random = difference(*default)[0] > TOLERANCE
    drops = any(subject.hyperparameters(name, "rate").values())
    if random != drops:
      fixed.append(name or "the model")
    if difference(*silent)[0] > TOLERANCE:
      fixed.append(f"{name or 'the model'} with {off}")
  return Finding(len(fixed), 0, "; ".join(fixed) or "calls out of order")


def takes_strings(cases: Sequence[Any]) -> bool:
  (inputs, *_), _ = cases[0]
  return any(t.dtype == tf.string for t in flatten(inputs).values())
