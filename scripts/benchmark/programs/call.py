"""Prints how long calls take: of ours, the Garden's, and the reference.

The reference is a `tf.function` of Model Garden's own model. Of a model for a
task, it is the signature that a server would call, so there is no reference
but the Garden's. They take turns, call by call, so that a machine that slows
down slows all of them; in random order, because each call leaves its own
weights in the cache.
"""

from collections.abc import Callable
import functools
import itertools
import json
import pathlib
import random
import statistics
import sys
import time
from typing import Any

import numpy as np
from official.legacy.image_classification.resnet import resnet_model
from official.nlp.configs import encoders
import tensorflow as tf
import tensorflow_hub as hub

from exporters import movinet
from exporters import recipe

_SECONDS = 8.0
_NAMES = ("input_word_ids", "input_mask", "input_type_ids")


def main(model: str, ours: str, garden: str) -> None:
  work = pathlib.Path(ours).parent
  callables: dict[str, Any] = {
    "ours": hub.load(ours),
    "garden": hub.load(garden),
  }
  if model in _SERVED:
    for name, signature in zip(callables, _SERVED[model], strict=True):
      callables[name] = _served(callables[name].signatures[signature])
  else:
    callables["reference"] = _reference(model, work)
  video = "movinet" in model
  cases = _videos(model, work) if video else _CASES[model]()
  medians = {
    name: _medians(callables, inputs) for name, inputs in cases.items()
  }
  print(json.dumps(medians))


def _reference(model, work):
  if "movinet" in model:
    return tf.function(_movinet(model, work))
  return {"bert": _bert, "resnet": _resnet}[model]()


@functools.cache
def _movinet(model, work):
  size, kind = model.split("_")[1:]
  gin_file = f"configs/movinet/movinet_{size}_{kind}.gin"
  # What lies beside the checkpoint is read too.
  checkpoint = f"CHECKPOINT = '{work / 'ckpt-1'}'"
  exporter = recipe.load([gin_file], [checkpoint]).exporter
  assert isinstance(exporter, movinet.MoViNetExporter)
  return exporter.classifier().model


def _videos(model, work):
  """A clip for a base, which takes seconds, and single frames for a stream."""
  network = _movinet(model, work)
  frames = 1 if model.endswith("stream") else 8
  cases = {}
  for batch in (1, 4) if frames == 1 else (1,):
    shape = [batch, frames, 172, 172, 3]
    states = network.init_states(tf.constant(shape)) if frames == 1 else {}
    inputs = {**states, "image": tf.ones(shape) / 2}
    cases[f"batch {batch}, {frames} frame{'s' * (frames > 1)}"] = inputs
  return cases


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


def _texts(lengths=(16, 128, 512)):
  sizes = itertools.product((1, 8), lengths)
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


def _files():
  rng = np.random.default_rng(0)
  image = tf.image.resize(rng.integers(256, size=[12, 16, 3]), [480, 640])
  file = tf.io.encode_jpeg(tf.cast(image, tf.uint8))
  return {
    f"batch {batch}": {"inputs": tf.repeat(file, batch)} for batch in (1, 4)
  }


def _served(signature):
  names = signature.structured_input_signature[1]

  def call(inputs):
    (name, *others) = names
    if not others:
      (inputs,) = inputs.values()
      inputs = {name: inputs}
    return list(signature(**inputs).values())[0]

  return call


_CASES: dict[str, Callable[[], Any]] = {
  "bert": _texts,
  "resnet": _images,
  "sentence_prediction": functools.partial(_texts, (16, 128)),
  "retinanet": _files,
}
# What servers call: of ours, and of the Garden's.
_SERVED = {
  "sentence_prediction": ("serving_default", "serving_default"),
  "retinanet": ("image_bytes", "serving_default"),
}


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
  elif isinstance(outputs, (list, tuple)):
    outputs, _ = outputs
  return outputs.numpy()


if __name__ == "__main__":
  main(*sys.argv[1:])
