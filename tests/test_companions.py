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
from scripts.small_instances import INSTANCES

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
  np.savez(path, inputs=digits.load()[0].images[:100])
  return str(path)


@pytest.fixture(scope="module")
def made(
  classifier, calibration, tmp_path_factory
) -> dict[str, making.Companion]:
  folder = tmp_path_factory.mktemp("companions")
  done = make(classifier, folder, kinds=_LITE, calibration=calibration)
  assert not done.remarks
  return {companion.kind.name: companion for companion in done.companions}


class TestDigits:
  """Of 1,000 digits that the training has not seen, 979 are recognized."""

  @pytest.mark.parametrize(
    ("kind", "right"),
    [
      ("lite", 979),
      ("lite_float16", 979),
      ("lite_dynamic", 0),
      ("lite_int8", 0),
    ],
  )
  def test_recognizes_as_many(self, made, kind, right):
    held_out = digits.load()[1]
    outputs = runner(made[kind])(inputs=held_out.images)
    found = outputs["logits"].argmax(1) == held_out.labels
    assert found.sum() == right

  def test_each_is_within_its_bound_and_smaller(self, made):
    for companion in made.values():
      assert companion.parity.largest[1] <= companion.bound
    sizes = [made[kind].size for kind in _LITE]
    assert sizes == sorted(sizes, reverse=True)

  def test_same_bytes_in_another_process_and_directory(
    self, classifier, made, tmp_path
  ):
    (again,) = make(classifier, tmp_path, kinds=["lite"]).companions
    first = pathlib.Path(made["lite"].path).read_bytes()
    assert pathlib.Path(again.path).read_bytes() == first
