"""Requests that TF Serving sends to a model to warm it up.

https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

from __future__ import annotations

from collections.abc import Mapping
import os

import tensorflow as tf

from exporters.saved_model import reusable
from exporters.saved_model.published import Published

# TF Serving looks for it there. Loaders ignore the folder.
FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")


def write(published: Published, path: str) -> None:
  """Writes one request for each sample input.

  Args:
    published: The model; `serving_default` gets its `samples`.
    path: Its SavedModel, which has been written.
  """
  from tensorflow_serving.apis import prediction_log_pb2

  file = os.path.join(path, FILE)
  os.mkdir(os.path.dirname(file))
  with tf.io.TFRecordWriter(file) as writer:
    for sample in published.served.samples:
      log = prediction_log_pb2.PredictionLog()
      request = log.predict_log.request
      request.model_spec.signature_name = reusable.SERVING_DEFAULT
      named = sample
      if not isinstance(sample, Mapping):
        named = {published.served.inputs[0].name: sample}
      # Sorted, because a map in a protocol buffer has no order of its own.
      for name in sorted(named):
        request.inputs[name].CopyFrom(tf.make_tensor_proto(named[name]))
      writer.write(log.SerializeToString(deterministic=True))
