r"""Exports RevNet: classifiers and their feature vectors.

  python -m exporters.revnet --gin_file=configs/revnet/revnet_56.gin \
    --gin_bindings="CHECKPOINT = '/path/to/revnet/ckpt'" \
    --export_path=/tmp/revnet_56

  classify = hub.load("/tmp/revnet_56/classification")
  classify(images)  # float32 [batch, height, width, 3] in [0, 1] to logits,
                    # float32 [batch, classes]
  layer = hub.KerasLayer("/tmp/revnet_56/feature_vector", trainable=True)
  layer(images)  # float32 [batch, features]

Height and width of images are multiples of 32. The paper:
https://arxiv.org/abs/1707.04585.
"""

if __name__ == "__main__":
  # The command starts here; the gin file imports this module by its name.
  from exporters.command_line import export_command

  export_command.run()

import dataclasses

from typing_extensions import override

from exporters.vision import images
from exporters.vision import official_vision
from exporters.vision import reversible


@dataclasses.dataclass(frozen=True, kw_only=True)
class RevNetExporter(official_vision.VisionExporter):
  """Publishes a RevNet of `official.vision`.

  Its reversible layers keep their activations, as ordinary layers do; see
  `vision.reversible`.
  """

  backbone = "revnet"
  # The stem and the stages halve the size five times, and what bypasses a stage
  # must halve it evenly.
  size_multiple = 32

  @override
  def classifier(self) -> images.Classifier:
    classifier = super().classifier()
    reversible.use_ordinary_gradients(classifier.model)
    return classifier
