"""Checks that call a loaded model, where the reference says something else.

The model is good, and is loaded once for each test: what it is compared with is
wrong in just one way.
"""

from collections.abc import Callable
import copy
import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from exporters import checks
from exporters import keras_model
from exporters.checks import gradients
from exporters.checks import harness
from exporters.checks import reloads
from exporters.checks.results import NotApplicableError
from exporters.life_cycle import reference as reference_lib
from exporters.saved_model import published as published_lib
from exporters.saved_model import reusable

_CHECKS = {entry.name: entry.function for entry in harness.CHECKS}


def _published() -> published_lib.Published:
  """Returns a layer with dropout, a factor, a loss and a part."""
  dropout = tf_keras.layers.Dropout(0.5)
  dropout.build([None, 40])
  kernel = tf.Variable(tf.linspace(0.5, 1.5, 40), name="kernel")
  bias = tf.Variable(tf.zeros([40]), name="bias")
  count = tf.Variable(0.0, trainable=False, name="count")

  def call(inputs, training, factor):
    rate = dropout.rate if training else 0.0
    noise = tf.random.uniform(tf.shape(inputs))
    kept = tf.where(noise < rate, tf.zeros_like(inputs), inputs)
    count.assign_add(1.0 if training else 0.0)
    return (kept * kernel + bias) * tf.maximum(factor, 1.0)

  def reference(inputs, training, factor):
    return (inputs * kernel + bias) * tf.maximum(factor, 1.0)

  def part(inputs):
    return {"twice": 2.0 * inputs}

  samples = [np.ones([n, 40], np.float32) for n in (1, 3)]
  inputs = [tf.TensorSpec([None, 40], tf.float32, "inputs")]
  return published_lib.Published(
    function=call,
    reference=reference,
    inputs=inputs,
    outputs=("scores", "default"),
    hyperparameters={
      "rate": published_lib.Hyperparameter(
        default=0.5, layers=[dropout], attribute="rate"
      ),
      "factor": published_lib.Hyperparameter(default=1.0),
    },
    variables=[kernel, bias, count],
    trainable_variables=[kernel, bias],
    regularization_losses=[lambda: tf.reduce_sum(bias) + 0.25],
    samples=samples,
    sub_objects={
      "part": published_lib.Published(
        function=part,
        reference=part,
        inputs=inputs,
        training=False,
        signature=True,
        samples=samples,
      )
    },
  )


def _with_like_part() -> published_lib.Published:
  """Returns the same, with the same again as its part."""
  return dataclasses.replace(_published(), sub_objects={"part": _published()})


def _normalized() -> published_lib.Published:
  """Returns two layers that normalize, of which one is called twice."""
  layers = tf_keras.layers
  inputs = tf_keras.Input([3])
  twice = layers.BatchNormalization(momentum=0.75, name="twice")
  once = layers.BatchNormalization(momentum=0.75, name="once")
  dropped = layers.Dropout(0.5)(once(inputs))
  outputs = layers.Add()([twice(inputs), twice(2.0 * dropped + 1.0)])
  model = tf_keras.Model(inputs, outputs)
  exporter = keras_model.KerasModelExporter(model_function=lambda: model)
  return exporter.build().published[""]


def _stream() -> published_lib.Published:
  """Returns the sum of all pieces so far, and how many there were."""

  def function(inputs):
    piece = inputs["piece"]
    states = {
      "count": inputs["count"] + tf.shape(piece)[1],
      "total": inputs["total"] + tf.reduce_sum(piece, axis=1),
    }
    return states["total"] / tf.cast(states["count"], tf.float32), states

  def initial(shape):
    return {
      "count": tf.zeros([1], tf.int32),
      "total": tf.zeros([shape[0], shape[2]]),
    }

  # Whole numbers, whose sums are exact.
  piece = np.random.default_rng(0).integers(9, size=[2, 5, 4])
  piece = piece.astype(np.float32)
  states = {"count": np.int32([0]), "total": np.zeros([2, 4], np.float32)}
  shape = tf.TensorSpec([3], tf.int32, "shape")
  return published_lib.Published(
    function=function,
    reference=function,
    inputs=[
      {
        "piece": tf.TensorSpec([None, None, None]),
        "count": tf.TensorSpec([1], tf.int32),
        "total": tf.TensorSpec([None, None]),
      }
    ],
    training=False,
    outputs=("mean", "states"),
    samples=[states | {"piece": piece}],
    unbatched=["count"],
    stream=published_lib.Stream(piece="piece", axis=1, initial="initial"),
    sub_objects={
      "initial": published_lib.Published(
        function=initial,
        reference=initial,
        inputs=[shape],
        training=False,
        samples=[np.int32([2, 5, 4])],
      )
    },
  )


def _recurrent() -> published_lib.Published:
  """Returns a layer with a loop."""
  layers = [tf_keras.Input([6, 4]), tf_keras.layers.SimpleRNN(3)]
  model = tf_keras.Sequential(layers)
  exporter = keras_model.KerasModelExporter(model_function=lambda: model)
  return exporter.build().published[""]


def _unmoved() -> published_lib.Published:
  """Returns a layer whose variable gets a gradient, and has no effect."""
  kernel = tf.Variable([1.0, 2.0], name="kernel")

  def function(inputs, training):
    return 2.0 * inputs + kernel - tf.stop_gradient(kernel)

  return published_lib.Published(
    function=function,
    reference=function,
    inputs=[tf.TensorSpec([None, 2], tf.float32, "inputs")],
    variables=[kernel],
    trainable_variables=[kernel],
    samples=[np.ones([3, 2], np.float32)],
  )


def _weighted(function, *weights) -> published_lib.Published:
  """Returns a model that computes with weights, of two samples of four."""
  variables = [tf.Variable(w, name=f"w{i}") for i, w in enumerate(weights)]

  def call(inputs, training):
    return function(inputs, *variables)

  return published_lib.Published(
    function=call,
    reference=call,
    inputs=[tf.TensorSpec([None, 4], tf.float32, "inputs")],
    variables=variables,
    trainable_variables=variables,
    samples=[np.ones([3, 4], np.float32), np.ones([2, 4], np.float32)],
  )


def _half() -> published_lib.Published:
  """Returns one whose gradients are 4 * 301 * 300, too large for float16."""

  def function(inputs, weight):
    halves = tf.cast(inputs * weight, tf.float16)
    return 300.0 * tf.cast(halves, tf.float32)

  return _weighted(function, 1.0)


def _infinite() -> published_lib.Published:
  return _weighted(lambda inputs, weight: inputs + tf.sqrt(weight), 0.0)


def _heavy() -> published_lib.Published:
  """Returns one whose weight has 8 as its last bit."""
  return _weighted(lambda inputs, weight: inputs * weight, 1e8)


def _coarse() -> published_lib.Published:
  """Returns one with sums of 1 and a weight of 1/64, in bfloat16."""

  def function(inputs, weight):
    sums = tf.cast(inputs, tf.bfloat16) + tf.cast(weight / 64, tf.bfloat16)
    return tf.cast(sums, tf.float32)

  return _weighted(function, 1.0)


def _of_two_types() -> published_lib.Published:
  def function(inputs, weight, half):
    return inputs * weight + tf.cast(half, tf.float32)

  return _weighted(function, 1.0, tf.constant(2.0, tf.float16))


_MODELS = {
  "half": _half,
  "infinite": _infinite,
  "heavy": _heavy,
  "of two types": _of_two_types,
  "coarse": _coarse,
  "whole": _published,
  "with a like part": _with_like_part,
  "norms": _normalized,
  "stream": _stream,
  "recurrent": _recurrent,
  "unmoved": _unmoved,
}


@pytest.fixture(scope="module", params=["whole"])
def stated(request, tmp_path_factory) -> tuple[str, Any, list[np.ndarray]]:
  """The path of a model, and what the checks compare it with."""
  path = str(tmp_path_factory.mktemp("loaded") / "model")
  published = _MODELS[request.param]()
  reusable.write(published, path)
  arrays: list[np.ndarray] = []
  reference = {
    name: reference_lib.stated(callable_, arrays)
    for name, callable_ in published.callables().items()
  }
  return path, json.loads(json.dumps(reference)), arrays


@pytest.fixture
def found(stated, tmp_path) -> Callable[..., checks.Result]:
  """Returns what makes a check, where the reference is changed."""
  path, reference, arrays = stated

  def make(name, change=lambda reference, arrays: None, **fields):
    changed = copy.deepcopy(reference)
    others = [array.copy() for array in arrays]
    change(changed, others)
    usual = {
      "path": path,
      "scratch": str(tmp_path),
      "private": [],
      "level": checks.ALL,
      "keras": False,
      "stranger": False,
      "ask": lambda: (changed, others),
    }
    return _CHECKS[name](checks.Candidate(**usual | fields))

  return make


def _stranger(found, name):
  return found(name, stranger=True, ask=lambda: (None, []))


@pytest.mark.parametrize(
  "name",
  [
    "loads",
    "interface",
    checks.SAME_NUMBERS,
    "signature",
    "repeats itself",
    "hyperparameters",
    "regularization losses",
    "hub.KerasLayer",
    "dropout",
    "gradients",
    "gradients of a persistent tape",
    "gradients in a tf.function",
    "saved again",
    "keras.layers.TFSMLayer",
    "two replicas",
  ],
)
def test_nothing_is_wrong_with_what_is_right(found, name):
  finding = found(name)
  assert finding.figure <= finding.bound
  # What the figure counts, or where it was found.
  assert finding.detail


class TestInterface:
  @pytest.mark.parametrize(
    ("key", "value", "said"),
    [
      (
        "takes_inputs",
        False,
        "the model(['inputs', 'training', 'rate', 'factor'])",
      ),
      (
        "training",
        False,
        "the model(['inputs', 'training', 'rate', 'factor'])",
      ),
      ("hyperparameters", {}, "the model(['inputs', 'training', "),
      ("variables", ["kernel", "bias"], "the model.variables"),
      ("regularization_losses", [], "the model.regularization_losses"),
      (
        "trainable",
        ["bias", "kernel"],
        "the model: names of trainable variables",
      ),
    ],
  )
  def test_is_that_of_the_reference(self, found, key, value, said):
    def change(reference, arrays):
      reference[""][key] = value

    finding = found("interface", change)
    assert finding.figure == 1
    assert finding.detail.startswith(said)

  def test_every_part_has_its_own(self, found):
    def change(reference, arrays):
      reference["part"]["trainable"] = ["kernel"]

    finding = found("interface", change)
    assert finding.figure == 2
    assert finding.detail == (
      "part.trainable_variables; part: names of trainable variables"
    )

  def test_of_a_stranger_nobody_knows_it(self, found):
    with pytest.raises(NotApplicableError, match="unknown"):
      _stranger(found, "interface")


def test_what_cannot_be_called_is_named(found):
  """The attribute is there, but can't be called: a list of variables."""

  def change(reference, arrays):
    reference["variables"] = reference["part"]
    reference["trainable_variables"] = reference["part"]

  finding = found("loads", change)
  assert finding.figure == 2
  assert finding.detail == (
    "objects not callable: variables; trainable_variables"
  )
  assert found("loads").detail == "objects not callable"


def _lower(name: str, case: int) -> Callable[..., None]:
  """Returns what lowers a number of each row of an output, exactly."""

  def change(reference, arrays):
    outputs = reference[name]["cases"][case]["outputs"]
    outputs = outputs["dict"]["twice"] if name else outputs
    arrays[outputs["array"]][..., 0] -= _STEP

  return change


_STEP = 2.0**-9
# By hand: as shares of the largest number, which is 1.5 and 2.
_LOWERED = {"": _STEP / 1.5, "part": _STEP / 2.0}


class TestNumbers:
  @pytest.mark.parametrize("name", ["", "part"])
  @pytest.mark.parametrize("case", [0, 1])
  def test_of_every_call_are_those_of_the_reference(self, found, name, case):
    finding = found(checks.SAME_NUMBERS, _lower(name, case))
    assert finding.figure == pytest.approx(_LOWERED[name])
    assert finding.detail.startswith(f"{name or 'the model'}: in ")
    # 40 numbers of each row, in samples of one and three, of the model and of
    # its part.
    assert sum(finding.histogram.values()) == 2 * (40 + 120)
    assert finding.histogram["1e-05 and more"] == (1, 3)[case]

  @pytest.mark.parametrize("case", [0, 1])
  def test_of_the_signature_too(self, found, case):
    finding = found("signature", _lower("", case))
    assert finding.detail.startswith("serving_default: in ")
    assert finding.figure == pytest.approx(_LOWERED[""])

  def test_of_further_signatures_too(self, found):
    finding = found("signature", _lower("part", 1))
    assert finding.detail.startswith("part: in twice")
    assert finding.figure == pytest.approx(_LOWERED["part"])

  def test_outputs_of_the_signature_have_their_names(self, found):
    def change(reference, arrays):
      reference[""]["outputs"] = ["default"]

    finding = found("signature", change)
    assert finding.detail == (
      "serving_default: outputs ['default', 'scores'], not ['default']"
    )

  def test_there_may_be_no_signature(self, found, tmp_path):
    path = str(tmp_path / "unsigned")
    tf.saved_model.save(tf.train.Checkpoint(), path)
    with pytest.raises(NotApplicableError, match="or no serving_default"):
      found("signature", path=path)

  def test_a_stranger_has_no_names_for_a_tensor(self, found):
    with pytest.raises(NotApplicableError, match="unknown"):
      _stranger(found, "signature")

  @pytest.mark.parametrize(
    ("name", "of"),
    [
      ("saved again", ""),
      ("saved again", "part"),
      ("keras.layers.TFSMLayer", ""),
      ("two replicas", ""),
    ],
  )
  def test_of_other_loads_too(self, found, name, of, tmp_path):
    assert found(name, _lower(of, 0)).figure == pytest.approx(_LOWERED[of])
    assert not [*tmp_path.glob("again*")]


class TestHyperparameters:
  def test_are_refused_unless_the_default_is_the_default(self, found):
    def change(reference, arrays):
      reference[""]["hyperparameters"]["factor"]["default"] = 3.0

    finding = found("hyperparameters", change)
    assert finding.figure == 2
    said = "(factor=3.0) differs from the default; (factor="
    assert finding.detail.startswith(said)

  def test_have_an_effect(self, found):
    """A rate has none outside of training, if nothing says that it is one."""

    def change(reference, arrays):
      reference[""]["hyperparameters"]["rate"]["attribute"] = ""

    finding = found("hyperparameters", change)
    assert finding.figure == 1
    assert finding.detail == "(rate=1.5) equals the default"

  def test_each_is_called_twice(self, found):
    assert found("hyperparameters").detail == "wrong calls, of 4"

  def test_may_not_be_there(self, found):
    def change(reference, arrays):
      reference[""]["hyperparameters"] = {}

    with pytest.raises(NotApplicableError, match="without hyperparameters"):
      found("hyperparameters", change)


class TestLosses:
  def test_have_the_values_of_the_reference(self, found):
    def change(reference, arrays):
      reference[""]["regularization_losses"] = [0.5]

    finding = found("regularization losses", change)
    assert finding.figure == 0.5
    assert found("hub.KerasLayer", change).detail == "losses"

  def test_may_not_be_there(self, found):
    def change(reference, arrays):
      reference[""]["regularization_losses"] = []

    with pytest.raises(NotApplicableError, match="without regularization"):
      found("regularization losses", change)
    with pytest.raises(NotApplicableError, match="unknown"):
      _stranger(found, "regularization losses")


class TestKerasLayer:
  def test_has_the_outputs_of_every_sample(self, found):
    finding = found("hub.KerasLayer", _lower("", 1))
    assert (finding.figure, finding.detail) == (1, "outputs")

  @pytest.mark.parametrize("number", [0, 1, 3])
  def test_trains_what_the_reference_does(self, found, number):
    def change(reference, arrays):
      reference[""]["trainable"] = ["a"] * number

    finding = found("hub.KerasLayer", change)
    assert (finding.figure, finding.detail) == (1, "2 trainable weights")

  def test_needs_an_input(self, found):
    def change(reference, arrays):
      reference[""]["takes_inputs"] = False

    with pytest.raises(NotApplicableError, match="takes no input"):
      found("hub.KerasLayer", change)


class TestDropout:
  @pytest.mark.parametrize(
    ("stated", "name", "shown"),
    [("whole", "", "the model"), ("with a like part", "part", "part")],
    indirect=["stated"],
  )
  def test_is_there_if_the_reference_has_some(self, found, name, shown):
    def change(reference, arrays):
      reference[name]["hyperparameters"]["rate"]["default"] = 0.0

    finding = found("dropout", change)
    assert (finding.figure, finding.detail) == (1, shown)

  def test_is_that_of_any_rate(self, found):
    """Of two, of which one is 0."""

    def change(reference, arrays):
      reference[""]["hyperparameters"]["factor"] = {
        "default": 0.0,
        "attribute": "rate",
      }

    finding = found("dropout", change)
    assert finding.figure == 0
    assert finding.detail == "callables with wrong dropout"

  @pytest.mark.parametrize(
    ("stated", "name", "shown"),
    [("whole", "", "the model"), ("with a like part", "part", "part")],
    indirect=["stated"],
  )
  def test_stops_where_all_rates_are_0(self, found, name, shown):
    """Here it does not: what is called a rate is none."""

    def change(reference, arrays):
      parameters = reference[name]["hyperparameters"]
      parameters["factor"]["attribute"] = "rate"
      parameters["rate"]["attribute"] = "another"

    finding = found("dropout", change)
    assert (finding.figure, finding.detail) == (
      1,
      f"{shown} with {{'factor': 0.0}}",
    )

  def test_may_not_be_there(self, found):
    def change(reference, arrays):
      reference[""]["hyperparameters"] = {}

    with pytest.raises(NotApplicableError, match="without a dropout rate"):
      found("dropout", change)


def test_a_preprocessor_takes_texts(found):
  def without_calls(reference, arrays):
    reference[""]["cases"] = []

  for change in (lambda reference, arrays: None, without_calls):
    with pytest.raises(NotApplicableError, match="not a preprocessor"):
      found("Dataset.map", change)


class TestReplicas:
  def test_need_variables(self, found):
    def change(reference, arrays):
      reference[""]["variables"] = []

    with pytest.raises(NotApplicableError, match="no variables to mirror"):
      found("two replicas", change)

  def test_need_a_call(self, found):
    def change(reference, arrays):
      reference[""]["cases"] = []

    with pytest.raises(NotApplicableError, match="no call of it is known"):
      found("two replicas", change)
    with pytest.raises(NotApplicableError, match="takes no input"):
      found("keras.layers.TFSMLayer", change)


def test_kerass_form_is_not_for_keras_3(found):
  with pytest.raises(NotApplicableError, match="for tf_keras"):
    found("keras.layers.TFSMLayer", keras=True)


class TestGradients:
  def test_of_the_first_sample_are_enough(self, found):
    memo: dict[str, Any] = {}
    assert found("gradients", memo=memo).figure == 0
    assert memo["case"] == 0
    assert len(memo["gradients"]) == 2

  @pytest.mark.parametrize("stated", ["recurrent"], indirect=True)
  def test_of_a_loop_a_persistent_tape_has_none(self, found):
    with pytest.raises(NotApplicableError, match="a loop of a loaded model"):
      found("gradients of a persistent tape")

  @pytest.mark.parametrize("stated", ["half"], indirect=True)
  def test_in_half_precision_are_those_of_a_scaled_loss(self, found):
    memo: dict[str, Any] = {}
    for name in (
      "gradients",
      "a training step",
      "gradients of a persistent tape",
      "gradients in a tf.function",
    ):
      finding = found(name, memo=memo)
      assert finding.figure == 0, (name, finding.detail)
    assert memo == {"case": 0, "scale": 2.0**-10}

  @pytest.mark.parametrize("stated", ["infinite"], indirect=True)
  def test_that_no_scale_makes_finite_are_missing(self, found):
    finding = found("gradients")
    assert finding.figure == 1
    assert finding.detail == "variables without a gradient, of 1: w0:0"

  def test_are_those_of_the_sample_that_has_them(self, found):
    """A callable with fewer samples uses its last one."""
    memo: dict[str, Any] = {"case": 9}
    assert found("gradients in a tf.function", memo=memo).figure == 0

  def test_the_loss_depends_on_every_number(self):
    """By hand: 1/2 + 1, and 9/2 + 3; whole numbers have no gradient."""
    outputs = {
      "a": tf.constant([1.0]),
      "b": [tf.constant([3.0], tf.float64), tf.constant([5])],
    }
    assert float(gradients._loss(outputs)) == 1.5 + 7.5

  @pytest.mark.parametrize(
    ("values", "missing"),
    [
      ([[1.0, 0.0], [2.0]], ""),
      ([None, [2.0]], ": a:0"),
      ([[1.0, np.nan], [np.inf]], ": a:0; b:0"),
    ],
  )
  def test_are_finite(self, values, missing):
    variables = [
      tf.Variable([0.0, 0.0], name="a"),
      tf.Variable([0.0], name="b"),
    ]
    finding = gradients._finding(
      variables, [v if v is None else tf.constant(v) for v in values]
    )
    assert finding.figure == missing.count(":0")
    assert finding.bound == 0
    assert finding.detail == f"variables without a gradient, of 2{missing}"

  def test_no_more_than_five_are_named(self):
    variables = [tf.Variable(0.0, name=f"v{i}") for i in range(7)]
    finding = gradients._finding(variables, [None] * 7)
    assert finding.figure == 7
    assert finding.detail.endswith(": v0:0; v1:0; v2:0; v3:0; v4:0")


def _of(*checks_of_model):
  """Runs a test for each pair of a model and a check of it."""
  return pytest.mark.parametrize(
    ("stated", "name"), checks_of_model, indirect=["stated"]
  )


@_of(
  ("norms", "batch statistics"),
  ("norms", "batch_norm_momentum"),
  ("stream", "piece by piece"),
  ("stream", "first states"),
)
def test_nothing_is_wrong_with_averages_and_states(found, name):
  finding = found(name)
  assert finding.figure <= finding.bound
  # What the figure counts, or where it was found.
  assert finding.detail


@pytest.mark.parametrize("stated", ["norms"], indirect=True)
class TestAverages:
  @staticmethod
  def _with_updates(updates):
    """Of the variables in order: those of one layer, those of the other."""

    def change(reference, arrays):
      reference[""]["updates"] = updates(reference[""]["updates"])

    return change

  def test_each_layer_is_counted(self, stated):
    _, reference, _ = stated
    assert sorted(reference[""]["updates"]) == [1] * 4 + [2] * 4

  def test_move_in_training_alone(self, found):
    """Where the reference moves none, one kind of call is wrong."""
    change = self._with_updates(lambda updates: [0 for _ in updates])
    finding = found("batch statistics", change)
    assert (finding.figure, finding.detail) == (
      1,
      "the model with trainable=True, training=True",
    )
    assert found("batch statistics").detail == "kinds of wrong calls"

  @pytest.mark.parametrize(("of", "other"), [(1, 2), (2, 1)])
  def test_move_as_often_as_the_layer_is_called(self, found, of, other):
    change = self._with_updates(
      lambda updates: [other if n == of else n for n in updates]
    )
    finding = found("batch_norm_momentum", change)
    assert finding.figure > 1e-2
    assert finding.detail.startswith("the model: with batch_norm_momentum=")

  def test_that_nothing_moves_is_not_looked_at_here(self, found):
    change = self._with_updates(lambda updates: [0 for _ in updates])
    assert found("batch_norm_momentum", change).figure == 0

  def test_move_by_the_momentum_of_the_reference(self, found, tmp_path):
    def change(reference, arrays):
      parameters = reference[""]["hyperparameters"]
      parameters["batch_norm_momentum"]["default"] = 0.7

    finding = found("batch_norm_momentum", change)
    assert finding.figure > 1e-2
    assert finding.detail == "the model: with batch_norm_momentum=0.7"
    assert not (tmp_path / "without_drops").exists()

  @pytest.mark.parametrize("name", ["batch statistics", "batch_norm_momentum"])
  def test_may_not_be_there(self, found, name):
    def change(reference, arrays):
      reference[""]["hyperparameters"] = {}

    with pytest.raises(NotApplicableError, match="without a momentum"):
      found(name, change)


@pytest.mark.parametrize("stated", ["stream"], indirect=True)
class TestStreams:
  @pytest.mark.parametrize("name", ["piece by piece", "first states"])
  def test_may_not_be_there(self, found, name):
    def change(reference, arrays):
      reference[""]["stream"] = None

    with pytest.raises(NotApplicableError, match="without states that a call"):
      found(name, change)

  def test_all_calls_end_in_the_same(self, found):
    assert found("piece by piece").detail == "in 2 calls"

  def test_pieces_follow_each_other_on_an_axis(self, found):
    """On another one, they are taken for what they are not."""

    def change(reference, arrays):
      reference[""]["stream"]["axis"] = 2

    with pytest.raises(ValueError, match="Dimensions must be equal"):
      found("piece by piece", change)


def test_another_error_of_a_persistent_tape_is_told(found):
  def change(reference, arrays):
    arrays[:] = [array[:, :3] for array in arrays]

  with pytest.raises(ValueError, match="Dimensions must be equal|shape"):
    found("gradients of a persistent tape", change)


class TestTrainingStep:
  @pytest.mark.parametrize(
    ("stated", "figure"),
    [
      ("whole", 0),
      ("unmoved", 1),
      ("heavy", 0),
      ("of two types", 0),
      ("coarse", 0),
    ],
    indirect=["stated"],
  )
  def test_changes_what_a_call_returns(self, found, figure):
    memo: dict[str, Any] = {}
    assert found("gradients", memo=memo).figure == 0
    finding = found("a training step", memo=memo)
    assert (finding.figure, finding.bound) == (figure, 0)
    before, after = finding.detail.removeprefix("loss ").split(" to ")
    assert (before == after) == figure
    assert memo.keys() == {"case", "scale"}

  def test_needs_gradients_that_are_not_zero(self, found):
    memo = {"case": 0, "gradients": [tf.zeros([40]), tf.zeros([40])]}
    finding = found("a training step", memo=memo)
    assert finding.figure == 1
    assert finding.detail == "all gradients of the samples are zero"

  def test_may_not_lead_to_infinity(self, found):
    memo = {"case": 0, "gradients": [tf.fill([40], np.nan), tf.zeros([40])]}
    assert found("a training step", memo=memo).figure == 1


def test_strings_are_found_in_any_input():
  strings, numbers = tf.constant(["a"]), tf.constant([1])
  for inputs, expected in (
    (strings, True),
    (numbers, False),
    ({"a": numbers, "b": strings}, True),
  ):
    assert reloads.takes_strings([([inputs], None)]) == expected
