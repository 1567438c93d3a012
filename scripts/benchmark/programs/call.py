"""Prints how long calls take: of ours, the Garden's, and the reference.

The reference is a `tf.function` of Model Garden's own model. They take turns,
call by call, so that a machine that slows down slows all of them; in random
order, because each call leaves its own weights in the cache.
"""

import functools
import itertools
import json
import random
import statistics
import sys
import time

from official.legacy.image_classification.resnet import resnet_model
from official.nlp.configs import encoders
import tensorflow as tf
import tensorflow_hub as hub

_SECONDS = 8.0
_NAMES = ("input_word_ids", "input_mask", "input_type_ids")


def main(model: str, ours: str, garden: str) -> None:
  callables = {
    "ours": hub.load(ours),
    "garden": hub.load(garden),
    "reference": {"bert": _bert, "resnet": _resnet}[model](),
  }
  medians = {
    name: _medians(callables, inputs)
    for name, inputs in _CASES[model]().items()
  }
  print(json.dumps(medians))


def _bert():
  encoder = encoders.build_encoder(encoders.EncoderConfig(type="bert"))
  spec = tf.TensorSpec([None, None], tf.int32)
  return tf.function(
    encoder,
    input_signature=[dict.fromkeys(_NAMES, spec)],
  )


def _resnet():
  model = resnet_model.resnet50(1001)
  return tf.function(
    functools.partial(model, training=False),
    input_signature=[tf.TensorSpec([None, 224, 224, 3])],
  )


def _texts():
  sizes = itertools.product((1, 8), (16, 128, 512))
  return {
    f"batch {batch}, length {length}": dict.fromkeys(
      _NAMES, tf.ones([batch, length], tf.int32)
    )
    for batch, length in sizes
  }


def _images():
  return {
    f"batch {batch}": tf.ones([batch, 224, 224, 3]) / 2 for batch in (1, 8)
  }


_CASES = {"bert": _texts, "resnet": _images}


def _medians(callables, inputs):
  times: dict[str, list[float]] = {name: [] for name in callables}
  for call in callables.values():
    _run(call, inputs)
  order = random.Random(0)
  turns = list(callables.items())
  begun = time.monotonic()
  while time.monotonic() - begun < _SECONDS or len(times["ours"]) < 5:
    order.shuffle(turns)
    for name, call in turns:
      started = time.monotonic()
      _run(call, inputs)
      times[name].append(time.monotonic() - started)
  return {name: statistics.median(values) for name, values in times.items()}


def _run(call, inputs):
  outputs = call(inputs)
  # A consumer has to wait until they are computed.
  if isinstance(outputs, dict):
    outputs = outputs["pooled_output"]
  return outputs.numpy()


if __name__ == "__main__":
  main(*sys.argv[1:])
