"""Model Garden's command that exports vision models for serving."""

import pathlib

import numpy as np
from official.core import exp_factory
from official.vision import registry_imports  # noqa: F401 - for its effect.
from official.vision.serving import export_saved_model_lib
from official.vision.serving import image_classification
import pytest
import tensorflow as tf

from scripts.small_instances import images as small_images
from tests.test_encoded_images import example
from tests.test_encoded_images import photographs

_MODULE = "official.vision.serving.export_saved_model"
_MODEL = {
  "num_classes": 7,
  "backbone": {
    "type": "resnet",
    "resnet": {"model_id": 10, "depth_multiplier": 0.125},
  },
}
_SIZE = [32, 32]
_TYPES = ("image_tensor", "image_bytes", "tf_example", "tflite")
_OUTPUTS = ["logits", "probs"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
  model = small_images.resnet()
  folder = tmp_path_factory.mktemp("resnet")
  return tf.train.Checkpoint(model=model).write(str(folder / "ckpt"))


def experiment(**data):
  params = exp_factory.get_exp_config("resnet_imagenet")
  params.override({"task": {"model": _MODEL, "train_data": data}})
  return params


def inputs(input_type: str):
  """Returns photographs as an input type takes them, and of one size."""
  files = photographs()[:2]
  if input_type == "image_bytes":
    return tf.constant(photographs())
  if input_type == "tf_example":
    return tf.constant([example(file) for file in photographs()])
  images = tf.stack([tf.io.decode_jpeg(file) for file in files])
  if input_type == "image_tensor":
    return images
  return tf.image.resize(tf.cast(images, tf.float32), _SIZE) / 60.0 - 2.0


def of_the_garden(params, key: str, checkpoint: str, **fields):
  """Returns a signature of Model Garden's own module."""
  module = image_classification.ClassificationModule(
    params, batch_size=None, input_image_size=_SIZE, input_type=key, **fields
  )
  status = tf.train.Checkpoint(model=module.model).read(checkpoint)
  status.assert_existing_objects_matched()
  return module.get_inference_signatures({key: "served"})["served"]


def export(params, checkpoint: str, path: pathlib.Path, key: str, **fields):
  export_saved_model_lib.export_inference_graph(
    **{"batch_size": None, "input_image_size": _SIZE, **fields},
    input_type=key,
    params=params,
    checkpoint_path=checkpoint,
    export_dir=str(path),
  )
  return tf.saved_model.load(str(path))


def assert_same(got, want):
  assert sorted(got) == sorted(want)
  for name, value in want.items():
    atol = 1e-5 * np.abs(value).max()
    np.testing.assert_allclose(got[name], value, rtol=0, atol=atol)


@pytest.mark.parametrize(
  "data", [{}, {"is_multilabel": True}, {"aug_crop": False}]
)
@pytest.mark.parametrize("key", _TYPES)
def test_images_are_served_as_by_model_garden(key, data, checkpoint, tmp_path):
  params = experiment(**data)
  loaded = export(params, checkpoint, tmp_path, key)
  want = of_the_garden(params, key, checkpoint)(inputs(key))
  assert sorted(want) == _OUTPUTS
  served = loaded.signatures["serving_default"]
  assert_same(served(inputs=inputs(key)), want)
  assert_same(loaded.serving_default(inputs(key)), want)
