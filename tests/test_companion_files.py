"""Broken companions: each is found, by its file or by what it computes."""

from collections.abc import Callable
import pathlib
import re
import struct

from ai_edge_litert import schema_py_generated as schema
import flatbuffers
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest

from exporters.companions import inspection
from exporters.companions import lite_file
from exporters.companions import making
from exporters.companions import runtime
from exporters.companions.kinds import KINDS
from exporters.companions.settings import Companions
from exporters.errors import ExportError
from exporters.release import statement
from exporters.release import verify_companion
from tests import command
from tests import small_companions
from tests.times import seconds_at_most

BOUND = KINDS["lite"].bound


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory) -> pathlib.Path:
  return small_companions.save(tmp_path_factory.mktemp("two") / "two_outputs")


@pytest.fixture(scope="module")
def lite(saved_model) -> pathlib.Path:
  """The companion, made by the command."""
  folder = saved_model.parent / "companions"
  done = command.run(
    "scripts.companion",
    str(saved_model),
    "--kind=lite",
    "--kind=lite_dynamic",
    f"--export_path={folder}",
  )
  text = " ".join(done.stdout.split())
  assert re.search(
    r"is a LiteRT model with float32 weights size 1\d\.\d kB", text
  )
  assert "of scale from the SavedModel (at most 1e-05), in '" in text
  assert re.search(r"smallest cosine 1\.0+ time of a call", text)
  assert re.search(r"time of a call \S+ ms \(SavedModel \S+ ms\)", text)
  assert [p.name for p in sorted(folder.iterdir())] == [
    "lite.tflite",
    "lite_dynamic.tflite",
  ]
  return folder / "lite.tflite"


@pytest.fixture(scope="module")
def reference(saved_model, tmp_path_factory) -> str:
  folder = tmp_path_factory.mktemp("reference")
  making.reference(str(saved_model), str(folder))
  return str(folder)


def _changed_weight(content: bytes) -> bytes:
  weight = small_companions.WEIGHTS[0, 0]
  before = struct.pack("<f", weight)
  assert before in content
  return content.replace(before, struct.pack("<f", weight * 1.01))


def _swapped_outputs(content: bytes) -> bytes:
  model = _unpacked(content)
  one, other = model.signatureDefs[0].outputs
  one.name, other.name = other.name, one.name
  return _packed(model)


def _unpacked(content: bytes) -> schema.ModelT:
  return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


def _packed(model: schema.ModelT) -> bytes:
  builder = flatbuffers.Builder()
  builder.Finish(model.Pack(builder), b"TFL3")
  return bytes(builder.Output())


def test_packing_alone_breaks_nothing(lite, reference, tmp_path):
  path = tmp_path / "lite.tflite"
  path.write_bytes(_packed(_unpacked(lite.read_bytes())))
  making.refuse_different(making.measured(str(path), reference), BOUND)


@pytest.mark.parametrize("broken", [_changed_weight, _swapped_outputs])
def test_what_computes_something_else_is_found(
  broken, lite, reference, tmp_path
):
  path = tmp_path / "lite.tflite"
  path.write_bytes(broken(lite.read_bytes()))
  parity = making.measured(str(path), reference)
  with pytest.raises(ExportError, match="differs from the SavedModel's by"):
    making.refuse_different(parity, BOUND)


def test_other_names_are_found(lite, reference, tmp_path):
  model = _unpacked(lite.read_bytes())
  model.signatureDefs[0].outputs[0].name = "centre"
  path = tmp_path / "lite.tflite"
  path.write_bytes(_packed(model))
  with pytest.raises(ExportError, match="its outputs are centre, "):
    making.measured(str(path), reference)


def test_integers_need_calibration(saved_model, tmp_path):
  with pytest.raises(ExportError, match="needs samples of what the model will"):
    Companions(kinds=["lite_int8"])
  done = command.run(
    "scripts.companion",
    str(saved_model),
    "--kind=lite_int8",
    f"--export_path={tmp_path / 'companions'}",
    check=False,
  )
  assert done.returncode == 1
  assert "--calibration=/path/to/samples.npz" in done.stderr
  assert not (tmp_path / "companions").exists()


def test_absurd_calibration_is_found(saved_model, tmp_path):
  """Samples a million times as large as the inputs."""
  rng = np.random.default_rng(0)
  samples = {
    "sensible": rng.random([20, 64], np.float32),
    "absurd": rng.random([20, 64], np.float32) * 1e6,
  }
  for name, x in samples.items():
    np.savez(tmp_path / f"{name}.npz", x=x)
  (made,) = small_companions.make(
    saved_model,
    tmp_path / "sensible",
    "lite_int8",
    calibration=str(tmp_path / "sensible.npz"),
  )
  assert inspection.inspect(made.path).kind == "lite_int8"
  with pytest.raises(
    ExportError, match="There is no companion 'lite_int8': It"
  ):
    small_companions.make(
      saved_model,
      tmp_path / "absurd",
      "lite_int8",
      calibration=str(tmp_path / "absurd.npz"),
    )
  assert not [*(tmp_path / "absurd").iterdir()]


def test_check_compares_a_companion_with_its_saved_model(
  saved_model, lite, tmp_path
):
  done = command.run("scripts.check", str(saved_model), str(lite))
  assert "(at most 1e-05)" in done.stdout
  broken = tmp_path / "broken.tflite"
  broken.write_bytes(_changed_weight(lite.read_bytes()))
  done = command.run(
    "scripts.check", str(saved_model), str(broken), check=False
  )
  assert done.returncode == 1
  assert "largest difference" in done.stdout
  assert done.stderr.startswith("error: '")
  command.run("scripts.check", "--bound=0.1", str(saved_model), str(broken))


@pytest.mark.parametrize(
  ("name", "kind"), [("lite", "lite"), ("lite_dynamic", "lite_dynamic")]
)
def test_a_file_tells_what_it_is(name, kind, lite):
  found = inspection.inspect(str(lite.with_name(f"{name}.tflite")))
  assert found.kind == kind
  assert found.inputs == {"x": [None, 64]}
  assert sorted(found.outputs) == ["left", "right"]
  assert found.operators == {"FULLY_CONNECTED": 2}


def test_a_hostile_saved_model_is_not_converted(tmp_path):
  import tensorflow as tf

  module = tf.Module()
  call = tf.function(
    lambda x: tf.io.read_file(x), input_signature=[tf.TensorSpec([], tf.string)]
  )
  tf.saved_model.save(module, str(tmp_path / "model"), signatures=call)
  done = command.run(
    "scripts.companion",
    str(tmp_path / "model"),
    "--kind=lite",
    f"--export_path={tmp_path / 'companions'}",
    check=False,
  )
  assert done.returncode == 1
  assert "ReadFile" in done.stderr


def test_verify_takes_a_companion(lite):
  done = command.run("scripts.verify", str(lite))
  assert "ok      all operators belong to its runtime: " in done.stdout
  assert "2 FULLY_CONNECTED" in done.stdout
  assert "ok      it runs: 'x' [1, 64] to 'left' [1, 32], " in done.stdout


@pytest.mark.parametrize("recorded", [True, False])
def test_verify_looks_for_the_digest(recorded, lite, monkeypatch):
  digest = verify_companion.verify(str(lite), runs=False).digest
  subject = {
    "name": "publisher/model/lite/1.tflite",
    "digest": {"sha256": digest if recorded else "0" * 64},
  }
  monkeypatch.setattr(statement, "read", lambda path: {"subject": [subject]})

  def verify():
    return verify_companion.verify(str(lite), provenance="p", runs=False)

  if recorded:
    assert "the companion matches the provenance" in verify().steps
  else:
    with pytest.raises(ExportError, match="is not among the files of 'p'"):
      verify()


def test_what_runs_for_too_long_is_stopped(lite):
  with pytest.raises(ExportError, match=r"it ran for more than 0\.01 s"):
    runtime.attempt(str(lite), longest=0.01)


def test_the_process_that_runs_it_may_crash(lite, monkeypatch, tmp_path):
  program = tmp_path / "crash.py"
  program.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
  monkeypatch.setattr(runtime, "_PROGRAM", str(program))
  with pytest.raises(ExportError, match=r"was killed \(SIGSEGV\)"):
    runtime.attempt(str(lite))


def _custom(model: schema.ModelT) -> None:
  code = model.operatorCodes[0]
  code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
  code.customCode = b"FlexErf"


def _unknown(model: schema.ModelT) -> None:
  model.operatorCodes[0].builtinCode = 30_000


def _without_signature(model: schema.ModelT) -> None:
  model.signatureDefs = []


def _huge(model: schema.ModelT) -> None:
  model.subgraphs[0].tensors[-1].shape = [1 << 30, 1 << 30]


def _negative(model: schema.ModelT) -> None:
  tensor = model.subgraphs[0].tensors[-1]
  tensor.shape = tensor.shapeSignature = [-7]


def _buffer_outside(model: schema.ModelT) -> None:
  model.buffers[-1].data = None
  model.buffers[-1].offset = 1 << 40
  model.buffers[-1].size = 1


def _tensor_outside(model: schema.ModelT) -> None:
  model.subgraphs[0].operators[0].inputs = [0, 1_000]


def _output_outside(model: schema.ModelT) -> None:
  model.signatureDefs[0].outputs[0].tensorIndex = 1_000


def _other_files(model: schema.ModelT) -> None:
  buffer = schema.ExternalBufferT()
  buffer.id = 1
  model.externalBuffers = [buffer]


def test_a_file_without_signature_has_its_tensors_names(lite, tmp_path):
  model = _unpacked(lite.read_bytes())
  _without_signature(model)
  path = tmp_path / "stranger.tflite"
  path.write_bytes(_packed(model))
  found = lite_file.read(path.read_bytes())
  ((name, shape),) = found.inputs.items()
  assert name.startswith("serving_default_x")
  assert shape == [None, 64]
  trial = runtime.attempt(str(path))
  assert trial.inputs.keys() == {name}
  assert sorted(map(len, trial.outputs.values())) == [2, 2]


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (_custom, "an operator that is not builtin: FlexErf"),
    (_unknown, "an operator that is not builtin: number 30000"),
    (_huge, r"has shape \[1073741824, 1073741824\]"),
    (_negative, r"has shape \[-7\]"),
    (_buffer_outside, "a buffer lies behind the end of the file"),
    (_tensor_outside, "an operator names a tensor that is not there"),
    (_output_outside, "the signature names a tensor that is not there"),
    (_other_files, "has weights in other files"),
  ],
)
def test_a_hostile_file_is_refused(
  change: Callable[[schema.ModelT], None], message, lite
):
  model = _unpacked(lite.read_bytes())
  change(model)
  with pytest.raises(ExportError, match=message):
    lite_file.read(_packed(model))


def test_entries_that_are_one_are_counted():
  """A thousand graphs of a thousand operators, in 12 kB."""
  builder = flatbuffers.Builder()

  def vector(start, entry):
    start(builder, 1_000)
    for _ in range(1_000):
      builder.PrependUOffsetTRelative(entry)
    return builder.EndVector()

  schema.OperatorCodeStart(builder)
  code = schema.OperatorCodeEnd(builder)
  schema.OperatorStart(builder)
  operator = schema.OperatorEnd(builder)
  operators = vector(schema.SubGraphStartOperatorsVector, operator)
  schema.SubGraphStart(builder)
  schema.SubGraphAddOperators(builder, operators)
  graph = schema.SubGraphEnd(builder)
  graphs = vector(schema.ModelStartSubgraphsVector, graph)
  codes = vector(schema.ModelStartOperatorCodesVector, code)
  schema.ModelStart(builder)
  schema.ModelAddOperatorCodes(builder, codes)
  schema.ModelAddSubgraphs(builder, graphs)
  builder.Finish(schema.ModelEnd(builder), b"TFL3")
  with pytest.raises(ExportError, match="more than 200,000 entries"):
    lite_file.read(bytes(builder.Output()))


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_damage_ends_in_one_error(data, lite):
  content = bytearray(lite.read_bytes())
  if data.draw(st.booleans(), "truncated"):
    del content[data.draw(st.integers(0, len(content)), "length") :]
  # Where offsets are: weights may be anything.
  places = st.integers(0, max(0, len(content) - 4))
  for place in data.draw(st.lists(places, max_size=4), "places"):
    value = data.draw(
      st.one_of(
        st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2**31, 2**32 - 1])
      )
    )
    content[place : place + 4] = struct.pack("<I", value)
  with seconds_at_most(5):
    assert _said_of(bytes(content)).isprintable()


def _said_of(content: bytes) -> str:
  try:
    lite_file.read(content)
  except ExportError as e:
    return e.message
  return ""
