"""Model Garden's command that serves vision: detectors and segmentation.

Their signatures are Model Garden's, and the exporter's call is beside them.
"""

import copy
import json

from official.core import exp_factory
from official.vision import registry_imports  # noqa: F401 - for its effect.
from official.vision.serving import detection
from official.vision.serving import export_saved_model_lib
from official.vision.serving import semantic_segmentation
import pytest
import tensorflow as tf
import yaml

from scripts.small_instances import INSTANCES
from tests import closeness
from tests import command
from tests.instances import small_exporter
from tests.test_encoded_images import example
from tests.test_encoded_images import photographs
from tests.test_segmentation import experiment_of as experiment_of_masks

# As in `test_detection`.
_SAME = 1e-4
_DETECTORS = {
  "retinanet": "retinanet_resnetfpn_coco",
  "mask_rcnn": "maskrcnn_resnetfpn_coco",
}
_SEGMENTERS = ("deeplabv3plus", "fpn_segmentation")
_TYPES = ("image_tensor", "image_bytes", "tf_example", "tflite")


@pytest.fixture(scope="module")
def exporters(tmp_path_factory):
  """The exporter of a training's checkpoint, by name."""
  found = {}
  for name in (*_DETECTORS, *_SEGMENTERS):
    checkpoint, *_ = INSTANCES[name].write_inputs(tmp_path_factory.mktemp(name))
    found[name] = small_exporter(name, checkpoint)
  return found


def experiment(exporter, name: str):
  """Returns the configuration of a training of an exporter's model."""
  if name in _SEGMENTERS:
    return experiment_of_masks(exporter)
  params = exp_factory.get_exp_config(_DETECTORS[name])
  params.task.model = copy.deepcopy(exporter.model)
  return params


def size_of(exporter) -> list[int]:
  size = getattr(exporter, "image_size", None) or exporter.model.input_size
  return [*size][:2]


def inputs(key: str, size, batch: int):
  """Returns photographs of one size as an input type takes them."""
  files = photographs()[:batch]
  if key == "image_bytes":
    return tf.constant(files)
  if key == "tf_example":
    return tf.constant([example(file) for file in files])
  images = tf.stack(
    [tf.image.resize(tf.io.decode_jpeg(file), size) for file in files]
  )
  return tf.cast(images, tf.uint8) if key == "image_tensor" else images / 99.0


def of_the_garden(params, key: str, checkpoint: str, **fields):
  """Returns a signature of Model Garden's own module."""
  module_class = (
    semantic_segmentation.SegmentationModule
    if hasattr(params.task.losses, "ignore_label")
    else detection.DetectionModule
  )
  module = module_class(copy.deepcopy(params), input_type=key, **fields)
  served = module.get_inference_signatures({key: "served"})["served"]
  status = tf.train.Checkpoint(model=module.model).read(checkpoint)
  status.assert_existing_objects_matched()
  return served


def export(params, exporter, key: str, path, **fields):
  export_saved_model_lib.export_inference_graph(
    input_type=key,
    params=params,
    checkpoint_path=exporter.checkpoint,
    export_dir=str(path),
    **{"input_image_size": size_of(exporter), **fields},
  )
  return tf.saved_model.load(str(path))


@pytest.mark.parametrize(
  ("name", "batch", "nms_version"),
  [
    ("retinanet", None, "v1"),  # Model Garden serves it as "batched".
    ("retinanet", 1, "v1"),
    ("retinanet", None, "v2"),
    ("mask_rcnn", None, "v2"),
    ("deeplabv3plus", None, None),
    ("fpn_segmentation", 2, None),
  ],
)
def test_signatures_are_model_gardens(
  name, batch, nms_version, exporters, tmp_path
):
  exporter = exporters[name]
  params = experiment(exporter, name)
  if nms_version:
    params.task.model.detection_generator.nms_version = nms_version
  # Model Garden serves detectors by `tflite` only one image at a time, and only
  # one that is as large as its canvas.
  size = [128, 64] if name == "retinanet" else size_of(exporter)
  fields = {
    "batch_size": batch,
    "input_name": "pictures",
    "input_image_size": size,
  }
  before = copy.deepcopy(params)
  names = {key: f"of_{key}" for key in _TYPES} | {
    "image_bytes": "serving_default"
  }
  loaded = export(
    params, exporter, "image_tensor", tmp_path, function_keys=names, **fields
  )
  for key, served in names.items():
    garden = of_the_garden(before, key, exporter.checkpoint, **fields)
    # Without its own preparation, it takes one image or all of one size.
    given = inputs(key, size, batch or (1 if key == "tflite" else 2))
    want = garden(given)
    got = loaded.signatures[served](pictures=given)
    assert {n: (v.dtype, v.shape) for n, v in got.items()} == {
      n: (v.dtype, v.shape) for n, v in want.items()
    }
    closeness.assert_close(got, want, bound=_SAME)
    closeness.assert_close(getattr(loaded, served)(given), want, bound=_SAME)


@pytest.mark.parametrize("name", _DETECTORS)
def test_a_detector_has_the_exporters_call(name, exporters, tmp_path):
  exporter = exporters[name]
  params = experiment(exporter, name)
  params.task.freeze_backbone = True
  size = size_of(exporter)
  loaded = export(params, exporter, "image_tensor", tmp_path, batch_size=None)
  pixels = inputs("image_tensor", size, 2)
  images = tf.cast(pixels, tf.float32) / 255.0
  # Of images that are as large as the model takes them, both find the same.
  found = loaded.detect(images)
  served = loaded.signatures["serving_default"](inputs=pixels)
  pixels_found = found["detection_boxes"] * tf.constant(
    [*size, *size], tf.float32
  )
  closeness.assert_close(pixels_found, served["detection_boxes"], bound=_SAME)
  closeness.assert_close(
    found["detection_scores"], served["detection_scores"], bound=_SAME
  )
  outputs = loaded(images, training=True)
  assert any(key.startswith("box_outputs") for key in outputs)
  trained = {variable.name for variable in loaded.trainable_variables}
  assert trained
  assert len(trained) < len(loaded.variables) / 2  # The backbone is frozen.


@pytest.mark.parametrize("name", _SEGMENTERS)
def test_segmentation_has_the_exporters_call(name, exporters, tmp_path):
  exporter = exporters[name]
  params = experiment(exporter, name)
  size = size_of(exporter)
  loaded = export(params, exporter, "image_tensor", tmp_path, batch_size=None)
  pixels = inputs("image_tensor", size, 2)
  images = tf.cast(pixels, tf.float32) / 255.0
  served = loaded.signatures["serving_default"](inputs=pixels)["logits"]
  closeness.assert_close(
    tf.image.resize(loaded(images), size), served, bound=_SAME
  )
  assert loaded.predict(images)["predicted_masks"].shape == [2, *size]
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(loaded(images, training=True) ** 2)
  gradients = tape.gradient(loss, loaded.trainable_variables)
  assert gradients
  assert None not in gradients


def test_masks_of_the_original_size_are_served(exporters, tmp_path):
  exporter = exporters["deeplabv3plus"]
  params = experiment_of_masks(exporter)
  params.task.export_config.rescale_output = True
  fields = {"batch_size": 1}
  loaded = export(params, exporter, "image_bytes", tmp_path, **fields)
  garden = of_the_garden(
    params,
    "image_bytes",
    exporter.checkpoint,
    input_image_size=size_of(exporter),
    **fields,
  )
  given = inputs("image_bytes", None, 1)
  want = garden(given)
  closeness.assert_close(
    loaded.signatures["serving_default"](inputs=given), want, bound=_SAME
  )
  height, width, _ = tf.io.decode_jpeg(photographs()[0]).shape
  assert want["logits"].shape[1:3] == [height, width]


@pytest.mark.parametrize(
  ("name", "change", "reason"),
  [
    (
      "retinanet",
      {"model": {"detection_generator": {"apply_nms": False}}},
      "leaves boxes that overlap",
    ),
    (
      "deeplabv3plus",
      {"model": {"head": {"logit_activation": "softmax"}}},
      "something else than logits",
    ),
  ],
)
def test_what_the_exporter_refuses_is_served_alone(
  name, change, reason, exporters, tmp_path, capsys
):
  exporter = exporters[name]
  params = experiment(exporter, name)
  params.override({"task": change})
  loaded = export(params, exporter, "image_tensor", tmp_path, batch_size=1)
  noted = capsys.readouterr().err
  assert "has Model Garden's signatures alone" in noted
  assert reason in noted
  size = size_of(exporter)
  given = inputs("image_tensor", size, 1)
  want = of_the_garden(
    params,
    "image_tensor",
    exporter.checkpoint,
    batch_size=1,
    input_image_size=size,
  )(given)
  closeness.assert_close(
    loaded.signatures["serving_default"](inputs=given), want, bound=_SAME
  )
  assert not loaded.trainable_variables


def test_images_that_are_not_padded_need_a_multiple(
  exporters, tmp_path, capsys
):
  exporter = exporters["retinanet"]
  params = experiment(exporter, "retinanet")
  params.task.train_data.parser.pad = False
  export(params, exporter, "image_tensor", tmp_path / "a", batch_size=1)
  multiple = 2**exporter.model.max_level
  assert size_of(exporter)[0] % multiple
  assert f"must be multiples of {multiple}" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("name", "kind", "size"),
  [
    # The size of the canvas, with which Model Garden counts what it computes.
    ("retinanet", "retinanet_resnetfpn_coco", "128,64"),
    ("fpn_segmentation", "semantic_segmentation", "64,64"),
  ],
)
def test_what_the_command_writes_passes_checks(
  name, kind, size, exporters, tmp_path
):
  exporter = exporters[name]
  params = tmp_path / "params.yaml"
  params.write_text(
    yaml.safe_dump(
      {
        "task": json.loads(
          json.dumps(experiment(exporter, name).task.as_dict())
        )
      }
    )
  )
  done = command.run(
    "official.vision.serving.export_saved_model",
    f"--experiment={kind}",
    f"--config_file={params}",
    f"--checkpoint_path={exporter.checkpoint}",
    "--input_type=image_bytes",
    f"--input_image_size={size}",
    "--log_model_flops_and_params",
    "--checks=basic",
    f"--export_dir={tmp_path / 'model'}",
  )
  assert "signatures alone" not in done.stderr
  model = tf.saved_model.load(str(tmp_path / "model/saved_model"))
  assert "serving_default" in model.signatures
  assert model.trainable_variables
