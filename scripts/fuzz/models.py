"""Targets: SavedModels and companions."""

from __future__ import annotations

from collections.abc import Sequence
import contextlib
import functools
import pathlib
import tempfile

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.core.protobuf import trackable_object_graph_pb2
import tf_keras
from tf_keras.protobuf import saved_metadata_pb2

from exporters.companions import lite_file
from exporters.companions import onnx_file
from exporters.errors import ExportError
from exporters.inspection import graph_file
from exporters.release import graph as graph_lib
from scripts.fuzz import Target
from scripts.fuzz import mutations
from scripts.fuzz.checkpoints import open_all

_INSPECTION = "exporters.inspection"
_CHECKS = "exporters.checks"


class _Model(tf.Module):
  """Has a variable, a loop, a condition, an asset's table and a constant."""

  def __init__(self, words: str):
    super().__init__()
    self.weight = tf.Variable(tf.ones([3]), name="weight")
    self.do_lower_case = tf.Variable(True, trainable=False)
    self.vocab_file = tf.saved_model.Asset(words)
    self.table = tf.lookup.StaticHashTable(
      tf.lookup.TextFileInitializer(
        self.vocab_file.asset_path,
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
      ),
      -1,
    )

  @tf.function(input_signature=[tf.TensorSpec([None, 3], name="inputs")])
  def __call__(self, inputs):
    ids = tf.cast(self.table.lookup(tf.constant(["a"])), tf.float32)
    (result,) = tf.while_loop(
      lambda x: tf.reduce_sum(x) < 1.0, lambda x: (x + 1.0,), [inputs]
    )
    result = tf.cond(
      tf.reduce_any(result > 2.0), lambda: result, lambda: -result
    )
    return tf.nn.gelu(result * self.weight + ids)


@functools.cache
def _files() -> dict[str, dict[str, bytes]]:
  """Returns the files of small SavedModels, of TF2, of Keras and of TF1."""
  found = {}
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    words = folder / "words.txt"
    words.write_text("a\nb\n", encoding="utf-8")
    tf.saved_model.save(_Model(str(words)), str(folder / "tf2"))
    keras = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=[3])])
    keras.compile(tf_keras.optimizers.Adam(use_ema=True), "mse")
    keras.save(str(folder / "keras"))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
      inputs = tf.compat.v1.placeholder(tf.float32, [None, 3], "inputs")
      weight = tf.compat.v1.get_variable("weight", [3])
      session.run(tf.compat.v1.global_variables_initializer())
      tf.compat.v1.saved_model.simple_save(
        session, str(folder / "tf1"), {"x": inputs}, {"y": inputs * weight}
      )
    for kind in ("tf2", "keras", "tf1"):
      found[kind] = {
        str(path.relative_to(folder / kind)): path.read_bytes()
        for path in (folder / kind).rglob("*")
        if path.is_file()
      }
  return found


def _write(kind: str, folder: pathlib.Path, more: dict[str, bytes]) -> None:
  for name, content in {**_files()[kind], **more}.items():
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _saved_model(content: bytes, folder: pathlib.Path) -> None:
  with contextlib.suppress(ExportError):
    graph_lib.refuse_hostile(content)
  _write("tf2", folder, {"saved_model.pb": content})
  graph_file.read(str(folder))
  open_all(folder)


def _keras_metadata(content: bytes, folder: pathlib.Path) -> None:
  _write("keras", folder, {"keras_metadata.pb": content})
  graph_file.read(str(folder))


def _object_graph(content: bytes, folder: pathlib.Path) -> None:
  """Reads a checkpoint in which the graph of objects is `content`."""
  prefix = folder / "ckpt"
  tf.raw_ops.SaveV2(
    prefix=str(prefix),
    tensor_names=["_CHECKPOINTABLE_OBJECT_GRAPH", *_keys()],
    shape_and_slices=[""] * (len(_keys()) + 1),
    tensors=[tf.constant(content), *([tf.ones([3])] * len(_keys()))],
  )
  open_all(prefix)


@functools.cache
def _graph_of_objects() -> bytes:
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    _write("keras", folder, {})
    reader = tf.train.load_checkpoint(str(folder / "variables/variables"))
    return reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")


@functools.cache
def _keys() -> list[str]:
  kind = trackable_object_graph_pb2.TrackableObjectGraph
  graph = kind.FromString(_graph_of_objects())
  return sorted({a.checkpoint_key for n in graph.nodes for a in n.attributes})


def _lite(content: bytes, folder: pathlib.Path) -> None:
  lite_file.read(content)


def _seeds_of_lite() -> Sequence[bytes]:
  inputs = tf_keras.Input([8, 8, 3], name="image")
  hidden = tf_keras.layers.Conv2D(4, 3, activation="relu")(inputs)
  model = tf_keras.Model(inputs, tf_keras.layers.Dense(2)(hidden))
  plain = tf.lite.TFLiteConverter.from_keras_model(model)
  small = tf.lite.TFLiteConverter.from_keras_model(model)
  small.optimizations = [tf.lite.Optimize.DEFAULT]
  return [plain.convert(), small.convert()]


def _onnx(content: bytes, folder: pathlib.Path) -> None:
  found = onnx_file.read(content)
  ", ".join((*found.inputs, *found.outputs))


def _seeds_of_onnx() -> Sequence[bytes]:
  from onnx import TensorProto
  from onnx import helper

  weight = helper.make_tensor("w", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
  inputs = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3])
  outputs = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 3])
  inner_output = helper.make_tensor_value_info("n", TensorProto.FLOAT, None)
  inner = helper.make_graph(
    [helper.make_node("Identity", ["m"], ["n"])], "inner", [], [inner_output]
  )
  nodes = [
    helper.make_node("Mul", ["x", "w"], ["m"], name="multiply"),
    helper.make_node("ReduceMax", ["m"], ["r"], keepdims=0),
    helper.make_node("Cast", ["r"], ["c"], to=TensorProto.BOOL),
    helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner),
  ]
  graph = helper.make_graph(nodes, "g", [inputs], [outputs], [weight])
  versions = [helper.make_opsetid("", 17)]
  model = helper.make_model(graph, opset_imports=versions, ir_version=8)
  return [model.SerializeToString()]


def _model_proto():
  import onnx

  return onnx.ModelProto()


TARGETS = {
  "SavedModel": Target(
    read=_saved_model,
    seeds=lambda: [files["saved_model.pb"] for files in _files().values()],
    mutate=mutations.of_message(saved_model_pb2.SavedModel),
    parts=(
      f"{_CHECKS}.operations",
      f"{_CHECKS}.scopes",
      f"{_CHECKS}.opened_files",
      f"{_CHECKS}.loader_files",
      f"{_INSPECTION}.graph_file",
      "exporters.checkpoints.saved_models",
      "exporters.checkpoints.saved_graph",
    ),
  ),
  "Keras metadata": Target(
    read=_keras_metadata,
    seeds=lambda: [_files()["keras"]["keras_metadata.pb"]],
    mutate=mutations.of_message(saved_metadata_pb2.SavedMetadata),
    parts=(f"{_INSPECTION}.graph_file", f"{_INSPECTION}.keras_config"),
  ),
  "object graph": Target(
    read=_object_graph,
    seeds=lambda: [_graph_of_objects()],
    mutate=mutations.of_message(
      trackable_object_graph_pb2.TrackableObjectGraph
    ),
    parts=(
      "exporters.checkpoints.object_based",
      "exporters.checkpoints.tensorflow_files",
      "exporters.checkpoints.averages",
    ),
  ),
  "LiteRT companion": Target(
    read=_lite,
    seeds=_seeds_of_lite,
    mutate=mutations.of_bytes,
    parts=("exporters.companions.lite_file",),
  ),
  "ONNX companion": Target(
    read=_onnx,
    seeds=_seeds_of_onnx,
    mutate=mutations.of_message(_model_proto),
    parts=("exporters.companions.onnx_file",),
  ),
}
