"""What specifications and APIs ask, asked of small SavedModels."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from exporters import checks
from exporters.checks import images
from exporters.checks import specification
from exporters.checks import videos
from exporters.checks.results import NotApplicableError

_FLOATS = tf.TensorSpec([None, 2], tf.float32, "x")
_TRAINING = [tf.TensorSpec([None, 2], tf.float32, "inputs")]


def _stated(**fields) -> dict[str, Any]:
  """Returns what a publisher states of a model, without any sample."""
  return {
    "": {
      "api": None,
      "cases": [],
      "fixed_batch": False,
      "serving": "",
      "takes_inputs": True,
      "training": False,
      "unbatched": [],
    }
    | fields
  }


@pytest.fixture
def candidate(tmp_path) -> Callable[..., checks.Candidate]:
  """Returns what makes a candidate, of an object or of one that does nothing.

  With `cases`, pairs of an input and of what the model gives, and other fields
  of the reference; a stranger without any.
  """

  def made(model=None, cases=(), **fields) -> checks.Candidate:
    path = str(tmp_path / f"model_{len([*tmp_path.iterdir()])}")
    model = model or tf.train.Checkpoint()
    tf.saved_model.save(model, path, getattr(model, "signed", None))
    arrays: list[np.ndarray] = []
    encoded = [
      {
        "arguments": [checks.encode(inputs, arrays)],
        "outputs": checks.encode(outputs, arrays),
      }
      for inputs, outputs in cases
    ]
    stranger = not cases and not fields
    reference = None if stranger else _stated(cases=encoded, **fields)
    return checks.Candidate(
      path=path,
      scratch=str(tmp_path),
      private=[],
      level=checks.BASIC,
      keras=False,
      stranger=stranger,
      ask=lambda: (reference, arrays),
    )

  return made


def _model(call=None, *specs, **attributes) -> tf.train.Checkpoint:
  """Returns a model with attributes, and a call traced for some inputs."""
  model = tf.train.Checkpoint(**attributes)
  if call:
    model.__call__ = tf.function(call)
    for arguments in specs:
      model.__call__.get_concrete_function(*arguments)
  return model


def _variable(value=1.0, **fields) -> tf.Variable:
  return tf.Variable(value, **fields)


def _loss(value):
  return tf.function(lambda: tf.constant(value), input_signature=[])


def test_what_strangers_may_deviate_from():
  """A published specification, and what harms nobody who uses a model."""
  names = {entry.name for entry in checks.CHECKS}
  asked = {n for n in names if n.startswith("specification: ")}
  assert len(asked) == 7
  assert {e.name for e in checks.CHECKS if e.specification} == {
    *asked,
    "no local path",
  }


class TestAttributes:
  def test_what_is_trained_is_a_variable(self, candidate):
    one, other = _variable(name="one"), _variable(name="other")
    good = _model(
      variables=[one, other],
      trainable_variables=[one],
      regularization_losses=[_loss(0.5)],
    )
    assert specification._attributes(candidate(good)).figure == 0
    bad = _model(variables=[one], trainable_variables=[one, other])
    finding = specification._attributes(candidate(bad))
    assert finding.figure == 1
    assert finding.detail.startswith(
      "other:0 is only in `trainable_variables`. "
      '"These variables must be a subset of `variables`." (https://'
    )

  def test_no_more_than_five_are_told(self, candidate):
    bad = _model(trainable_variables=[_variable() for _ in range(7)])
    finding = specification._attributes(candidate(bad))
    assert finding.detail.count("is only in") == 5
    assert finding.figure == 5

  @pytest.mark.parametrize(
    ("fields", "figure"), [({}, 1), ({"training": True}, 1), ({"api": None}, 0)]
  )
  def test_variables_can_be_trained_unless_the_model_only_serves(
    self, candidate, fields, figure
  ):
    untrained = _model(variables=[_variable(), _variable(trainable=False)])
    finding = specification._attributes(candidate(untrained, **fields))
    assert finding.figure == figure
    if figure:
      said = "there are variables, but no `trainable_variables`"
      assert finding.detail.startswith(said)

  def test_what_nobody_could_train_need_not_be_listed(self, candidate):
    frozen = _model(variables=[_variable(trainable=False)])
    assert specification._attributes(candidate(frozen)).figure == 0
    assert specification._attributes(candidate()).figure == 0

  @pytest.mark.parametrize(
    ("value", "said"), [(1, "int32 ()"), ([0.5], "(1,)")]
  )
  def test_a_loss_is_one_float(self, candidate, value, said):
    bad = _model(regularization_losses=[_loss(value)])
    finding = specification._attributes(candidate(bad))
    assert finding.figure == 1
    assert "a regularization loss is " in finding.detail
    assert said in finding.detail
    assert "returning a single scalar float" in finding.detail


def _in_training(inputs, training):
  return inputs * 2.0 if training else inputs


class TestTraining:
  def test_each_trace_is_there_twice(self, candidate):
    (inputs,) = _TRAINING
    wide = tf.TensorSpec([None, 3], tf.float32, "inputs")
    both = [(inputs, True), (inputs, False)]
    good = _model(_in_training, *both, (wide, True), (wide, False))
    assert specification._training(candidate(good)).figure == 0
    bad = _model(_in_training, *both, (wide, True))
    finding = specification._training(candidate(bad))
    assert finding.figure == 1
    assert "shape=(None, 3)" in finding.detail.partition(":")[0]
    assert "{True} only" in finding.detail

  def test_other_arguments_tell_traces_apart(self, candidate):
    (inputs,) = _TRAINING

    def call(inputs, training, double):
      return inputs * 2.0 if training or double else inputs

    bad = _model(call, (inputs, True, True), (inputs, False, False))
    assert specification._training(candidate(bad)).figure == 2

  def test_a_model_without_training_is_not_asked(self, candidate):
    model = _model(lambda x: x, (_FLOATS,))
    with pytest.raises(NotApplicableError, match="takes no `training`"):
      specification._training(candidate(model))


class TestBatchSize:
  @pytest.mark.parametrize(
    ("shape", "said"),
    [([None, 2], None), ([], None), ([3, 2], "the input has shape (3, 2)")],
  )
  def test_the_first_dimension_is_open(self, candidate, shape, said):
    spec = tf.TensorSpec(shape, tf.float32, "x")
    finding = specification._batch_size(candidate(_model(lambda x: x, (spec,))))
    assert finding.figure == (said is not None)
    assert finding.detail.startswith(said or "deviations")

  def test_any_rank_is_open(self, candidate):
    spec = tf.TensorSpec(None, tf.float32, "x")
    finding = specification._batch_size(candidate(_model(lambda x: x, (spec,))))
    assert finding.figure == 0

  def test_inputs_have_names_and_are_told_once(self, candidate):
    specs = {
      "b": tf.TensorSpec([4, 2], tf.float32, "b"),
      "a": tf.TensorSpec([4], tf.float32, "a"),
      "open": tf.TensorSpec([None], tf.float32, "open"),
    }

    def call(inputs, training=False):
      return inputs["a"] + inputs["open"] if training else inputs["a"]

    model = _model(call, (specs, True), (specs, False))
    finding = specification._batch_size(candidate(model))
    assert finding.figure == 2
    said = "a has shape (4,); b has shape (4, 2). "
    assert finding.detail.startswith(said)
    stated = candidate(model, unbatched=["b"])
    assert specification._batch_size(stated).detail.startswith("a has shape (4")
    with pytest.raises(NotApplicableError, match="one batch size only"):
      specification._batch_size(candidate(model, fixed_batch=True))


class TestSignature:
  @pytest.mark.parametrize(
    ("name", "automatic"),
    [
      ("default", False),
      ("output_0", True),
      ("dense_1", True),
      ("dense_1_2", True),
      ("encoder_outputs_11", False),
      ("dense", False),
      ("a_1_b", False),
    ],
  )
  def test_outputs_have_names_of_their_own(self, candidate, name, automatic):
    model = _model(lambda x: x, (_FLOATS,))
    model.signed = tf.function(lambda x: {name: x}, input_signature=[_FLOATS])
    finding = specification._signature_names(candidate(model))
    assert finding.figure == automatic
    if automatic:
      assert finding.detail.startswith(f"an output is called {name}. ")
    own = candidate(model, api=None)
    assert specification._signature_names(own).figure == 0
    api = candidate(model, api="image")
    assert specification._signature_names(api).figure == automatic

  def test_there_is_one(self, candidate):
    model = _model(lambda x: x, (_FLOATS,))
    finding = specification._signature_names(candidate(model))
    assert finding.figure == 1
    assert finding.detail.startswith("there is no signature `serving_default`")
    with pytest.raises(NotApplicableError, match="takes no input"):
      specification._signature_names(candidate())


def _ids(*shape):
  return tf.ones(shape, tf.int32)


_ENCODER = {
  "input_word_ids": _ids(3, 5),
  "input_mask": _ids(3, 5),
  "input_type_ids": _ids(3, 5),
}
_ENCODED = {
  "default": tf.zeros([3, 8]),
  "pooled_output": tf.zeros([3, 8]),
  "sequence_output": tf.zeros([3, 5, 8]),
}


class TestTextEncoder:
  @pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
      (_ENCODER, _ENCODED, []),
      (
        {"input_word_ids": _ids(3, 5)},
        _ENCODED,
        ["no input input_mask", "no input input_type_ids"],
      ),
      (
        _ENCODER,
        {"default": tf.zeros([3, 8])},
        ["no output pooled_output", "no output sequence_output"],
      ),
      (
        _ENCODER,
        _ENCODED | {"default": tf.zeros([3])},
        ["default has shape (3,)"],
      ),
      (
        _ENCODER,
        _ENCODED | {"pooled_output": tf.zeros([2, 8])},
        ["pooled_output has shape (2, 8)"],
      ),
      (
        _ENCODER,
        _ENCODED | {"sequence_output": tf.zeros([3, 4, 8])},
        ["sequence_output has shape (3, 4, 8)"],
      ),
      (
        _ENCODER,
        tf.zeros([3, 8]),
        [
          "the result is not a dict",
          *(f"no output {name}" for name in _ENCODED),
        ],
      ),
    ],
  )
  def test_inputs_and_outputs_are_those_of_the_api(
    self, candidate, inputs, outputs, said
  ):
    made = candidate(cases=[(inputs, outputs)], api="text encoder")
    finding = specification._text_encoder(made)
    assert finding.figure == len(said)
    if said:
      assert finding.detail.startswith("; ".join(said) + '. "')

  @pytest.mark.parametrize(
    ("inputs", "api", "reason"),
    [
      (tf.zeros([3, 2]), "text encoder", "is not a text encoder"),
      ({"x": _ids(3, 5)}, "text encoder", "is not a text encoder"),
      (_ENCODER, None, "nobody claims"),
      (_ENCODER, "image", "nobody claims"),
    ],
  )
  def test_no_other_model_is_asked(self, candidate, inputs, api, reason):
    made = candidate(cases=[(inputs, _ENCODED)], api=api)
    with pytest.raises(NotApplicableError, match=reason):
      specification._text_encoder(made)
    with pytest.raises(NotApplicableError, match="not a text encoder"):
      specification._text_encoder(candidate())


_TEXTS = tf.constant(["a", "b"])


class TestTextPreprocessor:
  def test_gives_int32_and_has_its_parts(self, candidate):
    call = tf.function(lambda x: x, input_signature=[_FLOATS])
    whole = _model(tokenize=call, bert_pack_inputs=call)
    packed = {"input_word_ids": _ids(2, 4)}
    api = {"api": "text preprocessor"}
    good = candidate(whole, [(_TEXTS, packed)], **api)
    assert specification._text_preprocessor(good).figure == 0
    longs = packed | {"input_mask": tf.cast(_ids(2, 4), tf.int64)}
    bad = candidate(_model(tokenize=call), [(_TEXTS, longs)], **api)
    finding = specification._text_preprocessor(bad)
    assert finding.figure == 2
    said = "no .bert_pack_inputs; input_mask is int64. "
    assert finding.detail.startswith(said)
    nothing = candidate(None, [(_TEXTS, packed)], **api)
    assert specification._text_preprocessor(nothing).figure == 2

  @pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
      (_TEXTS, _ids(2, 4)),
      (_ids(2, 4), {"x": _ids(2, 4)}),
      ({"x": _TEXTS}, {"x": _ids(2, 4)}),
    ],
  )
  def test_no_other_model_is_asked(self, candidate, inputs, outputs):
    cases = [(inputs, outputs)]
    made = candidate(cases=cases, api="text preprocessor")
    with pytest.raises(NotApplicableError, match="not a text preprocessor"):
      specification._text_preprocessor(made)
    uncalled = candidate(api="text preprocessor")
    with pytest.raises(NotApplicableError, match="not a text preprocessor"):
      specification._text_preprocessor(uncalled)
    other = candidate(cases=[(_TEXTS, {"x": _ids(2, 4)})], api="image")
    with pytest.raises(NotApplicableError, match="nobody claims"):
      specification._text_preprocessor(other)


_IMAGES = tf.zeros([2, 8, 8, 3])
_LOGITS = tf.constant([[0.5, 0.5, 0.5], [0.1, 0.2, 0.3]])


class TestImages:
  @pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
      (_IMAGES, _LOGITS, None),
      (_IMAGES, {"default": _LOGITS}, None),
      (_IMAGES[..., :1], _LOGITS, "the input is float32 (2, 8, 8, 1). "),
      (tf.cast(_IMAGES, tf.float64), _LOGITS, "the input is float64 (2, 8, "),
      (_IMAGES, tf.zeros([2, 3, 1]), "the output is float32 (2, 3, 1). "),
      (_IMAGES, tf.cast(_LOGITS, tf.float64), "the output is float64 (2, 3). "),
      # What else is wrong with them does not matter then.
      (
        _IMAGES,
        tf.cast(tf.nn.softmax(_LOGITS), tf.float64),
        "the output is float64 (2, 3). ",
      ),
      (
        _IMAGES,
        {"a": _LOGITS, "b": _LOGITS, "c": _LOGITS},
        "the output is float32 (2, 3) and 2 more. ",
      ),
      (_IMAGES, tf.nn.softmax(_LOGITS), "the outputs are probabilities: "),
      # Some are negative, or the sum is another.
      (_IMAGES, tf.constant([[-0.5, 1.5]] * 2), None),
      (_IMAGES, tf.constant([[0.5, 0.6]] * 2), None),
      (_IMAGES, tf.constant([[0.5, 0.5], [0.5, 0.6]]), None),
      (_IMAGES, tf.constant([[0.0, 1.0]] * 2), "the outputs are prob"),
      (_IMAGES, tf.constant([[0.5, 0.50005]] * 2), "the outputs are prob"),
    ],
  )
  def test_give_logits(self, candidate, inputs, outputs, said):
    made = candidate(cases=[(inputs, outputs)], api="image")
    finding = specification._images(made)
    assert finding.figure == (said is not None)
    assert finding.detail.startswith(said or "deviations")
    sentence = "linear scores" if "prob" in (said or "") else "a single tensor"
    assert (sentence in finding.detail) == (said is not None)

  @pytest.mark.parametrize("inputs", [_LOGITS, {"x": _IMAGES}])
  def test_no_other_model_is_asked(self, candidate, inputs):
    made = candidate(cases=[(inputs, _LOGITS)], api="image")
    with pytest.raises(NotApplicableError, match="takes no images"):
      specification._images(made)
    with pytest.raises(NotApplicableError, match="takes no images"):
      specification._images(candidate())
    other = candidate(cases=[(_IMAGES, _LOGITS)], api="video")
    with pytest.raises(NotApplicableError, match="nobody claims"):
      specification._images(other)

  def test_a_stranger_may_give_each_pixel_a_result(self, candidate):
    spec = tf.TensorSpec([None, None, None, 3], tf.float32, "x")
    made = candidate(_model(lambda x: x[..., :2], (spec,)))
    with pytest.raises(NotApplicableError, match="each pixel"):
      specification._images(made)
    both = candidate(_model(lambda x: (x, x), (spec,)))
    assert specification._images(both).figure == 1
    stated = candidate(cases=[(_IMAGES, _IMAGES)], api="image")
    assert specification._images(stated).figure == 1


def _classifier(shape, *names) -> tf.train.Checkpoint:
  """Returns a model of images, and a signature that calls its outputs so."""
  spec = tf.TensorSpec(shape, tf.float32, "images")

  def call(images):
    return tf.reduce_mean(images, axis=[1, 2])

  model = _model(call, (tf.TensorSpec([None] * 4, tf.float32, "images"),))
  model.signed = tf.function(
    lambda images: dict.fromkeys(names, tf.reduce_mean(images)),
    input_signature=[spec],
  )
  return model


_ANY_SIZE = [None, None, None, 3]


class TestImageApi:
  @pytest.mark.parametrize(
    ("shape", "names", "said"),
    [
      (_ANY_SIZE, ("logits", "default"), None),
      (_ANY_SIZE, ("feature_vector", "default"), None),
      ([None, 8, 8, 3], ("logits", "default"), None),
      ([1, None, None, 3], ("logits", "default"), "signature takes (1, None"),
      (
        [None, 8, 8, 1],
        ("logits", "default"),
        "signature takes (None, 8, 8, 1",
      ),
      ([None, 8, 3], ("logits", "default"), "signature takes (None, 8, 3)"),
      (_ANY_SIZE, ("logits",), "signature gives ['logits']"),
      (_ANY_SIZE, ("default", "scores"), "gives ['default', 'scores']"),
      (
        _ANY_SIZE,
        ("default", "feature_vector", "logits"),
        "gives ['default', 'feature_vector', 'logits']",
      ),
      (
        _ANY_SIZE,
        ("default", "more", "logits"),
        "gives ['default', 'logits', 'more']",
      ),
    ],
  )
  def test_is_that_of_the_signature(self, candidate, shape, names, said):
    model = _classifier(shape, *names)
    cases = [(_IMAGES, _LOGITS)]
    finding = images._image_api(candidate(model, cases, api="image"))
    assert finding.figure == (said is not None)
    assert (said or "deviations") in finding.detail
    # The signature is that of a part, which the model names.
    other = candidate(model, cases, api="image", serving="part")
    assert images._image_api(other).figure == 0

  @pytest.mark.parametrize("serving", ["", "part"])
  def test_each_sample_is_called(self, candidate, serving):
    model = _classifier(_ANY_SIZE, "logits", "default")
    cases = [(x * _IMAGES, _LOGITS) for x in (1.0, 1.0)]
    cases += [(_IMAGES + 2.0, _LOGITS), (_IMAGES - 1.0, _LOGITS)]
    made = candidate(model, cases, api="image", serving=serving)
    finding = images._image_api(made)
    assert finding.figure == 2
    assert finding.detail == "; ".join(["images are not float32 in [0, 1]"] * 2)

  def test_no_other_model_is_asked(self, candidate):
    for made in (candidate(), candidate(api="video")):
      with pytest.raises(NotApplicableError, match="the image API"):
        images._image_api(made)


_VIDEOS = tf.zeros([2, 3, 8, 8, 3])


def _of_videos(shape, *names) -> tf.train.Checkpoint:
  spec = tf.TensorSpec(shape, tf.float32, "image")

  def call(inputs):
    return tf.reduce_mean(inputs["image"], axis=[1, 2, 3])

  model = _model(call, ({"image": tf.TensorSpec([None] * 5)},))
  model.signed = tf.function(
    lambda image: dict.fromkeys(names, tf.reduce_mean(image)),
    input_signature=[spec],
  )
  return model


class TestVideoApi:
  @pytest.mark.parametrize(
    ("shape", "names", "said"),
    [
      ([None, None, None, None, 3], ("logits",), None),
      ([None, 3, 8, 8, 3], ("logits", "more"), None),
      ([1, 3, 8, 8, 3], ("logits",), "the signature takes (1, 3, 8, 8, 3)"),
      (
        [None, 3, 8, 8, 1],
        ("logits",),
        "the signature takes (None, 3, 8, 8, 1",
      ),
      ([None, 3, 8, 3, 3, 3], ("logits",), "takes (None, 3, 8, 3, 3, 3)"),
      ([None, 3, 8, 8, 3], ("b", "a"), "the signature gives ['a', 'b']"),
    ],
  )
  def test_is_that_of_the_signature(self, candidate, shape, names, said):
    model = _of_videos(shape, *names)
    cases = [({"image": _VIDEOS}, _LOGITS)]
    finding = videos._video_api(candidate(model, cases, api="video"))
    assert finding.figure == (said is not None)
    assert (said or "deviations") in finding.detail
    other = candidate(model, cases, api="video", serving="part")
    assert videos._video_api(other).figure == 0

  @pytest.mark.parametrize("serving", ["", "part"])
  def test_each_sample_is_called(self, candidate, serving):
    model = _of_videos([None, 3, 8, 8, 3], "logits")
    cases = [({"image": _VIDEOS + x}, _LOGITS) for x in (0.0, 2.0, -1.0)]
    made = candidate(model, cases, api="video", serving=serving)
    finding = videos._video_api(made)
    assert finding.figure == 2
    assert finding.detail == "; ".join(["videos are not float32 in [0, 1]"] * 2)

  def test_no_other_model_is_asked(self, candidate):
    for made in (candidate(), candidate(api="image")):
      with pytest.raises(NotApplicableError, match="the video API"):
        videos._video_api(made)
