"""The Keras SavedModel, for consumers who call `load_model`."""

import dataclasses
import filecmp
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from exporters import bert
from exporters import bert_preprocessor
from exporters import checks
from exporters import keras_model
from exporters.errors import ExportError
from exporters.life_cycle import exporting
from exporters.saved_model import files
from tests import closeness
from tests import command
from tests import small_bert

# In a process that has neither this repository nor Model Garden.
CONSUMER = """
import numpy as np
import tensorflow as tf
import tf_keras

model = tf_keras.models.load_model({path!r})
inputs = {{k: tf.ones([2, 8], tf.int32) for k in {inputs!r}}}
np.save({output!r}, model(inputs)["pooled_output"])
assert isinstance(model, tf_keras.Model)
assert len(model.trainable_weights) == 39, len(model.trainable_weights)
with tf.GradientTape() as tape:
  loss = tf.reduce_sum(model(inputs, training=True)["default"] ** 2)
assert None not in tape.gradient(loss, model.trainable_weights)[:37]
"""


@pytest.fixture(scope="module")
def encoder():
  return small_bert.encoder()


@pytest.fixture(scope="module")
def exporter(encoder, tmp_path_factory):
  folder = tmp_path_factory.mktemp("checkpoint")
  return bert.BertExporter(
    checkpoint=tf.train.Checkpoint(encoder=encoder).write(str(folder / "ckpt")),
    vocab_file=str(small_bert.write_vocabulary(folder / "vocab.txt")),
    encoder=small_bert.config(),
    do_lower_case=True,
    keras_saved_model=True,
  )


def test_a_consumer_without_the_code_loads_and_trains_it(
  encoder, exporter, tmp_path
):
  path, output = str(tmp_path / "model"), str(tmp_path / "output.npy")
  exporting.export(exporter, export_path=path, level=checks.NONE)
  inputs = list(small_bert.inputs())
  script = textwrap.dedent(CONSUMER).format(
    path=path, output=output, inputs=inputs
  )
  subprocess.run([sys.executable, "-I", "-c", script], check=True, cwd=tmp_path)
  want = encoder({name: tf.ones([2, 8], tf.int32) for name in inputs})
  closeness.assert_close(np.load(output), want["pooled_output"])


@pytest.mark.parametrize("level", [checks.ALL, checks.BASIC])
def test_passes_the_checks_that_are_of_its_form(exporter, tmp_path, level):
  """By the command, as a user has it."""
  path = tmp_path / "model"
  done = command.run(
    "exporters.bert",
    f"--gin_file={small_bert.GIN_FILE}",
    f"--gin_bindings=CHECKPOINT = '{exporter.checkpoint}'",
    f"--gin_bindings=VOCAB_FILE = '{exporter.vocab_file}'",
    "--gin_bindings=bert.BertExporter.keras_saved_model = True",
    f"--export_path={path}",
    f"--checks={level}",
  )
  assert "passed" in done.stdout
  assert isinstance(tf_keras.models.load_model(path), tf_keras.Model)


def test_bytes_are_the_same_each_time(tmp_path):
  first, second = tmp_path / "first", tmp_path / "second"
  for path in (first, second):
    command.run(
      "exporters.resnet",
      "--gin_file=configs/resnet/digits_resnet.gin",
      "--gin_bindings=resnet.ResNetExporter.keras_saved_model = True",
      "--gin_bindings=resnet.ResNetExporter.artifacts = ['classification']",
      f"--export_path={path}",
      "--checks=basic",
    )
  names = files.listed(str(first))
  assert "keras_metadata.pb" in names
  _, different, failed = filecmp.cmpfiles(first, second, names, shallow=False)
  assert (different, failed) == ([], [])


def test_keeps_losses_and_what_is_frozen(tmp_path):
  layers = tf_keras.layers
  model = tf_keras.Sequential(
    [
      tf_keras.Input([5]),
      layers.Dense(4, kernel_regularizer="l2"),
      layers.BatchNormalization(),
    ]
  )
  exporter = keras_model.KerasModelExporter(
    model_function=lambda: model, keras_saved_model=True, trainable="dense"
  )
  path = str(tmp_path / "model")
  exporting.export(exporter, export_path=path, level=checks.NONE)
  loaded = tf_keras.models.load_model(path)
  assert len(loaded.trainable_weights) == 2
  assert len(loaded.weights) == 6
  # By hand: 0.01 times the sum of the squares.
  (kernel,) = (w for w in loaded.trainable_weights if w.shape.rank == 2)
  assert [float(loss) for loss in loaded.losses] == [
    pytest.approx(0.01 * float(np.sum(np.square(kernel))), rel=1e-5)
  ]


def test_says_that_mlm_is_not_read_back(exporter, tmp_path):
  with_mlm = dataclasses.replace(
    exporter,
    with_mlm=True,
    checkpoint=tf.train.Checkpoint(
      **small_bert.pretrainer().checkpoint_items
    ).write(str(tmp_path / "ckpt")),
  )
  with pytest.raises(ExportError, match=r"has \.mlm, which tf_keras does not"):
    exporting.export(
      with_mlm, export_path=str(tmp_path / "model"), level=checks.NONE
    )
  assert not (tmp_path / "model").exists()


def test_says_that_a_preprocessor_is_not_read_back(exporter, tmp_path):
  preprocessor = bert_preprocessor.BertPreprocessorExporter(
    vocab_file=exporter.vocab_file, do_lower_case=True, keras_saved_model=True
  )
  with pytest.raises(ExportError, match=r"has \.tokenize, "):
    exporting.export(
      preprocessor, export_path=str(tmp_path / "model"), level=checks.NONE
    )
