"""RevNet computes and learns what Model Garden's reversible layers do."""

import gin
import numpy as np
from official.vision.modeling import factory
import pytest
import tensorflow as tf
import tf_keras

from exporters import recipe
from scripts.small_instances import INSTANCES
from scripts.small_instances import images as small_images
from tests import closeness


@pytest.fixture(scope="module")
def models() -> tuple[tf_keras.Model, tf_keras.Model]:
  """Returns Model Garden's classifier and ours, of the same weights."""
  instance = INSTANCES["revnet"]
  bindings = ["CHECKPOINT = ''", *instance.bindings]
  gin.clear_config()
  exporter = recipe.load([instance.leaf], bindings).exporter
  gin.clear_config()
  garden = factory.build_classification_model(
    tf_keras.layers.InputSpec(shape=[None, None, None, 3]),
    exporter.model,
    tf_keras.regularizers.L2(exporter.l2_weight_decay / 2),
  )
  small_images.randomize(garden)
  ours = exporter.classifier().model
  ours.set_weights(garden.get_weights())
  return garden, ours


@pytest.mark.parametrize("training", [False, True])
def test_outputs_gradients_and_statistics_are_model_gardens(models, training):
  images = np.random.default_rng(0).random([2, 64, 96, 3], np.float32)
  results = []
  for model in models:
    with tf.GradientTape() as tape:
      logits = model(images, training=training)
      loss = tf.reduce_sum(logits**2)
    gradients = tape.gradient(loss, model.trainable_variables)
    results.append([logits, *gradients, *model.non_trainable_variables])
  for garden, ours in zip(*results, strict=True):
    garden, ours = garden.numpy(), ours.numpy()
    closeness.assert_close(ours, garden, bound=1e-4)
