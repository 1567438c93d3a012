r"""Exports EfficientNet: classifiers and their feature vectors.

  python -m exporters.efficientnet \
    --gin_file=configs/efficientnet/efficientnet_b0.gin \
    --gin_bindings="CHECKPOINT = '/path/to/ckpt-109375'" \
    --export_path=/tmp/efficientnet_b0

  classify = hub.load("/tmp/efficientnet_b0/classification")
  classify(images)  # float32 [batch, height, width, 3] in [0, 1] to logits,
                    # float32 [batch, classes]
  layer = hub.KerasLayer("/tmp/efficientnet_b0/feature_vector", trainable=True,
                         arguments=dict(batch_norm_momentum=0.997))
  layer(images)  # float32 [batch, features]

Images may have any height and width. The paper:
https://arxiv.org/abs/1905.11946.
"""

if __name__ == "__main__":
  # The command starts here; the gin file imports this module by its name.
  from exporters.command_line import export_command

  export_command.run()

import dataclasses

from official.legacy.image_classification.efficientnet import efficientnet_model
from typing_extensions import override

from exporters.vision import encoded
from exporters.vision import images
from exporters.vision import official_vision


@dataclasses.dataclass(frozen=True, kw_only=True)
class EfficientNetExporter(official_vision.VisionExporter):
  """Publishes an EfficientNet of `official.vision`, b0 to b7."""

  backbone = "efficientnet"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LegacyEfficientNetExporter(images.ImageExporter):
  """Publishes an EfficientNet of `official.legacy.image_classification`.

  Attributes:
    model: The architecture, as in the training's configuration; its
      `resolution` is that of the images that it was trained on.
  """

  model: efficientnet_model.ModelConfig

  @override
  def classifier(self) -> images.Classifier:
    size = (self.model.resolution, self.model.resolution)
    return images.Classifier(
      # So the model itself normalizes images, which it takes in [0, 255],
      # whatever the training's configuration says.
      model=efficientnet_model.EfficientNet(
        self.model, overrides={"rescale_input": True}
      ),
      normalize=lambda images: images * 255.0,
      prepare=lambda image: encoded.central_crop(image, size, legacy=True),
      image_size=size,
    )
