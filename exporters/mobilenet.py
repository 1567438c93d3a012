r"""Exports MobileNet, V1 to V4: classifiers and their feature vectors.

  python -m exporters.mobilenet \
    --gin_file=configs/mobilenet/mobilenet_v2.gin \
    --gin_bindings="CHECKPOINT = '/path/to/ckpt-156000'" \
    --export_path=/tmp/mobilenet_v2

  classify = hub.load("/tmp/mobilenet_v2/classification")
  classify(images)  # float32 [batch, height, width, 3] in [0, 1] to logits,
                    # float32 [batch, classes]
  layer = hub.KerasLayer("/tmp/mobilenet_v2/feature_vector", trainable=True,
                         arguments=dict(batch_norm_momentum=0.997))
  layer(images)  # float32 [batch, features]

Images may have any height and width. The papers:
https://arxiv.org/abs/1801.04381 (V2) and https://arxiv.org/abs/1905.02244 (V3).
"""

if __name__ == "__main__":
  # The command starts here; the gin file imports this module by its name.
  from exporters.command_line import export_command

  export_command.run()

import dataclasses

from exporters.vision import official_vision


@dataclasses.dataclass(frozen=True, kw_only=True)
class MobileNetExporter(official_vision.VisionExporter):
  """Publishes a MobileNet of `official.vision`."""

  backbone = "mobilenet"
