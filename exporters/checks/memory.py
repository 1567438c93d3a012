"""The memory that checks take.

A scheduler of many exports asks `plans` what the checks of one could take.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
import contextlib
import ctypes
import dataclasses
import gc
import graphlib
import math
import pathlib
from typing import Any

from .results import ALL
from .results import BASIC
from .scopes import scopes


@dataclasses.dataclass(frozen=True)
class Plan:
  """A way to run the checks of a model.

  Attributes:
    processes: How many run checks side by side, each with the model loaded.
    keeps: Whether a process keeps the model between units of checks, with all
      that TensorFlow has built for it.
    bytes: How much all processes take at their peak, without the exporter.
  """

  processes: int
  keeps: bool
  bytes: int


# For each level, the fastest first: processes, whether they keep the model, and
# what they take at their peak: megabytes, and bytes for each byte of the graph
# and of the variables.
#
# Measured with BERT of 2 and 12 layers, as wide as the small BERTs and as
# BERT-base (graphs of 0.35 and 1.47 MB, variables of 18, 27 and 442 MB): the
# sums of the processes' PSS, sampled twelve times a second. These are lines
# through them, with a tenth on top. A graph counts for so much because
# TensorFlow holds it, and its gradients, as objects of Python.
_COSTS = {
  ALL: (
    (2, True, 580, 820, 4.9),
    (1, True, 560, 770, 2.6),
    (1, False, 550, 670, 2.6),
  ),
  BASIC: (
    (2, True, 590, 400, 4.0),
    (1, True, 500, 370, 2.7),
  ),
}


# What a text takes beside its letters.
_TEXT = 24


def plans(variables: int, graph: int, level: str) -> list[Plan]:
  """Returns the ways to run the checks of a model, the fastest first.

  Args:
    variables: The bytes of its variables, and of other numbers.
    graph: The bytes of its saved_model.pb: 0.1 MB for each layer of a BERT.
    level: The level of checks, `ALL` or `BASIC`.
  """
  return [
    Plan(
      processes=processes,
      keeps=keeps,
      bytes=int(base * 1e6 + of_graph * graph + of_variables * variables),
    )
    for processes, keeps, base, of_graph, of_variables in _COSTS[level]
  ]


def sizes(path: str) -> tuple[int, int]:
  """Returns the bytes of a SavedModel's numbers, and of its graph.

  A function counts for each time that another one calls it: TensorFlow puts a
  copy in place of every call. Numbers are those of variables, and of constants
  that stand in the graph as one number and a shape.
  """
  folder = pathlib.Path(path)
  variables = folder.glob("variables/variables.data-*")
  content = (folder / "saved_model.pb").read_bytes()
  graph = _graph(content)
  return (
    sum(file.stat().st_size for file in variables) + _filled(graph),
    len(content) + _copies(graph),
  )


def _graph(content: bytes) -> Any:
  """Returns the graph; of a file that is damaged, which a check finds, none."""
  from google.protobuf import message
  from tensorflow.core.framework import graph_pb2
  from tensorflow.core.protobuf import saved_model_pb2

  try:
    proto = saved_model_pb2.SavedModel.FromString(content)
  except message.DecodeError:
    return graph_pb2.GraphDef()
  if not proto.meta_graphs:
    return graph_pb2.GraphDef()
  return proto.meta_graphs[0].graph_def


def _filled(graph: Any) -> int:
  """Returns the bytes that constants take beyond those that they have here."""
  functions = graph.library.function
  return sum(
    max(0, _whole(node.attr["value"].tensor) - node.ByteSize())
    for nodes in (graph.node, *(f.node_def for f in functions))
    for node in nodes
    if node.op == "Const"
  )


def _whole(tensor: Any) -> int:
  """Returns the bytes of a tensor of which one number may stand for all."""
  import tensorflow as tf

  numbers = math.prod(max(0, dim.size) for dim in tensor.tensor_shape.dim)
  try:
    return numbers * (tf.dtypes.as_dtype(tensor.dtype).size or _TEXT)
  except TypeError:
    return 0  # No type, which a check finds.


def _copies(graph: Any) -> int:
  """Returns the bytes of copies of functions, but the first of each caller."""
  own = {f.signature.name: f.ByteSize() for f in graph.library.function}
  calls = {
    scope.name: collections.Counter(
      name for call in scope.calls for name in call.names if name in own
    )
    for scope in scopes(graph)
  }
  try:
    order = list(graphlib.TopologicalSorter(calls).static_order())
  except graphlib.CycleError:
    return 0  # A function that calls itself is not copied.
  whole: dict[str, int] = {}
  for name in order:
    whole[name] = own.get(name, 0) + sum(
      count * whole[callee] for callee, count in calls[name].items()
    )
  return sum(
    (count - 1) * whole[callee]
    for counts in calls.values()
    for callee, count in counts.items()
  )


def choose(
  known: Sequence[Plan], *, cores: int, free: int | None
) -> Plan | None:
  """Returns the first plan that fits. None: none does.

  Args:
    known: Of `plans`.
    cores: How many there are. More processes than cores are of no use.
    free: The bytes that are available. None: nobody knows.
  """
  for plan in known:
    if plan.processes <= cores and (free is None or plan.bytes <= free):
      return plan
  return None


def collect() -> None:
  """Frees what nobody refers to any more."""
  # TensorFlow's objects refer to each other in circles, and the processes that
  # check don't search for these on their own.
  gc.collect()
  trim()


def trim() -> None:
  """Gives memory that is free back to the system."""
  # Only glibc has it, and only glibc needs it.
  with contextlib.suppress(AttributeError, OSError):
    ctypes.CDLL(None).malloc_trim(0)
