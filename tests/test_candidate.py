"""A SavedModel as the checks see it, with its reference or without one."""

from collections.abc import Callable
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from exporters import checks
from exporters.checks import candidate as candidate_lib
from exporters.checks.results import NotApplicableError

_X = tf.TensorSpec([None, 2], tf.float32, "x")
_Y = tf.TensorSpec([None, 3], tf.float32, "y")


@pytest.fixture
def path(tmp_path) -> pathlib.Path:
  """A model of two inputs, with a part that takes one."""
  model = tf.train.Checkpoint()
  model.moving = tf.Variable(1.0, trainable=False)
  model.kernel = tf.Variable(2.0)
  model.variables = [model.moving, model.kernel]

  @tf.function(input_signature=[[_X, _Y]])
  def call(inputs):
    model.moving.assign_add(1.0)
    return inputs[0] * model.kernel

  @tf.function(input_signature=[_X])
  def part(x):
    return {"twice": 2.0 * x}

  model.__call__ = call
  model.part = tf.train.Checkpoint()
  model.part.__call__ = part
  model.part.variables = []
  # Apart from those, so that they do not take it for theirs.
  named = tf.function(lambda inputs: inputs["a"], input_signature=[{"a": _X}])
  model.named = tf.train.Checkpoint()
  model.named.__call__ = named
  signature = tf.function(
    lambda x: {"twice": 2.0 * x},
    input_signature=[tf.TensorSpec([3, 2], tf.float32, "x")],
  )
  tf.saved_model.save(model, str(tmp_path / "model"), signature)
  return tmp_path / "model"


@pytest.fixture
def made(path, tmp_path) -> Callable[..., checks.Candidate]:
  """Returns what makes a candidate; of a reference, with these fields."""

  def make(reference=None, arrays=(), **fields) -> checks.Candidate:
    usual = {
      "path": str(path),
      "scratch": str(tmp_path),
      "private": [],
      "level": checks.BASIC,
      "keras": False,
      "stranger": reference is None,
      "ask": lambda: (reference, list(arrays)),
    }
    return checks.Candidate(**usual | fields)

  return make


def _stated(**fields):
  return {
    "api": None,
    "cases": [],
    "serving": "",
    "hyperparameters": {},
  } | fields


class TestReference:
  def test_a_model_without_one_describes_itself(self, made):
    """As does Keras's form, whose interface is Keras's."""
    stranger = made()
    assert stranger.speaks_for_itself
    assert stranger.callables.keys() == {"", "part"}
    with pytest.raises(NotApplicableError, match="unknown without the ref"):
      stranger.require_reference()
    keras = made({"": _stated()}, keras=True)
    assert keras.speaks_for_itself
    assert keras.callables.keys() == {"", "part"}
    with pytest.raises(NotApplicableError, match="has Keras's interface"):
      keras.require_reference()
    stated = made({"": _stated()})
    assert not stated.speaks_for_itself
    assert stated.callables == {"": _stated()}
    stated.require_reference()

  def test_is_asked_once(self, made):
    asked = []
    candidate = made(ask=lambda: asked.append(1) or ({"": _stated()}, [2]))
    assert candidate.arrays == [2]
    assert candidate.reference == {"": _stated()}
    assert asked == [1]

  def test_an_api_is_asked_of_those_who_claim_it(self, made):
    """And of strangers, of whom nobody knows."""
    made().require_api("image")
    made({"": _stated(api="image")}).require_api("image")
    for api in (None, "video"):
      with pytest.raises(NotApplicableError, match="follows the image API"):
        made({"": _stated(api=api)}).require_api("image")

  def test_what_is_missing_is_said(self, made):
    assert str(made({"": _stated()}).without("a")) == "the model is without a"
    assert str(made().without("a")) == "unknown without the reference"


class TestLoaded:
  def test_what_training_moved_is_put_back(self, made):
    candidate = made()
    candidate.reset()  # Nothing is loaded yet.
    assert "_loaded" not in candidate.__dict__
    moving, kernel = candidate.model.variables
    candidate.model([tf.zeros([1, 2]), tf.zeros([1, 3])])
    kernel.assign(5.0)
    assert moving.numpy() == 2.0
    candidate.reset()
    assert moving.numpy() == 1.0
    assert kernel.numpy() == 5.0

  def test_what_is_dropped_is_loaded_anew(self, made):
    candidate = made()
    candidate.drop()
    first = candidate.model
    assert candidate.model is first
    candidate.drop()
    assert candidate.model is not first

  def test_a_copy_may_be_deleted(self, made, path, tmp_path):
    candidate = made()
    assert candidate.model
    (copy,) = tmp_path.glob("copy_*")
    assert (copy / "saved_model.pb").samefile(path / "saved_model.pb")
    candidate.delete_copy()
    assert not copy.exists()
    assert (path / "saved_model.pb").exists()
    assert candidate.model

  def test_a_link_is_made_on_another_disk_too(self, tmp_path, monkeypatch):
    def refuse(source, target):
      raise OSError("another disk")

    (tmp_path / "file").write_text("a")
    (tmp_path / "link").symlink_to("file")
    target = candidate_lib.link(str(tmp_path / "link"), str(tmp_path / "hard"))
    assert target == str(tmp_path / "hard")
    assert not (tmp_path / "hard").is_symlink()
    monkeypatch.setattr(candidate_lib.os, "link", refuse)
    candidate_lib.link(str(tmp_path / "link"), str(tmp_path / "soft"))
    assert (tmp_path / "soft").readlink() == tmp_path / "file"

  def test_a_snapshot_stays_as_it_was(self, path, tmp_path):
    """Whether the original's files are replaced, written to, or are links."""
    (path / "assets").mkdir(exist_ok=True)
    (path / "assets/again").symlink_to("..")
    (tmp_path / "words").write_text("before")
    (path / "assets/words").symlink_to(tmp_path / "words")
    (path / "assets/lost").symlink_to("nowhere")
    os.mkfifo(path / "assets/pipe")
    graph = (path / "saved_model.pb").read_bytes()
    (tmp_path / "scratch").mkdir()
    seen = candidate_lib.snapshot(str(path), str(tmp_path / "scratch"))
    (path / "saved_model.pb").write_bytes(b"after")
    (tmp_path / "words").write_text("after")
    found = pathlib.Path(seen)
    assert (found / "saved_model.pb").read_bytes() == graph
    assert (found / "assets/words").read_text() == "before"
    assert not (found / "assets/again").exists()
    assert not (found / "assets/lost").exists()
    assert (found / "assets/pipe").is_fifo()
    assert sorted(p.name for p in (found / "variables").iterdir()) == sorted(
      p.name for p in (path / "variables").iterdir()
    )

  def test_parts_are_found_by_their_paths(self, made):
    candidate = made()
    assert candidate.find("") is candidate.model
    assert candidate.find("part") is candidate.model.part
    assert candidate.find("part", candidate.model) is candidate.model.part
    other = tf.train.Checkpoint(part=tf.Variable(1.0))
    assert candidate.find("part", other) is other.part

  def test_graphs_are_optimized_as_before(self, made):
    key = "disable_meta_optimizer"
    options = tf.config.optimizer.get_experimental_options
    with made().without_graph_optimization():
      assert options()[key]
      with made().without_graph_optimization():
        assert options()[key]
      assert options()[key]
    assert not options()[key]


class TestCases:
  @staticmethod
  def _case(arrays, *arguments, outputs=0.0):
    return {
      "arguments": [
        checks.encode(tf.nest.map_structure(np.float32, a), arrays)
        for a in arguments
      ],
      "outputs": checks.encode(np.float32(outputs), arrays),
    }

  def test_a_signature_takes_those_of_its_shape(self, made):
    arrays: list[np.ndarray] = []
    cases = [self._case(arrays, np.zeros([n, 2]), outputs=n) for n in (1, 3, 2)]
    reference = {
      "": _stated(serving="part", cases=[self._case(arrays)]),
      "part": _stated(cases=[*cases, self._case(arrays)]),
    }
    candidate = made(reference, arrays)
    found = candidate.cases_of_signature("part")
    assert [outputs.numpy() for _, outputs in found] == [3.0]
    assert len(candidate.cases("part")) == 4
    # A call takes an argument at least.
    assert candidate.calls() == []
    assert len(candidate.cases("")) == 1

  def test_of_what_has_no_signature_the_trace_says_the_shape(self, made):
    arrays: list[np.ndarray] = []
    cases = [
      self._case(arrays, np.zeros(shape), outputs=sum(shape))
      for shape in ([1, 2], [1, 3], [4, 2])
    ]
    candidate = made({"": _stated(), "part": _stated(cases=cases)}, arrays)
    found = candidate.cases_of_signature("part")
    assert [outputs.numpy() for _, outputs in found] == [3.0, 6.0]

  def test_inputs_with_names_are_found_by_them(self, made):
    arrays: list[np.ndarray] = []
    cases = [
      self._case(arrays, {"a": np.zeros(shape)}, outputs=sum(shape))
      for shape in ([1, 3], [4, 2])
    ]
    candidate = made({"": _stated(), "named": _stated(cases=cases)}, arrays)
    found = candidate.cases_of_signature("named")
    assert [outputs.numpy() for _, outputs in found] == [6.0]

  def test_inputs_have_the_names_of_the_signature(self, made):
    candidate = made({"": _stated(serving="part"), "part": _stated()})
    assert candidate.named({"a": 1}) == {"a": 1}
    assert candidate.named((1, 2)) == {"x": 1, "y": 2}
    assert candidate.named(1, "part") == {"x": 1}

  def test_of_hyperparameters_those_of_an_attribute(self, made):
    rates = {
      "rate": {"default": 0.1, "attribute": "rate"},
      "momentum": {"default": 0.9, "attribute": "momentum"},
    }
    candidate = made({"": _stated(hyperparameters=rates, training=True)})
    assert candidate.hyperparameters("", "rate") == {"rate": 0.1}
    assert candidate.hyperparameters("", "momentum") == {"momentum": 0.9}
    assert candidate.training("") == {"training": True}

  def test_updates_are_those_of_what_may_move(self, made):
    candidate = made({"": _stated(updates=[2, 0], training=False)})
    assert candidate.updates("") == [2]
    assert candidate.training("") == {}

  def test_what_can_be_trained_has_variables_and_a_call(self, made):
    candidate = made(
      {
        "": _stated(trainable=["kernel"], cases=[{}]),
        "a": _stated(trainable=[], cases=[{}]),
        "b": _stated(trainable=["kernel"], cases=[]),
      }
    )
    assert candidate.trainable_callables() == [""]
    with pytest.raises(NotApplicableError, match="variables to train"):
      made({"": _stated(trainable=[])}).trainable_callables()
