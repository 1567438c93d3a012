r"""Exports SpineNet and SpineNet-mobile: classifiers and feature vectors.

  python -m exporters.spinenet --gin_file=configs/spinenet/spinenet_49.gin \
    --gin_bindings="CHECKPOINT = '/path/to/spinenet/ckpt'" \
    --export_path=/tmp/spinenet_49

  classify = hub.load("/tmp/spinenet_49/classification")
  classify(images)  # float32 [batch, 256, 256, 3] in [0, 1] to logits, float32
                    # [batch, classes]
  layer = hub.KerasLayer("/tmp/spinenet_49/feature_vector", trainable=True)
  layer(images)  # float32 [batch, features]

Model Garden connects the blocks by comparing their sizes, so the size of the
images is fixed; the signature states it. Its classifier takes the last of the
backbone's outputs, where the paper's averages all five. The papers:
https://arxiv.org/abs/1912.05027 and, for SpineNet-mobile,
https://arxiv.org/abs/2010.11426.
"""

if __name__ == "__main__":
  # The command starts here; the gin file imports this module by its name.
  from exporters.command_line import export_command

  export_command.run()

from collections.abc import Iterator
import dataclasses
import math
from typing import ClassVar

from official.vision.modeling.backbones import spinenet
from official.vision.modeling.backbones import spinenet_mobile
import tf_keras
from typing_extensions import override

from exporters.errors import ExportError
from exporters.vision import images
from exporters.vision import official_vision


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpineNetExporter(official_vision.VisionExporter):
  """Publishes a SpineNet of `official.vision`.

  The classifier takes the last of the backbone's outputs, one for each level
  from `min_level` to `max_level`. What only the others need is restored, but
  not published.
  """

  backbone = "spinenet"
  fixed_size = True

  # The levels of the stem's two blocks.
  stem_levels: ClassVar[tuple[int, int]] = (2, 2)

  @override
  def classifier(self) -> images.Classifier:
    classifier = super().classifier()
    return dataclasses.replace(
      classifier, published=_of_last_output(classifier.model)
    )

  @override
  def refuse_other_models(self) -> None:
    super().refuse_other_models()
    height, width, _ = self.model.input_size
    if not self._fits(height, width):
      raise ExportError(
        f"Model Garden can't build '{self.backbone}' for input_size = "
        f"{list(self.model.input_size)}: the outputs of blocks that it adds "
        "would differ in size. Give the size that the model was trained on. "
        "Multiples of 128 always fit."
      )

  def blocks(self) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yields each block after the stem: its level, and which two it adds."""
    for level, _, inputs, _ in spinenet.SPINENET_BLOCK_SPECS:
      yield level, inputs

  def _fits(self, height: int, width: int) -> bool:
    """Tells whether the two that a block adds always get the same size."""
    widths = [math.ceil(width / 2**level) for level in self.stem_levels]
    sizes = [
      tuple(math.ceil(side / 2**level) for side in (height, width))
      for level in self.stem_levels
    ]
    for level, inputs in self.blocks():
      target = math.ceil(width / 2**level)
      first, second = (
        tuple(_resampled(side, widths[i], target) for side in sizes[i])
        for i in inputs
      )
      if first != second:
        return False
      widths.append(target)
      sizes.append(first)
    return True


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpineNetMobileExporter(SpineNetExporter):
  """Publishes a SpineNet-mobile of `official.vision`, as SpineNets are."""

  backbone = "spinenet_mobile"
  stem_levels = (1, 2)

  @override
  def blocks(self) -> Iterator[tuple[int, tuple[int, int]]]:
    highest = self.model.backbone.get().max_level
    for level, _, inputs, _ in spinenet_mobile.SPINENET_BLOCK_SPECS:
      yield min(level, highest), inputs


def _resampled(side: int, width: float, target: int) -> int:
  """Returns a side's length once `width` is brought to `target`.

  As Model Garden does it: by halving, or by a whole factor.
  """
  while width > target:
    side, width = math.ceil(side / 2), width / 2
  return side * int(target // width)


def _of_last_output(model: tf_keras.Model) -> tf_keras.Model:
  """Returns a classifier on the same layers, without those of other outputs."""
  outputs = model.backbone.output
  last = max(outputs)  # As Model Garden chooses it.
  backbone = tf_keras.Model(model.backbone.inputs, outputs[last])
  inputs = tf_keras.Input(model.inputs[0].shape[1:])
  x = backbone(inputs)
  whole = model.layers.index(model.backbone)
  for layer in model.layers[whole + 1 :]:
    x = layer(x)
  return tf_keras.Model(inputs, x)
