"""Each check fails on an artifact that is broken in just its way."""

import contextlib
import dataclasses
import math
import types

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from exporters import bert
from exporters import bert_preprocessor
from exporters import checkpoints
from exporters import checks
from exporters import keras_model
from exporters import low_level
from exporters.errors import ExportError
from exporters.life_cycle import checker
from exporters.life_cycle import reference
from exporters.saved_model import reusable
from exporters.saved_model.published import Published
from exporters.saved_model.published import Stream
from tests import command
from tests import small_bert


@pytest.fixture(scope="module")
def processes():
  """The consumers' processes, for all tests here."""
  with contextlib.ExitStack() as stack:
    # Two processes make the checks where there are two cores.
    with command.all_cores():
      started = stack.enter_context(checker.Checker(checks.ALL))
    yield started


@pytest.fixture(scope="module")
def good_bert_with_mlm(tmp_path_factory) -> Published:
  """A small BERT with `.mlm`, restored and ready to be saved."""
  folder = tmp_path_factory.mktemp("bert")
  pretrainer = small_bert.pretrainer()
  exporter = bert.BertExporter(
    checkpoint=tf.train.Checkpoint(**pretrainer.checkpoint_items).write(
      str(folder / "ckpt")
    ),
    vocab_file=str(small_bert.write_vocabulary(folder / "vocab.txt")),
    encoder=small_bert.config(),
    do_lower_case=True,
    with_mlm=True,
  )
  build = exporter.build()
  checkpoints.restore(exporter.opened, build.restores[0])
  return build.published[""]


@pytest.fixture(scope="module")
def good_bert(good_bert_with_mlm) -> Published:
  """The same without `.mlm`, for what takes half as long."""
  return dataclasses.replace(good_bert_with_mlm, sub_objects={})


@pytest.fixture(scope="module")
def good_low_level() -> Published:
  exporter = low_level.LowLevelExporter(factor=2.0, l2=0.001)
  return exporter.build().published[""]


@pytest.fixture(scope="module")
def good_preprocessor(tmp_path_factory) -> Published:
  folder = tmp_path_factory.mktemp("preprocessor")
  exporter = bert_preprocessor.BertPreprocessorExporter(
    vocab_file=str(small_bert.write_vocabulary(folder / "vocab.txt")),
    do_lower_case=True,
    default_seq_length=16,
  )
  return exporter.build().published[""]


@pytest.fixture(scope="module")
def good_classifier() -> Published:
  """Two layers that classify images, with something dropped at random."""
  layers = tf_keras.layers
  model = tf_keras.Sequential(
    [
      tf_keras.Input([None, None, 3]),
      layers.Conv2D(16, 3),
      layers.SpatialDropout2D(0.5),
      layers.BatchNormalization(),
      layers.GlobalAveragePooling2D(),
      layers.Dense(2),
    ]
  )
  exporter = keras_model.KerasModelExporter(model_function=lambda: model)
  published = exporter.build().published[""]
  return dataclasses.replace(
    published, outputs=("logits", "default"), api="image"
  )


@pytest.fixture(scope="module")
def good_stream() -> Published:
  """Two numbers of all frames so far, by how much pixels change."""
  weights = tf.Variable([[1.0, -1.0], [2.0, 3.0], [0.5, 1.0]], name="weights")

  def scores(inputs):
    frames = inputs["image"]
    before = tf.concat([inputs["last"], frames[:, :-1]], axis=1)
    changes = tf.reduce_mean(tf.square(frames - before), axis=[2, 3])
    total = inputs["total"] + tf.reduce_sum(changes, axis=1)
    count = inputs["count"] + tf.shape(frames)[1]
    logits = tf.matmul(total, weights) / tf.cast(count, tf.float32)
    states = {"count": count, "last": frames[:, -1:], "total": total}
    return logits, states

  def init_states(shape):
    return {
      "count": tf.zeros([1], tf.int32),
      "last": tf.zeros([shape[0], 1, shape[2], shape[3], 3]),
      "total": tf.zeros([shape[0], 3]),
    }

  def sample(*shape):
    image = tf.random.stateless_uniform(shape, seed=[1, 2])
    states = init_states(shape)
    return tf.nest.map_structure(lambda x: x.numpy(), states | {"image": image})

  return Published(
    function=scores,
    reference=scores,
    inputs=[
      {
        "image": tf.TensorSpec([None, None, None, None, 3]),
        "count": tf.TensorSpec([1], tf.int32),
        "last": tf.TensorSpec([None, 1, None, None, 3]),
        "total": tf.TensorSpec([None, 3]),
      }
    ],
    training=False,
    outputs=("logits", "states"),
    api="video",
    variables=[weights],
    trainable_variables=[weights],
    samples=[sample(1, 5, 8, 8, 3), sample(3, 4, 6, 7, 3)],
    unbatched=["count"],
    stream=Stream(piece="image", axis=1, initial="init_states"),
    sub_objects={
      "init_states": Published(
        function=init_states,
        reference=init_states,
        inputs=[tf.TensorSpec([5], tf.int32, "input_shape")],
        training=False,
        samples=[np.array([2, 4, 8, 8, 3], np.int32)],
        signature=True,
      )
    },
  )


@pytest.fixture
def results(processes, tmp_path):
  """Returns a function that checks one artifact against another's source."""

  def made(broken: Published, good: Published, private=(), without=None):
    path = str(tmp_path / "model")
    reusable.write(broken, path)
    if without:
      (tmp_path / "model" / without).unlink()
    return {
      result.check: result
      for result in processes.check(
        good, path, scratch=str(tmp_path), private=list(private)
      )
    }

  return made


def with_status(results, status) -> list[str]:
  return sorted(r.check for r in results.values() if r.status == status)


def changed(published: Published, change) -> Published:
  """Returns `published` with a function whose outputs are changed."""

  def function(inputs, **kwargs):
    return change(published.function(inputs, **kwargs))

  return dataclasses.replace(published, function=function)


@pytest.mark.parametrize(
  "good",
  [
    "good_bert_with_mlm",
    "good_low_level",
    "good_preprocessor",
    "good_classifier",
    "good_stream",
  ],
)
def test_nothing_fails_on_a_good_one(results, request, good):
  published = request.getfixturevalue(good)
  made = results(published, published)
  assert with_status(made, checks.FAILED) == []
  assert with_status(made, checks.BLOCKED) == []
  assert list(made) == [entry.name for entry in checks.CHECKS]
  for result in made.values():
    assert (result.status == checks.PASSED) == (result.figure is not None)


def test_python_in_the_graph(results, good_low_level):
  made = results(
    changed(
      good_low_level, lambda x: tf.py_function(lambda y: y, [x], tf.float32)
    ),
    good_low_level,
  )
  assert with_status(made, checks.FAILED) == ["operations"]
  assert "EagerPyFunc" in made["operations"].detail
  assert made["loads"].detail == "it needs 'operations' to pass first"
  # Not even loaded, by any process.
  unloaded = (checks.OPERATIONS, checks.FILES)
  loading = {e.name for e in checks.CHECKS if e.unit not in unloaded}
  assert with_status(made, checks.BLOCKED) == sorted(loading)


def test_file_read_in_the_graph(results, good_low_level):
  def read(x):
    with tf.control_dependencies([tf.io.read_file("/etc/hostname")]):
      return tf.identity(x)

  made = results(changed(good_low_level, read), good_low_level)
  assert with_status(made, checks.FAILED) == ["operations"]
  assert "ReadFile" in made["operations"].detail


def test_path_in_the_graph(results, good_low_level):
  def label(x):
    tf.constant("/data/secret/ckpt-1", name="origin")
    return x

  made = results(
    changed(good_low_level, label), good_low_level, ["/data/secret/ckpt"]
  )
  assert with_status(made, checks.FAILED) == ["no local path"]
  assert "'/data/secret/ckpt' in saved_model.pb" in made["no local path"].detail


@pytest.mark.parametrize("as_array", [False, True])
def test_weight_in_the_graph(as_array, results, good_low_level):
  """What is captured lies around the function, an array in it."""
  weight = tf.random.stateless_normal([200, 200], [0, 0])
  if as_array:
    weight = weight.numpy()
  made = results(
    changed(good_low_level, lambda x: x + 0.0 * tf.reduce_sum(weight)),
    good_low_level,
  )
  assert with_status(made, checks.FAILED) == ["no weight in the graph"]
  # By hand: 200 x 200 numbers of 4 bytes, and their shape.
  assert 160_000 <= made["no weight in the graph"].figure < 160_100


def test_a_long_text_in_the_graph_is_not_a_weight(results, good_low_level):
  """As the description of a checkpoint with a thousand variables is."""

  def label(x):
    tf.constant("variable " * 20_000, name="objects")
    return x

  made = results(changed(good_low_level, label), good_low_level)
  assert made["no weight in the graph"].status == checks.PASSED


def test_frozen_variable(results, good_bert):
  broken = dataclasses.replace(
    good_bert, trainable_variables=good_bert.trainable_variables[1:]
  )
  made = results(broken, good_bert)
  assert with_status(made, checks.FAILED) == ["interface"]


def test_no_trace_for_training(results, good_bert):
  broken = dataclasses.replace(
    good_bert,
    training=False,
    function=lambda inputs: good_bert.function(inputs, training=False),
  )
  made = results(broken, good_bert)
  assert with_status(made, checks.FAILED) == ["interface"]
  assert "the model(['inputs', 'dropout_rate'" in made["interface"].detail


@pytest.mark.parametrize("error", [1e-4, math.nan])
def test_other_numbers(results, good_bert, error):
  def shift(outputs):
    scale = tf.reduce_max(tf.abs(outputs["pooled_output"]))
    return outputs | {"pooled_output": outputs["pooled_output"] + error * scale}

  made = results(changed(good_bert, shift), good_bert)
  # NaN does not even equal itself.
  also = ["repeats itself"] if math.isnan(error) else []
  assert with_status(made, checks.FAILED) == [*also, checks.SAME_NUMBERS]
  assert made[checks.SAME_NUMBERS].detail == "the model: in pooled_output"
  if math.isnan(error):
    assert made[checks.SAME_NUMBERS].figure == math.inf
  else:
    assert made[checks.SAME_NUMBERS].figure == pytest.approx(1e-4, rel=0.1)


def test_swapped_outputs(results, good_bert):
  def swap(outputs):
    first, second = outputs["encoder_outputs"]
    return outputs | {"encoder_outputs": [second, first]}

  made = results(changed(good_bert, swap), good_bert)
  assert with_status(made, checks.FAILED) == [checks.SAME_NUMBERS]


def test_output_under_another_name(results, good_low_level):
  """In the signature alone: a call of the model has no name for it."""
  broken = dataclasses.replace(good_low_level, outputs=("logits",))
  made = results(broken, good_low_level)
  assert with_status(made, checks.FAILED) == ["signature"]
  assert made["signature"].detail == (
    "serving_default: outputs ['logits'], not ['default']"
  )


def test_dropout_left_on(results, good_bert):
  broken = dataclasses.replace(
    good_bert,
    function=lambda inputs, training: good_bert.function(inputs, training=True),
  )
  made = results(broken, good_bert)
  assert with_status(made, checks.FAILED) == [
    "repeats itself",
    checks.SAME_NUMBERS,
  ]


def test_dropout_left_out(results, good_bert):
  broken = dataclasses.replace(
    good_bert,
    function=lambda inputs, training: good_bert.function(
      inputs, training=False
    ),
  )
  made = results(broken, good_bert)
  assert with_status(made, checks.FAILED) == ["dropout"]


def test_random_outside_training(results, good_low_level):
  made = results(
    changed(
      good_low_level,
      lambda x: x * (1.0 + 1e-3 * tf.random.uniform(tf.shape(x))),
    ),
    good_low_level,
  )
  assert with_status(made, checks.FAILED) == [
    "repeats itself",
    checks.SAME_NUMBERS,
  ]


def test_stopped_gradient(results, good_bert):
  def stop(outputs):
    return tf.nest.map_structure(tf.stop_gradient, outputs)

  made = results(changed(good_bert, stop), good_bert)
  assert with_status(made, checks.FAILED) == ["gradients"]
  assert made["gradients"].figure == len(good_bert.trainable_variables)
  assert with_status(made, checks.BLOCKED) == [
    "a training step",
    "gradients in a tf.function",
    "gradients of a persistent tape",
  ]


def test_dropped_loss(results, good_low_level):
  broken = dataclasses.replace(good_low_level, regularization_losses=[])
  made = results(broken, good_low_level)
  assert with_status(made, checks.FAILED) == ["interface"]
  assert made["interface"].detail == "the model.regularization_losses"


def test_another_loss(results, good_low_level):
  broken = dataclasses.replace(
    good_low_level, regularization_losses=[lambda: tf.constant(0.005)]
  )
  made = results(broken, good_low_level)
  assert with_status(made, checks.FAILED) == [
    "hub.KerasLayer",
    "regularization losses",
  ]


def test_override_that_is_not_heeded(results, good_preprocessor):
  pack = good_preprocessor.sub_objects["bert_pack_inputs"]
  deaf = dataclasses.replace(
    pack, function=lambda segments, seq_length: pack.function(segments, 16)
  )
  broken = dataclasses.replace(
    good_preprocessor,
    sub_objects={**good_preprocessor.sub_objects, "bert_pack_inputs": deaf},
  )
  made = results(broken, good_preprocessor)
  assert with_status(made, checks.FAILED) == ["hyperparameters"]
  assert "seq_length=17" in made["hyperparameters"].detail


def test_asset_that_is_lost(results, good_bert):
  """No call needs it, until a consumer wants to save the model again."""
  made = results(good_bert, good_bert, without="assets/vocab.txt")
  assert with_status(made, checks.FAILED) == ["saved again"]
  assert made["saved again"].detail == "lost assets: vocab.txt"


def test_outputs_without_the_names_of_the_api(results, good_classifier):
  broken = dataclasses.replace(good_classifier, outputs=("logits", "softmax"))
  made = results(broken, good_classifier)
  assert "image API" in with_status(made, checks.FAILED)
  assert made["image API"].detail == (
    "the signature gives ['logits', 'softmax']"
  )


def test_statistics_that_never_move(results, good_classifier):
  frozen = dataclasses.replace(
    good_classifier,
    function=lambda inputs, training: good_classifier.function(
      inputs, training=False
    ),
  )
  made = results(frozen, good_classifier)
  assert with_status(made, checks.FAILED) == ["batch statistics", "dropout"]
  assert made["batch statistics"].figure == 1
  assert with_status(made, checks.BLOCKED) == ["batch_norm_momentum"]


def test_momentum_that_is_not_heeded(results, good_classifier):
  """The argument is there, but reaches no layer."""
  momentum = dataclasses.replace(
    good_classifier.hyperparameters["batch_norm_momentum"],
    layers=[types.SimpleNamespace(momentum=0.99)],
  )
  broken = dataclasses.replace(
    good_classifier,
    hyperparameters={
      **good_classifier.hyperparameters,
      "batch_norm_momentum": momentum,
    },
  )
  made = results(broken, good_classifier)
  assert with_status(made, checks.FAILED) == ["batch_norm_momentum"]


def with_first_states(good: Published, function) -> Published:
  """Returns a model of streams with other states before the first piece."""
  initial = dataclasses.replace(
    good.sub_objects["init_states"], function=function, reference=function
  )
  return dataclasses.replace(good, sub_objects={"init_states": initial})


def test_a_counter_is_no_batch(results, good_stream):
  made = results(good_stream, good_stream)
  assert made["specification: batch size"].status == checks.PASSED
  fixed = {**good_stream.inputs[0], "total": tf.TensorSpec([3, 3])}
  one_size = dataclasses.replace(
    good_stream, inputs=[fixed], samples=good_stream.samples[1:]
  )
  made = results(one_size, good_stream)
  assert made["specification: batch size"].status == checks.FAILED
  assert "total has shape (3, 3)" in made["specification: batch size"].detail
  assert "count" not in made["specification: batch size"].detail


def test_signature_beside_the_first_that_is_missing(results, good_stream):
  initial = good_stream.sub_objects["init_states"]
  broken = dataclasses.replace(
    good_stream,
    sub_objects={"init_states": dataclasses.replace(initial, signature=False)},
  )
  made = results(broken, good_stream)
  assert with_status(made, checks.FAILED) == ["signature"]
  assert "init_states" in made["signature"].detail


def test_state_that_is_forgotten(results, good_stream):
  """The model itself starts anew with each piece."""

  def forget(inputs):
    return good_stream.function(
      inputs | {"total": tf.zeros_like(inputs["total"])}
    )

  broken = dataclasses.replace(good_stream, function=forget)
  made = results(broken, broken)
  assert with_status(made, checks.FAILED) == ["piece by piece"]
  assert "in pieces of 1" in made["piece by piece"].detail


def test_first_states_of_one_size(results, good_stream):
  """They fit the samples, which are all of that size."""
  initial = good_stream.sub_objects["init_states"].function
  size = [2, 4, 8, 8, 3]
  image = good_stream.samples[0]["image"]
  broken = dataclasses.replace(
    with_first_states(good_stream, lambda shape: initial(size)),
    samples=[
      tf.nest.map_structure(lambda x: x.numpy(), initial(size))
      | {"image": np.concatenate([image, image])}
    ],
  )
  made = results(broken, broken)
  assert with_status(made, checks.FAILED) == ["first states"]
  assert made["first states"].figure == 3
  assert "last is [2, 1, 8, 8, 3], not [0, 1, 0, 0, 3]" in (
    made["first states"].detail
  )
  assert "for [3, 6, 9, 9, 3]: " in made["first states"].detail


def test_states_that_outgrow_themselves(results, good_stream):
  """A state of all frames so far, which a signature lets through."""

  def grow(inputs):
    logits, states = good_stream.function(inputs)
    return logits, states | {"all": tf.concat([inputs["all"], [1.0]], axis=0)}

  initial = good_stream.sub_objects["init_states"].function
  samples = [s | {"all": np.ones([2], np.float32)} for s in good_stream.samples]
  broken = dataclasses.replace(
    with_first_states(
      good_stream, lambda shape: initial(shape) | {"all": tf.zeros([0])}
    ),
    function=grow,
    reference=grow,
    inputs=[{**good_stream.inputs[0], "all": tf.TensorSpec([None])}],
    samples=samples,
  )
  made = results(broken, broken)
  assert "first states" in with_status(made, checks.FAILED)
  assert "all is [1], not [0] after " in made["first states"].detail


def test_logits_under_another_name(results, good_stream):
  broken = dataclasses.replace(good_stream, outputs=("scores", "states"))
  made = results(broken, broken)
  assert with_status(made, checks.FAILED) == ["video API"]
  assert "'scores'" in made["video API"].detail


def _called(times: int) -> Published:
  """One batch normalization, called on two batches in turn, or on the last."""
  layers = tf_keras.layers
  inputs = [tf_keras.Input([3]), tf_keras.Input([3])]
  tower = layers.BatchNormalization(momentum=0.75)
  outputs = [tower(each) for each in inputs[2 - times :]]
  kept = [each * 1.0 for each in inputs[: 2 - times]]
  model = tf_keras.Model(inputs, layers.Add()(outputs + kept))
  exporter = keras_model.KerasModelExporter(model_function=lambda: model)
  return exporter.build().published[""]


def test_a_layer_that_is_called_twice_updates_its_averages_twice(
  results, tmp_path
):
  """Means of 4 and 8 at momentum 0.5: half of half of 4, and half of 8."""
  published = _called(2)
  made = results(published, published)
  assert with_status(made, checks.FAILED) == []
  assert made["batch_norm_momentum"].status == checks.PASSED
  loaded = tf.saved_model.load(str(tmp_path / "model"))
  names = [spec.name for spec in published.inputs[0].values()]
  inputs = {
    n: tf.fill([2, 3], x) for n, x in zip(names, (4.0, 8.0), strict=True)
  }
  loaded(inputs, training=True, batch_norm_momentum=0.5)
  (mean,) = (v for v in loaded.variables if "moving_mean" in v.name)
  assert mean.numpy().tolist() == [5.0, 5.0, 5.0]


@pytest.mark.parametrize("times", [1, 3])
def test_an_update_that_is_lost_or_made_again(results, times):
  """The source makes two."""
  good = _called(2)
  (layer,) = good.hyperparameters["batch_norm_momentum"].layers

  def function(inputs, training):
    first, second = inputs.values()
    last = training and times == 1
    outputs = layer(first, training=training and not last)
    if times == 3:
      layer(second, training=training)
    return outputs + layer(second, training=training)

  made = results(dataclasses.replace(good, function=function), good)
  assert with_status(made, checks.FAILED) == ["batch_norm_momentum"]


def test_one_update_that_is_made_twice(results, good_classifier):
  """The same batch again: of what was before, too little is left."""
  layers = good_classifier.hyperparameters["batch_norm_momentum"].layers

  def function(inputs, training):
    outputs = good_classifier.function(inputs, training=training)
    if training:
      good_classifier.function(inputs, training=training)
    return outputs

  assert len(layers) == 1
  made = results(
    dataclasses.replace(good_classifier, function=function), good_classifier
  )
  assert "batch_norm_momentum" in with_status(made, checks.FAILED)


def test_outputs_that_are_random_in_inference():
  inputs = tf_keras.Input([3])
  dropped = tf_keras.layers.Dropout(0.5, name="always")(inputs, training=True)
  model = tf_keras.Model(inputs, dropped)
  exporter = keras_model.KerasModelExporter(model_function=lambda: model)
  published = exporter.build().published[""]
  with pytest.raises(
    ExportError, match="random although training is False: '.*always/"
  ):
    reference.stated(published, [])
