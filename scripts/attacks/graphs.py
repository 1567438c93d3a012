"""SavedModels that were made to do harm."""

from __future__ import annotations

from collections.abc import Callable
import os
import pathlib

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.core.protobuf import struct_pb2

from scripts.attacks import Attack

_CHECK = "scripts.check"


def _saved(
  call: Callable[[tf.Tensor], tf.Tensor], folder: pathlib.Path
) -> pathlib.Path:
  """Writes a model of one weight, float32 [None, 3] to what `call` returns."""
  module = tf.Module()
  module.weight = tf.Variable(tf.ones([3]), name="weight")
  module.__call__ = tf.function(
    lambda inputs: call(inputs) * module.weight,
    input_signature=[tf.TensorSpec([None, 3], tf.float32)],
  )
  # What Keras 3 and a server look for: without an attack, every check passes.
  module.serve = module.__call__
  path = folder / "model"
  tf.saved_model.save(
    module, str(path), signatures={"serving_default": module.serve}
  )
  return path


def _calls(call: Callable[[tf.Tensor], tf.Tensor]):
  return lambda folder: _saved(call, folder)


def _endless(inputs):
  (result,) = tf.while_loop(
    lambda x: tf.reduce_sum(x) * 0.0 < 1.0, lambda x: (x + 1.0,), [inputs]
  )
  return result


def _large(inputs):
  # Values that the operation before depends on, so none is left out.
  side = tf.cast(40_000 + tf.shape(inputs)[0], tf.int32)
  large = tf.random.normal([side, side]) + tf.random.normal([side, 1])
  return inputs * tf.reduce_mean(tf.matmul(large, large))


def _huge(inputs):
  side = tf.cast(10**6 + tf.shape(inputs)[0], tf.int32)
  return inputs + tf.reduce_sum(tf.random.normal([side, side]))


def _recursive(inputs):
  signature = [tf.TensorSpec([None, 3], tf.float32)]
  inner = tf.function(lambda x: x + 1.0, input_signature=signature)
  return inner(inputs)


def _edited(
  call: Callable[[tf.Tensor], tf.Tensor],
  edit: Callable[[saved_model_pb2.SavedModel], None],
):
  """Returns what writes a model whose protocol buffer was edited."""

  def write(folder):
    path = _saved(call, folder)
    file = path / "saved_model.pb"
    proto = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    edit(proto)
    file.write_bytes(proto.SerializeToString())
    return path

  return write


def _functions(proto):
  return proto.meta_graphs[0].graph_def.library.function


def _call_itself(proto) -> None:
  """Has a function of one argument return what it returns itself."""
  function = next(
    f
    for f in _functions(proto)
    if len(f.signature.input_arg) == 1 and len(f.ret) == 1
  )
  again = function.node_def.add(name="again", op="PartitionedCall")
  again.input.append(function.signature.input_arg[0].name)
  again.attr["f"].func.name = function.signature.name
  for key in ("Tin", "Tout"):
    again.attr[key].list.type.append(tf.float32.as_datatype_enum)
  (output,) = function.ret
  function.ret[output] = "again:output:0"


def _exponential(folder: pathlib.Path) -> pathlib.Path:
  """Ten calls of ten calls, and so on: 10 ** 30 nodes, once expanded."""
  proto = saved_model_pb2.SavedModel(saved_model_schema_version=1)
  library = proto.meta_graphs.add().graph_def.library
  for level in range(30):
    function = library.function.add()
    function.signature.name = f"level_{level}"
    for i in range(10):
      node = function.node_def.add(name=f"n{i}", op="NoOp")
      if level:
        node.op = "PartitionedCall"
        node.attr["f"].func.name = f"level_{level - 1}"
  path = folder / "model"
  path.mkdir()
  (path / "saved_model.pb").write_bytes(proto.SerializeToString())
  return path


def _add_nodes(proto) -> None:
  graph = proto.meta_graphs[0].graph_def
  for i in range(100_000):
    node = graph.node.add(name=f"more_{i}", op="NoOp")
    if i:
      node.input.append(f"^more_{i - 1}")


def _nest(proto) -> None:
  """Nests a signature's structure thirty deep; TensorFlow: a few."""
  value = struct_pb2.StructuredValue()
  for _ in range(30):
    outer = struct_pb2.StructuredValue()
    outer.list_value.values.add().CopyFrom(value)
    value = outer
  functions = proto.meta_graphs[0].object_graph_def.concrete_functions
  for function in functions.values():
    function.canonicalized_input_signature.CopyFrom(value)


def _nested_bytes(folder: pathlib.Path) -> pathlib.Path:
  """Ten thousand messages in each other, which no library would write."""
  path = _saved(tf.identity, folder)
  content = b""
  for _ in range(10_000):
    content = b"\x0a" + _varint(len(content)) + content
  # meta_graphs, and what is in it.
  file = path / "saved_model.pb"
  file.write_bytes(
    file.read_bytes() + b"\x12" + _varint(len(content)) + content
  )
  return path


def _varint(number: int) -> bytes:
  pieces = []
  while number > 127:
    pieces.append(number & 127 | 128)
    number >>= 7
  return bytes([*pieces, number])


def _twice(proto) -> None:
  graph = proto.meta_graphs[0].graph_def
  graph.node.add().CopyFrom(graph.node[0])


def _two_functions(proto) -> None:
  library = proto.meta_graphs[0].graph_def.library
  library.function.add().CopyFrom(library.function[0])


def _circle(proto) -> None:
  """The object graph's last node has its root as a child."""
  nodes = proto.meta_graphs[0].object_graph_def.nodes
  nodes[len(nodes) - 1].children.add(node_id=0, local_name="root")


def _child_of_nobody(proto) -> None:
  nodes = proto.meta_graphs[0].object_graph_def.nodes
  nodes[0].children.add(node_id=10**6, local_name="nobody")


def _escape(proto) -> None:
  """A function that a terminal would clear its screen for."""
  name = "\x1b[2J\x1b]0;owned\x07"
  for node in proto.meta_graphs[0].graph_def.node:
    if node.op not in ("NoOp", "VarHandleOp"):
      node.op = name


def _huge_shape(proto) -> None:
  for spec in _signature(proto).inputs.values():
    for size in spec.tensor_shape.dim:
      size.size = 10**9


def _signature(proto):
  return proto.meta_graphs[0].signature_def["serving_default"]


def _huge_variable(proto) -> None:
  for node in proto.meta_graphs[0].object_graph_def.nodes:
    if node.HasField("variable"):
      for size in node.variable.shape.dim:
        size.size = 10**12


def _huge_constant(proto) -> None:
  """A constant of 10^11 numbers, of which the file has one."""
  for function in _functions(proto):
    for node in function.node_def:
      if node.op == "Const":
        tensor = node.attr["value"].tensor
        tensor.CopyFrom(tf.make_tensor_proto(1.0))
        tensor.tensor_shape.dim.add(size=10**11)
        node.attr["dtype"].type = tensor.dtype


def _in_each_other(folder: pathlib.Path) -> pathlib.Path:
  """Two links upwards, through which there are any number of folders."""
  path = _saved(tf.identity, folder)
  (path / "assets").mkdir(exist_ok=True)
  for name in ("a", "b"):
    (path / "assets" / name).symlink_to("..")
  return path


def _table_from(file: str):
  def edit(proto) -> None:
    (asset,) = proto.meta_graphs[0].asset_file_def
    asset.filename = file

  def write(folder):
    (folder / "words.txt").write_text("a\nb\n")
    module = tf.Module()
    module.table = tf.lookup.StaticHashTable(
      tf.lookup.TextFileInitializer(
        str(folder / "words.txt"),
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
      ),
      -1,
    )
    module.__call__ = tf.function(
      module.table.lookup, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    path = folder / "model"
    tf.saved_model.save(module, str(path))
    pb = path / "saved_model.pb"
    proto = saved_model_pb2.SavedModel.FromString(pb.read_bytes())
    edit(proto)
    pb.write_bytes(proto.SerializeToString())
    return path

  return write


def _index(change: Callable[[bytes], bytes]):
  """Returns what writes a model with another variables.index."""

  def write(folder):
    path = _saved(tf.identity, folder)
    file = path / "variables/variables.index"
    file.write_bytes(change(file.read_bytes()))
    return path

  return write


def _data(change: Callable[[bytes], bytes]):
  def write(folder):
    path = _saved(tf.identity, folder)
    (file,) = path.glob("variables/variables.data*")
    file.write_bytes(change(file.read_bytes()))
    return path

  return write


def _pipe(name: str):
  """Returns what writes a model with a pipe, which nobody writes to."""

  def write(folder):
    path = _saved(tf.identity, folder)
    (path / name).unlink()
    os.mkfifo(path / name)
    return path

  return write


def _zeros(name: str):
  """Returns what writes a model with a file that never ends."""

  def write(folder):
    path = _saved(tf.identity, folder)
    (path / name).unlink()
    (path / name).symlink_to("/dev/zero")
    return path

  return write


def _writes(inputs):
  tf.io.write_file("/tmp/attack_was_here", "was here")
  return inputs


def _reads(inputs):
  return inputs + tf.cast(
    tf.strings.length(tf.io.read_file("/etc/passwd")), tf.float32
  )


def _python(inputs):
  return tf.numpy_function(lambda x: x, [inputs], tf.float32)


ATTACKS = {
  "a call that never ends": Attack(
    command=_CHECK,
    flags=("--time_limit=20",),
    write=_calls(_endless),
    says="more than 20 s. --time_limit allows more",
    loads=True,
  ),
  "matrices of 6 GB": Attack(
    command=_CHECK,
    flags=("--memory_limit=3",),
    write=_calls(_large),
    says="close to the limit of 3.0 GB of memory. --memory_limit allows more",
    loads=True,
  ),
  "a tensor of 10^12 elements": Attack(
    command=_CHECK,
    write=_calls(_huge),
    says=r"ResourceExhaustedError",
    loads=True,
  ),
  "functions that call functions, 10^30 times": Attack(
    command=_CHECK, write=_exponential, says="need about .* GB of memory"
  ),
  "a function that calls itself": Attack(
    command=_CHECK,
    write=_edited(_recursive, _call_itself),
    says=r"calls itself",
  ),
  "100,000 more nodes": Attack(
    command=_CHECK,
    write=_edited(tf.identity, _add_nodes),
    says=None,
    loads=True,
  ),
  "messages nested 10,000 deep": Attack(
    command=_CHECK, write=_nested_bytes, says=r"DecodeError"
  ),
  "a signature's structure nested 30 deep": Attack(
    command=_CHECK,
    write=_edited(tf.identity, _nest),
    says=r"NotEncodableError",
    loads=True,
  ),
  "two nodes of one name": Attack(
    command=_CHECK, write=_edited(tf.identity, _twice), says=None, loads=True
  ),
  "two functions of one name": Attack(
    command=_CHECK,
    write=_edited(tf.identity, _two_functions),
    says=r"2 times",
  ),
  "objects in a circle": Attack(
    command=_CHECK, write=_edited(tf.identity, _circle), says=None, loads=True
  ),
  "a child that is not there": Attack(
    command=_CHECK,
    write=_edited(tf.identity, _child_of_nobody),
    says=r"IndexError",
    loads=True,
  ),
  "an operation named by what clears a terminal": Attack(
    command=_CHECK,
    write=_edited(tf.identity, _escape),
    says=r"x1b\[2J.*not classified",
  ),
  "a signature for 10^18 numbers": Attack(
    command=_CHECK,
    write=_edited(tf.identity, _huge_shape),
    says=None,
    loads=True,
  ),
  "a variable of 10^12 elements": Attack(
    command=_CHECK,
    write=_edited(tf.identity, _huge_variable),
    says=r"incompatible tensor with shape",
    loads=True,
  ),
  "a constant of 10^11 numbers": Attack(
    command=_CHECK,
    write=_edited(lambda inputs: inputs + tf.ones([2, 3]), _huge_constant),
    says="need about .* GB of memory",
  ),
  "folders in each other by links": Attack(
    command=_CHECK, write=_in_each_other, says="is a link to a folder"
  ),
  "a table from /etc/passwd": Attack(
    command=_CHECK,
    write=_table_from("/etc/passwd"),
    says=r"lies outside the model",
  ),
  "a table from ../../secret": Attack(
    command=_CHECK,
    write=_table_from("../../words.txt"),
    says=r"lies outside the model",
  ),
  "an index of zeros": Attack(
    command=_CHECK,
    write=_index(lambda content: bytes(len(content))),
    says=r"not an sstable",
    loads=True,
  ),
  "variables that end too early": Attack(
    command=_CHECK,
    write=_data(lambda content: content[:4]),
    says=r"Read less bytes",
    loads=True,
  ),
  "a pipe in place of the graph": Attack(
    command=_CHECK,
    write=_pipe("saved_model.pb"),
    says=r"is not a file but a pipe",
  ),
  "a pipe in place of the index": Attack(
    command=_CHECK,
    write=_pipe("variables/variables.index"),
    says=r"is not a file but a pipe",
  ),
  "a link from the graph to /dev/zero": Attack(
    command=_CHECK,
    write=_zeros("saved_model.pb"),
    says=r"is not a file but a device",
  ),
  "a link from the index to /dev/zero": Attack(
    command=_CHECK,
    write=_zeros("variables/variables.index"),
    says=r"is not a file but a device",
  ),
  "a call that writes a file": Attack(
    command=_CHECK, write=_calls(_writes), says="WriteFile"
  ),
  "a call that reads /etc/passwd": Attack(
    command=_CHECK, write=_calls(_reads), says="ReadFile"
  ),
  "a call that runs Python": Attack(
    command=_CHECK, write=_calls(_python), says="PyFunc"
  ),
}
