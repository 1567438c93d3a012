"""Detectors find what Model Garden's own serving module finds."""

import contextlib
import dataclasses
import functools
import pathlib
from unittest import mock

import numpy as np
from official.vision import configs
from official.vision.configs import backbones
from official.vision.configs import common
from official.vision.configs import decoders
from official.vision.configs import maskrcnn
from official.vision.configs import retinanet
from official.vision.serving import detection as serving
import pytest
import tensorflow as tf
import tf_keras

from exporters import checkpoints
from exporters import checks
from exporters import mask_rcnn
from exporters import retinanet as retinanet_lib
from exporters.errors import ExportError
from exporters.life_cycle import checker
from exporters.life_cycle import exporting
from exporters.saved_model import reusable
from exporters.saved_model.published import Published
from scripts.small_instances import detectors
from scripts.small_instances import images as small_images
from scripts.small_instances import tiny_spinenet  # noqa: F401 - adds a table.
from tests import closeness
from tests.instances import small_exporter
from tests.test_encoded_images import example
from tests.test_encoded_images import photographs

# Of scale. The statistics of one image, by which training normalizes, amplify
# what kernels of different processors round.
_SAME = 1e-4
_NAMES = {
  "detection_boxes",
  "detection_classes",
  "detection_scores",
  "num_detections",
}


@dataclasses.dataclass(frozen=True)
class Case:
  """A detector restored by both, Model Garden and the exporter."""

  exporter: detectors.detection.DetectionExporter
  published: Published
  # The model as it was trained, in the checkpoint.
  trained: tf_keras.Model

  @functools.cached_property
  def _reusable(self):
    return reusable.reusable(self.published)

  def call(self, name: str = ""):
    found = getattr(self._reusable, name) if name else self._reusable
    return found.__call__

  @functools.cached_property
  def served(self) -> serving.DetectionModule:
    """Model Garden's serving module, restored."""
    config = self.exporter.config
    task = (
      maskrcnn.MaskRCNNTask(model=config)
      if self.of_regions
      else retinanet.RetinaNetTask(
        model=config,
        export_config=retinanet.ExportConfig(
          output_normalized_coordinates=True
        ),
      )
    )
    module = serving.DetectionModule(
      configs.retinanet.cfg.ExperimentConfig(task=task),
      batch_size=1,
      input_image_size=list(config.input_size[:2]),
      input_type="image_bytes",
    )
    module.inference_from_image_bytes(tf.constant([photographs()[0]]))
    checkpoint = tf.train.Checkpoint(model=module.model)
    checkpoint.read(self.exporter.checkpoint).assert_existing_objects_matched()
    return module

  @property
  def of_regions(self) -> bool:
    return isinstance(self.exporter.config, maskrcnn.MaskRCNN)


def _mask_rcnn(**fields) -> maskrcnn.MaskRCNN:
  config = small_exporter("mask_rcnn", "CHECKPOINT = '/nowhere'").model
  return config.replace(**fields)


def _retinanet(**fields) -> retinanet.RetinaNet:
  config = small_exporter("retinanet", "CHECKPOINT = '/nowhere'").model
  return config.replace(**fields)


def _case(config, folder: pathlib.Path, **fields) -> Case:
  model = detectors.garden_model(config)
  detectors.randomize(model)
  prefix = tf.train.Checkpoint(model=model).write(str(folder / "ckpt"))
  of_masks = isinstance(config, maskrcnn.MaskRCNN)
  cls = (
    mask_rcnn.MaskRCNNExporter if of_masks else retinanet_lib.RetinaNetExporter
  )
  exporter = cls(
    checkpoint=prefix,
    model=config,
    l2_weight_decay=1e-4,
    signatures=["image_bytes", "tf_example"],
    **fields,
  )
  build = exporter.build()
  checkpoints.restore(exporter.opened, build.restores[0])
  return Case(exporter, build.published[""], model)


_CASCADE = {
  "roi_sampler": maskrcnn.ROISampler(cascade_iou_thresholds=[0.6, 0.7]),
  "detection_head": maskrcnn.DetectionHead(
    num_convs=1,
    num_filters=8,
    fc_dims=16,
    class_agnostic_bbox_pred=True,
    cascade_class_ensemble=True,
  ),
}
_CONFIGS = {
  "retinanet": _retinanet,
  "retinanet_batched": lambda: _retinanet(
    detection_generator=retinanet.DetectionGenerator(
      nms_version="batched", box_coder_weights=[10.0, 10.0, 5.0, 5.0]
    )
  ),
  "retinanet_across_classes": lambda: _retinanet(
    detection_generator=retinanet.DetectionGenerator(
      use_class_agnostic_nms=True
    )
  ),
  "retinanet_attributes": lambda: _retinanet(
    head=retinanet.RetinaNetHead(
      num_convs=1,
      num_filters=16,
      attribute_heads=[
        retinanet.AttributeHead(name="depth", size=1),
        retinanet.AttributeHead(name="colour", type="classification", size=3),
      ],
    ),
    detection_generator=retinanet.DetectionGenerator(nms_version="v1"),
  ),
  "mask_rcnn": _mask_rcnn,
  "faster_rcnn": lambda: _mask_rcnn(
    include_mask=False,
    mask_head=None,
    mask_sampler=None,
    mask_roi_aligner=None,
  ),
  "cascade": lambda: _mask_rcnn(outer_boxes_scale=1.2, **_CASCADE),
}


@pytest.fixture(scope="module", params=list(_CONFIGS))
def case(request, tmp_path_factory) -> Case:
  return _case(_CONFIGS[request.param](), tmp_path_factory.mktemp("detector"))


def _served(case: Case, file: bytes) -> dict[str, np.ndarray]:
  """Returns what Model Garden's serving gives, boxes as shares of the image."""
  found = dict(case.served.inference_from_image_bytes(tf.constant([file])))
  (info,) = found.pop("image_info").numpy()
  for name in ("detection_boxes", "detection_outer_boxes"):
    if case.of_regions and name in found:
      boxes = found[name] / np.tile(info[2] * info[0], 2)
      whole = "detection_masks" in found
      found[name] = boxes if whole else np.clip(boxes, 0.0, 1.0)
  return {name: np.asarray(value) for name, value in found.items()}


def test_finds_what_model_gardens_serving_finds(case):
  files = photographs()
  together = case.call("image_bytes")(tf.constant(files))
  for i, file in enumerate(files):
    want = _served(case, file)
    got = {name: values[i : i + 1] for name, values in together.items()}
    assert got.keys() >= want.keys() >= _NAMES
    assert want["num_detections"] > 3
    for name, values in want.items():
      assert got[name].dtype == tf.float32
      closeness.assert_close(got[name], values, bound=_SAME, of=name)


def test_examples_hold_the_same_files(case):
  files = photographs()[:2]
  found = case.call("tf_example")(tf.constant([example(f) for f in files]))
  for name, values in case.call("image_bytes")(tf.constant(files)).items():
    np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize("training", [False, True])
def test_raw_outputs_are_those_of_the_training(case, training):
  height, width = case.published.image_size
  images = np.random.default_rng(0).random([1, height, width, 3], np.float32)
  model = case.served.model
  variables = [*case.published.variables, *model.variables]
  before = [variable.numpy() for variable in variables]
  got = case.call()(tf.constant(images), training=training)
  with contextlib.ExitStack() as stack:
    if case.of_regions:
      # The training makes masks of classes that only its labels say.
      stack.enter_context(mock.patch.object(model, "_include_mask", False))
    want = tf.function(model, autograph=False)(
      case.exporter._as_trained(images),
      image_shape=tf.constant([[height, width]], tf.float32),
      training=training,
    )
  for variable, value in zip(variables, before, strict=True):
    variable.assign(value)
  if "rois_1" in got and not training:
    # Model Garden's last stage takes the name of the first one.
    want["box_outputs_2"] = want.pop("box_outputs")
  compared = 0
  for name, values in want.items():
    for key, value in checks.flatten({name: values}).items():
      if key in got:
        compared += 1
        closeness.assert_close(got[key], value, bound=_SAME, of=key)
  others = {n for n in got if n.startswith(("rois", "mask_"))}
  others |= {"box_outputs"} if "rois_1" in got and not training else set()
  assert compared == len(got.keys() - others) >= 8


@pytest.mark.parametrize("case", ["retinanet_attributes"], indirect=True)
def test_attributes_are_those_of_model_gardens_model(case):
  images = tf.constant(case.published.samples[1])
  got = case.call("detect")(images)
  for i in range(3):
    want = case.served.model(
      case.exporter._as_trained(images[i : i + 1]),
      image_shape=tf.constant([case.published.image_size], tf.float32),
      training=False,
    )
    for name, values in want["detection_attributes"].items():
      closeness.assert_close(
        got[f"detection_attributes_{name}"][i], values[0], bound=_SAME
      )


_BACKBONES = {
  "spinenet": (
    backbones.Backbone(
      type="spinenet",
      spinenet=backbones.SpineNet(model_id="tiny", min_level=3, max_level=6),
    ),
    decoders.Decoder(type="identity"),
    [128, 128, 3],
  ),
  "mobilenet": (
    backbones.Backbone(
      type="mobilenet",
      mobilenet=backbones.MobileNet(
        model_id="MobileNetV2", filter_size_scale=0.25
      ),
    ),
    decoders.Decoder(
      type="fpn", fpn=decoders.FPN(num_filters=8, use_separable_conv=True)
    ),
    [64, 64, 3],
  ),
  "mobiledet": (
    backbones.Backbone(
      type="mobiledet",
      mobiledet=backbones.MobileDet(
        model_id="MobileDetCPU", filter_size_scale=0.125
      ),
    ),
    decoders.Decoder(type="fpn", fpn=decoders.FPN(num_filters=8)),
    [64, 64, 3],
  ),
}


@pytest.mark.parametrize("name", list(_BACKBONES))
def test_other_backbones_and_decoders(name, tmp_path):
  backbone, decoder, size = _BACKBONES[name]
  case = _case(
    _retinanet(
      backbone=backbone,
      decoder=decoder,
      input_size=size,
      norm_activation=common.NormActivation(activation="swish"),
    ),
    tmp_path,
  )
  (file, *_) = photographs()
  got = case.call("image_bytes")(tf.constant([file]))
  for key, values in _served(case, file).items():
    closeness.assert_close(got[key], values, bound=_SAME, of=key)
  published = case.published
  images = tf.constant(published.samples[0])
  for training in (False, True):
    with tf.GradientTape() as tape:
      outputs = case.call()(images, training=training)
      loss = tf.add_n([tf.reduce_sum(v**2) for v in outputs.values()])
    gradients = tape.gradient(loss, published.trainable_variables)
    assert not [
      variable.name
      for variable, gradient in zip(
        published.trainable_variables, gradients, strict=True
      )
      if gradient is None
    ]


def test_reversible_layers_are_saved_and_trained(tmp_path):
  case = _case(
    _retinanet(
      backbone=backbones.Backbone(
        type="revnet", revnet=backbones.RevNet(model_id=38)
      ),
      input_size=[64, 64, 3],
      max_level=5,
    ),
    tmp_path,
  )
  reusable.write(case.published, str(tmp_path / "saved_model"))
  loaded = tf.saved_model.load(str(tmp_path / "saved_model"))
  images = tf.constant(case.published.samples[0])
  with tf.GradientTape() as tape:
    outputs = loaded(images, training=True)
    loss = tf.add_n([tf.reduce_sum(v**2) for v in outputs.values()])
  assert None not in tape.gradient(loss, loaded.trainable_variables)


def test_a_frozen_backbone_stays_frozen(tmp_path):
  case = _case(_retinanet(), tmp_path, freeze_backbone=True)
  trained = {v.name for v in case.published.trainable_variables}
  assert len(trained) == 85 - 39
  assert not any("residual" in name for name in trained)
  before = [v.numpy() for v in case.published.variables]
  case.call()(tf.constant(case.published.samples[1]), training=True)
  frozen = [
    np.array_equal(value, variable)
    for value, variable in zip(before, case.published.variables, strict=True)
    if "batch_normalization" in variable.name
  ]
  assert frozen
  assert all(frozen)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"num_classes": 1}, "leaves nothing to detect"),
    ({"input_size": [64, 64]}, "must be .height, width, 3."),
    (
      {"detection_generator": {"apply_nms": False}},
      "apply_nms = False leaves boxes that overlap",
    ),
    (
      {"detection_generator": {"nms_version": "tflite"}},
      "'tflite' must be one of 'v1', 'v2', 'v3', 'batched'.*placeholders",
    ),
    (
      {"head": {"attribute_heads": [{"name": "a"}]}},
      "gives attributes of what it finds with 'v1' only",
    ),
  ],
)
def test_refuses_what_it_can_not_publish(change, message):
  config = _retinanet()
  config.override(change)
  exporter = retinanet_lib.RetinaNetExporter(
    checkpoint="/nowhere", model=config, l2_weight_decay=0.0
  )
  with pytest.raises(ExportError, match=message):
    exporter.build()


def test_refuses_a_cascade_of_boxes_by_class():
  config = _mask_rcnn(roi_sampler=_CASCADE["roi_sampler"])
  exporter = mask_rcnn.MaskRCNNExporter(
    checkpoint="/nowhere", model=config, l2_weight_decay=0.0
  )
  with pytest.raises(ExportError, match="class_agnostic_bbox_pred = True"):
    exporter.build()


def _export(exporter, tmp_path):
  return exporting.export(
    exporter, export_path=str(tmp_path / "model"), level=checks.NONE
  )


@pytest.mark.parametrize("case", ["retinanet", "mask_rcnn"], indirect=True)
def test_another_number_of_classes_is_one_clear_error(case, tmp_path):
  exporter = case.exporter
  other = exporter.config.replace(num_classes=6)
  with pytest.raises(ExportError, match=r"num_classes|shape") as error:
    _export(dataclasses.replace(exporter, model=other), tmp_path)
  assert "scores" in str(error.value)


def test_a_classifiers_checkpoint_is_one_clear_error(tmp_path):
  (binding,) = small_images.write(small_images.resnet(), tmp_path)
  exporter = retinanet_lib.RetinaNetExporter(
    checkpoint=binding.partition("'")[2].rstrip("'"),
    model=_retinanet(),
    l2_weight_decay=0.0,
  )
  with pytest.raises(ExportError, match="retina|lateral|head|lacks|missing"):
    _export(exporter, tmp_path)


def test_labels_count_the_background(tmp_path):
  names = tmp_path / "labels.txt"
  names.write_text("cat\ndog\nbird\n")
  fields = {"labels_file": str(names), "background_label": "background"}
  case = _case(_retinanet(), tmp_path, **fields)
  text = tf.io.gfile.GFile(case.published.assets["labels"]).read()
  assert text.split() == ["background", "cat", "dog", "bird"]
  with pytest.raises(ExportError, match="background_label = 'background'"):
    dataclasses.replace(case.exporter, background_label=None).build()


# One image's detections, of which the last is padding.
_GOOD = {
  "detection_boxes": [[[0.1, 0.2, 0.5, 0.6], [0, 0, 1, 1], [0, 0, 0, 0]]],
  "detection_classes": [[1, 2, 1]],
  "detection_scores": [[0.9, 0.4, 0]],
  "num_detections": [2],
}


def _detector(change) -> Published:
  """Returns a detector that always finds the same, whatever it sees."""
  found = {**_GOOD, **change}

  def detect(images):
    batch = tf.shape(images)[0]
    nothing = tf.reduce_sum(images) * 0.0
    return {
      name: tf.repeat(tf.constant(value, tf.float32), batch, axis=0) + nothing
      for name, value in found.items()
    }

  inputs = [tf.TensorSpec([None, 4, 4, 3], tf.float32, "images")]
  samples = [np.zeros([batch, 4, 4, 3], np.float32) for batch in (1, 3)]
  fields = {
    "inputs": inputs,
    "samples": samples,
    "training": False,
    "api": "detector",
  }
  return Published(
    function=lambda images: {"cls_outputs_3": images},
    reference=lambda images: {"cls_outputs_3": images},
    serving="detect",
    sub_objects={
      "detect": Published(function=detect, reference=detect, **fields)
    },
    **fields,
  )


@pytest.mark.parametrize(
  ("change", "detail"),
  [
    ({}, None),
    ({"detection_scores": [[0.4, 0.9, 0]]}, "scores do not fall"),
    ({"detection_scores": [[9, 0.4, 0]]}, "scores do not fall"),
    ({"num_detections": [3]}, "num_detections is not how many"),
    ({"detection_classes": [[0, 2, 1]]}, "not a whole number from 1"),
    ({"detection_classes": [[1.5, 2, 1]]}, "not a whole number from 1"),
    (
      {"detection_boxes": [[[0, 0, 480, 640], [0, 0, 1, 1], [0] * 4]]},
      "a box is not in the image",
    ),
    (
      {"detection_boxes": [[[0.5, 0, 0.1, 1], [0, 0, 1, 1], [0] * 4]]},
      "a box ends before it begins",
    ),
  ],
)
def test_check_of_detections(change, detail, tmp_path):
  published = _detector(change)
  path = str(tmp_path / "model")
  reusable.write(published, path)
  with checker.Checker(checks.BASIC) as processes:
    results = processes.check(
      published, path, scratch=str(tmp_path), private=[]
    )
  (result,) = (r for r in results if r.check == "detections")
  if detail is None:
    assert result.status == checks.PASSED
    assert "in 8 detections of 4 images" in result.detail
  else:
    assert result.status == checks.FAILED
    assert detail in result.detail
