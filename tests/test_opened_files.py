"""The saver and tables open the files that the loader names, and no others."""

from collections.abc import Callable
import pathlib

import pytest
import tensorflow as tf
from tensorflow.core.framework import variable_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.core.protobuf import saved_model_pb2

from exporters.checks import operations
from exporters.checks.files import refused_operations

_TABLE = "fills a table from a path of its own"
_SAVER = "nothing but the saver may"


def _initializer(path: pathlib.Path) -> tf.lookup.TextFileInitializer:
  return tf.lookup.TextFileInitializer(
    str(path),
    tf.string,
    tf.lookup.TextFileIndex.WHOLE_LINE,
    tf.int64,
    tf.lookup.TextFileIndex.LINE_NUMBER,
  )


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory) -> pathlib.Path:
  path = tmp_path_factory.mktemp("vocabulary") / "vocabulary.txt"
  path.write_text("a\nb\n")
  return path


def _read(path: pathlib.Path) -> meta_graph_pb2.MetaGraphDef:
  content = (path / "saved_model.pb").read_bytes()
  return saved_model_pb2.SavedModel.FromString(content).meta_graphs[0]


@pytest.fixture(scope="module")
def saved(vocabulary, tmp_path_factory) -> meta_graph_pb2.MetaGraphDef:
  """A model with a table and a variable, loaded and saved again."""
  folder = tmp_path_factory.mktemp("saved")
  module = tf.Module()
  module.scale = tf.Variable(2, dtype=tf.int64)
  module.table = tf.lookup.StaticVocabularyTable(_initializer(vocabulary), 1)
  module.__call__ = tf.function(
    lambda text: module.table.lookup(text) * module.scale,
    input_signature=[tf.TensorSpec([None], tf.string, name="text")],
  )
  tf.saved_model.save(module, str(folder / "1"), signatures=module.__call__)
  loaded = tf.saved_model.load(str(folder / "1"))
  tf.saved_model.save(loaded, str(folder / "2"), signatures=loaded.signatures)
  return _read(folder / "2")


@pytest.fixture(scope="module")
def of_tf1(vocabulary, tmp_path_factory) -> meta_graph_pb2.MetaGraphDef:
  """The same of TensorFlow 1, whose saver stands among the other nodes."""
  folder = tmp_path_factory.mktemp("of_tf1")
  tf1 = tf.compat.v1
  with tf1.Graph().as_default(), tf1.Session() as session:
    text = tf1.placeholder(tf.string, [None])
    table = tf1.lookup.StaticHashTable(_initializer(vocabulary), -1)
    scale = tf1.get_variable(
      "scale", initializer=tf.constant(2, tf.int64), use_resource=False
    )
    ids = table.lookup(text) * scale
    session.run([tf1.global_variables_initializer(), tf1.tables_initializer()])
    tf1.saved_model.simple_save(
      session,
      str(folder / "1"),
      {"text": text},
      {"ids": ids},
      legacy_init_op=tf1.tables_initializer(),
    )
  return _read(folder / "1")


def _changed(
  meta_graph: meta_graph_pb2.MetaGraphDef, change: Callable
) -> list[str]:
  """Returns the objections to a copy that is changed."""
  copy = meta_graph_pb2.MetaGraphDef()
  copy.CopyFrom(meta_graph)
  change(copy)
  return operations.objections(copy)


def test_ordinary_models_pass(saved, of_tf1):
  assert operations.objections(saved) == []
  assert operations.objections(of_tf1) == []


def test_a_lone_graph_has_no_loader_around_its_functions(saved, of_tf1):
  assert refused_operations(saved.graph_def) == set()
  assert refused_operations(of_tf1.graph_def) == {
    "InitializeTableFromTextFileV2",
    "MergeV2Checkpoints",
    "RestoreV2",
    "SaveV2",
  }


# ---------------------------------------------------------------------------
# How the attacks find their way.


def _function(meta_graph, operation: str, named: str = ""):
  """Returns the function with an operation, and the node."""
  for function in meta_graph.graph_def.library.function:
    for node in function.node_def:
      if node.op == operation and named in function.signature.name:
        return function, node
  raise AssertionError(operation)


def _node(meta_graph, name: str):
  return next(n for n in meta_graph.graph_def.node if n.name == name)


def _text(nodes, name: str, text: str) -> None:
  node = nodes.add(name=name, op="Const")
  node.attr["dtype"].type = tf.string.as_datatype_enum
  node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(text))


def _caller(meta_graph):
  """Returns a function that anyone may call."""
  return _function(meta_graph, "LookupTableFindV2")[0]


def _call(meta_graph, callee: str, operation="StatefulPartitionedCall"):
  nodes = _caller(meta_graph).node_def
  _text(nodes, "path", "/etc/passwd")
  node = nodes.add(name="evil", op=operation, input=["path:output:0", "table"])
  if operation == "If":
    node.attr["then_branch"].func.name = callee
    node.attr["else_branch"].func.name = callee
  elif operation != callee:
    node.attr["f"].func.name = callee


def _filler(meta_graph) -> str:
  function, _ = _function(meta_graph, "InitializeTableFromTextFileV2")
  return function.signature.name


def _saving(meta_graph) -> str:
  return _function(meta_graph, "SaveV2")[0].signature.name


# ---------------------------------------------------------------------------
# Tables.


def _fill_by_constant(meta_graph):
  function, node = _function(meta_graph, "InitializeTableFromTextFileV2")
  _text(function.node_def, "path", "/etc/passwd")
  node.input[1] = "path:output:0"


def _fill_by_call(meta_graph):
  _call(meta_graph, _filler(meta_graph))


def _fill_by_branch(meta_graph):
  _call(meta_graph, _filler(meta_graph), "If")


def _fill_by_branch_behind_an_asset(meta_graph):
  """A branch gets all inputs but the first, which is the asset here."""
  filler, node = _function(meta_graph, "InitializeTableFromTextFileV2")
  asset = node.input[1]
  place = [arg.name for arg in filler.signature.input_arg].index(asset)
  inner = meta_graph.graph_def.library.function.add()
  inner.CopyFrom(filler)
  inner.signature.name = "inner"
  _text(filler.node_def, "path", "/etc/passwd")
  evil = filler.node_def.add(name="evil", op="If")
  evil.input.extend([asset] * (place + 1) + ["path:output:0"] * 2)
  for branch in ("then_branch", "else_branch"):
    evil.attr[branch].func.name = "inner"


def _fill_by_name(meta_graph):
  _call(meta_graph, _filler(meta_graph), _filler(meta_graph))


def _fill_in_attribute(meta_graph):
  function = _caller(meta_graph)
  node = function.node_def.add(name="evil", op="StatefulPartitionedCall")
  node.attr["f"].func.name = function.signature.name
  inner = node.attr["f"].func.attr["inner"].list.func.add()
  inner.name = _filler(meta_graph)


def _fill_by_object(meta_graph):
  objects = meta_graph.object_graph_def
  concrete = next(
    c
    for c in objects.concrete_functions.values()
    if any(objects.nodes[i].HasField("asset") for i in c.bound_inputs)
  )
  captured = concrete.bound_inputs
  captured[0], captured[1] = captured[1], captured[0]


def _fill_by_argument(meta_graph):
  """Whoever calls it names the file."""
  for concrete in meta_graph.object_graph_def.concrete_functions.values():
    del concrete.bound_inputs[:]


def _fill_by_variable(meta_graph):
  _text(meta_graph.graph_def.node, "path", "/etc/passwd")
  meta_graph.graph_def.node.add(
    name="evil", op="AssignVariableOp", input=["Variable", "path"]
  )


def _fill_by_shared_variable(meta_graph):
  handle = meta_graph.graph_def.node.add(name="other", op="VarHandleOp")
  handle.attr["shared_name"].s = b"Variable"


def _fill_by_variable_that_is_not_there(meta_graph):
  _node(meta_graph, "Variable").name = "other"


def _fill_by_signature(meta_graph):
  """The loader gives no asset when a signature is called."""
  output = meta_graph.signature_def["serving_default"].outputs["again"]
  output.name = "NoOp:0"


def _fill_by_gradient(meta_graph):
  gradient = meta_graph.graph_def.library.gradient.add()
  gradient.function_name = _caller(meta_graph).signature.name
  gradient.gradient_func = _filler(meta_graph)


def _fill_by_stand_in(meta_graph):
  function, _ = _function(meta_graph, "InitializeTableFromTextFileV2")
  function.attr["api_implements"].s = b"lstm"


@pytest.mark.parametrize(
  "change",
  [
    _fill_by_constant,
    _fill_by_call,
    _fill_by_branch,
    _fill_by_branch_behind_an_asset,
    _fill_by_name,
    _fill_in_attribute,
    _fill_by_object,
    _fill_by_argument,
    _fill_by_variable,
    _fill_by_shared_variable,
    _fill_by_variable_that_is_not_there,
    _fill_by_signature,
    _fill_by_gradient,
    _fill_by_stand_in,
  ],
)
def test_a_table_is_filled_from_an_asset_alone(change, saved):
  assert any(_TABLE in objection for objection in _changed(saved, change))


@pytest.mark.parametrize(
  "path", ["/etc/passwd", "../../etc/passwd", "a/../../../etc/passwd"]
)
def test_an_asset_lies_in_the_model(path, saved, of_tf1):
  def change(meta_graph):
    meta_graph.asset_file_def[0].filename = path

  def change_of_tf1(meta_graph):
    collection = meta_graph.collection_def["saved_model_assets"]
    asset = meta_graph_pb2.AssetFileDef(filename=path)
    collection.any_list.value.add().Pack(asset)

  expected = [f"The asset '{path}' lies outside the model."]
  assert _changed(saved, change) == expected
  assert _changed(of_tf1, change_of_tf1) == expected


def _tf1_fill_by_constant(meta_graph):
  _text(meta_graph.graph_def.node, "path", "/etc/passwd")
  meta_graph.graph_def.node.add(
    name="evil",
    op="InitializeTableFromTextFileV2",
    input=["hash_table", "path"],
  )


def _tf1_fill_by_restoring(meta_graph):
  """The loader gives no asset when it restores."""
  _node(meta_graph, "save/restore_all").input.append("^init_all_tables")


def _tf1_fill_by_collection(meta_graph):
  meta_graph.collection_def["saved_model_train_op"].node_list.value.append(
    "init_all_tables"
  )


@pytest.mark.parametrize(
  "change",
  [_tf1_fill_by_constant, _tf1_fill_by_restoring, _tf1_fill_by_collection],
)
def test_a_table_of_tf1_is_filled_from_an_asset_alone(change, of_tf1):
  (objection,) = _changed(of_tf1, change)
  assert _TABLE in objection


# ---------------------------------------------------------------------------
# The saver.


def _save_to_constant(meta_graph):
  function, node = _function(meta_graph, "SaveV2")
  _text(function.node_def, "path", "/tmp/anything")
  node.input[0] = "path:output:0"


def _save_beside(meta_graph):
  function, _ = _function(meta_graph, "SaveV2")
  for node in function.node_def:
    if b"_temp/part" in node.attr["value"].tensor.string_val:
      node.attr["value"].tensor.string_val[0] = b"/../../../anything"


def _save_beside_no_text(meta_graph):
  function, _ = _function(meta_graph, "SaveV2")
  for node in function.node_def:
    if b"_temp/part" in node.attr["value"].tensor.string_val:
      del node.attr["value"]


def _save_by_separator(meta_graph):
  _, node = _function(meta_graph, "StringJoin", "traced_save")
  node.attr["separator"].s = b"/../"


def _save_while_restoring(meta_graph):
  function, _ = _function(meta_graph, "RestoreV2")
  _text(function.node_def, "path", "/tmp/anything")
  function.node_def.add(name="evil", op="SaveV2", input=["path:output:0"])


def _save_by_call(meta_graph):
  _call(meta_graph, _saving(meta_graph))


def _save_by_name(meta_graph):
  _call(meta_graph, _saving(meta_graph), _saving(meta_graph))


def _save_by_branch(meta_graph):
  _call(meta_graph, _saving(meta_graph), "If")


def _save_by_object(meta_graph):
  functions = meta_graph.object_graph_def.concrete_functions
  functions[_saving(meta_graph)].SetInParent()


def _save_by_signature(meta_graph):
  output = meta_graph.signature_def["serving_default"].outputs["again"]
  output.name = meta_graph.saver_def.save_tensor_name


def _save_by_part_of_a_signature(meta_graph):
  output = meta_graph.signature_def["serving_default"].outputs["again"]
  part = output.composite_tensor.components.add()
  part.coo_sparse.values_tensor_name = meta_graph.saver_def.save_tensor_name


def _save_to_the_text(meta_graph):
  """The name is an input of the model, not the loader's."""
  name = meta_graph.saver_def.save_tensor_name.partition(":")[0]
  _node(meta_graph, name).input[0] = "serving_default_text"


def _save_by_stand_in(meta_graph):
  function, _ = _function(meta_graph, "SaveV2")
  function.attr["api_implements"].s = b"lstm"


@pytest.mark.parametrize(
  "change",
  [
    _save_to_constant,
    _save_beside,
    _save_beside_no_text,
    _save_by_separator,
    _save_while_restoring,
    _save_by_call,
    _save_by_name,
    _save_by_branch,
    _save_by_object,
    _save_by_signature,
    _save_by_part_of_a_signature,
    _save_to_the_text,
    _save_by_stand_in,
  ],
)
def test_nothing_but_the_saver_saves(change, saved):
  assert any(_SAVER in objection for objection in _changed(saved, change))


def _tf1_restore_from_constant(meta_graph):
  _text(meta_graph.graph_def.node, "path", "/tmp/anything")
  _node(meta_graph, "save/RestoreV2").input[0] = "path"


def _tf1_restore_from_default(meta_graph):
  """What a node gives when the loader feeds another one."""
  _node(meta_graph, "save/RestoreV2").input[0] = "save/filename"


def _tf1_restore_by_signature(meta_graph):
  output = meta_graph.signature_def["serving_default"].outputs["again"]
  output.name = "save/RestoreV2:0"


def _tf1_restore_by_initializer(meta_graph):
  _node(meta_graph, "init_all_tables_1").input.append("^save/restore_all")


def _tf1_restore_by_variable(meta_graph):
  variable = variable_pb2.VariableDef(initializer_name="save/restore_all")
  meta_graph.collection_def["local_variables"].bytes_list.value.append(
    variable.SerializeToString()
  )


@pytest.mark.parametrize(
  "change",
  [
    _tf1_restore_from_constant,
    _tf1_restore_from_default,
    _tf1_restore_by_signature,
    _tf1_restore_by_initializer,
    _tf1_restore_by_variable,
  ],
)
def test_nothing_but_the_saver_of_tf1_restores(change, of_tf1):
  assert any(_SAVER in objection for objection in _changed(of_tf1, change))


def test_a_long_chain_is_followed_to_its_end(saved):
  """Deeper than Python's stack."""

  def change(meta_graph):
    function, node = _function(meta_graph, "InitializeTableFromTextFileV2")
    last = node.input[1]
    for i in range(5000):
      function.node_def.add(name=f"link_{i}", op="Identity", input=[last])
      last = f"link_{i}:output:0"
    node.input[1] = last

  assert _changed(saved, change) == []


def test_a_circle_leads_to_no_asset(saved):
  def change(meta_graph):
    function, node = _function(meta_graph, "InitializeTableFromTextFileV2")
    function.node_def.add(name="a", op="Identity", input=["b:output:0"])
    function.node_def.add(name="b", op="Identity", input=["a:output:0"])
    node.input[1] = "a:output:0"

  (objection,) = _changed(saved, change)
  assert _TABLE in objection
