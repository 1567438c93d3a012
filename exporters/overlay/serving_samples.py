"""Inputs to check serving functions of Model Garden's vision models with."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

# What stands for dimensions that are open: sizes of a small photograph.
_OPEN = (72, 96)
_FRAMES = 40
_KEY = "image/encoded"
_EXAMPLES = ("tf_example", "serve_examples")


def samples(key: str, inputs: Any) -> list[Any]:
  """Returns inputs of a function, of two batch sizes where that is open.

  Args:
    key: Model Garden's key of the function, such as "image_bytes".
    inputs: The spec of its input, or a dict of several.

  Returns:
    Arrays, or dicts of them. An empty list if no input can be made up: strings
    may be anything.
  """
  specs = tf.nest.flatten(inputs)
  known = ("image_bytes", *_EXAMPLES)
  if any(spec.dtype == tf.string for spec in specs) and key not in known:
    return []
  batches = [1, 3]
  if specs[0].shape.rank and specs[0].shape[0] is not None:
    batches = [specs[0].shape[0]]
  if isinstance(inputs, Mapping):
    return [
      {name: _sample(key, spec, batch) for name, spec in inputs.items()}
      for batch in batches
    ]
  return [_sample(key, inputs, batch) for batch in batches]


def _sample(key: str, spec: tf.TensorSpec, batch: int) -> np.ndarray:
  if spec.dtype == tf.string:
    files = [_file(i) for i in range(batch)]
    if key in _EXAMPLES:
      files = [_example(file) for file in files]
    return np.array(files, object)
  rng = np.random.default_rng(batch)
  open_sizes = iter(_OPEN)
  shape = [batch] + [
    next(open_sizes, 2) if size is None else size for size in spec.shape[1:]
  ]
  if spec.dtype.is_integer:
    return rng.integers(256, size=shape).astype(spec.dtype.as_numpy_dtype)
  return rng.random(shape).astype(spec.dtype.as_numpy_dtype)


def _file(seed: int) -> bytes:
  """Returns a JPEG or a PNG; all have one size, which some models need."""
  colours = np.random.default_rng(seed).integers(256, size=[5, 4, 3])
  image = tf.cast(tf.image.resize(colours, _OPEN), tf.uint8)
  encode = tf.io.encode_png if seed % 2 else tf.io.encode_jpeg
  return encode(image).numpy()


def _example(file: bytes) -> bytes:
  """Returns an example that is one of an image and one of a video.

  The features of a `SequenceExample` lie beside those of an `Example`.
  """
  feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[file]))
  features = tf.train.Features(feature={_KEY: feature})
  frames = tf.train.FeatureLists(
    feature_list={_KEY: tf.train.FeatureList(feature=[feature] * _FRAMES)}
  )
  # Field 1 of both messages is of the same type; the other is skipped.
  return tf.train.SequenceExample(
    context=features, feature_lists=frames
  ).SerializeToString()
