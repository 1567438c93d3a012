r"""Exports MobileDet: classifiers and their feature vectors.

  python -m exporters.mobiledet \
    --gin_file=configs/mobiledet/mobiledet_cpu.gin \
    --gin_bindings="CHECKPOINT = '/path/to/mobiledet/ckpt'" \
    --export_path=/tmp/mobiledet_cpu

  classify = hub.load("/tmp/mobiledet_cpu/classification")
  classify(images)  # float32 [batch, height, width, 3] in [0, 1] to logits,
                    # float32 [batch, classes]
  layer = hub.KerasLayer("/tmp/mobiledet_cpu/feature_vector", trainable=True,
                         arguments=dict(batch_norm_momentum=0.997))
  layer(images)  # float32 [batch, features]

Images may have any height and width. The paper:
https://arxiv.org/abs/2004.14525.
"""

if __name__ == "__main__":
  # The command starts here; the gin file imports this module by its name.
  from exporters.command_line import export_command

  export_command.run()

import dataclasses

from exporters.vision import official_vision


@dataclasses.dataclass(frozen=True, kw_only=True)
class MobileDetExporter(official_vision.VisionExporter):
  """Publishes a MobileDet of `official.vision`."""

  backbone = "mobiledet"
