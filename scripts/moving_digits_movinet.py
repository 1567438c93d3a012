"""The MoViNets of configs/movinet/moving_digits_*.gin, and their training."""

import numpy as np
from official.projects.movinet.modeling import movinet_model
import tf_keras

from exporters import movinet
from exporters import recipe
from scripts import moving_digits

_BATCH_SIZE = 50


def train(kind: str, data: moving_digits.Videos, epochs: int) -> tf_keras.Model:
  """Returns the "base" or the "stream", trained on whole videos."""
  tf_keras.utils.set_random_seed(0)
  model = _untrained(kind)
  # On the same layers, so that the optimizer is no part of what is saved.
  trained = tf_keras.Model(model.input, model.output)
  steps = len(data.labels) // _BATCH_SIZE * epochs
  trained.compile(
    tf_keras.optimizers.Adam(
      tf_keras.optimizers.schedules.CosineDecay(5e-3, steps)
    ),
    tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
  )
  for epoch in range(epochs):
    history = trained.fit(
      {"image": data.videos}, data.labels, batch_size=_BATCH_SIZE, verbose=0
    ).history
    print(f"epoch {epoch + 1}: loss {history['loss'][0]:.4f}", flush=True)
  return model


def count_right(model: tf_keras.Model, data: moving_digits.Videos) -> int:
  """Returns how many of `data` the model classifies as labelled."""
  logits = model.predict({"image": data.videos}, verbose=0)
  return int(np.sum(np.argmax(logits, -1) == data.labels))


def _untrained(kind: str) -> tf_keras.Model:
  """Builds the model as Model Garden's training does: without states."""
  gin_file = f"configs/movinet/moving_digits_{kind}.gin"
  exporter = recipe.load([gin_file], []).exporter
  assert isinstance(exporter, movinet.MoViNetExporter)
  return movinet_model.build_movinet_model(
    tf_keras.layers.InputSpec(shape=[None, None, None, None, 3]),
    exporter.model,
    exporter.num_classes,
    tf_keras.regularizers.L2(exporter.l2_weight_decay / 2),
  )
