r"""Exports semantic segmentation: DeepLab v3 and v3+, FPN and others.

  python -m exporters.segmentation \
    --gin_file=configs/segmentation/deeplabv3_resnet_101_pascal.gin \
    --gin_bindings="CHECKPOINT = '/path/to/deeplab/ckpt'" \
    --export_path=/tmp/deeplab

The checkpoint is that of a training with Model Garden's task
`semantic_segmentation`.

  model = hub.load("/tmp/deeplab")
  model(images)  # float32 [batch, height, width, 3], RGB in [0, 1], to logits,
                 # float32 [batch, rows, columns, classes], for fine-tuning: as
                 # coarse as the head computes them, such as 1/16 of the height
  model.predict(images)  # A dict, at the height and width of the images:
                         #   `predicted_masks`: int32 [batch, height, width]
                         #   `probabilities`: float32 [batch, height, width,
                         #     classes]

`predict` is also a signature. With `signatures = ['image_bytes', 'tf_example']`
there are two more, which take files and give `predicted_masks` of the original
images; see `exporters.vision.masks`. A mask holds the numbers of classes, in
the order of the labels file: in PASCAL VOC, class 0 is background. Cityscapes
has no background. What training ignores, `.ignore_label`, is not a class.

Images may have any height and width, unless the signature states a size, or the
page a multiple or a least size. The papers: https://arxiv.org/abs/1706.05587
(DeepLab v3), https://arxiv.org/abs/1802.02611 (DeepLab v3+) and
https://arxiv.org/abs/1612.03144 (FPN).
"""

if __name__ == "__main__":
  # The command starts here; the gin file imports this module by its name.
  from exporters.command_line import export_command

  export_command.run()

from collections.abc import Mapping, Sequence
import copy
import dataclasses
from typing import Any

import numpy as np
from official.modeling import activations
from official.vision.configs import semantic_segmentation
from official.vision.modeling import factory
from official.vision.ops import preprocess_ops
import tensorflow as tf
import tf_keras
from typing_extensions import override

from exporters import base
from exporters import vision_task
from exporters.checkpoints import params_file
from exporters.errors import ExportError
from exporters.keras_models import functional
from exporters.saved_model import labels
from exporters.vision import encoded
from exporters.vision import masks
from exporters.vision import reversible

# What the height and width of images must be multiples of, by the type of the
# backbone. Others are built for one size.
_MULTIPLES = {
  "dilated_resnet": 1,
  "efficientnet": 1,
  "mobiledet": 1,
  "mobilenet": 1,
  "resnet": 1,
  "revnet": 32,
}
# The highest level of these backbones, which halve the size five times.
_HIGHEST = 5
_DEEPLABV3PLUS = ("deeplabv3plus", "deeplabv3plus_sum_to_merge")
_PYRAMID = "pyramid_fusion"
# The longest side of images to check a model of any size with.
_LONGEST = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class SemanticSegmentationExporter(
  labels.Labelled, vision_task.VisionTaskExporter
):
  """Publishes a model of `official.vision` that gives each pixel a class.

  Attributes:
    model: The architecture, as in the training's configuration.
    image_size: Height and width that images are brought to for the evaluation,
      as in `validation_data.output_size` of the training's configuration.
    mean: What is subtracted from each channel of an image in [0, 255], as in
      `train_data.image_feature`.
    stddev: What it is then divided by, as there.
    preserve_aspect_ratio: Whether files keep their proportions, as in
      `train_data`: what is missing in height or width is filled in below or on
      the right.
    use_binary_cross_entropy: Whether the loss looked at each class on its own,
      as in `losses`: `probabilities` are then sigmoids, otherwise a softmax.
    ignore_label: The label of pixels that the training ignores, as in `losses`;
      `predicted_masks` of files have it outside of an image.
    signatures: Further signatures, and callables, for images that come as
      files: "image_bytes", "tf_example" or both; see `vision.masks`.
  """

  model: semantic_segmentation.SemanticSegmentationModel
  image_size: Sequence[int]
  mean: Sequence[float] = tuple(preprocess_ops.MEAN_RGB)
  stddev: Sequence[float] = tuple(preprocess_ops.STDDEV_RGB)
  preserve_aspect_ratio: bool = True
  use_binary_cross_entropy: bool = False
  ignore_label: int = 255
  signatures: Sequence[str] = ()

  @override
  def refuse_mistakes(self) -> None:
    encoded.refuse_unknown(self.signatures)
    self.refuse_background_alone()
    super().refuse_mistakes()

  @override
  def build(self) -> base.Build:
    self.refuse_mistakes()
    whole = self.segmenter()
    model = self._of_logits(whole)
    restored = {"model": whole, **whole.checkpoint_items}
    return base.Build(
      restores=[restored], published={"": self._publish(whole, model)}
    )

  def segmenter(self) -> tf_keras.Model:
    """Builds the model as Model Garden does; nothing is restored yet."""
    config = copy.deepcopy(self.model)
    # A consumer has one replica, or a strategy of his own.
    config.norm_activation.use_sync_bn = False
    shape = [*self._free_size(), 3]
    model = factory.build_segmentation_model(
      input_specs=tf_keras.layers.InputSpec(shape=[None, *shape]),
      model_config=config,
      l2_regularizer=self.l2_regularizer,
    )
    self._refuse_missing_levels(model)
    model(tf_keras.Input(shape), training=False)
    reversible.use_ordinary_gradients(model)
    _use_plain_swish(model)
    return model

  def _of_logits(self, whole: tf_keras.Model) -> tf_keras.Model:
    """Returns a model on the layers that the logits depend on."""
    head = self.model.head
    level, low_level = str(head.level), str(head.low_level)
    # What the head takes of the backbone, and of the decoder.
    low = {low_level} if head.feature_fusion in _DEEPLABV3PLUS else set()
    decoder = whole.decoder
    if isinstance(decoder, tf_keras.Model):
      fused = head.feature_fusion == _PYRAMID
      decoder = functional.on_outputs(
        decoder, set(decoder.output) if fused else {level}
      )
      taken = set(decoder.input)
    elif decoder is not None:
      taken = {str(self.model.decoder.get().level)}
    elif head.feature_fusion == _PYRAMID:
      taken = set(whole.backbone.output)
    else:
      taken = {level}
    backbone = functional.on_outputs(whole.backbone, taken | low)
    images = tf_keras.Input(backbone.input.shape[1:])
    features = backbone(images)
    decoded = features
    if decoder is not None:
      decoded = decoder({name: features[name] for name in taken})
    return tf_keras.Model(images, whole.head((features, decoded)))

  def _publish(
    self, whole: tf_keras.Model, model: tf_keras.Model
  ) -> base.Published:
    def normalize(images):
      return preprocess_ops.normalize_image(
        images * 255.0, offset=self.mean, scale=self.stddev
      )

    def reference(images, training):
      return whole(normalize(images), training=training)["logits"]

    height, width = self.image_size
    preparation = masks.Preparation(
      image_size=(height, width),
      preserve_aspect_ratio=self.preserve_aspect_ratio,
      mean=self.mean,
      ignore_label=self.ignore_label,
    )
    spec = tf.TensorSpec([None, *self._free_size(), 3], tf.float32, "images")
    samples = self._samples()
    further = {"reference": reference, "variables": model.variables}
    return base.Published(
      function=lambda images, training: model(
        normalize(images), training=training
      ),
      inputs=[spec],
      outputs=("logits",),
      api=masks.API,
      image_size=(height, width),
      hyperparameters=functional.hyperparameters(model),
      variables=model.variables,
      trainable_variables=model.trainable_variables,
      regularization_losses=functional.regularization_losses(model)[0],
      constants={"ignore_label": self.ignore_label},
      assets=self.labels(self.model.num_classes),
      samples=samples,
      remarks=self._remarks(),
      reference=reference,
      sub_objects={
        masks.PREDICT: masks.predict(
          tf.nn.sigmoid if self.use_binary_cross_entropy else tf.nn.softmax,
          spec,
          samples,
          **further,
        ),
        **{
          name: masks.of_files(name, preparation, **further)
          for name in self.signatures
        },
      },
    )

  def _free_size(self) -> list[int | None]:
    """Returns the height and width that the model is built for, None if any."""
    return [None, None] if self._multiple() else list(self.image_size)

  def _multiple(self) -> int:
    """Returns what height and width must be multiples of; 0 for a fixed size.

    Features of one level are added to those of the next, resized by 2.
    """
    model, decoder = self.model, self.model.decoder
    pools_statically = (
      decoder.type == "aspp" and decoder.get().spp_layer_version != "v1"
    )
    if model.head.feature_fusion == _PYRAMID or pools_statically:
      return 0
    multiple = _MULTIPLES.get(model.backbone.type, 0)
    if multiple and decoder.type == "fpn":
      # The levels above the backbone's are not added to others.
      multiple = max(multiple, 2 ** min(model.max_level, _HIGHEST))
    elif multiple and decoder.type == "nasfpn":
      multiple = max(multiple, 2**model.max_level)
    return multiple

  def _smallest(self) -> tuple[int, int]:
    """Returns the smallest height and width that the model takes."""
    decoder = self.model.decoder
    pooled = decoder.type == "aspp" and decoder.get().pool_kernel_size
    if pooled:
      height, width = pooled
      return height, width
    return (self._multiple() or 1,) * 2

  def _samples(self) -> list[np.ndarray]:
    """Returns images of batch 1 and 3, of two sizes where possible."""
    rng = np.random.default_rng(0)
    multiple = self._multiple()
    sizes = [tuple(self.image_size)] * 2
    if multiple:
      sizes = [
        tuple(
          max(int(min(side, _LONGEST) * share) // multiple * multiple, least)
          for side, share, least in zip(
            self.image_size, shares, self._smallest(), strict=True
          )
        )
        for shares in ((1, 1), (3 / 4, 7 / 8))
      ]
    return [
      rng.random([batch, *size, 3], np.float32)
      for batch, size in zip((1, 3), sizes, strict=True)
    ]

  def _remarks(self) -> list[str]:
    remarks = []
    height, width = self._smallest()
    multiple = self._multiple()
    if multiple > 1:
      remarks.append(
        f"Height and width of the images must be multiples of {multiple}."
      )
    elif multiple and (height, width) != (1, 1):
      remarks.append(f"Images must be at least {height} x {width} pixels.")
    return remarks

  @override
  def refuse_other_models(self) -> None:
    model, head, size = self.model, self.model.head, list(self.image_size)
    if len(size) != 2 or not all(size):
      raise ExportError(
        f"image_size = {size} must be [height, width], the size that images "
        "are brought to for the evaluation."
      )
    *sides, channels = list(model.input_size) or [None]
    if channels != 3 or sides not in ([None, None], size):
      raise ExportError(
        f"input_size = {list(model.input_size)} must be [None, None, 3] or "
        f"{[*size, 3]}, image_size and three channels. Models of other "
        "channels are not exported."
      )
    if model.num_classes < 2:
      raise ExportError(
        f"num_classes = {model.num_classes} must be at least 2: a mask tells "
        "which of several classes a pixel shows."
      )
    if head.logit_activation is not None:
      raise ExportError(
        f"head.logit_activation = '{head.logit_activation}' makes the head "
        "return something else than logits. Bind it to None: the weights are "
        "the same, and `predict` gives probabilities."
      )
    if model.mask_scoring_head is not None:
      raise ExportError(
        "A mask_scoring_head is not exported. Bind it to None: the rest of the "
        "checkpoint is restored without it."
      )
    if head.feature_fusion == "panoptic_fpn_fusion":
      raise ExportError(
        "Model Garden can't build a head with feature_fusion = "
        "'panoptic_fpn_fusion' for this task, so no checkpoint can have it: "
        "its factory leaves out the levels to fuse. Bind what the training had."
      )
    known = (None, _PYRAMID, *_DEEPLABV3PLUS)
    if head.feature_fusion not in known:
      raise ExportError(
        f"head.feature_fusion = '{head.feature_fusion}' must be one of "
        f"{', '.join(map(repr, known))}."
      )
    if len(self.mean) != 3 or len(self.stddev) != 3 or not all(self.stddev):
      raise ExportError(
        f"mean = {list(self.mean)} and stddev = {list(self.stddev)} must each "
        "have three numbers, one for each channel, and no stddev may be 0."
      )
    self._refuse_sizes()

  def _refuse_sizes(self) -> None:
    size, least, multiple = self.image_size, self._smallest(), self._multiple()
    if multiple and any(side % multiple for side in size):
      raise ExportError(
        f"image_size = {list(size)} must be multiples of {multiple}, as this "
        "architecture needs."
      )
    if any(side < low for side, low in zip(size, least, strict=True)):
      raise ExportError(
        f"image_size = {list(size)} must be at least {list(least)}, the "
        "pool_kernel_size of the decoder."
      )

  def _refuse_missing_levels(self, model: tf_keras.Model) -> None:
    """Refuses a head or decoder that asks for a level that is not there."""
    head, decoder = self.model.head, self.model.decoder
    found = {"backbone": set(model.backbone.output)}
    wanted = []
    if decoder.type == "aspp":
      wanted.append(("decoder.aspp.level", decoder.get().level, "backbone"))
      found["decoder"] = {str(decoder.get().level)}
    elif model.decoder is not None:
      found["decoder"] = set(model.decoder.output)
    wanted.append(
      ("head.level", head.level, "decoder" if model.decoder else "backbone")
    )
    if head.feature_fusion in _DEEPLABV3PLUS:
      wanted.append(("head.low_level", head.low_level, "backbone"))
    for name, level, owner in wanted:
      if str(level) not in found[owner]:
        raise ExportError(
          f"{name} = {level!r} is not among the levels of the {owner}: "
          f"{', '.join(sorted(found[owner]))}. Bind what the training had."
        )

  @override
  def stated(self) -> Mapping[str, Any]:
    model = params_file.stated(
      self.model.as_dict(),
      # What is not exported; see `refuse_other_models`.
      free={"logit_activation", "mask_scoring_head"},
    )
    data = {
      "preserve_aspect_ratio": self.preserve_aspect_ratio,
      "image_feature": {"mean": self.mean, "stddev": self.stddev},
    }
    losses = {
      "ignore_label": self.ignore_label,
      "use_binary_cross_entropy": self.use_binary_cross_entropy,
    }
    return {"task": {"model": model, "train_data": data, "losses": losses}}


def _use_plain_swish(model: tf_keras.Model) -> None:
  """Replaces TensorFlow's swish, whose own gradient converters can't read.

  Not before the model is built: the layers in a checkpoint are numbered, and
  others would come in between.
  """
  swish = (tf.nn.silu, tf.nn.silu.__wrapped__, tf_keras.activations.swish)
  for layer in model.submodules:
    for name, value in [*vars(layer).items()]:
      if any(value is one for one in swish):
        setattr(layer, name, activations.simple_swish)
