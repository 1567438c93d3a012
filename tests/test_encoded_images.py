"""Images as files: what a model is given is what its evaluation gave it."""

import base64
import io
import json
import pathlib
import re
import subprocess
import sys

import numpy as np
from official.legacy.image_classification import preprocessing
from official.legacy.image_classification.resnet import imagenet_preprocessing
from official.vision.configs import image_classification as configs
from official.vision.dataloaders import classification_input
from official.vision.serving import image_classification
from PIL import Image
import pytest
import sklearn
import tensorflow as tf

from exporters.errors import ExportError
from exporters.saved_model import description
from exporters.vision import encoded
from exporters.vision import official_vision
from scripts.small_instances import INSTANCES
from tests import closeness
from tests import command
from tests.instances import small_exporter

_FOLDER = pathlib.Path(sklearn.__file__).parent / "datasets" / "images"
# 640 by 427 pixels; and pieces of it, one upright, one smaller than the model.
_PIECES = [(slice(None),) * 2, (slice(None), slice(200)), (slice(90),) * 2]


def photographs() -> list[bytes]:
  """Returns JPEG files of several sizes."""
  china = tf.io.decode_jpeg((_FOLDER / "china.jpg").read_bytes())
  flower = (_FOLDER / "flower.jpg").read_bytes()
  return [flower] + [
    tf.io.encode_jpeg(china[rows, columns]).numpy() for rows, columns in _PIECES
  ]


def decoded(file: bytes) -> tf.Tensor:
  return tf.cast(tf.io.decode_image(file, channels=3), tf.float32)


@pytest.mark.parametrize("file", photographs(), ids=len)
class TestPrepared:
  def test_as_official_vision_evaluates(self, file):
    parser = classification_input.Parser([224, 192], 10, decode_jpeg_only=False)
    want = parser._parse_eval_image({"image/encoded": file})
    got = encoded.central_crop(decoded(file), (224, 192))
    closeness.assert_close(official_vision.normalize(got / 255.0), want)

  def test_as_the_legacy_resnet_was_evaluated(self, file):
    want = imagenet_preprocessing.preprocess_image(file, None, 224, 224, 3)
    got = encoded.central_window(decoded(file), (224, 224))
    got -= imagenet_preprocessing.CHANNEL_MEANS
    closeness.assert_close(got, want)

  def test_as_legacy_efficientnets_were_evaluated(self, file):
    want = preprocessing.preprocess_for_eval(
      tf.constant(file), 240, mean_subtract=False, standardize=False
    )
    got = encoded.central_crop(decoded(file), (240, 240), legacy=True)
    # At the edge of what it decodes of a JPEG, the Garden's lacks neighbours.
    closeness.assert_close(got[:-2, :-2], want[:-2, :-2])


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> pathlib.Path:
  """A small ResNet with both signatures, exported with all checks."""
  instance = INSTANCES["resnet"]
  folder = tmp_path_factory.mktemp("resnet")
  bindings = instance.write_inputs(folder)
  bindings.append(
    "resnet.ResNetExporter.signatures = ['image_bytes', 'tf_example']"
  )
  command.run(
    instance.module,
    f"--gin_file={instance.leaf}",
    *(f"--gin_bindings={binding}" for binding in bindings),
    f"--export_path={folder / 'model'}",
  )
  return folder / "model"


def example(file: bytes) -> bytes:
  feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[file]))
  features = tf.train.Features(feature={"image/encoded": feature})
  return tf.train.Example(features=features).SerializeToString()


def test_the_gardens_serving_module_agrees():
  # Serving cuts the result of resizing to whole numbers, training does not.
  task = configs.ImageClassificationTask(
    model=configs.ImageClassificationModel(num_classes=7)
  )
  module = image_classification.ClassificationModule(
    configs.cfg.ExperimentConfig(task=task),
    batch_size=1,
    input_image_size=[32, 32],
    input_type="image_bytes",
    num_channels=3,
  )
  for file in photographs():
    got = encoded.central_crop(decoded(file), (32, 32))
    np.testing.assert_array_equal(
      np.floor(got), module._decode_image(tf.constant(file))
    )


def test_every_way_in_gives_the_same(exported):
  model = tf.saved_model.load(str(exported))
  files = photographs()
  images = tf.stack(
    [encoded.central_crop(decoded(file), (32, 32)) / 255.0 for file in files]
  )
  want = model(images)
  closeness.assert_close(model.image_bytes(files), want)
  closeness.assert_close(
    model.tf_example([example(file) for file in files]), want
  )
  # As TensorFlow Serving reads the body of a request over REST.
  body = json.dumps(
    {"instances": [{"b64": base64.b64encode(f).decode()} for f in files]}
  )
  given = [base64.b64decode(i["b64"]) for i in json.loads(body)["instances"]]
  served = model.signatures["image_bytes"](inputs=tf.constant(given))
  closeness.assert_close(served["logits"], want)


def test_variables_stay_trainable_for_those_who_read_the_files(exported):
  """The signatures use them without training them."""
  described = description.read(str(exported))
  model = tf.saved_model.load(str(exported))
  assert described.trainable_parameters == sum(
    variable.shape.num_elements() for variable in model.trainable_variables
  )


def test_saved_model_cli_runs_it(exported):
  rows = np.arange(90, dtype=np.uint8).reshape(5, 6, 3)
  file = tf.io.encode_png(rows).numpy()
  done = subprocess.run(
    [
      pathlib.Path(sys.executable).with_name("saved_model_cli"),
      *("run", f"--dir={exported}", "--tag_set=serve"),
      # A semicolon would begin another input.
      *("--signature_def=image_bytes", "--input_exprs"),
      f"inputs={[file]}".replace(";", r"\x3b"),
    ],
    check=True,
    capture_output=True,
    text=True,
  )
  got = re.findall(r"-?\d\.\d+", done.stdout.partition("key logits:")[2])
  model = tf.saved_model.load(str(exported))
  closeness.assert_close(np.array(got, float), model.image_bytes([file])[0])


@pytest.mark.parametrize("kind", ["png", "bmp", "gif"])
def test_other_kinds_of_files(exported, kind):
  model = tf.saved_model.load(str(exported))
  image = Image.open(_FOLDER / "flower.jpg").quantize(64)
  if kind == "bmp":  # TensorFlow reads no palette there.
    image = image.convert("RGB")
  file = io.BytesIO()
  image.save(file, kind)
  pixels = np.asarray(image.convert("RGB"), np.float32)
  want = model(encoded.central_crop(pixels, (32, 32))[None] / 255.0)
  closeness.assert_close(model.image_bytes([file.getvalue()]), want)


def test_a_file_without_an_image_is_refused(exported):
  model = tf.saved_model.load(str(exported))
  with pytest.raises(tf.errors.InvalidArgumentError, match="image"):
    model.image_bytes([b"text"])


def test_refuses_other_signatures():
  exporter = small_exporter(
    "resnet",
    "resnet.ResNetExporter.checkpoint = '/nowhere'",
    "resnet.ResNetExporter.signatures = ['image_tensor']",
  )
  with pytest.raises(ExportError, match="may name 'image_bytes' and"):
    exporter.build()
