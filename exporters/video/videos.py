"""Exports a video classifier, of whole videos or of streams.

Videos are float32 [batch, frames, height, width, 3], RGB in [0, 1]:

  model(dict(image=videos))  # Logits, float32 [batch, classes].

A model of streams takes a video in pieces of any length, down to single frames,
and hands states from one call to the next:

  states = model.init_states(tf.shape(video))
  for clip in clips:
    logits, states = model({**states, "image": clip})

An architecture's module builds the classifier; everything else is here.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Collection, Mapping
import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from typing_extensions import override

from exporters import base
from exporters.keras_models import functional
from exporters.saved_model import labels
from exporters.saved_model.published import Stream

# As the published video models have them.
INPUT = "image"
INIT_STATES = "init_states"
_FRAMES_AXIS = 1
Shape = tuple[int | None, ...]
ANY_VIDEO: Shape = (None, None, None, None, 3)
# Two batch sizes, and more frames than a kernel of five sees.
_SAMPLES = ((1, 6), (3, 4))
# Height and width where those of the training are not known.
_SMALL = (64, 64)


@dataclasses.dataclass(frozen=True, kw_only=True)
class States:
  """What a model of streams hands from one call to the next.

  Attributes:
    specs: By name, for the videos that the model takes.
    unbatched: The names of those that have no batch dimension.
    initial: Returns those before the first frame, for the shape of a video.
    reference: What `initial` is compared with: the owner's own function.
  """

  specs: Mapping[str, tf.TensorSpec]
  unbatched: Collection[str]
  initial: Callable[[tf.Tensor], Mapping[str, tf.Tensor]]
  reference: Callable[[tf.Tensor], Mapping[str, tf.Tensor]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classifier:
  """A video classifier as Model Garden trains it, not yet restored.

  Attributes:
    model: Takes a dict of the video and of any states; returns logits, or
      `(logits, states)`.
    image_size: Height and width of the videos that it was trained on.
    input_shape: The shape of the videos that it takes, None where it is open.
    zero_centered: Whether it was trained on videos in [-1, 1], not [0, 1].
    states: Those of a model of streams. None: it takes whole videos.
    restored: Its parts that a checkpoint may hold under names of their own.
  """

  model: tf_keras.Model
  image_size: tuple[int, int] | None
  input_shape: Shape = ANY_VIDEO
  zero_centered: bool = False
  states: States | None = None
  restored: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoExporter(labels.Labelled, base.CheckpointExporter):
  """Publishes a video classifier."""

  @abc.abstractmethod
  def classifier(self) -> Classifier:
    """Builds the classifier; nothing is restored yet."""

  @override
  def refuse_mistakes(self) -> None:
    self.refuse_background_alone()
    super().refuse_mistakes()

  @override
  def build(self) -> base.Build:
    self.refuse_mistakes()
    classifier = self.classifier()
    logits = tf.nest.flatten(classifier.model.output)[0]
    assets = self.labels(logits.shape[-1])
    return base.Build(
      restores=[{"model": classifier.model, **classifier.restored}],
      published={"": published(classifier, assets)},
    )


def published(
  classifier: Classifier, assets: Mapping[str, str]
) -> base.Published:
  """Returns what a classifier offers, with the files that travel with it."""
  model, states = classifier.model, classifier.states
  specs = {} if states is None else dict(states.specs)
  specs[INPUT] = tf.TensorSpec(classifier.input_shape, tf.float32, INPUT)
  return base.Published(
    function=lambda inputs, training: model(
      _as_trained(classifier, inputs), training=training
    ),
    inputs=[specs],
    outputs=("logits",) if states is None else ("logits", "states"),
    unbatched=() if states is None else states.unbatched,
    api="video",
    image_size=classifier.image_size,
    hyperparameters=functional.hyperparameters(model),
    variables=model.variables,
    trainable_variables=model.trainable_variables,
    regularization_losses=functional.regularization_losses(model)[0],
    assets=assets,
    samples=_samples(classifier),
    reference=lambda inputs, training: classifier.model(
      _as_trained(classifier, inputs), training=training
    ),
    **_streaming(classifier),
  )


def _as_trained(
  classifier: Classifier, inputs: Mapping[str, tf.Tensor]
) -> Mapping[str, tf.Tensor]:
  """Returns inputs with videos in the range of the training."""
  if not classifier.zero_centered:
    return inputs
  return {**inputs, INPUT: inputs[INPUT] * 2.0 - 1.0}


def _streaming(classifier: Classifier) -> dict[str, Any]:
  """Returns what only a model of streams has."""
  states = classifier.states
  if states is None:
    return {}
  init_states = base.Published(
    function=states.initial,
    inputs=[tf.TensorSpec([5], tf.int32, "input_shape")],
    training=False,
    samples=[
      *(_shape(classifier, *sizes) for sizes in _SAMPLES),
      np.array([size or 0 for size in classifier.input_shape], np.int32),
    ],
    reference=states.reference,
    signature=True,
  )
  return {
    "sub_objects": {INIT_STATES: init_states},
    "stream": Stream(piece=INPUT, axis=_FRAMES_AXIS, initial=INIT_STATES),
  }


def _samples(classifier: Classifier) -> list[dict[str, np.ndarray]]:
  """Returns videos of two sizes, a stream's with states of its beginning.

  The second is in the middle of a stream, so it has states of any values.
  """
  rng = np.random.default_rng(0)
  samples = []
  for place, sizes in enumerate(_SAMPLES):
    shape = _shape(classifier, *sizes)
    sample = {}
    if classifier.states is not None:
      states = classifier.states.initial(tf.constant(shape))
      for name, state in states.items():
        value = rng.random(state.shape)
        if state.dtype.is_integer:
          value = np.full(state.shape, 7)
        sample[name] = np.asarray(value * place, state.dtype.as_numpy_dtype)
    sample[INPUT] = rng.random(shape, np.float32)
    samples.append(sample)
  return samples


def _shape(classifier: Classifier, batch: int, frames: int) -> np.ndarray:
  """Returns the shape of a sample; with more than one video, they are small."""
  height, width = classifier.image_size or _SMALL
  if batch > 1:
    height, width = height * 3 // 4, width * 7 // 8
  return np.array(
    [
      fixed or size
      for fixed, size in zip(
        classifier.input_shape, (batch, frames, height, width, 3), strict=True
      )
    ],
    np.int32,
  )
