"""Checks models that give each pixel of an image a class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from .candidate import Candidate
from .harness import check
from .numbers import MASKS
from .results import BASIC
from .results import Finding
from .results import NotApplicableError

_API = "image segmentation"
_PREDICT = "predict"
_PROBABILITIES, _SIZES = "probabilities", "image_sizes"
# How far the probability of the class in a mask may be below the highest.
_ROUNDING = 1e-6


@check("masks", level=BASIC)
def _masks(candidate: Candidate) -> Finding:
  """A mask has its image's size, and the likeliest class of each pixel."""
  if candidate.stranger:
    raise NotApplicableError(f"nobody claims that it follows the {_API} API")
  candidate.require_api(_API)
  wrong: list[str] = []
  classes = 0
  for (images,), _ in candidate.calls():
    logits = candidate.model(images)
    classes = logits.shape[-1]
    outputs = candidate.find(_PREDICT)(images)
    wrong += _of_images(images, logits, outputs)
  for name in candidate.callables:
    if name and candidate.follows(name, _API):
      for arguments, _ in candidate.cases(name):
        outputs = candidate.find(name)(*arguments)
        wrong += (f"{name}: {text}" for text in _of_files(outputs, classes))
  return Finding(len(wrong), 0, "; ".join(wrong) or "deviations")


def _of_images(
  images: Any, logits: Any, outputs: Mapping[str, Any]
) -> Iterator[str]:
  """Yields what is wrong with the results of two calls."""
  if np.abs(images - 0.5).max() > 0.5:
    yield "images are not in [0, 1]"
  if logits.dtype != tf.float32 or logits.shape.rank != 4:
    yield f"logits are {logits.dtype.name} {logits.shape}"
    return
  masks, scores = outputs[MASKS], outputs[_PROBABILITIES]
  size, classes = images.shape[:3], logits.shape[-1]
  if masks.dtype != tf.int32 or masks.shape != size:
    yield f"{MASKS} are {masks.dtype.name} {masks.shape}"
    return
  if scores.dtype != tf.float32 or scores.shape != [*size, classes]:
    yield f"{_PROBABILITIES} are {scores.dtype.name} {scores.shape}"
    return
  if not 0 <= np.min(masks) <= np.max(masks) < classes:
    yield f"{MASKS} are not in [0, {classes})"
    return
  if not 0 <= np.min(scores) <= np.max(scores) <= 1 + _ROUNDING:
    yield f"{_PROBABILITIES} are not in [0, 1]"
  chosen = tf.gather(scores, masks, batch_dims=3)
  if np.any(chosen < tf.reduce_max(scores, axis=-1) - _ROUNDING):
    yield f"{MASKS} are not of the highest {_PROBABILITIES}"


def _of_files(outputs: Mapping[str, Any], classes: int) -> Iterator[str]:
  """Yields what is wrong with masks of images of several sizes."""
  masks, sizes = np.asarray(outputs[MASKS]), np.asarray(outputs[_SIZES])
  if masks.shape != (len(sizes), *np.max(sizes, axis=0)):
    yield f"{MASKS} are {masks.shape} for images of {sizes.tolist()}"
    return
  outside = set()
  for mask, (height, width) in zip(masks, sizes, strict=True):
    inside = mask[:height, :width]
    if not 0 <= inside.min() <= inside.max() < classes:
      yield f"{MASKS} are not in [0, {classes})"
    outside |= {*mask[height:].flat, *mask[:height, width:].flat}
  if len(outside) > 1:
    yield f"{MASKS} have {sorted(map(int, outside))} outside of the images"
