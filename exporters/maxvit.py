r"""Exports MaxViT: classifiers and their feature vectors.

  python -m exporters.maxvit --gin_file=configs/maxvit/maxvit_tiny.gin \
    --gin_bindings="CHECKPOINT = '/path/to/maxvit/ckpt'" \
    --export_path=/tmp/maxvit_tiny

  classify = hub.load("/tmp/maxvit_tiny/classification")
  classify(images)  # float32 [batch, 224, 224, 3] in [0, 1] to logits, float32
                    # [batch, classes]
  layer = hub.KerasLayer("/tmp/maxvit_tiny/feature_vector", trainable=True,
                         arguments=dict(batch_norm_momentum=0.997))
  layer(images)  # float32 [batch, features]

The windows of its attention fix the size of the images; the signature states
it. The paper: https://arxiv.org/abs/2204.01697.
"""

if __name__ == "__main__":
  # The command starts here; the gin file imports this module by its name.
  from exporters.command_line import export_command

  export_command.run()

import dataclasses

# Registers the backbone.
import official.projects.maxvit.modeling.maxvit  # noqa: F401

from exporters.vision import official_vision


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaxViTExporter(official_vision.VisionExporter):
  """Publishes a MaxViT of `official.projects.maxvit`."""

  backbone = "maxvit"
  fixed_size = True
