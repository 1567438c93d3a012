"""One rule for every operation: what can reach beyond a model is refused."""

import collections
from collections.abc import Callable
import pathlib
import re
import tomllib

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import pytest
import tensorflow as tf
from tensorflow.core.framework import graph_pb2
from tensorflow.core.framework import op_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.client import pywrap_tf_session
import tensorflow_text  # noqa: F401 - registers its operations.

from exporters.checks import opened_files
from exporters.checks import operations
from exporters.checks.files import refused_operations
from exporters.errors import ExportError
from exporters.release import graph as graph_lib
from tests import ordinary_layers

_FAMILY = operations.classification()
_REFUSED = sorted(
  name
  for name, family in _FAMILY.items()
  if family.verdict == operations.REFUSE
)


def _registry() -> dict[str, op_def_pb2.OpDef]:
  content = pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())
  return {op.name: op for op in op_def_pb2.OpList.FromString(content).op}


_REGISTRY = _registry()


# ---------------------------------------------------------------------------
# The classification.


def test_every_operation_is_classified_once():
  """A new TensorFlow brings new ones: look at each, as the file's head says."""
  counts = collections.Counter(
    name for family in operations.families() for name in family.operations
  )
  assert [name for name, count in counts.items() if count > 1] == []
  assert sorted(_REGISTRY.keys() - counts.keys()) == []
  assert sorted(counts.keys() - _REGISTRY.keys()) == []


def test_every_family_has_a_reason():
  assert all(family.reason.endswith(".") for family in operations.families())


def test_what_opens_files_is_known_by_its_inputs():
  for name, (verdict, indices) in opened_files.OPENERS.items():
    assert _FAMILY[name].verdict == verdict
    inputs = [argument.name for argument in _REGISTRY[name].input_arg]
    for index in indices:
      assert re.search("filename|prefix", inputs[index])
  assert opened_files.OPENERS.keys() == {
    name
    for name, family in _FAMILY.items()
    if family.verdict in (opened_files.ASSET, opened_files.SAVER)
  }


# In names, a whole word between underscores.
_IN_NAMES = frozenset(
  """
  address addresses basename checkpoint ckpt descriptor dir directory file
  filename filenames files logdir path paths prefix server
  socket source uri url urls
  """.split()
)
_IN_DOCUMENTATION = re.compile(
  r"\b(address|checkpoint|descriptor|directory|disk|file|filename|grpc|path"
  r"|rpc|server|socket|stderr|stdout|uri|url)(s|es)?\b",
  re.IGNORECASE,
)


def _speaks_of_files(name: str) -> bool:
  operation = _REGISTRY[name]
  words = {
    word
    for argument in (*operation.input_arg, *operation.attr)
    for word in argument.name.lower().split("_")
  }
  documentation = getattr(getattr(tf.raw_ops, name, None), "__doc__", "") or ""
  return bool(words & _IN_NAMES or _IN_DOCUMENTATION.search(documentation))


def test_what_speaks_of_files_or_addresses_is_refused_or_explained():
  path = pathlib.Path(operations.__file__).with_name("operations.toml")
  harmless = tomllib.loads(path.read_text())["harmless"]
  passing = {
    name
    for name, family in _FAMILY.items()
    if family.verdict == operations.PASS
  }
  speaking = {name for name in _REGISTRY if _speaks_of_files(name)}
  assert len(speaking) > 100
  assert sorted(speaking & passing) == sorted(harmless)


@pytest.mark.parametrize(
  "name",
  """
  CacheDataset CacheDatasetV2 CollectiveReduceV2 DataServiceDatasetV4
  DatasetFromGraph DebugIdentity DebugIdentityV3 DebugNanCount
  DebugNumericSummary DecodeProtoV2 EagerPyFunc EncodeProto
  FixedUnigramCandidateSampler GenerateVocabRemapping GetSessionHandleV2
  ImmutableConst LoadAndRemapMatrix MatchingFiles Print PrintV2 PyFunc
  PyFuncStateless ReadFile RegisterDataset RegisterDatasetV2 RemoteCall
  RpcClient SnapshotDatasetV2 SqlDataset TPUPartitionedCall WorkerHeartbeat
  WriteFile WriteScalarSummary XlaCallModule XlaCustomCallV2 _Send
  """.split(),
)
def test_what_reaches_out_is_refused(name):
  """Though TensorFlow marks a third of these as having no state."""
  assert _FAMILY[name].verdict == operations.REFUSE


@pytest.mark.parametrize(
  "name",
  """
  AnonymousMutableHashTable Assert AssignVariableOp Case CheckNumerics
  CudnnRNNV3 If LookupTableInsertV2 RandomUniform ResourceApplyAdam
  RngReadAndSkip SentencepieceTokenizeOp StackPushV2 StatefulPartitionedCall
  TensorArrayWriteV3 VarHandleOp While WordpieceTokenizeWithOffsets
  """.split(),
)
def test_what_computes_from_states_passes(name):
  """Though TensorFlow marks it as having a state."""
  assert _REGISTRY[name].is_stateful
  assert _FAMILY[name].verdict == operations.PASS


# ---------------------------------------------------------------------------
# Ordinary models.


@pytest.mark.parametrize("name", ordinary_layers.LAYERS)
def test_an_ordinary_layer_passes(name):
  traced = ordinary_layers.trace_layer(name)
  assert refused_operations(traced.as_graph_def()) == set()


@pytest.mark.parametrize("name", ordinary_layers.FUNCTIONS)
def test_an_ordinary_function_passes(name):
  traced = ordinary_layers.trace_function(name)
  assert refused_operations(traced.as_graph_def()) == set()


# ---------------------------------------------------------------------------
# Wherever it stands.


@pytest.fixture(scope="module")
def traced() -> graph_pb2.GraphDef:
  """A graph with functions that call functions, by several kinds of nodes."""
  return ordinary_layers.trace_layer("LSTM masked").as_graph_def()


def test_an_operation_that_nobody_has_seen_is_refused(traced):
  meta_graph = meta_graph_pb2.MetaGraphDef(graph_def=traced)
  assert operations.objections(meta_graph) == []
  meta_graph.graph_def.node.add(name="new", op="Addons>NewOp")
  (objection,) = operations.objections(meta_graph)
  assert "Addons>NewOp: not classified" in objection
  assert "exporters/checks/operations.toml" in objection


def test_the_reason_is_given():
  meta_graph = meta_graph_pb2.MetaGraphDef()
  for name in ("WriteFile", "ReadFile", "PyFunc"):
    meta_graph.graph_def.node.add(name=name, op=name)
  files, python = operations.objections(meta_graph)
  assert files.startswith("ReadFile, WriteFile can read, write, map or list")
  assert python == "PyFunc can run a Python function of the process."


def test_no_message_is_longer_than_its_reader_needs():
  found = [f"{i}." for i in range(7)]
  assert operations.told(found) == "0. 1. 2. 3. 4. And 2 more."
  assert operations.told(found[:5]) == "0. 1. 2. 3. 4."


@settings(max_examples=200, deadline=None)
@given(data=st.data(), name=st.sampled_from([*_REFUSED, "Addons>NewOp"]))
def test_a_refused_operation_is_found_anywhere(data, name, traced):
  graph = graph_pb2.GraphDef()
  graph.CopyFrom(traced)
  functions = graph.library.function
  scopes = [graph.node, *(function.node_def for function in functions)]
  place = data.draw(st.sampled_from(range(len(scopes))))
  if data.draw(st.booleans()):
    scopes[place].add(name="evil", op=name)
  else:
    # In the body of a function that an attribute of an attribute names.
    function = functions.add()
    function.signature.name = "evil_function"
    function.node_def.add(name="evil", op=name)
    node = scopes[place].add(name="caller", op="Identity")
    inner = node.attr["_outer"].list.func.add(name=functions[0].signature.name)
    inner.attr["_inner"].func.name = "evil_function"
  assert refused_operations(graph) == {name}


def test_a_function_may_be_called_like_an_operation(traced):
  graph = graph_pb2.GraphDef()
  graph.CopyFrom(traced)
  function = graph.library.function.add()
  function.signature.name = "of_their_own"
  graph.node.add(name="call", op="of_their_own")
  assert refused_operations(graph) == set()
  function.node_def.add(name="evil", op="PyFunc")
  assert refused_operations(graph) == {"PyFunc"}


def test_a_function_cannot_take_the_name_of_an_operation(traced):
  graph = graph_pb2.GraphDef()
  graph.CopyFrom(traced)
  graph.library.function.add().signature.name = "ReadFile"
  graph.node.add(name="call", op="ReadFile")
  assert refused_operations(graph) == {"ReadFile"}


def test_a_function_that_the_graph_does_not_hold_is_refused(traced):
  """It could be any that the process which loads the graph has."""
  meta_graph = meta_graph_pb2.MetaGraphDef(graph_def=traced)
  node = meta_graph.graph_def.node.add(
    name="call", op="StatefulPartitionedCall"
  )
  node.attr["f"].func.name = "__inference_yours_1"
  (objection,) = operations.objections(meta_graph)
  assert "calls '__inference_yours_1', which the graph does not" in objection


def test_a_function_is_there_once(traced):
  """Which of two a call means is anyone's guess."""
  meta_graph = meta_graph_pb2.MetaGraphDef(graph_def=traced)
  functions = meta_graph.graph_def.library.function
  name = functions[0].signature.name
  functions.add().CopyFrom(functions[0])
  assert operations.objections(meta_graph) == [
    f"The graph holds the function '{name}' 2 times."
  ]


# ---------------------------------------------------------------------------
# What a refused operation does, and that nothing of it happens.


def _identity(x, folder: pathlib.Path):
  return tf.raw_ops.DebugIdentity(
    input=x, tensor_name="a:0", debug_urls=[f"file://{folder}/out"]
  )


def _nan_count(x, folder: pathlib.Path):
  return tf.raw_ops.DebugNanCount(
    input=x, tensor_name="a:0", debug_urls=[f"file://{folder}/out"]
  )


def _print(x, folder: pathlib.Path):
  tf.raw_ops.PrintV2(input="here", output_stream=f"file://{folder}/out")
  return x


def _cache(x, folder: pathlib.Path):
  data = tf.data.Dataset.range(3).cache(f"{folder}/out")
  return data.reduce(tf.constant(0, tf.int64), lambda a, b: a + b)


def _constant(x, folder: pathlib.Path):
  return tf.raw_ops.ImmutableConst(
    dtype=tf.uint8, shape=[6], memory_region_name=f"{folder}/secret"
  )


def _vocabulary(x, folder: pathlib.Path):
  return tf.raw_ops.GenerateVocabRemapping(
    new_vocab_file=f"{folder}/secret",
    old_vocab_file=f"{folder}/secret",
    new_vocab_offset=0,
    num_new_vocab=1,
  ).remapping


def _save(call: Callable, path: pathlib.Path, **options) -> bytes:
  module = tf.Module()
  module.__call__ = tf.function(
    call, input_signature=[tf.TensorSpec([None], tf.float32)]
  )
  options = tf.saved_model.SaveOptions(**options)
  tf.saved_model.save(module, str(path), options=options)
  return (path / "saved_model.pb").read_bytes()


@pytest.mark.parametrize(
  ("call", "operation"),
  [
    (_identity, "DebugIdentity"),
    (_nan_count, "DebugNanCount"),
    (_print, "PrintV2"),
    (_cache, "CacheDatasetV2"),
  ],
)
def test_what_writes_a_file_is_refused(call, operation, tmp_path):
  for name in ("called", "saved"):
    (tmp_path / name).mkdir()
  call(tf.constant([1.0]), tmp_path / "called")
  assert list((tmp_path / "called").glob("out*"))
  content = _save(lambda x: call(x, tmp_path / "saved"), tmp_path / "model")
  with pytest.raises(ExportError, match=f"{operation}.* can "):
    graph_lib.refuse_hostile(content)
  assert not list((tmp_path / "saved").iterdir())


@pytest.mark.parametrize(
  ("call", "operation", "read"),
  [
    (_constant, "ImmutableConst", [*b"secret"]),
    (_vocabulary, "GenerateVocabRemapping", [0]),
  ],
)
def test_what_reads_a_file_is_refused(call, operation, read, tmp_path):
  (tmp_path / "secret").write_text("secret")
  assert call(tf.constant([1.0]), tmp_path).numpy().tolist() == read
  content = _save(lambda x: call(x, tmp_path), tmp_path / "model")
  with pytest.raises(ExportError, match=f"{operation}.* can "):
    graph_lib.refuse_hostile(content)


def test_a_model_can_be_saved_without_what_it_prints(tmp_path):
  def call(x):
    tf.print("x:", x)
    tf.debugging.assert_all_finite(x, "x")
    return x

  with pytest.raises(ExportError, match="experimental_debug_stripper"):
    graph_lib.refuse_hostile(_save(call, tmp_path / "1"))
  graph_lib.refuse_hostile(
    _save(call, tmp_path / "2", experimental_debug_stripper=True)
  )


def test_a_model_may_assert(tmp_path):
  def call(x):
    tf.debugging.assert_non_negative(x)
    return tf.debugging.check_numerics(x, "x")

  content = _save(call, tmp_path / "model")
  (meta_graph,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
  functions = meta_graph.graph_def.library.function
  kept = {node.op for function in functions for node in function.node_def}
  assert {"Assert", "CheckNumerics"} <= kept
  graph_lib.refuse_hostile(content)
