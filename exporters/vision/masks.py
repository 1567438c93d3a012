"""Turns a segmentation model's logits into masks: a class for each pixel.

  model.predict(images)       # A dict of
                              #   `predicted_masks`: int32 [batch, height,
                              #     width], the likeliest class
                              #   `probabilities`: float32 [batch, height,
                              #     width, classes]
  model.image_bytes(files)    # string [batch]: JPEG, PNG, GIF or BMP
  model.tf_example(examples)  # string [batch]: serialized `tf.train.Example`s
                              # with such a file as `image/encoded`

Of files, a mask has the size of the original image. Images of one batch may
have different sizes: `predicted_masks` is as large as the largest, and what is
outside an image has the label that training ignores. `image_sizes`, int32
[batch, 2], has their heights and widths.

The arithmetic is that of Model Garden's `official/vision/serving`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import dataclasses
from typing import Any

from official.vision.ops import preprocess_ops
import tensorflow as tf

from exporters import base
from exporters.vision import encoded

API = "image segmentation"
PREDICT = "predict"
MASKS = "predicted_masks"
PROBABILITIES = "probabilities"
SIZES = "image_sizes"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preparation:
  """How an image of any size becomes what a model takes, and back.

  Attributes:
    image_size: Height and width of what the model takes.
    preserve_aspect_ratio: Whether the image keeps its proportions, and what is
      left of the height or width is filled with `mean`; otherwise it is
      stretched.
    mean: The mean of each channel over the training's images, in [0, 255].
    ignore_label: What a mask has where there is no image.
  """

  image_size: tuple[int, int]
  preserve_aspect_ratio: bool
  mean: Sequence[float]
  ignore_label: int

  def prepared(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Resizes an image, float32 [height, width, 3] in [0, 255].

    Returns:
      The image in [0, 1]; and int32 [2, 2]: its height and width, and those of
      `image_size` in its pixels.
    """
    size = tf.shape(image)[:2]
    if self.preserve_aspect_ratio:
      # The margin is 0 after the image is normalized.
      mean = tf.constant(self.mean, tf.float32)
      resized, info = preprocess_ops.resize_and_crop_image(
        image - mean, self.image_size, padded_size=self.image_size
      )
      resized += mean
      whole = tf.cast(tf.math.ceil(info[1] / info[2]), tf.int32)
    else:
      # As the evaluation does. Model Garden's serving takes squares only.
      resized, whole = tf.image.resize(image, self.image_size), size
    resized = tf.ensure_shape(resized / 255.0, [*self.image_size, 3])
    return resized, tf.stack([size, whole])

  def mask(
    self, logits: tf.Tensor, sizes: tf.Tensor, canvas: tf.Tensor
  ) -> tf.Tensor:
    """Returns the mask of an original image, in the corner of a canvas.

    Args:
      logits: float32 [rows, columns, classes].
      sizes: What `prepared` returned.
      canvas: int32 [2], its height and width.
    """
    height, width = tf.unstack(sizes[0])
    resized = tf.image.resize(logits, sizes[1])[:height, :width]
    return tf.pad(
      tf.argmax(resized, axis=-1, output_type=tf.int32),
      [[0, canvas[0] - height], [0, canvas[1] - width]],
      constant_values=self.ignore_label,
    )


def predict(
  activation: Callable[[tf.Tensor], tf.Tensor],
  spec: tf.TensorSpec,
  samples: Sequence[Any],
  **model: Any,
) -> base.Published:
  """Returns the callable, which is also a signature, that takes tensors.

  Args:
    activation: Turns logits into probabilities.
    spec: What the model takes.
    samples: Its samples.
    **model: Its `reference` and `variables`.
  """
  reference = model.pop("reference")

  def masks(images: tf.Tensor, logits: tf.Tensor) -> dict[str, tf.Tensor]:
    logits = tf.image.resize(logits, tf.shape(images)[1:3])
    return {
      MASKS: tf.argmax(logits, axis=-1, output_type=tf.int32),
      PROBABILITIES: activation(logits),
    }

  return base.Published(
    function=lambda inputs, core: masks(inputs, core(inputs, False)),
    inputs=[spec],
    training=False,
    signature=True,
    parent="core",
    samples=samples,
    reference=lambda inputs: masks(inputs, reference(inputs, training=False)),
    **model,
  )


def of_files(
  name: str, preparation: Preparation, **model: Any
) -> base.Published:
  """Returns the callable, which is also a signature, that takes files.

  Args:
    name: `encoded.IMAGE_BYTES` or `encoded.TF_EXAMPLE`.
    preparation: What becomes of an image.
    **model: The model's `reference` and `variables`.
  """
  reference = model.pop("reference")

  def masks(
    inputs: tf.Tensor, core: Callable[[tf.Tensor], tf.Tensor]
  ) -> dict[str, tf.Tensor]:
    images, sizes = tf.map_fn(
      lambda file: preparation.prepared(encoded.decoded(file)),
      encoded.files(name, inputs),
      fn_output_signature=(
        tf.TensorSpec([*preparation.image_size, 3], tf.float32),
        tf.TensorSpec([2, 2], tf.int32),
      ),
    )
    canvas = tf.reduce_max(sizes[:, 0], axis=0)
    # One at a time: logits of the original size take much memory.
    predicted = tf.map_fn(
      lambda one: preparation.mask(one[0], one[1], canvas),
      (core(images), sizes),
      parallel_iterations=1,
      fn_output_signature=tf.TensorSpec([None, None], tf.int32),
    )
    return {MASKS: predicted, SIZES: sizes[:, 0]}

  return base.Published(
    function=lambda inputs, core: masks(inputs, lambda x: core(x, False)),
    inputs=[tf.TensorSpec([None], tf.string, "inputs")],
    training=False,
    signature=True,
    parent="core",
    api=API,
    samples=[encoded.sample(name, batch) for batch in (1, 3)],
    reference=lambda inputs: masks(
      inputs, lambda x: reference(x, training=False)
    ),
    **model,
  )
