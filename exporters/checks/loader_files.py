"""What a loader runs, and which files it names: the saver's, and the assets.

Whatever else runs what opens a file, by a signature or as an object, a branch
or a gradient, does so on a name of its own.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator
import contextlib
import posixpath
from typing import Any

from google.protobuf import message

from .opened_files import ASSET
from .opened_files import OPENERS
from .opened_files import SAVER
from .opened_files import Opened
from .scopes import Scope
from .scopes import node_name

# A loader runs these when it has the assets.
_INITIALIZERS = (
  "__saved_model_init_op",
  "legacy_init_op",
  "saved_model_main_op",
  "table_initializer",
)
# TensorFlow may call a function with these in place of another.
_STAND_INS = (
  "api_implements",
  "backward_function_name",
  "forward_function_name",
)


def objections(meta_graph: Any, scopes: list[Scope]) -> Iterator[str]:
  """Yields a sentence for each file that a model could open by its own name."""
  saver, assets = meta_graph.saver_def, _assets(meta_graph)
  opened = Opened(
    scopes,
    {
      SAVER: {node_name(saver.filename_tensor_name)} - {""},
      ASSET: {node_name(asset.tensor_info.name) for asset in assets},
    },
  )
  for scope, node, kind in opened.faults:
    yield _sentence(scope.where(node), kind, node.op)
  for asset in assets:
    path = posixpath.normpath(asset.filename)
    if posixpath.isabs(path) or path.split("/")[0] == "..":
      yield f"The asset '{asset.filename}' lies outside the model."
  yield from _loose_ends(meta_graph, scopes, opened)
  yield from _run_at_other_times(meta_graph, scopes[0], opened)


def _sentence(where: str, kind: str, operation: str = "") -> str:
  if kind == ASSET:
    return (
      f"The graph's {where} fills a table from a path of its own, not from an "
      "asset."
    )
  if operation in OPENERS:
    return (
      f"The graph's {where} has {operation}, which reads or writes files; "
      "nothing but the saver may."
    )
  return (
    f"The graph's {where} calls what saves or restores variables, which "
    "reads and writes files; nothing but the saver may."
  )


def _assets(meta_graph: Any) -> list[Any]:
  """Returns the assets, which TensorFlow 1 keeps in another place."""
  from tensorflow.core.protobuf import meta_graph_pb2

  found = list(meta_graph.asset_file_def)
  if "saved_model_assets" in meta_graph.collection_def:
    for value in meta_graph.collection_def["saved_model_assets"].any_list.value:
      asset = meta_graph_pb2.AssetFileDef()
      with contextlib.suppress(message.DecodeError):
        if value.Unpack(asset):
          found.append(asset)
  return found


def _loose_ends(
  meta_graph: Any, scopes: list[Scope], opened: Opened
) -> Iterator[str]:
  """Yields what calls a function that opens files, other than a node."""
  library, objects = meta_graph.graph_def.library, meta_graph.object_graph_def
  for scope in scopes:
    concrete = objects.concrete_functions.get(scope.name)
    for kind, names in opened.functions.get(scope.name, {}).items():
      if concrete is None:
        continue
      # What a function captured comes last.
      captured = scope.arguments[-len(concrete.bound_inputs) :]
      bound = dict(zip(captured, concrete.bound_inputs, strict=False))
      if kind == SAVER or not _are_assets(
        objects.nodes, [bound.get(name, -1) for name in names]
      ):
        yield _sentence(f"object of the function {scope.name}", kind)
  for function in library.function:
    if function.attr.keys() & {*_STAND_INS}:
      for kind in opened.functions.get(function.signature.name, {}):
        yield _sentence(f"stand-in {function.signature.name}", kind)
  gradients = {g.function_name for g in library.gradient}
  gradients |= {g.gradient_func for g in library.gradient}
  gradients |= {g.gradient_func for g in library.registered_gradients}
  for name in sorted(gradients & opened.functions.keys()):
    for kind in opened.functions[name]:
      yield _sentence(f"gradient {name}", kind)


def _are_assets(objects: Any, indices: Iterable[int]) -> bool:
  return all(
    0 <= index < len(objects) and objects[index].WhichOneof("kind") == "asset"
    for index in indices
  )


def _run_at_other_times(
  meta_graph: Any, around: Scope, opened: Opened
) -> Iterator[str]:
  """Yields what opens a file while the loader gives no name for it."""
  saver = meta_graph.saver_def
  runs = [
    ("saver", {saver.save_tensor_name, saver.restore_op_name}, SAVER),
    *_runs(meta_graph),
  ]
  followers = collections.defaultdict(list)
  for node in around.nodes:
    for name in node.input:
      followers[node_name(name)].append(node.name)
  for kind, nodes in opened.nodes.items():
    reached, pending = set(), [*nodes]
    while pending:
      name = pending.pop()
      if name not in reached:
        reached.add(name)
        pending += followers[name]
    for where, names, allowed in runs:
      if kind != allowed and reached & {node_name(name) for name in names}:
        yield _sentence(where, kind)


def _runs(meta_graph: Any) -> Iterator[tuple[str, set[str], str]]:
  """Yields what may be run: its name, its nodes, and what it may open."""
  from tensorflow.core.framework import variable_pb2

  for key, signature in meta_graph.signature_def.items():
    names = {n for t in signature.outputs.values() for n in _tensors(t)}
    yield f"signature {key}", names, ASSET if key in _INITIALIZERS else ""
  for key, collection in meta_graph.collection_def.items():
    names = set(collection.node_list.value)
    for content in collection.bytes_list.value:
      try:
        variable = variable_pb2.VariableDef.FromString(content)
      except message.DecodeError:
        continue
      names |= {variable.initializer_name, variable.initial_value_name}
      names.add(variable.snapshot_name)
    yield f"collection {key}", names, ASSET if key in _INITIALIZERS else ""


def _tensors(info: Any) -> Iterator[str]:
  sparse = info.coo_sparse
  yield info.name
  yield sparse.values_tensor_name
  yield sparse.indices_tensor_name
  yield sparse.dense_shape_tensor_name
  for component in info.composite_tensor.components:
    yield from _tensors(component)
