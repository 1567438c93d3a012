r"""Exports Vision Transformers: classifiers and their feature vectors.

  python -m exporters.vit --gin_file=configs/vit/vit_b16.gin \
    --gin_bindings="CHECKPOINT = '/path/to/ckpt-93600'" \
    --export_path=/tmp/vit_b16

  classify = hub.load("/tmp/vit_b16/classification")
  classify(images)  # float32 [batch, 224, 224, 3] in [0, 1] to logits, float32
                    # [batch, classes]
  layer = hub.KerasLayer("/tmp/vit_b16/feature_vector", trainable=True)
  layer(images)  # float32 [batch, features]

The position embeddings fix the size of the images; the signature states it. The
papers: https://arxiv.org/abs/2010.11929 and, for the training,
https://arxiv.org/abs/2012.12877.
"""

if __name__ == "__main__":
  # The command starts here; the gin file imports this module by its name.
  from exporters.command_line import export_command

  export_command.run()

import dataclasses

from exporters.vision import official_vision


@dataclasses.dataclass(frozen=True, kw_only=True)
class ViTExporter(official_vision.VisionExporter):
  """Publishes a Vision Transformer of `official.vision`."""

  backbone = "vit"
  fixed_size = True
