"""all-MiniLM-L6-v2: real weights, released, on every road of a consumer."""

import pathlib
import shutil
import subprocess
import sys

from ai_edge_litert import interpreter
import gin
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text  # noqa: F401 - the preprocessor's operations.
import tf_keras

from exporters import recipe as recipe_lib
from exporters.companions import Companions
from exporters.companions import making
from exporters.errors import ExportError
from exporters.life_cycle import exporting
from exporters.release import publish
from exporters.release import reproduce
from tests import command
from tests import releases

REFERENCE = command.ROOT / "tests/testdata/all_minilm_l6_v2_reference.npz"
# By name, how many snippets its page has.
_SNIPPETS = {"all_minilm_l6_v2_preprocess": 3, "all_minilm_l6_v2": 5}


@pytest.fixture(scope="module")
def reference():
  with np.load(REFERENCE) as arrays:
    return dict(arrays)


@pytest.fixture(autouse=True)
def _clear_gin():
  yield
  gin.clear_config()


@pytest.fixture(scope="module")
def release_dir(minilm, tmp_path_factory):
  """all-MiniLM-L6-v2 and its preprocessor, released with all checks."""
  folder = tmp_path_factory.mktemp("minilm") / "release"
  for gin_file in (releases.MINILM_PREPROCESS, releases.MINILM):
    releases.release(
      gin_file,
      folder,
      "--checks=all",
      bindings=[f"CHECKPOINT = '{minilm}'"],
    )
  return folder


@pytest.fixture(scope="module")
def encoder_path(release_dir):
  return str(release_dir / "example/all_minilm_l6_v2/1")


@pytest.fixture(scope="module")
def encoder(encoder_path):
  return hub.load(encoder_path)


@pytest.fixture(scope="module")
def preprocessor(release_dir):
  return hub.load(str(release_dir / "example/all_minilm_l6_v2_preprocess/1"))


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

  def test_ends_in_the_same_numbers_on_litert(
    self, encoder_path, encoder_inputs, reference, tmp_path
  ):
    """From strings to ids by the preprocessor, on to embeddings by LiteRT."""
    (companion,) = making.make(
      encoder_path, Companions(kinds=["lite"]), str(tmp_path)
    ).companions
    lite = interpreter.Interpreter(model_path=companion.path)
    call = lite.get_signature_runner("serving_default")
    inputs = {name: ids.numpy() for name, ids in encoder_inputs.items()}
    embedding = call(**inputs)["default"]
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
    optimizer = tf_keras.optimizers.SGD(1.0)
    target = tf.one_hot([0, 1, 2, 3], 384)

    def loss(training):
      outputs = layer(encoder_inputs, training=training)
      return (
        tf.reduce_mean((outputs["pooled_output"] - target) ** 2)
        # `default` is a unit vector: this pulls on nothing, but reaches it.
        + tf.reduce_mean(outputs["default"] ** 2)
      )

    # Dropout moves a loss by more than a step does, so that what the steps
    # did shows without it.
    before = loss(training=False)
    for _ in range(3):
      with tf.GradientTape() as tape:
        value = loss(training=True)
      gradients = tape.gradient(value, layer.trainable_weights)
      assert None not in gradients
      optimizer.apply_gradients(
        zip(gradients, layer.trainable_weights, strict=True)
      )
    assert loss(training=False) < 0.8 * before

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


def _provenance(release_dir, name: str) -> str:
  return str(release_dir / "example" / name / "1.provenance.json")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
  return releases.clone(tmp_path_factory.mktemp("elsewhere"))


@pytest.mark.parametrize("name", _SNIPPETS)
def test_another_clone_reproduces_the_bytes(name, clone, minilm, release_dir):
  printed = releases.run_elsewhere(
    clone,
    "scripts.reproduce",
    _provenance(release_dir, name),
    f"--gin_bindings=CHECKPOINT = '{minilm}'",
  )
  for file in (
    f"example/{name}/1.tar.gz",
    f"example/{name}/1.tar",
    f"example/{name}/1/saved_model.pb",
    f"example/{name}/1/assets/vocab.txt",
    f"example/{name}/1/model-metadata.json",
    f"assets/docs/example/models/{name}/1.md",
  ):
    assert f"same       {file}\n" in printed
  assert "files are the same, byte for byte." in printed
  assert "different" not in printed


def test_one_byte_of_the_checkpoint_is_found(minilm, release_dir, tmp_path):
  folder = shutil.copytree(minilm, tmp_path / "checkpoint")
  with open(folder / "model.safetensors", "r+b") as f:
    f.seek(50_000_000)
    byte = f.read(1)[0]
    f.seek(50_000_000)
    f.write(bytes([byte ^ 1]))
  with pytest.raises(ExportError) as raised:
    reproduce.reproduce(
      _provenance(release_dir, "all_minilm_l6_v2"),
      [f"CHECKPOINT = '{folder}'"],
      exporting.Stages(),
    )
  assert "other files than these" in str(raised.value)
  assert "checkpoint/model.safetensors: " in str(raised.value)
  assert "checkpoint/vocab.txt" not in str(raised.value)


def test_reproduce_asks_for_the_checkpoint(release_dir):
  with pytest.raises(ExportError, match=r"CHECKPOINT = '\.\.\.'"):
    reproduce.reproduce(
      _provenance(release_dir, "all_minilm_l6_v2"), [], exporting.Stages()
    )


def test_an_encoder_with_another_vocabulary_is_refused(
  minilm, release_dir, tmp_path
):
  folder = shutil.copytree(release_dir, tmp_path / "release")
  encoder = str(folder / "example/all_minilm_l6_v2/1")
  page = recipe_lib.load([releases.MINILM], [f"CHECKPOINT = '{minilm}'"]).page
  publish.refuse_other_vocabulary(page, encoder, str(folder))
  vocab = folder / "example/all_minilm_l6_v2_preprocess/1/assets/vocab.txt"
  vocab.write_text(vocab.read_text().replace("\nhello\n", "\nhullo\n"))
  with pytest.raises(ExportError, match="another vocabulary than this encoder"):
    publish.refuse_other_vocabulary(page, encoder, str(folder))


def test_archives_load_from_an_address(
  release_dir, reference, tmp_path, monkeypatch
):
  """And give the embeddings of another implementation."""
  monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
  with releases.served(release_dir) as address:
    preprocess, encode = (
      hub.KerasLayer(f"{address}/example/{name}/1.tar.gz") for name in _SNIPPETS
    )
  np.testing.assert_allclose(
    encode(preprocess(reference["sentences"]))["default"],
    reference["sentence_embedding"],
    rtol=0,
    atol=1e-6,
  )


def test_every_snippet_of_a_page_runs(release_dir, tmp_path):
  handles = [f"example/{name}/1" for name in _SNIPPETS]
  printed = releases.run_snippets(release_dir, tmp_path, handles)
  for handle, count in zip(handles, _SNIPPETS.values(), strict=True):
    assert f"{handle}: {count} snippets ran" in printed
