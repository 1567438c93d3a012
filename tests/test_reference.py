"""What an artifact is compared with, and how close it must come."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from exporters import checks
from exporters.errors import ExportError
from exporters.life_cycle import checker
from exporters.life_cycle import reference
from exporters.saved_model import reusable
from exporters.saved_model.published import Published


def _of(function, sample, spec=None) -> Published:
  return Published(
    function=function,
    reference=function,
    inputs=[spec or tf.TensorSpec([None, 4], sample.dtype)],
    training=False,
    samples=[sample],
  )


class TestSensitivity:
  """Against what the spacing of floating-point numbers gives."""

  @pytest.mark.parametrize(
    ("dtype", "digits"),
    [(np.float16, 10), (tf.bfloat16.as_numpy_dtype, 7), (np.float32, 23)],
  )
  def test_of_what_cancels(self, dtype, digits):
    """Of x - 1, at numbers from 1 to 5/4, whose distance is 2**-digits."""
    sample = np.array([[1, 1.0625, 1.125, 1.25]], dtype)
    found = reference.sensitivity(_of(lambda x: x - 1, sample))
    assert found == pytest.approx(2.0**-digits / 0.25)

  def test_rounds_as_the_coarsest_type_that_is_computed_in(self):
    """Inputs that are made halves: their last bit is a half's."""

    def function(x):
      return tf.cast(tf.cast(x, tf.float16) - 1, tf.float32)

    sample = np.array([[1, 1.0625, 1.125, 1.25]], np.float32)
    found = reference.sensitivity(_of(function, sample))
    assert found == pytest.approx(2.0**-10 / 0.25)

  def test_of_one_that_all_may_take(self):
    sample = np.linspace(0.5, 1, 4, dtype=np.float32)[None]
    found = reference.sensitivity(_of(tf.identity, sample))
    assert 2.0**-25 <= found <= 2.0**-23

  def test_whole_numbers_have_no_last_bit(self):
    sample = np.array([[1, 2, 3, 4]], np.int32)
    assert reference.sensitivity(_of(lambda x: x - 1, sample)) == 0

  def test_a_zero_stays_what_it_is(self):
    sample = np.zeros([2, 4], np.float32)
    published = _of(lambda x: tf.where(x == 0, 0.0, 1.0), sample)
    assert reference.sensitivity(published) == 0

  def test_no_number_leaves_the_range_of_a_sample(self):
    """A model may refuse all that is beyond."""

    def checked(x):
      with tf.control_dependencies([tf.debugging.assert_less_equal(x, 1.0)]):
        return tf.identity(x)

    sample = np.array([[0.3, 0.5, 0.7, 1]], np.float32)
    assert reference.sensitivity(_of(checked, sample)) > 0

  def test_says_nothing_of_classes_and_of_what_is_no_number(self):
    def function(x):
      difference = x - 1
      return {
        "class": tf.argmax(-difference, axis=1),
        "difference": difference,
        "nothing": difference * float("nan"),
      }

    sample = np.array([[1.125, 1.125, 1.125, 1.25]], np.float32)
    found = reference.sensitivity(_of(function, sample))
    assert found == pytest.approx(2.0**-21)

  def test_of_rows_of_different_lengths(self):
    spec = tf.RaggedTensorSpec([None, None], tf.float32)
    sample = tf.ragged.constant([[1, 1.0625], [1.25]], tf.float32)
    published = _of(lambda x: x.with_values(x.values - 1), sample, spec)
    assert reference.sensitivity(published) == pytest.approx(2.0**-21)


@pytest.mark.parametrize(
  ("sensitivity", "expected"),
  [
    (0.0, 1e-5),
    (2e-6, 1e-5),
    (1e-4, 4e-4),
    (1.0, 1e-2),
    (float("inf"), 1e-2),
  ],
)
def test_tolerance(sensitivity, expected):
  assert checks.tolerance(sensitivity) == pytest.approx(expected)


class TestGate:
  """A model that subtracts 1 from numbers from 1 to 1 + 2**-10."""

  @pytest.fixture(scope="class")
  @classmethod
  def processes(cls):
    with checker.Checker(checks.BASIC) as started:
      yield started

  @pytest.fixture
  def same_numbers(self, processes, tmp_path):
    """Returns a function that gives the result for another computation."""

    def checked(function, lowest: float):
      numbers = lowest + np.linspace(0, 2.0**-10, 8).reshape([2, 4])
      good = _of(lambda x: x - lowest, numbers.astype(np.float32))
      path = str(tmp_path / "model")
      reusable.write(dataclasses.replace(good, function=function), path)
      made = processes.check(good, path, scratch=str(tmp_path), private=[])
      (result,) = (r for r in made if r.check == checks.SAME_NUMBERS)
      return result

    return checked

  def test_may_round_as_it_likes(self, same_numbers):
    result = same_numbers(lambda x: (x * 3 - 3) / 3, 1.0)
    assert result.status == checks.PASSED
    assert 1e-5 < result.figure <= result.bound
    # The distance of such numbers is 2**-23.
    assert result.bound == pytest.approx(4 * 2.0**-13)
    assert result.detail.endswith(
      "rounding the inputs alone moves the reference's outputs by 0.0001"
    )

  def test_may_not_compute_something_else(self, same_numbers):
    result = same_numbers(lambda x: (x - 1) * 1.001, 1.0)
    assert result.status == checks.FAILED
    assert result.figure == pytest.approx(1e-3, rel=0.2)
    assert result.bound == pytest.approx(4 * 2.0**-13)

  def test_one_that_is_not_sensitive_has_the_usual_bound(self, same_numbers):
    result = same_numbers(lambda x: x * 1.0001, 0.0)
    assert result.status == checks.FAILED
    assert result.figure == pytest.approx(1e-4, rel=0.1)
    assert result.bound == checks.TOLERANCE
    assert "rounding" not in result.detail


def test_a_sample_that_the_model_refuses():
  def picky(x):
    with tf.control_dependencies([tf.debugging.assert_less(x, 1.0)]):
      return tf.identity(x)

  published = _of(picky, np.ones([1, 4], np.float32))
  with pytest.raises(ExportError, match=r"sample input of shape \(1, 4\)"):
    reference.stated(published, [])
