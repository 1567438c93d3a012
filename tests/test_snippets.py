"""Every snippet of every page runs as it stands, whatever the model takes."""

from collections.abc import Mapping
import json
import pathlib
import re

import gin
from official.nlp.modeling import models
import pytest
import tensorflow as tf
import tf_keras

from exporters import base
from exporters import bert
from exporters import checks
from exporters import keras_model
from exporters import recipe as recipe_lib
from exporters.life_cycle import exporting
from exporters.release import page as page_lib
from exporters.release import publish
from scripts.small_instances import INSTANCES
from scripts.small_instances import Kind
from scripts.small_instances import encoders
from tests import releases
from tests import small_bert

layers = tf_keras.layers
Input = tf_keras.Input
# Pages of the others show ids.
_WITH_TEXT = {"bert": "bert_preprocessor", "fnet": "bert_preprocessor"}


def _release(
  name: str, exporter: base.Exporter, release_dir: pathlib.Path
) -> None:
  preprocessor = _WITH_TEXT.get(name)
  page = page_lib.Page(
    publisher="example",
    name=name,
    version=1,
    description="A small model.",
    license="apache-2.0",
    task="image-others",
    asset_root="https://example.com",
    changelog={1: "Initial release."},
    preprocessor=preprocessor and f"example/{preprocessor}/1",
    kaggle=page_lib.Kaggle(owner="an_example", title="A small model"),
  )
  publish.release(
    recipe_lib.Recipe(exporter=exporter, page=page),
    release_dir=str(release_dir),
    level=checks.NONE,
    stages=exporting.Stages(),
    prove=lambda one: None,
  )


def _texts(release_dir: pathlib.Path, name: str) -> tuple[str, str]:
  """Returns a model's page on tfhub.dev, and its card on Kaggle."""
  page = release_dir / f"assets/docs/example/models/{name}/1.md"
  metadata = release_dir / f"example/{name}/1/model-instance-metadata.json"
  return page.read_text(), json.loads(metadata.read_text())["usage"]


def _run(release_dir, scratch, names, text="page") -> Mapping[str, int]:
  """Runs the snippets; returns how many each page has."""
  handles = [f"example/{name}/1" for name in names]
  printed = releases.run_snippets(release_dir, scratch, handles, text)
  found = re.findall(r"^example/(.+)/1: (\d+) snippets ran$", printed, re.M)
  return {name: int(count) for name, count in found}


# ---------------------------------------------------------------------------
# Each exporter.


@pytest.fixture(scope="module")
def instances(tmp_path_factory) -> pathlib.Path:
  """A release of the small instances, and of an encoder of one length."""
  release_dir = tmp_path_factory.mktemp("instances") / "release"
  for name, instance in INSTANCES.items():
    bindings = instance.write_inputs(tmp_path_factory.mktemp("inputs"))
    recipe = recipe_lib.load([instance.leaf], bindings)
    gin.clear_config()
    _release(name, recipe.exporter, release_dir)
  folder = tmp_path_factory.mktemp("fnet")
  pretrainer = models.BertPretrainerV2(encoders.encoder("fnet"))
  fnet = bert.BertExporter(
    checkpoint=tf.train.Checkpoint(**pretrainer.checkpoint_items).write(
      str(folder / "ckpt")
    ),
    encoder=encoders.config("fnet"),
    vocab_file=str(small_bert.write_vocabulary(folder / "vocab.txt")),
    do_lower_case=True,
  )
  _release("fnet", fnet, release_dir)
  return release_dir


def test_the_snippets_of_every_exporter_run(instances, tmp_path):
  # With hub.load, as a layer of tf_keras, of Keras 3, fine-tuning, exporting;
  # a preprocessor's: with hub.load, in tf.data, in a model of tf_keras. Keras 3
  # has no strings.
  fewer = {Kind.TEXT_PREPROCESSOR: 3, Kind.TEXT_TASK: 4}
  counts = {
    name: fewer.get(instance.kind, 5) for name, instance in INSTANCES.items()
  } | {"fnet": 5}
  assert _run(instances, tmp_path, counts) == counts


def test_the_snippets_of_a_card_on_kaggle_run(instances, tmp_path):
  names = ("bert_preprocessor", "bert", "low_level")
  assert _run(instances, tmp_path, names, "card").keys() == set(names)


def test_a_card_names_handles_of_kaggle(instances):
  page, card = _texts(instances, "bert")
  assert '"https://tfhub.dev/example/bert/1"' in page
  assert "tfhub.dev" not in card
  for handle in (
    "an_example/bert/tensorFlow2/default",
    "an_example/bert-preprocessor/tensorFlow2/default",
  ):
    assert f'kagglehub.model_download(\n    "{handle}")' in card
  address = "https://www.kaggle.com/models/an_example/{}/TensorFlow2/default/1"
  assert address.format("bert") in card
  assert address.format("bert-preprocessor") in card


def test_a_page_of_images_states_the_size_of_the_training(instances):
  """The leaf's size is 32; nothing but a ViT is tied to it."""
  for name, other in (("mobilenet", "any height"), ("vit", "no other size")):
    for text in _texts(instances, name):
      shown = " ".join(text.split())
      assert "trained on 32 x 32 images; " in shown
      assert other in shown
      assert "images = tf.random.uniform([1, 32, 32, 3])" in shown


def test_a_page_states_the_only_length_of_an_encoder(instances):
  page, _ = _texts(instances, "fnet")
  assert "a `seq_length` of\n32." in page
  assert "seq_length=32" in page


def test_a_page_packs_pairs_to_a_length_that_is_allowed(instances):
  """This preprocessor's own is 16: longer ones may be too long for a model."""
  for text in _texts(instances, "bert_preprocessor"):
    assert "bert_pack_inputs([tokens, tokens], seq_length=16)" in text


# ---------------------------------------------------------------------------
# Keras models, of which only the owner knows what they take.


def _mixed() -> tf_keras.Model:
  """A dict of numbers, words and ids to a dict of numbers and a class."""
  number, word = Input([3]), Input([], dtype=tf.string)
  ids = Input([4], dtype=tf.int32)
  features = layers.Concatenate()(
    [
      number,
      layers.StringLookup(vocabulary=["red"], output_mode="one_hot")(word),
      layers.Flatten()(layers.Embedding(2, 2)(ids)),
    ]
  )
  scores = layers.Dense(2, kernel_regularizer="l2")(features)
  best = layers.Lambda(lambda x: tf.argmax(x, -1))(scores)
  return tf_keras.Model(
    {"number": number, "word": word, "ids": ids},
    {"scores": scores, "squares": scores**2, "best": best},
  )


def _ragged() -> tf_keras.Model:
  """Rows of words to rows of vectors."""
  words = Input([None], dtype=tf.string, ragged=True)
  ids = layers.StringLookup(vocabulary=["red"])(words)
  return tf_keras.Model(words, layers.Embedding(3, 2)(ids))


def _sparse() -> tf_keras.Model:
  bag = Input([6], sparse=True)
  return tf_keras.Model(bag, layers.Dense(2)(bag))


def _fixed() -> tf_keras.Model:
  """A batch of four, in numbers that Keras would cast."""
  numbers = Input([5], batch_size=4, dtype="float64")
  dense = layers.Dense(2, kernel_regularizer="l2", dtype="float64")
  return tf_keras.Model(numbers, dense(numbers))


def _grey() -> tf_keras.Model:
  images = Input([28, 28, 1], dtype="uint8")
  scaled = layers.Flatten()(layers.Rescaling(1 / 255)(images))
  return tf_keras.Model(images, layers.Dense(3, "softmax")(scaled))


def _video() -> tf_keras.Model:
  frames = Input([None, 8, 8, 3])
  pooled = layers.GlobalAveragePooling3D()(layers.Conv3D(2, 3)(frames))
  return tf_keras.Model(frames, pooled)


def _segmentation() -> tf_keras.Model:
  """RGB images, and the activations as a loss that is left out."""
  images = Input([None, None, 3])
  regularized = layers.ActivityRegularization(0.1)(images)
  return tf_keras.Model(images, layers.Conv2D(4, 1)(regularized))


def _nothing_to_train() -> tf_keras.Model:
  return tf_keras.Sequential([Input([8, 8, 1]), layers.UpSampling2D()])


# What they are, and how many snippets there are: Keras 3 takes no strings.
_MODELS = {
  "mixed": (_mixed, 4),
  "ragged": (_ragged, 4),
  "sparse": (_sparse, 5),
  "fixed": (_fixed, 5),
  "grey": (_grey, 5),
  "video": (_video, 5),
  "segmentation": (_segmentation, 5),
  "nothing_to_train": (_nothing_to_train, 3),
}
_OF_KERAS = "of_keras"


@pytest.fixture(scope="module")
def keras_models(tmp_path_factory) -> pathlib.Path:
  """A release of each, and of one as a Keras SavedModel."""
  release_dir = tmp_path_factory.mktemp("keras_models") / "release"
  for name, (function, _) in _MODELS.items():
    exporter = keras_model.KerasModelExporter(model_function=function)
    _release(name, exporter, release_dir)
  exporter = keras_model.KerasModelExporter(
    model_function=_mixed, keras_saved_model=True
  )
  _release(_OF_KERAS, exporter, release_dir)
  return release_dir


def test_the_snippets_of_keras_models_run(keras_models, tmp_path):
  counts = {name: count for name, (_, count) in _MODELS.items()} | {
    _OF_KERAS: 5
  }
  assert _run(keras_models, tmp_path, counts) == counts


def test_the_snippets_of_their_cards_run(keras_models, tmp_path):
  counts = {"mixed": 4, "fixed": 5, _OF_KERAS: 5}
  assert _run(keras_models, tmp_path, counts, "card") == counts


def test_a_page_claims_nothing_that_the_model_does_not(keras_models):
  page, _ = _texts(keras_models, "segmentation")
  assert "[0, 1]" not in page
  assert "feature vector" not in page


def test_a_page_has_the_remarks(keras_models):
  for text in _texts(keras_models, "segmentation"):
    _, _, limitations = text.partition("## Limitations\n\n")
    assert "losses that depend on its inputs" in limitations.splitlines()[0]
  assert "Limitations" not in _texts(keras_models, "grey")[0]
