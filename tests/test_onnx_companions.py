"""Companions in ONNX, which scripts/onnx.txt installs."""

import importlib.util
import pathlib
import re

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest
import tensorflow as tf

from exporters.companions import inspection
from exporters.companions import kinds
from exporters.companions import making
from exporters.companions.settings import Companions
from exporters.errors import ExportError
from tests import command
from tests import small_companions


def test_without_the_packages_an_error_names_the_command(monkeypatch, tmp_path):
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  kinds.refuse_absent(["lite", "lite_int8"])
  for act in (
    lambda: making.make("absent", Companions(kinds=["onnx"]), str(tmp_path)),
    lambda: inspection.inspect(str(_written(tmp_path, b""))),
  ):
    with pytest.raises(
      ExportError, match=r"bash scripts/install_extra\.sh onnx"
    ):
      act()


def test_pins_are_those_of_all_requirements():
  def pins(name: str) -> dict[str, str]:
    text = (command.ROOT / name).read_text()
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.M))

  everything, onnx_alone = pins("requirements.txt"), pins("scripts/onnx.txt")
  others = {n: v for n, v in onnx_alone.items() if everything.get(n) != v}
  assert others.keys() == {"onnx", "onnxruntime", "tf2onnx"}


def _written(folder: pathlib.Path, content: bytes) -> pathlib.Path:
  path = folder / "model.onnx"
  path.write_bytes(content)
  return path


onnx = pytest.importorskip("onnx", reason="bash scripts/install_extra.sh onnx")


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory) -> pathlib.Path:
  return small_companions.save(tmp_path_factory.mktemp("two") / "two_outputs")


@pytest.fixture(scope="module")
def made(saved_model) -> making.Companion:
  (made,) = small_companions.make(
    saved_model, saved_model.parent / "companions", "onnx"
  )
  return made


def test_a_companion_keeps_names_and_open_dimensions(made):
  found = inspection.inspect(made.path)
  assert found.kind == "onnx"
  assert found.inputs == {"x": [None, 64]}
  assert sorted(found.outputs) == ["left", "right"]
  assert made.parity.largest[1] < 1e-5
  model = onnx.load(made.path)
  (x,) = model.graph.input
  assert x.type.tensor_type.shape.dim[0].dim_param == "x_0"
  assert {o.domain: o.version for o in model.opset_import}[""] == 18


def test_the_same_bytes_in_another_process_and_folder(
  made, saved_model, tmp_path
):
  (again,) = small_companions.make(saved_model, tmp_path / "again", "onnx")
  content = pathlib.Path(made.path).read_bytes()
  assert pathlib.Path(again.path).read_bytes() == content


def test_check_and_verify_take_it(made, saved_model):
  done = command.run("scripts.check", str(saved_model), made.path)
  assert "an ONNX model with float32 weights" in done.stdout
  done = command.run("scripts.verify", made.path)
  assert "it runs: 'x' [1, 64] to 'left' [1, 32], " in done.stdout


def _save(call, path: pathlib.Path, *specs: tf.TensorSpec) -> pathlib.Path:
  tf.saved_model.save(
    tf.Module(), str(path), signatures=tf.function(call, input_signature=specs)
  )
  return path


def test_an_output_called_like_an_input_is_the_next(tmp_path):
  """As the states of a stream are."""
  path = _save(
    lambda x, state: {"y": x + state, "state": state + 2 * x},
    tmp_path / "model",
    tf.TensorSpec([None, 4], tf.float32, "x"),
    tf.TensorSpec([None, 4], tf.float32, "state"),
  )
  (made,) = small_companions.make(path, tmp_path / "companions", "onnx")
  found = inspection.inspect(made.path)
  assert sorted(found.inputs) == ["state", "x"]
  assert sorted(found.outputs) == ["state.next", "y"]
  assert sorted(made.parity.differences) == ["state", "y"]


def test_loops_and_equal_outputs_have_the_same_bytes_each_time(tmp_path):
  def call(x):
    y = tf.while_loop(
      lambda i, y: i < 3, lambda i, y: (i + 1, y * 2 + x), [0, tf.nn.gelu(x)]
    )[1]
    return {"y": y, "the_same": y, "x_itself": x}

  path = _save(
    call, tmp_path / "model", tf.TensorSpec([None, 4], tf.float32, "x")
  )
  one, other = (
    small_companions.make(path, tmp_path / name, "onnx")[0]
    for name in ("one", "other")
  )
  content = pathlib.Path(one.path).read_bytes()
  assert pathlib.Path(other.path).read_bytes() == content
  assert inspection.inspect(one.path).outputs == ["the_same", "x_itself", "y"]


def test_an_operation_that_onnx_does_not_have_is_named(tmp_path):
  path = _save(
    lambda x: {"y": tf.math.igamma(x, x, name="the_gamma_of_x")},
    tmp_path / "model",
    tf.TensorSpec([None], tf.float32, "x"),
  )
  with pytest.raises(
    ExportError, match=r"no operation Igamma, which '.*the_gamma_of_x' needs"
  ):
    small_companions.make(path, tmp_path / "companions", "onnx")


def _model(*nodes, initializers=(), imports=()):
  helper = onnx.helper
  value = helper.make_tensor_value_info
  graph = helper.make_graph(
    [*nodes],
    "graph",
    [value("x", onnx.TensorProto.FLOAT, ["x_0"])],
    [value("y", onnx.TensorProto.FLOAT, ["y_0"])],
    initializer=[*initializers],
  )
  opsets = [helper.make_opsetid("", 18), *imports]
  return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _external(name: str):
  tensor = onnx.TensorProto(
    name=name,
    dims=[1],
    data_type=onnx.TensorProto.FLOAT,
    data_location=onnx.TensorProto.EXTERNAL,
  )
  tensor.external_data.add(key="location", value="../../etc/passwd")
  return tensor


def _external_initializer():
  node = onnx.helper.make_node("Add", ["x", "w"], ["y"])
  return _model(node, initializers=[_external("w")])


def _external_attribute():
  constant = onnx.helper.make_node("Constant", [], ["w"], value=_external("w"))
  return _model(constant, onnx.helper.make_node("Add", ["x", "w"], ["y"]))


def _external_in_a_branch():
  helper, float_ = onnx.helper, onnx.TensorProto.FLOAT
  branch = helper.make_graph(
    [helper.make_node("Identity", ["w"], ["z"])],
    "branch",
    [],
    [helper.make_tensor_value_info("z", float_, [1])],
    initializer=[_external("w")],
  )
  condition = helper.make_tensor("c", onnx.TensorProto.BOOL, [], [True])
  node = helper.make_node(
    "If", ["c"], ["y"], then_branch=branch, else_branch=branch
  )
  return _model(node, initializers=[condition])


def _custom_domain():
  node = onnx.helper.make_node(
    "Steal", ["x"], ["y"], domain="com.example", name="thief"
  )
  return _model(node, imports=[onnx.helper.make_opsetid("com.example", 1)])


def _contributed():
  """An operator of ONNX Runtime alone."""
  node = onnx.helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")
  return _model(node, imports=[onnx.helper.make_opsetid("com.microsoft", 1)])


def _unconnected():
  return _model(onnx.helper.make_node("Identity", ["absent"], ["y"]))


_EXTERNAL = "reads the tensor 'w' from another file"


@pytest.mark.parametrize(
  ("make", "message"),
  [
    (_external_initializer, _EXTERNAL),
    (_external_attribute, _EXTERNAL),
    (_external_in_a_branch, _EXTERNAL),
    (_custom_domain, r"no operation com\.example\.Steal, which 'thief' needs"),
    (_contributed, r"no operation com\.microsoft\.Gelu"),
    (_unconnected, "is damaged: "),
  ],
)
def test_a_hostile_file_is_refused(make, message, tmp_path):
  path = _written(tmp_path, make().SerializeToString())
  with pytest.raises(ExportError, match=message):
    inspection.inspect(str(path))


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_damage_ends_in_one_error(data, made, tmp_path_factory):
  content = bytearray(pathlib.Path(made.path).read_bytes())
  del content[data.draw(st.integers(0, len(content)), "length") :]
  places = st.integers(0, max(0, len(content) - 1))
  for place in data.draw(st.lists(places, max_size=4), "places"):
    content[place : place + 1] = bytes([data.draw(st.integers(0, 255))])
  path = _written(tmp_path_factory.getbasetemp(), bytes(content))
  assert _said_of(path).isprintable()


def _said_of(path: pathlib.Path) -> str:
  try:
    inspection.inspect(str(path))
  except ExportError as e:
    return e.message
  return ""


@pytest.mark.parametrize(
  ("equation", "shapes"),
  [
    ("...x,xy->...y", [(2, 3, 4), (4, 5)]),
    ("...ij,...jk->...ik", [(2, 3, 4), (2, 4, 5)]),
    ("...a,b...->ab...", [(3, 2), (5, 3)]),
    ("a...,...->a...", [(2, 3), (3,)]),
    ("i...->...", [(3, 4)]),
    ("...i,ij->...j", [(4,), (4, 5)]),
  ],
)
def test_an_equation_is_spelled_out(equation, shapes):
  from exporters.companions import onnx as conversion

  rng = np.random.default_rng(0)
  operands = [rng.random(shape) for shape in shapes]
  spelled = conversion.spelled_out(equation, [len(shape) for shape in shapes])
  assert "." not in spelled
  np.testing.assert_allclose(
    np.einsum(spelled, *operands), np.einsum(equation, *operands)
  )


def test_a_model_with_such_an_equation_converts(tmp_path):
  module = tf.Module()
  module.weight = tf.Variable(tf.random.stateless_normal([3, 4], [0, 1]))

  @tf.function(input_signature=[tf.TensorSpec([None, None, 3], name="x")])
  def call(x):
    return {"y": tf.einsum("...x,xy->...y", x, module.weight)}

  path = str(tmp_path / "model")
  tf.saved_model.save(module, path, signatures=call)
  (made,) = small_companions.make(
    pathlib.Path(path), tmp_path / "companions", "onnx"
  )
  assert made.parity.largest[1] <= 1e-5
