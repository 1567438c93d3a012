r"""Exports ResNet and ResNet-RS: classifiers and their feature vectors.

  python -m exporters.resnet --gin_file=configs/resnet/resnet_50.gin \
    --gin_bindings="CHECKPOINT = '/path/to/ckpt-62400'" \
    --export_path=/tmp/resnet_50

  classify = hub.load("/tmp/resnet_50/classification")
  classify(images)  # float32 [batch, height, width, 3] in [0, 1] to logits,
                    # float32 [batch, classes]
  layer = hub.KerasLayer("/tmp/resnet_50/feature_vector", trainable=True,
                         arguments=dict(batch_norm_momentum=0.997))
  layer(images)  # float32 [batch, features]

Images may have any height and width. The papers:
https://arxiv.org/abs/1512.03385 and https://arxiv.org/abs/2103.07579.
"""

if __name__ == "__main__":
  # The command starts here; the gin file imports this module by its name.
  from exporters.command_line import export_command

  export_command.run()

import dataclasses

import numpy as np
from official.legacy.image_classification.resnet import imagenet_preprocessing
from official.legacy.image_classification.resnet import resnet_model
from typing_extensions import override

from exporters.vision import encoded
from exporters.vision import images
from exporters.vision import official_vision


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResNetExporter(official_vision.VisionExporter):
  """Publishes a ResNet of `official.vision`, of depth 10 to 420."""

  backbone = "resnet"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LegacyResNet50Exporter(images.ImageExporter):
  """Publishes the ResNet-50 of `official.legacy.image_classification`.

  Attributes:
    num_classes: The number of logits.
    l2_weight_decay: The factor of the sum of squares in each regularization
      loss; Model Garden trains with 1e-4.
  """

  num_classes: int
  l2_weight_decay: float

  @override
  def classifier(self) -> images.Classifier:
    model = resnet_model.resnet50(self.num_classes)
    # `resnet50` has no argument for the weight decay.
    for layer in model.layers:
      for name in ("kernel_regularizer", "bias_regularizer"):
        if getattr(layer, name, None):
          getattr(layer, name).l2 = np.float32(self.l2_weight_decay)
    return images.Classifier(
      model=model,
      normalize=lambda images: (
        images * 255.0 - imagenet_preprocessing.CHANNEL_MEANS
      ),
      prepare=lambda image: encoded.central_window(image, (224, 224)),
      image_size=(224, 224),
    )
