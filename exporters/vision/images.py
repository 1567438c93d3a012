"""Exports an image classifier as two artifacts: logits, and a feature vector.

Both follow https://www.tensorflow.org/hub/common_saved_model_apis/images

  model(images)  # float32 [batch, height, width, 3], RGB in [0, 1], to
                 # `classification`: logits, float32 [batch, classes]
                 # `feature_vector`: float32 [batch, features]

An architecture's module builds the classifier and says what it was trained on;
everything else is here.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from typing_extensions import override

from exporters import base
from exporters.errors import ExportError
from exporters.keras_models import functional
from exporters.keras_models import tap
from exporters.saved_model import labels
from exporters.vision import encoded

CLASSIFICATION = "classification"
FEATURE_VECTOR = "feature_vector"
# What a signature calls the output of each artifact.
_OUTPUTS = {CLASSIFICATION: "logits", FEATURE_VECTOR: "feature_vector"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classifier:
  """A classifier as Model Garden trains it, not yet restored.

  Attributes:
    model: Takes normalized images; returns logits, or what follows from them.
    normalize: Takes images in [0, 1]; returns what the model was trained on.
    prepare: Takes an image of any size, float32 [height, width, 3] in [0, 255];
      cuts and resizes it as for the evaluation of the model.
    image_size: Height and width of the images that it was trained on.
    fixed_size: Whether it takes only images of this size.
    size_multiple: What height and width must be multiples of.
    restored: Its parts that a checkpoint may hold under names of their own.
    published: The same on those of its layers that the logits depend on. None:
      they depend on all.
  """

  model: tf_keras.Model
  normalize: Callable[[tf.Tensor], tf.Tensor]
  prepare: Callable[[tf.Tensor], tf.Tensor]
  image_size: tuple[int, int]
  fixed_size: bool = False
  size_multiple: int = 1
  restored: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  published: tf_keras.Model | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageExporter(labels.Labelled, base.CheckpointExporter):
  """Publishes a classifier, its feature vector, or both.

  Attributes:
    artifacts: "classification", "feature_vector" or both. One alone is written
      to the export path itself, both to folders below it.
    signatures: Further signatures, and callables, for images that come as
      files: "image_bytes", "tf_example" or both; see `vision.encoded`.
  """

  artifacts: Sequence[str] = (CLASSIFICATION, FEATURE_VECTOR)
  signatures: Sequence[str] = ()

  @abc.abstractmethod
  def classifier(self) -> Classifier:
    """Builds the classifier; nothing is restored yet."""

  @override
  def refuse_mistakes(self) -> None:
    self._refuse_unknown_artifacts()
    encoded.refuse_unknown(self.signatures)
    super().refuse_mistakes()

  @override
  def build(self) -> base.Build:
    self.refuse_mistakes()
    classifier = self.classifier()
    full = classifier.published or classifier.model
    free = full
    if not classifier.fixed_size and None not in full.inputs[0].shape[1:3]:
      free = functional.with_free_size(full)
    models = _sliced(free)
    artifacts = {
      name: self._publish(name, classifier, models[name])
      for name in self.artifacts
    }
    if len(artifacts) == 1:
      artifacts = {"": artifacts[self.artifacts[0]]}
    return base.Build(
      restores=[self._restored(classifier)], published=artifacts
    )

  def _publish(
    self,
    name: str,
    classifier: Classifier,
    model: tf_keras.Model,
  ) -> base.Published:
    height, width = (
      classifier.image_size if classifier.fixed_size else (None,) * 2
    )
    assets = {}
    if name == CLASSIFICATION:
      assets = self.labels(model.outputs[0].shape[-1])
    normalize = classifier.normalize
    outputs = (_OUTPUTS[name], "default")

    def reference(images, training):
      return _of_the_whole(name, classifier, images, training)

    return base.Published(
      function=lambda images, training: model(
        normalize(images), training=training
      ),
      inputs=[tf.TensorSpec([None, height, width, 3], tf.float32, "images")],
      outputs=outputs,
      api="image",
      image_size=classifier.image_size,
      hyperparameters=functional.hyperparameters(model),
      variables=model.variables,
      trainable_variables=model.trainable_variables,
      regularization_losses=functional.regularization_losses(model)[0],
      assets=assets,
      samples=_samples(classifier),
      remarks=_remarks(classifier),
      reference=reference,
      sub_objects={
        signature: encoded.published(
          signature,
          classifier.prepare,
          classifier.image_size,
          outputs=outputs,
          variables=model.variables,
          reference=reference,
        )
        for signature in self.signatures
      },
    )

  def _restored(self, classifier: Classifier) -> Mapping[str, Any]:
    """Returns what to restore: the model, or only what of it is published."""
    held = self.opened.parts & classifier.restored.keys()
    sliced = CLASSIFICATION not in self.artifacts
    if sliced and held and "model" not in self.opened.parts:
      return {name: classifier.restored[name] for name in held}
    return {"model": classifier.model, **classifier.restored}

  def _refuse_unknown_artifacts(self) -> None:
    if isinstance(self.artifacts, str):
      raise ExportError(
        f"artifacts = '{self.artifacts}' must be a list: ['{self.artifacts}']."
      )
    named = self.labels_file or self.background_label
    if named and CLASSIFICATION not in self.artifacts:
      raise ExportError(
        f"Class names ('{named}') belong to 'classification', which artifacts "
        "leaves out. Add it to artifacts, or remove labels_file and "
        "background_label."
      )
    self.refuse_background_alone()
    unknown = set(self.artifacts) - _OUTPUTS.keys()
    if unknown or not self.artifacts:
      raise ExportError(
        f"artifacts = {list(self.artifacts)} must name "
        f"{' or '.join(map(repr, _OUTPUTS))}, or both."
      )


def _sliced(model: tf_keras.Model) -> dict[str, tf_keras.Model]:
  """Returns a model for each artifact, on the layers of the whole model."""
  features, logits = functional.head(model)
  outputs = {CLASSIFICATION: logits, FEATURE_VECTOR: features}
  return {
    name: tf_keras.Model(model.inputs, output, name=name)
    for name, output in outputs.items()
  }


def _of_the_whole(
  name: str, classifier: Classifier, images: tf.Tensor, training: bool
) -> tf.Tensor:
  """Returns what the restored classifier, called whole, computes on its way."""
  model = classifier.model
  _, logits = functional.head(model)
  dense, _ = functional.producer(model, logits)
  with tap.tapped(dense) as last:
    model(classifier.normalize(images), training=training)
  return last.outputs if name == CLASSIFICATION else last.inputs


def _samples(classifier: Classifier) -> list[np.ndarray]:
  """Returns images of batch 1 and 3, of two sizes where possible."""
  rng = np.random.default_rng(0)
  height, width = classifier.image_size
  other = (height, width)
  if not classifier.fixed_size:
    multiple = classifier.size_multiple
    other = (
      max(height * 3 // 4 // multiple, 1) * multiple,
      max(width * 7 // 8 // multiple, 1) * multiple,
    )
  return [
    rng.random([batch, *size, 3], np.float32)
    for batch, size in ((1, (height, width)), (3, other))
  ]


def _remarks(classifier: Classifier) -> list[str]:
  multiple = classifier.size_multiple
  if classifier.fixed_size or multiple == 1:
    return []
  return [f"Height and width of the images must be multiples of {multiple}."]
