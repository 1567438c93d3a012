"""all-MiniLM-L6-v2: real weights, through every road that a consumer takes."""

import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text  # noqa: F401 - the preprocessor's operations.
import tf_keras

from tests import command

REFERENCE = command.ROOT / "tests/testdata/all_minilm_l6_v2_reference.npz"


@pytest.fixture(scope="module")
def reference():
  with np.load(REFERENCE) as arrays:
    return dict(arrays)


@pytest.fixture(scope="module")
def exported(minilm, tmp_path_factory):
  """all-MiniLM-L6-v2 and its preprocessor, exported by the commands."""
  folder = tmp_path_factory.mktemp("minilm")
  for module, leaf in (
    ("bert", "all_minilm_l6_v2"),
    ("bert_preprocessor", "all_minilm_l6_v2_preprocess"),
  ):
    command.export(
      module,
      f"configs/bert/{leaf}.gin",
      folder / leaf,
      bindings=[f"CHECKPOINT = '{minilm}'"],
    )
  return folder


@pytest.fixture(scope="module")
def encoder_path(exported):
  return str(exported / "all_minilm_l6_v2")


@pytest.fixture(scope="module")
def encoder(encoder_path):
  return hub.load(encoder_path)


@pytest.fixture(scope="module")
def preprocessor(exported):
  return hub.load(str(exported / "all_minilm_l6_v2_preprocess"))


@pytest.fixture(scope="module")
def encoder_inputs(preprocessor, reference):
  return preprocessor.bert_pack_inputs(
    [preprocessor.tokenize(reference["sentences"])], seq_length=23
  )


class TestRealWeights:
  """all-MiniLM-L6-v2 against numbers from an independent implementation."""

  def test_token_ids_are_the_references(self, encoder_inputs, reference):
    for name in ("input_word_ids", "input_mask"):
      np.testing.assert_array_equal(encoder_inputs[name], reference[name])

  def test_outputs_are_the_references(self, encoder, encoder_inputs, reference):
    outputs = encoder(encoder_inputs)
    mask = reference["input_mask"][:, :, np.newaxis]
    np.testing.assert_allclose(
      outputs["sequence_output"] * mask,
      reference["sequence_output"] * mask,
      rtol=0,
      atol=1e-5,
    )
    np.testing.assert_allclose(
      outputs["pooled_output"], reference["pooled_output"], rtol=0, atol=1e-6
    )

  def test_default_is_the_sentence_embedding(
    self, encoder, encoder_inputs, reference
  ):
    embedding = encoder(encoder_inputs)["default"].numpy()
    np.testing.assert_allclose(
      embedding, reference["sentence_embedding"], rtol=0, atol=1e-6
    )
    np.testing.assert_allclose(
      embedding @ embedding[0], [1.0, 0.621, 0.075, 0.009], rtol=0, atol=5e-4
    )

  def test_pads_to_the_length_of_training(self, preprocessor, reference):
    packed = preprocessor(reference["sentences"])
    assert packed["input_word_ids"].shape == [4, 256]
    np.testing.assert_array_equal(
      packed["input_word_ids"][:, :23], reference["input_word_ids"]
    )

  def test_has_the_vocabulary_and_says_how_to_use_it(self, encoder, minilm):
    asset = pathlib.Path(encoder.vocab_file.asset_path.numpy().decode())
    assert asset.read_bytes() == (minilm / "vocab.txt").read_bytes()
    assert bool(encoder.do_lower_case)

  def test_fine_tunes_in_a_keras_layer(self, encoder_path, encoder_inputs):
    layer = hub.KerasLayer(encoder_path, trainable=True)
    # By hand: 5 of embeddings, 16 of each layer, 2 of the pooler.
    assert len(layer.trainable_weights) == 5 + 6 * 16 + 2
    optimizer = tf_keras.optimizers.SGD(0.1)
    target = tf.one_hot([0, 1, 2, 3], 384)
    losses = []
    for _ in range(3):
      with tf.GradientTape() as tape:
        outputs = layer(encoder_inputs, training=True)
        loss = tf.reduce_mean((outputs["pooled_output"] - target) ** 2)
        # `default` is a unit vector: this pulls on nothing, but reaches it.
        loss += tf.reduce_mean(outputs["default"] ** 2)
      gradients = tape.gradient(loss, layer.trainable_weights)
      assert None not in gradients
      optimizer.apply_gradients(
        zip(gradients, layer.trainable_weights, strict=True)
      )
      losses.append(float(loss))
    assert losses[-1] < losses[0]

  def test_training_is_deterministic_without_dropout(
    self, encoder_path, encoder_inputs
  ):
    layer = hub.KerasLayer(
      encoder_path,
      trainable=True,
      arguments={"dropout_rate": 0.0, "attention_dropout_rate": 0.0},
    )
    with_dropout = hub.KerasLayer(encoder_path, trainable=True)

    def twice(layer):
      return [layer(encoder_inputs, training=True)["default"] for _ in range(2)]

    np.testing.assert_array_equal(*twice(layer))
    assert not np.array_equal(*twice(with_dropout))

  def test_survives_save_delete_load(
    self, encoder_path, encoder, encoder_inputs, tmp_path
  ):
    shutil.copytree(encoder_path, tmp_path / "first")
    first = hub.load(str(tmp_path / "first"))
    tf.saved_model.save(first, str(tmp_path / "second"))
    del first
    shutil.rmtree(tmp_path / "first")
    second = hub.load(str(tmp_path / "second"))
    np.testing.assert_allclose(
      second(encoder_inputs)["default"],
      encoder(encoder_inputs)["default"],
      rtol=0,
      atol=1e-6,
    )
    assert tf.io.gfile.exists(second.vocab_file.asset_path.numpy())

  def test_runs_in_saved_model_cli(self, encoder_path, reference, tmp_path):
    names = ("input_word_ids", "input_mask", "input_type_ids")
    ids, mask = reference["input_word_ids"], reference["input_mask"]
    for name, value in zip(names, (ids, mask, ids * 0), strict=True):
      np.save(tmp_path / f"{name}.npy", value)
    subprocess.run(
      [
        pathlib.Path(sys.executable).with_name("saved_model_cli"),
        "run",
        "--dir",
        encoder_path,
        "--tag_set=serve",
        "--signature_def=serving_default",
        "--inputs",
        ";".join(f"{name}={tmp_path / name}.npy" for name in names),
        "--outdir",
        tmp_path,
      ],
      check=True,
      capture_output=True,
    )
    np.testing.assert_allclose(
      np.load(tmp_path / "default.npy"),
      reference["sentence_embedding"],
      rtol=0,
      atol=1e-6,
    )

  def test_is_a_layer_of_keras_3(self, encoder_path, reference):
    done = subprocess.run(
      [sys.executable, "-c", _KERAS_3, encoder_path, REFERENCE],
      env=command.environment(),
      check=False,
      capture_output=True,
      text=True,
    )
    assert done.returncode == 0, done.stderr
    # Keras 3 gave the embedding's distance from the reference's.
    assert float(done.stdout.splitlines()[-1]) < 1e-6


_KERAS_3 = """
import sys
import keras
import numpy as np

encoder_path, reference_path = sys.argv[1:]
names = ("input_word_ids", "input_mask", "input_type_ids")
inputs = {n: keras.Input([None], dtype="int32", name=n) for n in names}
layer = keras.layers.TFSMLayer(encoder_path)
model = keras.Model(inputs, layer(inputs)["default"])
with np.load(reference_path) as reference:
  ids, mask = reference["input_word_ids"], reference["input_mask"]
  got = model.predict(dict(zip(names, (ids, mask, ids * 0))), verbose=0)
  print(np.max(np.abs(got - reference["sentence_embedding"])))
"""
