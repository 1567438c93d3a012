"""Requests with which TF Serving warms a model up before it takes real ones.

The page: https://www.tensorflow.org/tfx/serving/saved_model_warmup.
"""

from __future__ import annotations

from collections.abc import Mapping
import os

import tensorflow as tf

from exporters.saved_model import reusable
from exporters.saved_model.published import Published

# TF Serving looks for it there; loaders ignore the folder.
FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")


def write(published: Published, path: str) -> None:
  """Writes one request for each sample input, and nothing of a user's data.

  Args:
    published: The model; its `samples` are what `serving_default` is called
      with.
    path: Its SavedModel, which is there.
  """
  from tensorflow_serving.apis import prediction_log_pb2

  file = os.path.join(path, FILE)
  os.mkdir(os.path.dirname(file))
  with tf.io.TFRecordWriter(file) as writer:
    for sample in published.samples:
      log = prediction_log_pb2.PredictionLog()
      request = log.predict_log.request
      request.model_spec.signature_name = reusable.SERVING_DEFAULT
      named = sample
      if not isinstance(sample, Mapping):
        named = {published.inputs[0].name: sample}
      # In the order of their names: a map of protocol buffers has none.
      for name in sorted(named):
        request.inputs[name].CopyFrom(tf.make_tensor_proto(named[name]))
      writer.write(log.SerializeToString(deterministic=True))
