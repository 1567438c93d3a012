"""ResNet-3Ds of some thousand weights, which gin files get by importing this.

`model_id` names them by their depth, as 50 names the smallest that Model Garden
has.
"""

import dataclasses

from official.vision.configs import backbones_3d
from official.vision.modeling.backbones import resnet_3d

_BLOCK = "bottleneck3d"

resnet_3d.RESNET_SPECS[11] = [(_BLOCK, 4, 2), (_BLOCK, 8, 1)]
resnet_3d.RESNET_SPECS[14] = [(_BLOCK, width, 1) for width in (4, 6, 8, 10)]


@dataclasses.dataclass
class ResNet3D11(backbones_3d.ResNet3D50):
  """Two groups of blocks, of which the first ends in a gate."""

  model_id: int = 11
  block_specs: tuple[backbones_3d.ResNet3DBlock, ...] = (
    backbones_3d.ResNet3DBlock(
      temporal_kernel_sizes=(3, 1), use_self_gating=True
    ),
    backbones_3d.ResNet3DBlock(temporal_kernel_sizes=(3,), temporal_strides=2),
  )
