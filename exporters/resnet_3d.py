r"""Exports ResNet-3D and ResNet-3D-RS: video classifiers.

  python -m exporters.resnet_3d --gin_file=configs/resnet_3d/resnet_3d_50.gin \
    --gin_bindings="CHECKPOINT = '/path/to/resnet_3d_50/ckpt-1'" \
    --export_path=/tmp/resnet_3d_50

  model = hub.load("/tmp/resnet_3d_50")
  model(dict(image=videos))  # float32 [batch, frames, height, width, 3] in
                             # [0, 1] to logits, float32 [batch, classes]

Videos may have any length, height and width. The papers:
https://arxiv.org/abs/2008.03800 and https://arxiv.org/abs/2109.01696.
"""

if __name__ == "__main__":
  # The command starts here; the gin file imports this module by its name.
  from exporters.command_line import export_command

  export_command.run()

import dataclasses

from exporters.video import official_vision


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResNet3DExporter(official_vision.VideoClassificationExporter):
  """Publishes a ResNet-3D or a ResNet-3D-RS of `official.vision`."""

  backbones = ("resnet_3d", "resnet_3d_rs")
