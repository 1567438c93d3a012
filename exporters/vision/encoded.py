"""Signatures that take images as files, as clients send them to servers.

  model.image_bytes(files)    # string [batch]: JPEG, PNG, GIF or BMP
  model.tf_example(examples)  # string [batch]: serialized `tf.train.Example`s
                              # with such a file as `image/encoded`

The names are those of Model Garden's `official/vision/serving`. Images of one
batch may have different sizes: each is cut and resized as Model Garden does to
evaluate the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from exporters import base
from exporters.errors import ExportError

IMAGE_BYTES = "image_bytes"
TF_EXAMPLE = "tf_example"
_KEY = "image/encoded"


def published(
  name: str,
  prepare: Callable[[tf.Tensor], tf.Tensor],
  image_size: tuple[int, int],
  **model: Any,
) -> base.Published:
  """Returns the callable, which is also a signature, of an image model.

  Args:
    name: `IMAGE_BYTES` or `TF_EXAMPLE`.
    prepare: Takes an image, float32 [height, width, 3] in [0, 255]; returns it
      as the model takes it, float32 [*image_size, 3] in [0, 255].
    image_size: Height and width of what the model takes.
    **model: The model's `reference`, `outputs` and `variables`.
  """
  reference = model.pop("reference")

  def image(file: tf.Tensor) -> tf.Tensor:
    pixels = prepare(decoded(file))
    return tf.ensure_shape(pixels / 255.0, [*image_size, 3])

  def images(inputs: tf.Tensor) -> tf.Tensor:
    spec = tf.TensorSpec([*image_size, 3], tf.float32)
    return tf.map_fn(image, files(name, inputs), fn_output_signature=spec)

  return base.Published(
    function=lambda inputs, core: core(images(inputs), False),
    inputs=[tf.TensorSpec([None], tf.string, "inputs")],
    training=False,
    signature=True,
    parent="core",
    samples=[sample(name, batch) for batch in (1, 3)],
    reference=lambda inputs: reference(images(inputs), training=False),
    **model,
  )


def refuse_unknown(signatures: Sequence[str]) -> None:
  """Raises `ExportError` unless an exporter's `signatures` are those above."""
  known = (IMAGE_BYTES, TF_EXAMPLE)
  if not set(signatures) <= {*known}:
    raise ExportError(
      f"signatures = {list(signatures)} may name "
      f"{' and '.join(map(repr, known))}; the one that takes tensors is "
      "always there."
    )


def files(name: str, inputs: tf.Tensor) -> tf.Tensor:
  """Returns the files, string [batch], that the callable `name` is given."""
  if name != TF_EXAMPLE:
    return inputs
  feature = tf.io.FixedLenFeature([], tf.string)
  return tf.io.parse_example(inputs, {_KEY: feature})[_KEY]


def decoded(file: tf.Tensor) -> tf.Tensor:
  """Returns the image in a file, float32 [height, width, 3] in [0, 255]."""
  pixels = tf.io.decode_image(file, channels=3, expand_animations=False)
  pixels.set_shape([None, None, 3])
  return tf.cast(pixels, tf.float32)


def central_crop(
  image: tf.Tensor, image_size: Sequence[int], *, legacy: bool = False
) -> tf.Tensor:
  """Cuts the square in an image's middle and resizes it, bilinearly.

  Args:
    image: float32 [height, width, 3].
    image_size: The height and width to resize to.
    legacy: Whether to do as the code of `official.legacy`: to leave out a
      margin of 32 pixels of the result, which `official.vision` takes as an
      eighth, and to resize without half pixels.
  """
  sides = tf.shape(image)[:2]
  shorter = tf.cast(tf.reduce_min(sides), tf.float32)
  share = image_size[0] / (image_size[0] + 32) if legacy else 0.875
  crop = tf.cast(share * shorter, tf.int32)
  if legacy:
    offset = (sides - crop + 1) // 2
  else:
    offset = tf.cast(
      (tf.cast(sides, tf.float32) - share * shorter) / 2.0, tf.int32
    )
  square = tf.slice(image, [offset[0], offset[1], 0], [crop, crop, 3])
  if legacy:
    return tf.compat.v1.image.resize(square, image_size)
  return tf.image.resize(square, image_size)


def central_window(image: tf.Tensor, image_size: Sequence[int]) -> tf.Tensor:
  """Resizes an image's shorter side to 256 and cuts out its middle.

  As the ResNet-50 of `official.legacy` was evaluated.

  Args:
    image: float32 [height, width, 3].
    image_size: The height and width of the window, at most 256.
  """
  sides = tf.shape(image)[:2]
  scale = 256.0 / tf.cast(tf.reduce_min(sides), tf.float32)
  sides = tf.cast(tf.cast(sides, tf.float32) * scale, tf.int32)
  resized = tf.compat.v1.image.resize(image, sides)
  offset = (sides - image_size) // 2
  return tf.slice(resized, [offset[0], offset[1], 0], [*image_size, 3])


def sample(name: str, batch: int) -> np.ndarray:
  """Returns files of images of several sizes, JPEG and PNG."""
  rng = np.random.default_rng(batch)
  found = []
  for i in range(batch):
    colours = rng.integers(256, size=[5, 4, 3])
    size = [90 + 40 * i, 120]
    image = tf.cast(tf.image.resize(colours, size), tf.uint8)
    encode = tf.io.encode_png if i % 2 else tf.io.encode_jpeg
    file = encode(image).numpy()
    if name == TF_EXAMPLE:
      feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[file]))
      features = tf.train.Features(feature={_KEY: feature})
      file = tf.train.Example(features=features).SerializeToString()
    found.append(file)
  return np.array(found, object)
