"""Model Garden's command that converts to LiteRT, and its functions."""

import copy
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
from exporters.companions import lite_file
from exporters.errors import ExportError
from exporters.overlay import garden_lite
from exporters.vision.encoded import central_crop
from exporters.vision.official_vision import normalize
from scripts.small_instances import images as small_images
from tests import closeness
from tests import command
from tests.test_encoded_images import decoded
from tests.test_encoded_images import photographs

_MODULE = "official.vision.serving.export_tflite"
_SIZE = [32, 32]


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
      number = tf.train.Feature(
        int64_list=tf.train.Int64List(value=[label % 7])
      )
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
  runner = interpreter.Interpreter(model_content=content).get_signature_runner(
    "serving_default"
  )
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


@pytest.mark.parametrize(
  "quant_type",
  [
    "",
    "default",
    "fp16",
    "int8_fallback",
    "int8_full",
    "int8_full_fp32_io",
    "int8_full_int8_io",
  ],
)
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
      closeness.assert_close(value, want[name], bound=bound)


def test_the_command_writes_the_same_bytes_and_says_how_close(
  saved_model, records, params, tmp_path
):
  target = tmp_path / "model.tflite"
  done = command.run(
    _MODULE,
    "--experiment=resnet_imagenet",
    f"--params_override={json.dumps(overrides(records))}",
    f"--saved_model_dir={saved_model}",
    "--quant_type=int8_full",
    f"--tflite_path={target}",
  )
  assert "cut as for evaluation" in done.stderr
  assert "of scale from the SavedModel (at most 0.25)" in done.stdout
  assert "same top class" in done.stdout
  assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]
  again = export_tflite_lib.convert_tflite_model(
    saved_model_dir=saved_model, quant_type="int8_full", params=params
  )
  assert target.read_bytes() == again


def test_images_from_a_file_and_operators_that_stay(saved_model, tmp_path):
  path = str(tmp_path / "images.npz")
  np.savez(path, inputs=np.concatenate(images()))
  content = export_tflite_lib.convert_tflite_model(
    saved_model_dir=saved_model,
    quant_type="int8_fallback",
    calibration_file=path,
    denylisted_ops=["FULLY_CONNECTED"],
  )
  # What goes into the last layer becomes float32 again.
  assert lite_file.read(content).operators["DEQUANTIZE"]
  served = tf.saved_model.load(saved_model).signatures["serving_default"]
  for image in images():
    want = served(inputs=image)["logits"]
    got = called(content, image)["logits"]
    np.testing.assert_allclose(got, want, atol=0.25 * np.abs(want).max())


def test_a_keras_model(params):
  model = tf_keras.Sequential([tf_keras.layers.Dense(4, input_shape=[3])])
  content = export_tflite_lib.convert_tflite_model(model=model)
  (name,) = lite_file.read(content).inputs
  runner = interpreter.Interpreter(model_content=content).get_signature_runner(
    "serving_default"
  )
  given = np.eye(3, dtype=np.float32)
  (got,) = runner(**{name: given}).values()
  np.testing.assert_allclose(got, model(given), atol=1e-6)


def test_the_calibration_images_are_those_of_the_training(params):
  found = [x for (x,) in export_tflite_lib.representative_dataset(params)]
  assert len(found) == 3 * len(photographs())
  for image, file in zip(found, photographs(), strict=False):
    want = central_crop(decoded(file), _SIZE) / 255.0
    np.testing.assert_allclose(image[0], normalize(want), atol=1e-5)


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"quant_type": "int8_full"}, "need images to choose their ranges"),
    (
      {"quant_type": "fp16", "denylisted_ops": ["MEAN"]},
      "only where others compute with integers",
    ),
  ],
)
def test_what_is_missing_is_said(fields, message, saved_model):
  with pytest.raises(ExportError, match=message):
    export_tflite_lib.convert_tflite_model(saved_model, **fields)


def test_unknown_quantizations_and_no_model(saved_model):
  with pytest.raises(ValueError, match="uint4 is not supported"):
    export_tflite_lib.convert_tflite_model(saved_model, quant_type="uint4")
  with pytest.raises(ValueError, match="must be specified"):
    export_tflite_lib.convert_tflite_model()


def test_images_of_another_size_are_refused(saved_model, params):
  other = copy.deepcopy(params)
  other.task.model.input_size = [48, 48, 3]
  with pytest.raises(ExportError, match=r"\[48, 48, 3\], but the SavedModel"):
    export_tflite_lib.convert_tflite_model(
      saved_model, quant_type="int8_full", params=other
    )


def test_images_in_whole_numbers_are_not_calibrated(params, tmp_path):
  module = tf.Module()
  module.f = tf.function(
    lambda inputs: tf.cast(inputs, tf.float32),
    input_signature=[tf.TensorSpec([1, *_SIZE, 3], tf.uint8, "inputs")],
  )
  tf.saved_model.save(
    module, str(tmp_path), signatures={"serving_default": module.f}
  )
  with pytest.raises(ExportError, match="--input_type=tflite"):
    export_tflite_lib.convert_tflite_model(
      str(tmp_path), quant_type="int8_full", params=params
    )
