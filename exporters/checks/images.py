"""Checks image models, and the batch normalization in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
import dataclasses
import functools
import itertools
import math
import os
import shutil
from typing import Any

import ml_dtypes
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from .candidate import Candidate
from .candidate import link
from .harness import check
from .results import BASIC
from .results import Finding
from .results import NotApplicableError


def deviations(
  pixels: Any, outputs: Any, *, of: str = "images", called: str = "outputs"
) -> Iterator[str]:
  """Yields how a call deviates from: pixels in [0, 1] give float32 [batch, n].

  Args:
    pixels: What the model took.
    outputs: What it gave.
    of: What the pixels are.
    called: What the outputs are.
  """
  if pixels.dtype != tf.float32 or np.abs(pixels - 0.5).max() > 0.5:
    yield f"{of} are not float32 in [0, 1]"
  if outputs.dtype != tf.float32 or outputs.shape.rank != 2:
    yield f"{called} are {outputs.dtype.name} {outputs.shape}"
  if outputs.shape[0] != pixels.shape[0]:
    yield f"{outputs.shape[0]} {called} for {pixels.shape[0]} {of}"


_OUTPUTS = {"logits", "feature_vector"}


@check("image API", level=BASIC)
def _image_api(candidate: Candidate) -> Finding:
  """Images in [0, 1] give float32 [batch, n], named, for any batch size."""
  wrong: list[str] = []
  for images in _images(candidate):
    wrong += deviations(images, candidate.model(images))
  if candidate.callables[""]["serving"]:  # The signature is another's.
    return Finding(len(wrong), 0, "; ".join(wrong) or "deviations")
  signature = candidate.model.signatures["serving_default"]
  (spec,) = signature.structured_input_signature[1].values()
  if spec.shape.rank != 4 or spec.shape[0] is not None or spec.shape[3] != 3:
    wrong.append(f"the signature takes {spec.shape}")
  names = set(signature.structured_outputs)
  if "default" not in names or len(names & _OUTPUTS) != 1 or len(names) != 2:
    wrong.append(f"the signature gives {sorted(names)}")
  return Finding(len(wrong), 0, "; ".join(wrong) or "deviations")


@check("batch statistics", needs="hub.KerasLayer", unit="batch norm")
def _batch_statistics(candidate: Candidate) -> Finding:
  """They change only in calls that train a trainable layer."""
  wrong = []
  for name, _, _ in _batch_norms(candidate):
    before = _statistics(candidate.find(name))
    averages = [updates > 0 for updates in candidate.updates(name)]
    for trainable, training in itertools.product((True, False), repeat=2):
      after = _moved(candidate, name, training, trainable=trainable)
      moved = [
        not np.array_equal(b, a) for b, a in zip(before, after, strict=True)
      ]
      if moved != [one and trainable and training for one in averages]:
        wrong.append(
          f"{name or 'the model'} with trainable={trainable}, "
          f"training={training}"
        )
  return Finding(len(wrong), 0, "; ".join(wrong) or "kinds of wrong calls")


@check("batch_norm_momentum", needs="batch statistics", unit="batch norm")
def _batch_norm_momentum(candidate: Candidate) -> Finding:
  """With momentum m, they become m * before + (1 - m) * the batch's.

  A layer that is called several times does so as many times.
  """
  names = _batch_norms(candidate)
  # Dropout would change the statistics of the batch in later layers.
  path = os.path.join(candidate.scratch, "without_drops")
  _copy_without_drops(candidate, path)
  try:
    without_drops = dataclasses.replace(candidate, path=path)
    return candidate.worst(
      (name, _momentum_error(without_drops, name, key, default))
      for name, key, default in names
    )
  finally:
    shutil.rmtree(path)


def _images(candidate: Candidate) -> list[tf.Tensor]:
  """Returns the samples of an image model."""
  if candidate.stranger:
    raise NotApplicableError("nobody claims that it follows the image API")
  candidate.require_api("image")
  return [inputs[0] for inputs, _ in candidate.cases("")]


def _batch_norms(candidate: Candidate) -> list[tuple[str, str, float]]:
  """Returns callables that take a momentum, with its name and default."""
  found = [
    (name, key, default)
    for name in candidate.callables
    for key, default in candidate.hyperparameters(name, "momentum").items()
  ]
  if not found:
    raise candidate.without("a momentum to override")
  return found


def _statistics(loaded: Any) -> list[np.ndarray]:
  return [np.array(v) for v in loaded.variables if not v.trainable]


def _moved(
  candidate: Candidate,
  name: str,
  training: bool,
  *,
  shift: float = 0.0,
  **layer: Any,
) -> list[np.ndarray]:
  """Returns the statistics after one call of a `hub.KerasLayer(**layer)`.

  Args:
    candidate: The model.
    name: The callable's.
    training: Whether the call is one in training.
    shift: What is added to all statistics before the call.
    **layer: Arguments of the layer.
  """
  import tensorflow_hub as hub

  candidate.reset()
  loaded = candidate.find(name)
  for variable in loaded.variables if shift else ():
    if not variable.trainable:
      variable.assign_add(
        tf.cast(tf.fill(variable.shape, shift), variable.dtype)
      )
  arguments, _ = candidate.cases(name)[-1]
  hub.KerasLayer(loaded, **layer)(*arguments, training=training)
  return _statistics(loaded)


def _momentum_error(
  candidate: Candidate, name: str, key: str, default: float
) -> tuple[float, str]:
  """Returns the largest deviation from the formula, relative to the scale."""

  @functools.cache
  def after(momentum: float | None, shift: float = 0.0) -> list[np.ndarray]:
    arguments = {} if momentum is None else {key: momentum}
    return _moved(
      candidate, name, True, shift=shift, trainable=True, arguments=arguments
    )

  before = _statistics(candidate.find(name))
  largest, place = 0.0, ""
  for i, updates in enumerate(candidate.updates(name)):
    if not updates:
      continue
    old = before[i]
    # Momentum 0 forgets what was before, and 1 keeps it. After several updates,
    # each with a batch of its own, a power of the momentum is kept of what was
    # before, and the rest is a polynomial of that degree.
    known = {j / updates: after(j / updates)[i] for j in range(updates)}
    known[1.0] = old
    scale = max(float(np.abs(x).max()) for x in known.values())
    for momentum, given in ((0.5 / updates, 0.5 / updates), (default, None)):
      errors = [after(given)[i] - _interpolated(known, momentum)]
      if updates > 1:
        shifted = after(given, 1.0)[i] - after(given)[i]
        errors.append(shifted - momentum**updates)
      error = max(float(np.abs(e).max()) for e in errors) / scale
      if not error <= largest:  # NaN too.
        largest = float("inf") if math.isnan(error) else error
        place = f"with {key}={momentum}"
  return largest, place


def _interpolated(known: Mapping[float, np.ndarray], at: float) -> np.ndarray:
  """Returns the value of the polynomial through some points."""
  weighted = [
    values * math.prod((at - x) / (one - x) for x in known if x != one)
    for one, values in known.items()
  ]
  return np.sum(weighted, axis=0)


def _largest_below_one(dtype: int) -> Any:
  """Returns the largest number that a uniform random one of a type can be."""
  numpy_dtype = tf.as_dtype(dtype).as_numpy_dtype
  below = np.asarray(1.0 - float(ml_dtypes.finfo(numpy_dtype).epsneg))
  return tf.make_tensor_proto(below.astype(numpy_dtype))


def _copy_without_drops(candidate: Candidate, path: str) -> None:
  """Copies a SavedModel, with the largest possible number for random ones.

  Dropout, which compares these with its rate, then keeps everything.
  """
  shutil.copytree(candidate.path, path, copy_function=link)
  proto = saved_model_pb2.SavedModel()
  proto.CopyFrom(candidate.proto)
  for function in proto.meta_graphs[0].graph_def.library.function:
    for node in [n for n in function.node_def if n.op == "RandomUniform"]:
      one = function.node_def.add(name=f"{node.name}/largest", op="Const")
      dtype = node.attr["dtype"].type
      one.attr["dtype"].type = dtype
      one.attr["value"].tensor.CopyFrom(_largest_below_one(dtype))
      index_type = node.attr["T"].type
      node.op = "Fill"
      node.input.insert(1, f"{one.name}:output:0")
      node.attr.clear()
      node.attr["T"].type = dtype
      node.attr["index_type"].type = index_type
  # Removed first, because it is a link to the original.
  os.remove(os.path.join(path, "saved_model.pb"))
  with open(os.path.join(path, "saved_model.pb"), "wb") as f:
    f.write(proto.SerializeToString())
