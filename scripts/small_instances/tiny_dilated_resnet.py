"""A small dilated ResNet, which gin files get by importing this.

`model_id` names it by its depth, as 50 names the smallest of Model Garden.
"""

from official.vision.modeling.backbones import resnet_deeplab

resnet_deeplab.RESNET_SPECS[14] = [
  ("bottleneck", width, 1) for width in (4, 6, 8, 10)
]
