"""How a SavedModel is described of which nothing is known but its files."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from exporters.checks import nests
from exporters.checks import self_description

_FLOATS = tf.TensorSpec([None, 2], tf.float32, "x")
_TEXTS = tf.TensorSpec([None], tf.string, "texts")


@pytest.fixture
def load(tmp_path) -> Callable[..., Any]:
  """Returns what saves a model, and loads it again."""

  def loaded(model, signatures=None) -> Any:
    path = str(tmp_path / f"model_{len([*tmp_path.iterdir()])}")
    tf.saved_model.save(model, path, signatures)
    return tf.saved_model.load(path)

  return loaded


def _model(call=None, *arguments, **attributes) -> tf.train.Checkpoint:
  model = tf.train.Checkpoint(**attributes)
  if call:
    model.__call__ = tf.function(call)
    model.__call__.get_concrete_function(*arguments)
  return model


def _signature(call, *specs):
  return tf.function(call, input_signature=specs)


class TestSample:
  @pytest.mark.parametrize(
    ("shape", "factor", "expected"),
    [
      ([], 1, []),
      ([None], 1, [7]),
      ([None, None], 1, [7, 16]),
      ([None, None], 4, [7, 64]),
      ([None, None, None], 4, [7, 64, 64]),
      ([None, None, None, None], 1, [7, 64, 64, 3]),
      ([None, None, None, None], 4, [7, 256, 256, 3]),
      ([None, None, None, None, None], 4, [7, 20, 256, 256, 3]),
      ([None] * 6, 4, [7, 3, 3, 3, 3, 3]),
      ([2, None, 5], 1, [2, 16, 5]),
      (None, 1, [3]),
    ],
  )
  def test_open_sizes_are_chosen_by_rank(self, shape, factor, expected):
    value = self_description._sample(
      tf.TensorSpec(shape, tf.float32), factor, 7, b""
    )
    assert value.shape.as_list() == expected
    assert value.dtype == tf.float32

  def test_numbers_are_valid_for_images_and_ids(self):
    floats = self_description._sample(_FLOATS, 1, 3, b"")
    assert floats.shape == [3, 2]
    assert 0 <= np.min(floats) < np.max(floats) < 1
    ids = tf.TensorSpec([None, 4], tf.int64)
    assert np.all(self_description._sample(ids, 1, 2, b"") == np.ones([2, 4]))
    texts = self_description._sample(_TEXTS, 1, 2, b"a")
    assert texts.numpy().tolist() == [b"a", b"a"]

  @pytest.mark.parametrize("rank", [1, 2, 3])
  def test_ragged_ones_have_their_rank(self, rank):
    spec = tf.RaggedTensorSpec([None] * (rank + 1), tf.int32, rank)
    value = self_description._sample(spec, 1, 3, b"")
    assert value.ragged_rank == rank
    assert value.dtype == tf.int32
    assert value.flat_values.numpy().tolist() == [1, 2, 3, 4]


class TestCalls:
  @staticmethod
  def _called(call, specs, **fields):
    return self_description._call(call, None, specs, 3, **fields)

  def test_sizes_grow_until_there_is_an_output(self):
    """A call that takes 40 rows at least, and one that needs 100."""

    def strict(x):
      tf.debugging.assert_greater(x.shape[1], 40)
      return x

    spec = tf.TensorSpec([None, None], tf.float32)
    for call in (strict, lambda x: x[:, 100:]):
      inputs, outputs = self._called(call, spec)
      assert inputs.shape[0] == 3
      assert inputs.shape[1] == (64 if call is strict else 256)
      assert outputs.shape[1] == (64 if call is strict else 156)

  def test_the_smallest_comes_first(self):
    inputs, outputs = self._called(lambda x: [x], _FLOATS)
    assert inputs.shape == [3, 2]
    assert outputs[0] is inputs

  def test_what_the_smallest_said_is_said(self):
    def refuse(x):
      raise ValueError(f"not of {x.shape[1]}")

    spec = tf.TensorSpec([None, None], tf.float32)
    with pytest.raises(ValueError, match="not of 16"):
      self._called(refuse, spec)

  def test_without_any_output_the_last_is_returned(self):
    spec = tf.TensorSpec([None, None], tf.float32)
    inputs, outputs = self._called(lambda x: x[:0], spec, factors=(1, 4))
    assert inputs.shape == [3, 64]
    assert outputs.shape == [0, 64]

  def test_no_more_than_a_million_numbers_are_tried(self):
    """3 times 16 times 256 by 16 times 256 would be fifty million."""
    sizes = []

    def refuse(x):
      sizes.append(tf.size(x).numpy())
      raise ValueError("refused")

    spec = tf.TensorSpec([None, None, None], tf.float32)
    with pytest.raises(ValueError, match="refused"):
      self._called(refuse, spec)
    assert sizes == [3 * (16 * n) ** 2 for n in (1, 4, 16)]

  def test_what_is_too_large_itself_is_tried_once(self):
    spec = tf.TensorSpec([2, 1 << 20], tf.float32)
    sizes = []
    self._called(lambda x: sizes.append(tf.size(x).numpy()) or x, spec)
    assert sizes == [1 << 21]

  def test_texts_are_tried_before_files_of_images(self):
    tried = []

    def decode(file):
      tried.append(file.numpy()[0])
      return tf.io.decode_image(file[0], channels=3)

    _, image = self._called(decode, _TEXTS)
    assert tried[0] == b"Hello, world!"
    assert len(tried) == 2
    assert image.shape == [48, 64, 3]
    # Noise, that nothing takes for one colour.
    assert np.std(image.numpy().astype(float)) > 50

  def test_other_errors_are_not_its_business(self):
    def fail(x):
      raise TypeError("of another kind")

    with pytest.raises(TypeError):
      self._called(fail, _FLOATS)


class TestTraces:
  def test_tell_keywords_and_inputs(self, load):
    def call(inputs, training, *, rate=0.5):
      return inputs * rate if training else inputs

    loaded = load(_model(call, _FLOATS, True))
    ((keywords, spec),) = self_description.traces(loaded)
    assert keywords["training"] is True
    assert spec.shape.as_list() == [None, 2]

  def test_of_what_takes_nothing(self, load):
    loaded = load(_model(lambda: tf.constant(1.0)))
    assert self_description.traces(loaded) == [({}, None)]
    assert self_description.traces(len) == []


def _twice(x):
  return 2.0 * x


class TestStated:
  def test_a_model_with_a_part(self, load):
    variable = tf.Variable([1.0, 2.0], name="kernel")
    other = tf.Variable(1.0, name="count", trainable=False)

    def call(inputs, training=False):
      return inputs * variable + (1.0 if training else 0.0)

    model = _model(
      call,
      _FLOATS,
      variables=[variable, other],
      trainable_variables=[variable],
      regularization_losses=[_signature(lambda: tf.constant(0.25))],
      part=_model(_twice, _FLOATS, variables=[]),
      _hidden=_model(_twice, _FLOATS, variables=[]),
      bare=_model(_twice, _FLOATS),
      **{"layer-1": _model(_twice, _FLOATS, variables=[])},
    )
    arrays: list[np.ndarray] = []
    loaded = load(model)
    found = self_description.stated(loaded, arrays)
    assert found.keys() == {"", "part"}
    whole, part = found[""], found["part"]
    assert whole["variables"] == ["kernel", "count"]
    assert whole["trainable"] == ["kernel"]
    assert whole["regularization_losses"] == [0.25]
    assert whole["training"]
    assert not part["training"]
    assert whole["takes_inputs"]
    assert whole["outputs"] == ["default"]
    assert whole["stream"] is None
    assert not whole["signature"]
    assert whole["serving"] == ""
    assert part["variables"] == part["trainable"] == []
    for stated, expected in ((whole, [1.0, 2.0]), (part, [2.0, 2.0])):
      (case,) = stated["cases"]
      (argument,) = case["arguments"]
      inputs = nests.decode(argument, arrays)
      assert inputs.shape == [3, 2]
      outputs = nests.decode(case["outputs"], arrays)
      np.testing.assert_array_equal(outputs, inputs * expected)

  def test_a_model_that_cannot_be_called(self, load):
    loaded = load(_model(), _signature(_twice, _FLOATS))
    stated = self_description.stated(loaded, [])[""]
    assert stated["cases"] == []
    assert not stated["takes_inputs"]
    assert not stated["training"]
    assert stated["serving"] == ""

  def test_of_a_part_that_takes_files_no_call_is_known(self, load):
    """But for the model itself, and for numbers, an error is an error."""

    def refuse(x):
      with tf.control_dependencies([tf.debugging.Assert(False, ["refused"])]):
        return tf.identity(x)

    of_texts = _model(refuse, _TEXTS, variables=[])
    model = _model(_twice, _FLOATS, part=of_texts)
    found = self_description.stated(load(model), [])
    assert found["part"]["cases"] == []
    assert len(found[""]["cases"]) == 1
    with pytest.raises(tf.errors.InvalidArgumentError, match="refused"):
      self_description.stated(load(_model(refuse, _TEXTS)), [])
    of_numbers = _model(refuse, _FLOATS, variables=[])
    with pytest.raises(tf.errors.InvalidArgumentError, match="refused"):
      self_description.stated(
        load(_model(_twice, _FLOATS, part=of_numbers)), []
      )

  @pytest.mark.parametrize("named", ["whole", "part", "other"])
  def test_the_signature_is_that_of_the_callable_with_its_outputs(
    self, load, named
  ):
    model = _model(
      lambda x: {"whole": x},
      _FLOATS,
      part=_model(lambda x: {"part": x}, _FLOATS, variables=[]),
    )
    signature = _signature(lambda x: {named: x}, _FLOATS)
    found = self_description.stated(load(model, signature), [])
    assert found[""]["serving"] == ("part" if named == "part" else "")


_PIECE = tf.TensorSpec([None, None, 2], tf.float32, "piece")


def _stream(rank=3, dtype=tf.int32) -> tf.train.Checkpoint:
  """Returns a model of the sum of all rows so far, and how many there were."""

  def scores(inputs):
    piece = inputs["piece"]
    total = inputs["total"] + tf.reduce_sum(piece, axis=1)
    count = inputs["count"] + tf.shape(piece)[1]
    return {"scores": total}, {"total": total, "count": count}

  specs = {
    "piece": _PIECE,
    "total": tf.TensorSpec([None, 2], tf.float32, "total"),
    "count": tf.TensorSpec([1], tf.int32, "count"),
  }
  model = _model(scores, specs)
  model.initial = _signature(
    lambda shape: {
      "total": tf.zeros([shape[0], 2]),
      "count": tf.zeros([1], tf.int32),
    },
    tf.TensorSpec([rank], dtype, "shape"),
  )

  def serve(piece, total, count):
    result, states = scores({"piece": piece, "total": total, "count": count})
    return result | states

  model.serve = _signature(serve, *specs.values())
  return model


class TestStreams:
  @pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
  def test_a_signature_gives_the_first_states(self, load, dtype):
    model = _stream(dtype=dtype)
    loaded = load(
      model, {"serving_default": model.serve, "initial": model.initial}
    )
    expected = {"piece": "piece", "axis": 1, "initial": "initial"}
    names = {"piece", "total", "count"}
    assert self_description.stream(loaded, names) == expected
    # An input besides the states, no input at all, and another's states.
    assert self_description.stream(loaded, {*names, "more"}) is None
    assert self_description.stream(loaded, names - {"piece"}) is None
    assert self_description.stream(loaded, {"piece", "x", "y"}) is None
    assert self_description.stream(len, names) is None
    arrays: list[np.ndarray] = []
    stated = self_description.stated(loaded, arrays)[""]
    (case,) = stated["cases"]
    inputs = nests.decode(case["arguments"][0], arrays)
    assert np.all(inputs["total"] == np.zeros([3, 2]))
    assert stated["unbatched"] == ["count"]
    inputs = self_description.sample(loaded, batch=2)
    assert inputs["piece"].shape == [2, 16, 2]
    assert np.all(inputs["total"] == np.zeros([2, 2]))
    assert inputs["count"].numpy().tolist() == [0]

  def test_shapes_are_whole_numbers(self, load):
    model = _model(_twice, _FLOATS)
    halves = _signature(
      lambda shape: {"total": shape}, tf.TensorSpec([3], tf.float32, "shape")
    )
    nothing = _signature(lambda: {"total": tf.zeros([3])})
    loaded = load(model, {"nothing": nothing, "halves": halves})
    assert self_description.stream(loaded, {"piece", "total"}) is None


def _served(load, call, *specs):
  model = _model()
  model.serve = _signature(call, *specs)
  return load(model, model.serve)


_IDS = tf.TensorSpec([None, None], tf.int32, "ids")


class TestVariedSamples:
  def test_ids_are_drawn_from_the_whole_table(self, load):
    """Of 1000 rows: half from all of them, half from the first two."""
    table = tf.constant(np.random.default_rng(0).random([1000, 2]), tf.float32)

    def look_up(ids):
      tf.debugging.assert_less(ids, 1000)
      return {"rows": tf.gather(table, ids)}

    loaded = _served(load, look_up, _IDS)
    ids = self_description.sample(loaded, batch=50)["ids"].numpy()
    assert ids.shape == (50, 16)
    assert ids.dtype == np.int32
    assert ids.min() == 0
    assert 980 < ids.max() < 1000
    small = np.mean(ids < 2)
    assert 0.4 < small < 0.6
    assert {0, 1} <= {*ids.flat}

  def test_beyond_a_table_all_are_taken_for_the_same(self, load):
    table = tf.constant(np.random.default_rng(0).random([50, 2]), tf.float32)

    def look_up(ids):
      return {"rows": tf.gather(table, tf.minimum(ids, 49))}

    loaded = _served(load, look_up, _IDS)
    ids = self_description.sample(loaded, batch=50)["ids"].numpy()
    # The last row is also what is beyond.
    assert 45 <= ids.max() <= 49

  def test_where_all_are_taken_they_are_drawn_from_a_million(self, load):
    loaded = _served(load, lambda ids: {"sum": tf.reduce_sum(ids, -1)}, _IDS)
    ids = self_description.sample(loaded, batch=50)["ids"].numpy()
    assert 1_000_000 < ids.max() < 1 << 20

  def test_one_beyond_a_table_may_stand_for_nothing(self, load):
    """The largest that is tried is taken, and those below it are refused."""

    def look_up(ids):
      known = (ids < 10) | (ids == (1 << 20) - 1)
      tf.debugging.assert_equal(known, True)
      return {"ids": ids}

    loaded = _served(load, look_up, _IDS)
    ids = self_description.sample(loaded, batch=50)["ids"].numpy()
    assert ids.max() == 9

  def test_of_a_small_type_no_more_is_drawn_than_it_holds(self, load):
    spec = tf.TensorSpec([None, None], tf.uint8, "ids")
    loaded = _served(load, lambda ids: {"ids": ids}, spec)
    ids = self_description.sample(loaded, batch=50)["ids"].numpy()
    assert ids.dtype == np.uint8
    assert 250 <= ids.max() <= 255

  @pytest.mark.parametrize("rows", [2, 3, 4, 5])
  def test_of_a_small_table_all_are_drawn(self, load, rows):
    def look_up(ids):
      tf.debugging.assert_less(ids, rows)
      return {"rows": tf.gather(tf.range(rows), ids)}

    loaded = _served(load, look_up, _IDS)
    ids = self_description.sample(loaded, batch=9)["ids"].numpy()
    assert {*ids.flat} == {*range(rows)}

  def test_a_mask_ends_with_its_last_quarter(self, load):
    mask = tf.TensorSpec([None, None], tf.int32, "input_mask")
    flat = tf.TensorSpec([None], tf.int32, "mask_of_rows")
    loaded = _served(
      load,
      lambda input_mask, mask_of_rows: {"a": input_mask, "b": mask_of_rows},
      mask,
      flat,
    )
    found = self_description.sample(loaded, batch=2)
    assert found["input_mask"].numpy().tolist() == [[1] * 12 + [0] * 4] * 2
    assert found["input_mask"].dtype == tf.int32
    # Of one dimension, it is a number for each row.
    assert found["mask_of_rows"].numpy().max() > 1

  def test_scalars_and_fractions_stay(self, load):
    count = tf.TensorSpec([], tf.int32, "count")
    loaded = _served(
      load, lambda x, count: {"x": x, "count": count}, _FLOATS, count
    )
    found = self_description.sample(loaded, batch=2)
    assert found["count"].numpy() == 1
    assert 0 < found["x"].numpy().max() < 1

  def test_larger_ones_are_twice_as_large(self, load):
    loaded = _served(load, lambda ids: {"ids": ids}, _IDS)
    larger = self_description.sample(loaded, batch=2, larger=True)
    assert larger["ids"].shape == [2, 32]

    def narrow(ids):
      tf.debugging.assert_less_equal(tf.shape(ids)[1], 16)
      return {"ids": ids}

    loaded = _served(load, narrow, _IDS)
    larger = self_description.sample(loaded, batch=2, larger=True)
    assert larger["ids"].shape == [2, 16]

  def test_a_number_that_makes_it_slow_is_not_tried(self, load, monkeypatch):
    """As one that a loop counts to."""
    monkeypatch.setattr(self_description, "_SLOW", -1.0)
    loaded = _served(load, lambda ids: {"ids": ids}, _IDS)
    ids = self_description.sample(loaded, batch=3)["ids"].numpy()
    assert {*ids.flat} == {0, 1}
