"""Checks of the files, without loading the model."""

from __future__ import annotations

from tensorflow.core.framework import types_pb2

from . import operations
from . import privacy
from .candidate import Candidate
from .harness import FILES
from .harness import OPERATIONS
from .harness import check
from .operations import refused_operations as refused_operations
from .results import BASIC
from .results import Finding


@check(OPERATIONS, level=BASIC, needs=None, unit=OPERATIONS)
def _operations(candidate: Candidate) -> Finding:
  found = [
    objection
    for meta_graph in candidate.proto.meta_graphs
    for objection in operations.objections(meta_graph)
  ]
  detail = operations.told(found) or "that reach beyond a model"
  return Finding(len(found), 0, detail)


# A path in a stranger's model harms nobody who uses it, so that is reported.
@check("no local path", level=BASIC, needs=None, unit=FILES, specification=True)
def _no_local_path(candidate: Candidate) -> Finding:
  found = privacy.found(candidate.path, candidate.private)
  return Finding(len(found), 0, "; ".join(found) or "local paths")


@check("no weight in the graph", level=BASIC, needs=None, unit=FILES)
def _no_weight_in_the_graph(candidate: Candidate) -> Finding:
  graph = candidate.proto.meta_graphs[0].graph_def
  nodes = list(graph.node)
  for function in graph.library.function:
    nodes += function.node_def
  # A constant of bytes describes the objects in the checkpoint; the more
  # variables, the longer it is.
  largest = max(
    (
      n.attr["value"].tensor.ByteSize()
      for n in nodes
      if n.op == "Const" and n.attr["dtype"].type != types_pb2.DT_STRING
    ),
    default=0,
  )
  return Finding(largest, 65536, "bytes of the largest constant of numbers")
