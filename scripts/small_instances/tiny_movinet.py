"""A MoViNet of three layers, which the gin files of this folder import.

It has what Model Garden's own have: layers that look at several frames and at
one, strides, a skip with a projection and one without.
"""

from official.projects.movinet.modeling import movinet

movinet.BLOCK_SPECS["tiny"] = (
  movinet.StemSpec(filters=8, kernel_size=movinet.K13, strides=movinet.S12),
  movinet.MovinetBlockSpec(
    base_filters=8,
    expand_filters=(16,),
    kernel_sizes=(movinet.K53,),
    strides=(movinet.S12,),
  ),
  movinet.MovinetBlockSpec(
    base_filters=16,
    expand_filters=(24, 24),
    kernel_sizes=(movinet.K33, movinet.K13),
    strides=(movinet.S12, movinet.S11),
  ),
  movinet.HeadSpec(project_filters=16, head_filters=32),
)
