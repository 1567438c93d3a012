"""Companions: LiteRT models beside SavedModels, in their own runtime."""

import dataclasses
import pathlib

from ai_edge_litert import interpreter
import gin
import numpy as np
import pytest
import tensorflow as tf

from exporters import checks
from exporters import recipe
from exporters.companions import Companions
from exporters.companions import making
from exporters.errors import ExportError
from exporters.life_cycle import exporting
from scripts import digits
from scripts import moving_digits
from tests import command

_DIGITS = "configs/resnet/digits_resnet.gin"
_LITE = ("lite", "lite_float16", "lite_dynamic", "lite_int8")


def export(
  folder: pathlib.Path, gin_file: str, *bindings: str
) -> dict[str, exporting.Artifact]:
  """Exports without checks; returns the artifacts by name."""
  gin.clear_config()
  exporter = recipe.load([gin_file], bindings).exporter
  gin.clear_config()
  path = folder / "model"
  done = exporting.export(exporter, export_path=str(path), level=checks.NONE)
  return {
    pathlib.Path(a.path).relative_to(path).name: a for a in done.artifacts
  }


def make(
  artifact: exporting.Artifact, folder: pathlib.Path, **companions
) -> making.Made:
  """Makes companions of an artifact."""
  folder.mkdir(exist_ok=True)
  return making.make(
    artifact.path,
    Companions(**companions),
    str(folder),
    samples=artifact.samples,
    stream=artifact.stream and dataclasses.asdict(artifact.stream),
  )


def runner(companion: making.Companion):
  """Returns what calls a LiteRT companion by the names of its inputs."""
  lite = interpreter.Interpreter(model_path=companion.path)
  # A runner does not keep its interpreter alive.
  found = lite.get_signature_runner("serving_default")
  return lambda **inputs: (lite, found(**inputs))[1]


@dataclasses.dataclass
class Doubled(tf.Module):
  """A small model, written as anyone would."""

  def __post_init__(self):
    super().__init__()
    self.weight = tf.Variable([[1.0, -2.0], [0.5, 3.0]], name="weight")

  def save(self, path: pathlib.Path, function) -> str:
    spec = tf.TensorSpec([None, 2], tf.float32, "x")
    self.call = tf.function(function, input_signature=[spec])
    tf.saved_model.save(self, str(path), signatures=self.call)
    return str(path)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> exporting.Artifact:
  return export(tmp_path_factory.mktemp("digits"), _DIGITS)["classification"]


@pytest.fixture(scope="module")
def calibration(tmp_path_factory) -> str:
  """A hundred of the digits that the model was trained on."""
  path = tmp_path_factory.mktemp("calibration") / "digits.npz"
  np.savez(path, images=digits.load()[0].images[:100])
  return str(path)


@pytest.fixture(scope="module")
def made(
  classifier, calibration, tmp_path_factory
) -> dict[str, making.Companion]:
  folder = tmp_path_factory.mktemp("companions")
  done = make(classifier, folder, kinds=_LITE, calibration=calibration)
  assert not done.remarks
  return {companion.kind.name: companion for companion in done.companions}


@pytest.fixture(scope="module")
def stream(tmp_path_factory) -> making.Companion:
  folder = tmp_path_factory.mktemp("stream")
  artifact = export(folder, "configs/movinet/moving_digits_stream.gin")[""]
  return make(artifact, folder / "made", kinds=["lite"]).companions[0]


class TestDigits:
  """Of 1,000 digits that the training has not seen, 979 are recognized."""

  @pytest.mark.parametrize(
    ("kind", "right"),
    [
      ("lite", 979),
      ("lite_float16", 979),
      ("lite_dynamic", 979),
      ("lite_int8", 979),
    ],
  )
  def test_recognizes_as_many(self, made, kind, right):
    held_out = digits.load()[1]
    outputs = runner(made[kind])(images=held_out.images)
    found = outputs["logits"].argmax(1) == held_out.labels
    assert found.sum() == right

  def test_each_is_within_its_bound_and_smaller(self, made):
    for companion in made.values():
      assert companion.parity.largest[1] <= companion.bound
    float32, float16, *others = (made[kind].size for kind in _LITE)
    assert float32 > 1.9 * float16
    assert float16 > 1.8 * max(others)

  def test_same_bytes_in_another_process_and_directory(
    self, classifier, made, tmp_path
  ):
    (again,) = make(classifier, tmp_path, kinds=["lite"]).companions
    first = pathlib.Path(made["lite"].path).read_bytes()
    assert pathlib.Path(again.path).read_bytes() == first

  def test_refuses_what_differs_by_more_than_the_bound(
    self, classifier, tmp_path
  ):
    with pytest.raises(ExportError) as error:
      make(
        classifier,
        tmp_path,
        kinds=["lite_float16"],
        bounds={"lite_float16": 1e-7},
      )
    assert "There is no companion 'lite_float16': Its output" in str(
      error.value
    )
    assert "of its scale (smallest cosine 1.0000); the bound is 1e-07." in str(
      error.value
    )
    assert not list(tmp_path.iterdir())

  def test_goes_on_without_an_optional_one(self, classifier, tmp_path):
    done = make(
      classifier,
      tmp_path,
      kinds=["lite", "lite_float16"],
      optional=["lite_float16"],
      bounds={"lite_float16": 1e-7},
    )
    assert [c.kind.name for c in done.companions] == ["lite"]
    (remark,) = done.remarks
    assert "'lite_float16'" in remark

  def test_calibrates_with_a_function_s_samples(
    self, classifier, made, tmp_path
  ):
    def samples():
      images = digits.load()[0].images[:100]
      return tf.data.Dataset.from_tensor_slices({"images": images})

    (companion,) = make(
      classifier, tmp_path, kinds=["lite_int8"], calibration_data=samples
    ).companions
    first = pathlib.Path(made["lite_int8"].path).read_bytes()
    assert pathlib.Path(companion.path).read_bytes() == first

  def test_fixes_the_shapes_that_a_recipe_names(self, classifier, tmp_path):
    (companion,) = make(
      classifier,
      tmp_path,
      kinds=["lite"],
      input_shapes={"images": [1, 28, 28, 3]},
    ).companions
    lite = interpreter.Interpreter(model_path=companion.path)
    (details,) = lite.get_input_details()
    assert details["shape_signature"].tolist() == [1, 28, 28, 3]
    assert companion.parity.largest[1] <= 1e-5


def _save_table(path: pathlib.Path, table: np.ndarray) -> str:
  module = tf.Module()
  module.table = tf.Variable(table)

  @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32, "ids")])
  def call(ids):
    return {"mean": tf.reduce_mean(tf.gather(module.table, ids), 1)}

  tf.saved_model.save(module, str(path), signatures=call)
  return str(path)


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> list[str]:
  """SavedModels: a sound one, one that is broken, and one of zeros."""
  folder = tmp_path_factory.mktemp("tables")
  table = np.random.default_rng(0).random([1000, 4], np.float32)
  broken = np.copy(table)
  broken[2:] = 0
  models = {"sound": table, "broken": broken, "zeros": 0 * table}
  return [_save_table(folder / name, one) for name, one in models.items()]


class TestTable:
  """Inputs are made up so that what is wrong in a table of ids shows."""

  def test_a_broken_part_is_found(self, tables, tmp_path):
    sound, broken, _ = tables
    (companion,) = making.make(
      broken, Companions(kinds=["lite"]), str(tmp_path)
    ).companions
    folder = tmp_path / "reference"
    folder.mkdir()
    making.reference(sound, str(folder))
    parity = making.measured(companion.path, str(folder))
    with pytest.raises(ExportError, match="differs from the SavedModel's"):
      making.refuse_different(parity, 1e-5)

  def test_nothing_is_proved_by_a_constant(self, tables, tmp_path):
    *_, zeros = tables
    with pytest.raises(ExportError, match="nothing is compared"):
      making.make(zeros, Companions(kinds=["lite"]), str(tmp_path))


class TestStream:
  """A model of streams takes a frame and its states."""

  def test_is_the_same_over_the_whole_sequence(self, stream):
    assert stream.parity.calls == 6
    assert stream.parity.largest[1] <= 1e-5

  def test_recognizes_as_many_videos(self, stream):
    call = runner(stream)
    held_out = moving_digits.load()[1]
    lite = interpreter.Interpreter(model_path=stream.path)
    details = lite.get_signature_runner("serving_default").get_input_details()
    first = {
      name: np.zeros(detail["shape"], detail["dtype"])
      for name, detail in details.items()
      if name != "image"
    }
    right = 0
    for video, label in zip(held_out.videos, held_out.labels, strict=True):
      states = first
      for frame in video:
        outputs = call(image=frame[np.newaxis, np.newaxis], **states)
        states = {name: np.copy(outputs[name]) for name in first}
      right += outputs["logits"].argmax() == label
    assert right == 928


class TestRefused:
  """What cannot be a companion is refused, with the reason."""

  @pytest.mark.parametrize(
    ("function", "message"),
    [
      (
        lambda self, x: tf.nn.softmax(tf.math.erf(x) @ self.weight),
        r"LiteRT does not have the operation Erf \('Erf'\)",
      ),
      (
        lambda self, x: tf.strings.as_string(x),
        "'output_0' of the model is text",
      ),
    ],
  )
  def test_operation(self, function, message, tmp_path):
    model = Doubled()
    path = model.save(tmp_path / "model", lambda x: function(model, x))
    with pytest.raises(ExportError, match=message):
      making.make(path, Companions(kinds=["lite"]), str(tmp_path))

  def test_optional(self, tmp_path):
    model = Doubled()
    path = model.save(tmp_path / "model", lambda x: tf.strings.as_string(x))
    wanted = Companions(kinds=["lite"], optional=["lite", "onnx"])
    done = making.make(path, wanted, str(tmp_path))
    assert not done.companions
    (remark,) = done.remarks
    assert remark.startswith("There is no companion 'lite': 'output_0' of")

  def test_full_disk(self, tmp_path):
    """It is nobody's fault, so that no companion is left out for it."""
    model = Doubled()
    path = model.save(tmp_path / "model", lambda x: x @ model.weight)
    small = tmp_path / "small"
    small.mkdir()
    done = command.on_small_disk(
      *(small, 8, "-m", "scripts.companion", path),
      *("--kind=lite", "--optional=lite", f"--export_path={tmp_path}/made"),
      TMPDIR=str(small),
    )
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert not (tmp_path / "made").exists()

  def test_open_rank(self, tmp_path):
    gin_file = "configs/low_level/multiply.gin"
    artifact = export(tmp_path, gin_file)[""]
    with pytest.raises(ExportError, match="any number of dimensions"):
      make(artifact, tmp_path / "made", kinds=["lite"])

  @pytest.mark.parametrize(
    ("fields", "message"),
    [
      ({"kinds": ["lite_8"]}, "There is no kind of companion 'lite_8'"),
      ({"kinds": ["lite_int8"]}, "needs samples"),
      ({"kinds": ["lite", "lite"]}, "names 'lite' 2 times"),
      ({"kinds": ["lite"], "bounds": {"lite": 0.0}}, "a positive number"),
      ({"kinds": "lite"}, r"Write \['lite'\], with square brackets"),
    ],
  )
  def test_settings(self, fields, message):
    with pytest.raises(ExportError, match=message):
      Companions(**fields)

  @pytest.mark.parametrize(
    ("arrays", "message"),
    [
      ({"pictures": np.zeros([2, 2])}, "called pictures, but the model's"),
      ({"x": np.zeros([0, 2])}, "at least one"),
      (None, "is not a file of arrays"),
    ],
  )
  def test_calibration(self, arrays, message, tmp_path):
    model = Doubled()
    path = model.save(tmp_path / "model", lambda x: x @ model.weight)
    file = tmp_path / "samples.npz"
    if arrays is None:
      file.write_bytes(b"no arrays")
    else:
      np.savez(file, **arrays)
    wanted = Companions(kinds=["lite_int8"], calibration=str(file))
    with pytest.raises(ExportError, match=message):
      making.make(path, wanted, str(tmp_path))

  def test_samples_of_different_shapes(self, tmp_path):
    def samples():
      return [{"x": np.zeros(2)}, {"x": np.zeros(3)}]

    model = Doubled()
    path = model.save(tmp_path / "model", lambda x: x @ model.weight)
    wanted = Companions(kinds=["lite_int8"], calibration_data=samples)
    with pytest.raises(ExportError, match="Pad or cut them"):
      making.make(path, wanted, str(tmp_path))
