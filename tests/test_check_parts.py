"""The parts that checks are made of: numbers, nests, and how they are run."""

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import graph_pb2

from exporters import checks
from exporters.checks import harness
from exporters.checks import nests
from exporters.checks import numbers
from exporters.checks import scopes
from exporters.checks.results import Finding
from exporters.checks.results import NotApplicableError

INFINITE = float("inf")


class TestDifference:
  @pytest.mark.parametrize(
    ("got", "want", "expected"),
    [
      ([1.0, 2.0], [1.0, 2.0], 0.0),
      ([1.0, 3.0], [1.0, 2.0], 0.5),  # Of the largest wanted, not of its own.
      ([-1.0, -3.0], [-1.0, -4.0], 0.25),
      ([0.0, 1e-38], [0.0, 0.0], 1e-38 / 1.1754943508222875e-38),
      ([1.0, np.nan], [1.0, np.nan], INFINITE),
      ([1.0], [1.0, 2.0], INFINITE),
      ([], [], 0.0),
    ],
  )
  def test_is_a_share_of_the_scale(self, got, want, expected):
    got, want = np.array(got, np.float32), np.array(want, np.float32)
    assert numbers.difference(got, want)[0] == pytest.approx(expected)

  @pytest.mark.parametrize(
    ("got", "want"),
    [
      (np.int32([1, 2]), np.int32([1, 3])),
      (np.int32([1]), np.int64([1])),
      (np.float32([1]), np.float64([1])),
      (np.array([b"a"], object), np.array([b"b"], object)),
      ({"a": 1.0}, {"b": 1.0}),
      ({"a": 1.0}, {"a": 1.0, "b": 1.0}),
      ([1.0], [1.0, 1.0]),
    ],
  )
  def test_of_all_else_there_is_none_that_is_small(self, got, want):
    assert numbers.difference(want, want)[0] == 0.0
    assert numbers.difference(got, want)[0] == INFINITE

  def test_says_where_it_is_largest(self):
    got = {"a": np.float32([1.5]), "b": {"c": np.float32([3.0])}, "d": 1}
    want = {"a": np.float32([1.0]), "b": {"c": np.float32([1.0])}, "d": 1}
    assert numbers.difference(got, want) == (2.0, "in b_c")
    assert numbers.difference(got["a"], want["a"]) == (0.5, "in the output")
    _, said = numbers.difference({"a": 1}, {"b": 1})
    assert said == "outputs ['a'], not ['b']"

  @pytest.mark.parametrize(("pixels", "expected"), [(1, 0.0), (2, INFINITE)])
  def test_of_masks_one_pixel_in_a_thousand_may_differ(self, pixels, expected):
    want = np.zeros([1000], np.int32)
    got = np.concatenate([np.ones([pixels], np.int32), want[pixels:]])
    name = numbers.MASKS
    assert numbers.difference({name: got}, {name: want})[0] == expected
    assert numbers.difference({"x": got}, {"x": want})[0] == INFINITE

  def test_of_bfloat16(self):
    got, want = (np.array([x], ml_dtypes.bfloat16) for x in (1.5, 1.0))
    assert numbers.difference(got, want)[0] == 0.5


class TestFlatten:
  def test_names_the_parts_of_composite_tensors(self):
    ragged = tf.ragged.constant([[1], [2, 3]])
    sparse = tf.sparse.from_dense([[0, 1]])
    assert list(numbers.flatten({"r": ragged, "s": [sparse]})) == [
      "r_values",
      "r_splits_0",
      "s_0_indices",
      "s_0_values",
      "s_0_dense_shape",
    ]

  @pytest.mark.parametrize(
    ("outputs", "expected"),
    [
      (1, {"a": 1, "b": 1}),
      ([1, 2], {"a": 1, "b": 2}),
      ([1, [2, 3]], {"a": 1, "b_0": 2, "b_1": 3}),
      ([1, {"x": 2}], {"a": 1, "x": 2}),
      ({"y": 1}, {"y": 1}),
    ],
  )
  def test_outputs_have_the_names_of_a_signature(self, outputs, expected):
    assert numbers.named(outputs, ["a", "b"]) == expected


class TestWorst:
  def test_is_the_largest(self):
    finding = numbers.worst(
      [("a", (1.0, "x")), ("", (2.0, "y")), ("b", (0, ""))]
    )
    assert finding == Finding(2.0, 1e-5, "the model: y")

  @pytest.mark.parametrize(
    ("count", "said"), [(1, "in 1 call"), (2, "in 2 calls")]
  )
  def test_counts_calls_without_a_difference(self, count, said):
    assert numbers.worst([("a", (0.0, ""))] * count) == Finding(0.0, 1e-5, said)

  def test_of_nothing_says_nothing(self):
    with pytest.raises(NotApplicableError):
      numbers.worst([])


class TestHistogram:
  def test_counts_by_shares_of_the_scale(self):
    want = np.float64([2.0] * 8)
    shares = [0, 1e-10, 2e-9, 2e-8, 2e-7, 2e-6, 2e-5, 1]
    got = want + 2.0 * np.float64(shares)
    counts = numbers.histogram([(got, want), (got[:1], want[:1])])
    assert list(counts.items()) == [
      ("equal", 2),
      ("less than 1e-09", 1),
      ("1e-09 to 1e-08", 1),
      ("1e-08 to 1e-07", 1),
      ("1e-07 to 1e-06", 1),
      ("1e-06 to 1e-05", 1),
      ("1e-05 and more", 2),
    ]

  @pytest.mark.parametrize(
    ("got", "want"),
    [
      ([1.0], [1.0, 2.0]),
      ([], []),
      ({"a": [1.0]}, {"b": [1.0]}),
      (np.int32([1]), np.int32([1])),
    ],
  )
  def test_leaves_out_what_has_no_difference(self, got, want):
    got, want = (
      x if isinstance(x, dict) else np.asarray(x) for x in (got, want)
    )
    assert numbers.histogram([(got, want)]) == {}

  def test_goes_on_after_what_it_leaves_out(self):
    want = {"a": np.int32([1]), "b": np.float32([1.0])}
    assert numbers.histogram([(want, want)])["equal"] == 1


class TestNests:
  @pytest.mark.parametrize(
    "nest",
    [
      {"b": tf.constant([1.0]), "a": [tf.constant(1), tf.constant("x\0")]},
      [tf.ragged.constant([[[1], []], [[2, 3]]])],
      [tf.sparse.from_dense([[0, 1]])],
      [tf.constant([1.5], tf.bfloat16)],
      [tf.constant([["a", ""], ["b.", "é"]])],
    ],
    ids=str,
  )
  def test_come_back_from_what_json_and_files_hold(self, nest, tmp_path):
    arrays: list[np.ndarray] = []
    structure = nests.encode(nest, arrays)
    np.savez(tmp_path / "arrays.npz", *arrays, allow_pickle=False)
    with np.load(tmp_path / "arrays.npz") as file:
      loaded = [file[f"arr_{i}"] for i in range(len(arrays))]
    again = nests.decode(structure, loaded)
    assert numbers.difference(again, nest)[0] == 0.0
    for one, other in zip(
      tf.nest.flatten(again), tf.nest.flatten(nest), strict=True
    ):
      assert type(one) is type(other)


class TestScopes:
  def test_a_place_is_a_function_or_a_node_around_all(self):
    graph = graph_pb2.GraphDef()
    graph.node.add(name="a", op="Const")
    function = graph.library.function.add()
    function.signature.name = "f"
    function.node_def.add(name="b", op="Const")
    around, inside = scopes.scopes(graph)
    assert around.where(around.nodes[0]) == "node a"
    assert inside.where(inside.nodes[0]) == "function f"

  def test_of_two_nodes_with_one_name_none_is_meant(self):
    graph = graph_pb2.GraphDef()
    for name in ("a", "b", "a"):
      graph.node.add(name=name, op="Const")
    (around,) = scopes.scopes(graph)
    assert around.by_name == {"a": None, "b": graph.node[1]}


@pytest.fixture
def registered(monkeypatch):
  """Checks of this test alone."""
  monkeypatch.setattr(harness, "CHECKS", [])
  return harness.CHECKS


class FakeCandidate:
  def __init__(self, stranger=False):
    self.stranger = stranger
    self.resets = 0

  def reset(self):
    self.resets += 1


def _raise(error):
  raise error


class TestHarness:
  @pytest.mark.parametrize(
    ("returned", "status"),
    [
      (Finding(0, 0), checks.PASSED),
      (Finding(1, 1), checks.PASSED),
      (Finding(2, 1), checks.FAILED),
      (Finding(float("nan"), 1), checks.FAILED),
      (NotApplicableError("has none"), checks.NOT_APPLICABLE),
      (ValueError("damaged\nmore"), checks.FAILED),
    ],
  )
  def test_a_figure_may_be_as_large_as_its_bound(
    self, registered, returned, status
  ):
    def function(candidate):
      return _raise(returned) if isinstance(returned, Exception) else returned

    harness.check("one", needs=None)(function)
    candidate = FakeCandidate()
    found = harness.run(candidate, checks.ALL, harness.CALLS, {})["one"]
    assert found.status == status
    assert 0 <= found.seconds < 10
    assert candidate.resets == 1
    if isinstance(returned, ValueError):
      assert found.detail == "ValueError: damaged"
    if isinstance(returned, NotApplicableError):
      assert found.detail == "has none"

  @pytest.mark.parametrize(
    ("specification", "stranger", "figure", "status"),
    [
      (True, True, 1, checks.DEVIATES),
      (True, False, 1, checks.FAILED),
      (False, True, 1, checks.FAILED),
      (True, True, 0, checks.PASSED),
    ],
  )
  def test_a_stranger_may_deviate_from_a_specification(
    self, registered, specification, stranger, figure, status
  ):
    harness.check("one", needs=None, specification=specification)(
      lambda candidate: Finding(figure, 0)
    )
    found = harness.run(FakeCandidate(stranger), checks.ALL, harness.CALLS, {})
    assert found["one"].status == status

  @pytest.mark.parametrize(
    ("needs", "stranger", "before", "after"),
    [
      ("first", False, checks.FAILED, checks.BLOCKED),
      ("first", False, checks.BLOCKED, checks.BLOCKED),
      ("first", False, checks.PASSED, checks.PASSED),
      ("first", False, checks.NOT_APPLICABLE, checks.PASSED),
      # All is tried of a stranger's model, if it loads.
      ("first", True, checks.FAILED, checks.PASSED),
      ("first", True, checks.BLOCKED, checks.BLOCKED),
      ("loads", True, checks.FAILED, checks.BLOCKED),
      ("operations", True, checks.FAILED, checks.BLOCKED),
    ],
  )
  def test_a_check_waits_for_the_one_that_it_needs(
    self, registered, needs, stranger, before, after
  ):
    harness.check(needs, needs=None, unit="other")(lambda c: Finding(0, 0))
    harness.check("second", needs=needs)(lambda c: Finding(0, 0))
    made = {needs: checks.Result(check=needs, status=before)}
    found = harness.run(
      FakeCandidate(stranger), checks.ALL, harness.CALLS, made
    )
    assert found["second"].status == after
    completed = harness.complete(
      checks.ALL,
      made | {"second": checks.Result(check="second", status=checks.PASSED)},
      stranger,
    )
    assert [result.status for result in completed] == [before, after]

  def test_units_leave_out_what_needs_no_model(self, registered):
    for name, unit, level in (
      ("a", harness.OPERATIONS, checks.BASIC),
      ("b", harness.FILES, checks.BASIC),
      ("c", harness.CALLS, checks.BASIC),
      ("d", "more", checks.ALL),
    ):
      harness.check(name, unit=unit, level=level)(lambda c: Finding(0, 0))
    assert harness.units(checks.ALL) == [harness.CALLS, "more"]
    assert harness.units(checks.BASIC) == [harness.CALLS]
    names = [entry.name for entry in harness.of_level(checks.BASIC)]
    assert names == ["a", "b", "c"]


def test_a_result_tells_its_figure_with_its_bound():
  result = checks.Result(check="a", status=checks.PASSED)
  assert str(result) == "a: passed"
  result = checks.Result(
    check="a", status=checks.FAILED, figure=2, bound=0, detail="b"
  )
  assert str(result) == "a: failed, 2 (at most 0); b"
