"""`python -m scripts.check`, on models of whatever origin."""

import re

import pytest
import tensorflow as tf
import tf_keras

from tests import command


def test_a_model_that_keeps_the_specification(tmp_path):
  path = tmp_path / "multiply"
  command.export(
    "low_level", "configs/low_level/multiply.gin", path, "--checks=none"
  )
  done = command.run("scripts.check", "--checks=basic", str(path))
  assert (
    "same numbers as the reference: not applicable; unknown without the "
    "reference" in done.stdout
  )
  assert "gradients: passed" in done.stdout
  assert "  ! " not in done.stdout


def test_probabilities_in_place_of_logits(tmp_path):
  """As a tf_keras classifier is usually saved: its deviations are named.

  Nobody claims that it follows the API, so they are no failures.
  """
  model = tf_keras.Sequential(
    [
      tf_keras.Input([16, 16, 3]),
      tf_keras.layers.Flatten(),
      tf_keras.layers.Dense(4, activation="softmax", name="dense_1"),
    ]
  )
  model.save(tmp_path / "model")
  done = command.run(
    "scripts.check", "--checks=basic", str(tmp_path / "model"), check=False
  )
  assert done.returncode == 0
  assert "specification: images: does not follow" in done.stdout
  table = command.run(
    "scripts.check", "--checks=basic", "--table", str(tmp_path / "model")
  )
  assert "| check | model |\n" in table.stdout
  assert "| specification: images | (differs) |\n" in table.stdout
  shown = " ".join(done.stdout.split())
  assert "the outputs are probabilities: positive, with the sum 1" in shown
  assert '"maps the pixels of an image to linear scores (logits)"' in shown
  assert "an output is called dense_1" in shown


def test_a_model_that_needs_large_inputs(tmp_path):
  """Each output is about the middle of 2,001 inputs."""
  inputs = tf_keras.Input([None, 4])
  scores = tf_keras.layers.Conv1D(2, 1)(inputs)
  cropped = tf_keras.layers.Cropping1D(1000)(scores)
  last = tf_keras.layers.Conv1D(2, 1)(cropped)
  tf_keras.Model(inputs, last).save(tmp_path / "model")
  done = command.run(
    "scripts.check", "--checks=basic", str(tmp_path / "model"), check=False
  )
  assert "loads: passed" in done.stdout
  assert "gradients: passed" in done.stdout
  assert "failed" not in done.stdout


def test_a_model_that_takes_files_of_images(tmp_path):
  """As servers do: no text is such a file."""
  module = tf.Module()
  module.scale = tf.Variable(2.0)

  def mean(file):
    image = tf.io.decode_image(file, channels=3, expand_animations=False)
    return tf.reduce_mean(tf.cast(image, tf.float32), axis=[0, 1])

  @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
  def call(inputs):
    means = tf.map_fn(mean, inputs, fn_output_signature=tf.float32)
    return means * module.scale

  module.__call__ = call
  tf.saved_model.save(
    module,
    str(tmp_path / "model"),
    signatures=call.get_concrete_function(),
  )
  done = command.run(
    "scripts.check", "--checks=basic", str(tmp_path / "model"), check=False
  )
  assert "loads: passed" in done.stdout
  assert "failed" not in done.stdout


def test_a_model_of_signatures_alone(tmp_path):
  """As TF1 saves them: what cannot be tried is not said to have failed."""
  module = tf.Module()
  module.factor = tf.Variable(2.0)
  call = tf.function(
    lambda x: {"y": x * module.factor},
    input_signature=[tf.TensorSpec([None], tf.float32, "x")],
  )
  tf.saved_model.save(module, str(tmp_path / "model"), signatures=call)
  done = command.run("scripts.check", str(tmp_path / "model"), check=False)
  failed = re.findall(r"^  ! (.*?):", done.stdout, re.M)
  assert failed == ["loads"]
  for name in ("repeats itself", "saved again", "two replicas"):
    assert re.search(f"{name}: (not applicable|blocked)", done.stdout)


def test_a_call_without_a_batch_dimension_of_its_own(tmp_path):
  module = tf.Module()
  module.__call__ = tf.function(
    lambda x: x, input_signature=[tf.TensorSpec([8, 2])]
  )
  tf.saved_model.save(module, str(tmp_path / "model"))
  done = command.run(
    "scripts.check", "--checks=basic", str(tmp_path / "model"), check=False
  )
  assert done.returncode == 0
  assert "specification: batch size: does not follow" in done.stdout
  assert "the input has shape (8, 2)" in done.stdout
  assert "an output is called output_0" in done.stdout


def test_no_saved_model(tmp_path):
  done = command.run("scripts.check", str(tmp_path), check=False)
  assert done.returncode == 1
  assert "is not a SavedModel" in done.stderr


@pytest.mark.parametrize(
  ("name", "content", "message"),
  [
    ("a.tflite", b"\x1c\0\0\0TFL3" + bytes(20), "but a TFLite model. Export"),
    ("saved_model.pb", None, "but the graph of a SavedModel. Name the folder"),
    (
      "model.h5",
      b"\x89HDF\r\n\x1a\n" + bytes(99),
      "scripts.inspect .*says what",
    ),
    ("absent", b"", "There is nothing at"),
    ("variables", b"", "it has no saved_model.pb"),
    ("model", b"", "lacks its file .*variables.data-00000-of-00001"),
  ],
)
def test_what_is_no_saved_model_is_called_what_it_is(
  name, content, message, tmp_path
):
  if content is None:
    tf.saved_model.save(tf.Module(), str(tmp_path))
  elif content:
    (tmp_path / name).write_bytes(content)
  elif name == "model":
    module = tf.Module()
    module.weight = tf.Variable([1.0, 2.0])
    tf.saved_model.save(module, str(tmp_path / name))
    (tmp_path / name / "variables/variables.data-00000-of-00001").unlink()
  elif name == "variables":
    (tmp_path / name).mkdir()
  done = command.run("scripts.check", str(tmp_path / name), check=False)
  assert done.returncode == 1
  assert done.stderr.startswith("error: ")
  assert re.search(message, done.stderr)
