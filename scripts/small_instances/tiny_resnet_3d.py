"""ResNet-3Ds of some thousand weights, which gin files get by importing this.

`model_id` names them by their depth, as 50 names the smallest that Model Garden
has.
"""

from official.vision.modeling.backbones import resnet_3d

_BLOCK = "bottleneck3d"

resnet_3d.RESNET_SPECS[11] = [(_BLOCK, 4, 2), (_BLOCK, 8, 1)]
resnet_3d.RESNET_SPECS[14] = [(_BLOCK, width, 1) for width in (4, 6, 8, 10)]
