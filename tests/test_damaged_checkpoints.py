"""Checkpoints that are damaged, or that someone made to do harm: one error."""

import contextlib
import functools
import pathlib
import shutil

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.core.protobuf import trackable_object_graph_pb2

from exporters import checkpoints
from exporters.errors import ExportError
from tests import checkpoint_files
from tests import numpy_bert
from tests import small_bert

_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


@functools.cache
def model():
  return small_bert.encoder()


def restore(path) -> None:
  checkpoint = checkpoints.open_checkpoint(str(path))
  checkpoints.restore(checkpoint, {"encoder": model(), "model": model()})


def refusal(path) -> str:
  """Returns the error, at opening or when a model is restored."""
  with pytest.raises(ExportError) as error:
    restore(path)
  return str(error.value)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> pathlib.Path:
  """A checkpoint of each kind of TensorFlow's, and a Hugging Face folder."""
  folder = tmp_path_factory.mktemp("checkpoints")
  tensors = numpy_bert.tensors("bert")
  checkpoint_files.tf1(folder / "tf1", tensors)
  tf.train.Checkpoint(encoder=model()).write(str(folder / "tf2"))
  module = tf.Module()
  module.v = [tf.Variable(v, name=v.name[:-2]) for v in model().variables]
  tf.saved_model.save(module, str(folder / "saved_model"))
  checkpoint_files.hugging_face(
    folder / "hugging_face", "bert", numpy_bert.CONFIGS["bert"], tensors
  )
  return folder


@pytest.fixture
def copied(root, tmp_path) -> pathlib.Path:
  return shutil.copytree(root, tmp_path / "copy")


class TestTruncated:
  @pytest.mark.parametrize("size", [100, 0])
  @pytest.mark.parametrize(
    ("path", "prefix"),
    [
      ("tf1", "tf1"),
      ("tf2", "tf2"),
      ("saved_model", "saved_model/variables/variables"),
    ],
  )
  def test_data(self, copied, path, prefix, size):
    data = copied / f"{prefix}.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:size])
    assert "truncated or damaged" in refusal(copied / path)

  def test_index_with_a_wrong_byte(self, copied):
    """Says so, or is read, since a byte of a checksum may not matter."""
    index = copied / "tf2.index"
    content = index.read_bytes()
    for place in range(0, len(content), len(content) // 50):
      index.write_bytes(
        content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]
      )
      with contextlib.suppress(ExportError):
        restore(copied / "tf2")


def saved_model_pb(*ids: int, nodes: int = 1) -> bytes:
  proto = saved_model_pb2.SavedModel()
  graph = proto.meta_graphs.add().object_graph_def
  return _with_children(proto, graph, ids, nodes)


def object_graph(*ids: int, nodes: int = 1) -> bytes:
  graph = trackable_object_graph_pb2.TrackableObjectGraph()
  return _with_children(graph, graph, ids, nodes)


def _with_children(proto, graph, ids, nodes) -> bytes:
  for _ in range(nodes):
    graph.nodes.add()
  for node_id in ids:
    graph.nodes[0].children.add(node_id=node_id, local_name="encoder")
  return proto.SerializeToString()


class TestGraphsOfObjects:
  @pytest.mark.parametrize(
    "content",
    [
      b"junk" * 99,
      b"",
      saved_model_pb(nodes=0),
      saved_model_pb(9999),
      saved_model_pb(-1),
    ],
    ids=["junk", "empty", "no nodes", "9999", "-1"],
  )
  def test_saved_model(self, copied, content):
    (copied / "saved_model/saved_model.pb").write_bytes(content)
    assert "truncated or damaged" in refusal(copied / "saved_model")

  def test_truncated_saved_model(self, copied):
    path = copied / "saved_model/saved_model.pb"
    path.write_bytes(path.read_bytes()[:-10])
    assert "truncated or damaged" in refusal(copied / "saved_model")

  @pytest.mark.parametrize("kind", ["tf2", "saved_model"])
  @pytest.mark.parametrize(
    "content",
    [
      b"junk" * 99,
      b"",
      object_graph(9999),
      object_graph(-1),
      1.5,
      [b"", b""],
    ],
    ids=["junk", "empty", "9999", "-1", "float", "vector"],
  )
  def test_object_graph(self, root, tmp_path, kind, content):
    path = tmp_path / kind
    prefix = path
    if kind == "saved_model":
      shutil.copytree(root / kind, path)
      prefix = path / "variables/variables"
    tf.raw_ops.SaveV2(
      prefix=str(prefix),
      tensor_names=[_GRAPH],
      shape_and_slices=[""],
      tensors=[tf.constant(content)],
    )
    assert "truncated or damaged" in refusal(path)
