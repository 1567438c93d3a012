"""The small ResNet of configs/resnet/digits_resnet.gin, and its training.

The model, its loss and its training step are Model Garden's own task.
"""

import numpy as np
from official.modeling import optimization
from official.vision.configs import image_classification as configs
from official.vision.tasks import image_classification
import tensorflow as tf
import tf_keras

from exporters import recipe
from exporters import resnet
from exporters.vision import official_vision
from scripts import digits

_GIN_FILE = "configs/resnet/digits_resnet.gin"
_BATCH_SIZE = 50


def train(data: digits.Digits, epochs: int) -> tf_keras.Model:
  """Returns a model that is trained on `data`."""
  tf_keras.utils.set_random_seed(0)
  task = _task()
  model = task.build_model()
  optimizer = task.create_optimizer(
    optimization.OptimizationConfig(
      {
        "optimizer": {"type": "sgd", "sgd": {"momentum": 0.9}},
        "learning_rate": {
          "type": "cosine",
          "cosine": {
            "initial_learning_rate": 0.05,
            "decay_steps": len(data.labels) // _BATCH_SIZE * epochs,
          },
        },
      }
    )
  )
  metrics = task.build_metrics(training=True)
  dataset = tf.data.Dataset.from_tensor_slices(
    (_normalized(data.images), data.labels)
  )
  dataset = dataset.shuffle(len(data.labels), seed=0).batch(_BATCH_SIZE)

  @tf.function
  def step(batch):
    return task.train_step(batch, model, optimizer, metrics)["loss"]

  for epoch in range(epochs):
    losses = [float(step(batch)) for batch in dataset]
    print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}")
  return model


def count_right(model: tf_keras.Model, data: digits.Digits) -> int:
  """Returns how many of `data` the model classifies as labelled."""
  logits = model.predict(_normalized(data.images), verbose=0)
  return int(np.sum(np.argmax(logits, -1) == data.labels))


def _task() -> image_classification.ImageClassificationTask:
  exporter = recipe.load([_GIN_FILE], []).exporter
  assert isinstance(exporter, resnet.ResNetExporter)
  return image_classification.ImageClassificationTask(
    configs.ImageClassificationTask(
      model=exporter.model,
      losses=configs.Losses(l2_weight_decay=exporter.l2_weight_decay),
    )
  )


def _normalized(images: np.ndarray) -> np.ndarray:
  return official_vision.normalize(tf.constant(images)).numpy()
