"""Checks detectors: what they say they found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from .candidate import Candidate
from .harness import check
from .numbers import TOLERANCE
from .numbers import difference
from .results import BASIC
from .results import Finding
from .results import NotApplicableError

_API = "detector"
# What every published detector gives.
_BOXES, _CLASSES = "detection_boxes", "detection_classes"
_SCORES, _COUNT = "detection_scores", "num_detections"
_NAMES = {_BOXES, _CLASSES, _SCORES, _COUNT}
_MASKS = "detection_masks"
# Of regions that a model proposes itself, there may be others after rounding.
_PROPOSED, _BEFORE = "rois", "rpn_"

_Outputs = Mapping[str, np.ndarray]


@check("detections", level=BASIC)
def _detections(candidate: Candidate) -> Finding:
  """Boxes lie in the image, scores fall, and as many count as are stated."""
  wrong: list[str] = []
  images = found = 0
  for name in _finders(candidate):
    for (inputs,), _ in candidate.cases(name):
      outputs = _arrays(candidate.find(name)(inputs))
      # A mask fills its box, so such a box is not cut at the image's edge.
      cut = inputs.dtype != tf.string or _MASKS not in outputs
      wrong += [f".{name}: {d}" for d in _deviations(outputs, cut=cut)]
      images += len(outputs[_COUNT])
      found += int(outputs[_COUNT].sum())
  if candidate.follows(candidate.callables[""]["serving"], _API):
    signature = candidate.model.signatures["serving_default"]
    missing = _NAMES - set(signature.structured_outputs)
    if missing:
      wrong.append(f"the signature gives no {min(missing)}")
  if not images and not candidate.speaks_for_itself:
    wrong.append("no callable detects")
  detail = f"deviations in {found} detections of {images} images"
  return Finding(len(wrong), 0, "; ".join(wrong[:5]) or detail)


@check("image by image", needs="detections")
def _image_by_image(candidate: Candidate) -> Finding:
  """An image gives the same in a batch as alone."""

  def differences():
    for name in ("", *_finders(candidate)):
      loaded = candidate.find(name)
      (inputs,), _ = candidate.cases(name)[-1]
      together = _arrays(loaded(inputs))
      for i in range(inputs.shape[0]):
        alone = _arrays(loaded(inputs[i : i + 1]))
        of_batch = {key: values[i : i + 1] for key, values in together.items()}
        yield name, _difference(alone, of_batch)

  _require_detector(candidate)
  return candidate.worst(differences())


def _require_detector(candidate: Candidate) -> None:
  if candidate.stranger:
    raise NotApplicableError("nobody claims that it follows the detector API")
  candidate.require_api(_API)


def _finders(candidate: Candidate) -> list[str]:
  """Returns the callables that say what they found."""
  _require_detector(candidate)
  return [
    name
    for name in candidate.callables
    if candidate.follows(name, _API)
    for _, outputs in candidate.cases(name)[:1]
    if isinstance(outputs, Mapping) and _BOXES in outputs
  ]


def _arrays(outputs: Any) -> _Outputs:
  return {name: np.asarray(values) for name, values in outputs.items()}


def _deviations(outputs: _Outputs, *, cut: bool) -> Iterator[str]:
  """Yields how what was found in a batch deviates from what it should be."""
  missing = _NAMES - outputs.keys()
  if missing:
    yield f"no {min(missing)}"
    return
  for name in sorted(_NAMES):
    if outputs[name].dtype != np.float32:
      yield f"{name} is {outputs[name].dtype}"
  boxes, scores = outputs[_BOXES], outputs[_SCORES]
  if scores.ndim != 2 or boxes.shape != (*scores.shape, 4):
    yield f"{_BOXES} are {boxes.shape}, {_SCORES} {scores.shape}"
    return
  # Not `any(not ...)`: NaN deviates.
  if not (boxes >= 0).all() or not (boxes <= 1).all() and cut:
    yield "a box is not in the image"
  if not (boxes[..., :2] <= boxes[..., 2:]).all():
    yield "a box ends before it begins"
  if not (scores[:, 1:] <= scores[:, :-1]).all() or not (scores <= 1).all():
    yield "scores do not fall from at most 1"
  if not np.array_equal(outputs[_COUNT], (scores > 0).sum(axis=1)):
    yield f"{_COUNT} is not how many scores are above 0"
  classes = outputs[_CLASSES][scores > 0]
  if not (classes >= 1).all() or not np.array_equal(classes, classes // 1):
    yield "a class is not a whole number from 1"
  masks = outputs.get(_MASKS, np.zeros(1))
  if not (masks >= 0).all() or not (masks <= 1).all():
    yield "a mask is not in [0, 1]"


def _difference(got: _Outputs, want: _Outputs) -> tuple[float, str]:
  """Returns how far two outputs for one image are apart."""
  if _BOXES in want:
    lost = _lost(got, want)
    if lost:
      return float(lost), "detections that are not found alone"
    names = [_SCORES, _COUNT]  # Those of equal scores may change places.
  elif _PROPOSED in want:
    names = [name for name in want if name.startswith(_BEFORE)]
  else:
    names = list(want)
  return difference(
    {name: got[name] for name in names}, {name: want[name] for name in names}
  )


def _lost(got: _Outputs, want: _Outputs) -> int:
  """Returns how many detections of one output are not in the other."""
  columns = [
    np.concatenate(
      [o[_BOXES][0], o[_CLASSES][0, :, None], o[_SCORES][0, :, None]], axis=1
    )[o[_SCORES][0] > 0]
    for o in (got, want)
  ]
  one, other = columns
  # The last may give way to another one of the same score.
  sure = other[other[:, -1] > other[-1:, -1] + TOLERANCE]
  if not len(sure):
    return 0
  if not len(one):
    return len(sure)
  apart = np.abs(sure[:, None] - one[None]).max(axis=-1).min(axis=1)
  return int((apart > 10 * TOLERANCE).sum())
