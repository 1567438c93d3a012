"""SpineNets of few filters, which gin files get by importing this.

Model Garden's sizes differ in the numbers of this table; the blocks and how
they are connected are the same.
"""

from official.vision.modeling.backbones import spinenet
from official.vision.modeling.backbones import spinenet_mobile

spinenet.SCALING_MAP["tiny"] = {
  "endpoints_num_filters": 8,
  "filter_size_scale": 1 / 16,
  "resample_alpha": 0.5,
  "block_repeats": 1,
}
spinenet_mobile.SCALING_MAP["tiny"] = {
  "endpoints_num_filters": 8,
  "filter_size_scale": 1 / 8,
  "block_repeats": 1,
}
