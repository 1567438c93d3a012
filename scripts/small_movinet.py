"""A MoViNet of five layers, which a gin file gets by importing this module.

`movinet.Movinet.model_id = 'small'` names it, as 'a0' names one of the paper's.
"""

from official.projects.movinet.modeling import movinet

movinet.BLOCK_SPECS["small"] = (
  movinet.StemSpec(filters=8, kernel_size=movinet.K13, strides=movinet.S12),
  movinet.MovinetBlockSpec(
    base_filters=16,
    expand_filters=(32, 32),
    kernel_sizes=(movinet.K33, movinet.K33),
    strides=(movinet.S12, movinet.S11),
  ),
  movinet.MovinetBlockSpec(
    base_filters=32,
    expand_filters=(64, 64, 64),
    kernel_sizes=(movinet.K53, movinet.K13, movinet.K13),
    strides=(movinet.S12, movinet.S11, movinet.S11),
  ),
  movinet.HeadSpec(project_filters=96, head_filters=128),
)
