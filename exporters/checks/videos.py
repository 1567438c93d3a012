"""Checks video models, and models that take a stream piece by piece."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from .candidate import Candidate
from .harness import check
from .images import deviations
from .numbers import difference
from .numbers import flatten
from .results import BASIC
from .results import Finding
from .results import NotApplicableError

_INPUT = "image"


@check("video API", level=BASIC)
def _video_api(candidate: Candidate) -> Finding:
  """Videos in [0, 1] give logits, float32 [batch, classes], of any length."""
  if candidate.stranger:
    raise NotApplicableError("nobody claims that it follows the video API")
  candidate.require_api("video")
  wrong: list[str] = []
  for (inputs,), _ in candidate.calls():
    outputs = candidate.model(inputs)
    logits = outputs[0] if isinstance(outputs, tuple) else outputs
    wrong += deviations(inputs[_INPUT], logits, of="videos", called="logits")
  if candidate.callables[""]["serving"]:  # The signature is another's.
    return Finding(len(wrong), 0, "; ".join(wrong) or "deviations")
  signature = candidate.model.signatures["serving_default"]
  shape = signature.structured_input_signature[1][_INPUT].shape
  if shape.rank != 5 or shape[0] is not None or shape[4] != 3:
    wrong.append(f"the signature takes {shape}")
  if "logits" not in signature.structured_outputs:
    wrong.append(f"the signature gives {sorted(signature.structured_outputs)}")
  return Finding(len(wrong), 0, "; ".join(wrong) or "deviations")


@check("piece by piece", unit="stream")
def _piece_by_piece(candidate: Candidate) -> Finding:
  """One by one, in twos and whole, a stream ends in the same numbers.

  Of a video: frame by frame, clip by clip, and the whole video.
  """
  stream = _stream(candidate)

  def differences():
    for (inputs,), _ in candidate.calls():
      whole = inputs[stream["piece"]]
      length = whole.shape[stream["axis"]]
      want = _ended(candidate, stream, whole, length)
      for size in (1, 2):
        got = _ended(candidate, stream, whole, size)
        yield f"in pieces of {size}", difference(got, want)

  return candidate.worst(differences())


@check("first states", unit="stream")
def _first_states(candidate: Candidate) -> Finding:
  """They fit pieces of every size that the signature allows, and stay so."""
  stream = _stream(candidate)
  initial = candidate.find(stream["initial"])
  signature = candidate.model.signatures["serving_default"]
  specs = dict(signature.structured_input_signature[1])
  piece = specs.pop(stream["piece"])
  wrong = []

  def compare(states, shapes: Mapping[str, Any], place: str) -> None:
    got = {name: state.shape.as_list() for name, state in states.items()}
    different = [n for n in got.keys() | shapes if got.get(n) != shapes.get(n)]
    if different:
      name = min(different)
      wrong.append(f"{name} is {got.get(name)}, not {shapes.get(name)} {place}")

  # A dimension that is left open comes back open.
  left_open = [size or 0 for size in piece.shape]
  compare(
    initial(tf.constant(left_open)),
    {name: [size or 0 for size in spec.shape] for name, spec in specs.items()},
    f"for {left_open}",
  )
  (inputs,), _ = candidate.calls()[-1]
  sizes = inputs[stream["piece"]].shape
  for change in (lambda size: size + 1, lambda size: (size + 1) // 2):
    shape = [
      change(size) if free is None else size
      for size, free in zip(sizes, piece.shape, strict=True)
    ]
    states = initial(tf.constant(shape))
    try:
      _, after = candidate.model(
        {**states, stream["piece"]: tf.zeros(shape, piece.dtype)}
      )
    except (tf.errors.OpError, TypeError, ValueError) as e:
      wrong.append(f"for {shape}: {str(e).strip().partition(chr(10))[0][:200]}")
    else:
      shapes = {n: state.shape.as_list() for n, state in states.items()}
      compare(after, shapes, f"after {shape}")
  return Finding(len(wrong), 0, "; ".join(wrong) or "sizes that do not fit")


def _stream(candidate: Candidate) -> Mapping[str, Any]:
  stream = candidate.callables[""]["stream"]
  if not stream:
    raise candidate.without("states that a call hands to the next")
  return stream


def _ended(
  candidate: Candidate, stream: Mapping[str, Any], whole: tf.Tensor, size: int
) -> Any:
  """Returns the last result and states of a stream in pieces of one size."""
  axis = stream["axis"]
  states = candidate.find(stream["initial"])(tf.shape(whole))
  result = None
  for start in range(0, whole.shape[axis], size):
    end = min(start + size, whole.shape[axis])
    piece = tf.gather(whole, tf.range(start, end), axis=axis)
    result, states = candidate.model({**states, stream["piece"]: piece})
  return flatten(result) | flatten(states)
