"""Model Garden's command that converts to LiteRT, and its functions."""

import json

from ai_edge_litert import interpreter
import numpy as np
from official.core import exp_factory
from official.vision import registry_imports  # noqa: F401 - for its effect.
from official.vision.modeling import factory
from official.vision.serving import export_saved_model_lib
from official.vision.serving import export_tflite_lib
import pytest
import tensorflow as tf
import tf_keras

from exporters.companions import kinds
from exporters.errors import ExportError
from exporters.overlay import garden_lite
from scripts.small_instances import images as small_images
from tests import command
from tests.test_encoded_images import decoded
from tests.test_encoded_images import photographs

_MODULE = "official.vision.serving.export_tflite"
_SIZE = [32, 32]
_INTEGERS = {"int8_full": np.uint8, "int8_full_int8_io": np.int8}


def overrides(records: str):
  model = {
    "num_classes": 7,
    "input_size": [*_SIZE, 3],
    "backbone": {
      "type": "resnet",
      "resnet": {"model_id": 10, "depth_multiplier": 0.25},
    },
  }
  return {"task": {"model": model, "train_data": {"input_path": records}}}


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> str:
  """Photographs as the training data of an experiment."""
  path = str(tmp_path_factory.mktemp("data") / "train.tfrecord")
  with tf.io.TFRecordWriter(path) as writer:
    for label, file in enumerate(photographs() * 3):
      encoded = tf.train.Feature(bytes_list=tf.train.BytesList(value=[file]))
      number = tf.train.Feature(int64_list=tf.train.Int64List(value=[label % 7]))
      feature = {"image/encoded": encoded, "image/class/label": number}
      features = tf.train.Features(feature=feature)
      writer.write(tf.train.Example(features=features).SerializeToString())
  return path


@pytest.fixture(scope="module")
def params(records):
  params = exp_factory.get_exp_config("resnet_imagenet")
  params.override(overrides(records))
  params.lock()
  return params


@pytest.fixture(scope="module")
def saved_model(params, tmp_path_factory) -> str:
  """A small ResNet, as --input_type=tflite has it."""
  folder = tmp_path_factory.mktemp("resnet")
  model = factory.build_classification_model(
    tf_keras.layers.InputSpec(shape=[None, *_SIZE, 3]), params.task.model
  )
  small_images.randomize(model)
  checkpoint = tf.train.Checkpoint(model=model).write(str(folder / "ckpt"))
  export_saved_model_lib.export_inference_graph(
    "tflite", 1, _SIZE, params, checkpoint, str(folder / "saved_model")
  )
  return str(folder / "saved_model")


def images() -> list[np.ndarray]:
  """Returns photographs, normalized as the client of such a model does it."""
  found = []
  for file in photographs()[:2]:
    image = tf.image.resize(decoded(file), _SIZE).numpy()
    mean = np.array([123.675, 116.28, 103.53], np.float32)
    deviation = np.array([58.395, 57.12, 57.375], np.float32)
    found.append((image[None] - mean) / deviation)
  return found


def called(content: bytes, image: np.ndarray, kind=np.float32):
  """Returns what a file's model gives for an image, by a client's own code."""
  runner = interpreter.Interpreter(
    model_content=content
  ).get_signature_runner("serving_default")
  ((name, detail),) = runner.get_input_details().items()
  assert detail["dtype"] == kind
  if kind != np.float32:
    scale, zero = detail["quantization"]
    limits = np.iinfo(kind)
    image = np.clip(np.round(image / scale) + zero, limits.min, limits.max)
  outputs = runner(**{name: image.astype(kind)})
  found = {}
  for name, value in outputs.items():
    assert value.dtype == kind
    scale, zero = runner.get_output_details()[name]["quantization"]
    found[name] = (value.astype(np.float32) - zero) * scale if scale else value
  return found


@pytest.mark.parametrize("quant_type", garden_lite.FORMS)
def test_each_quantization_is_near_the_saved_model(
  quant_type, saved_model, params
):
  content = export_tflite_lib.convert_tflite_model(
    saved_model_dir=saved_model, quant_type=quant_type, params=params
  )
  served = tf.saved_model.load(saved_model).signatures["serving_default"]
  form = garden_lite.FORMS[quant_type]
  bound = kinds.KINDS[form.kind].bound
  kind = np.dtype(form.lite.get("io", "float32")).type
  for image in images():
    want = served(inputs=image)
    got = called(content, image, kind)
    assert sorted(got) == ["logits", "probs"]
    for name, value in got.items():
      scale = np.abs(want[name]).max()
      np.testing.assert_allclose(value, want[name], rtol=0, atol=bound * scale)
