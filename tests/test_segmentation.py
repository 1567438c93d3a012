"""Semantic segmentation: Model Garden's own serving code gives the same."""

import copy
import dataclasses
import pathlib
import re

import gin
import numpy as np
from official.core import exp_factory
from official.core import train_utils
from official.vision import registry_imports  # noqa: F401 - experiments.
from official.vision.configs import semantic_segmentation as configs
from official.vision.dataloaders import segmentation_input
from official.vision.serving import semantic_segmentation
from official.vision.tasks import semantic_segmentation as tasks
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras

from exporters import base
from exporters import checks
from exporters import recipe
from exporters.checks import numbers
from exporters.errors import ExportError
from exporters.life_cycle import exporting
from exporters.saved_model import description
from exporters.vision import masks
from scripts.small_instances import INSTANCES
from scripts.small_instances import images as small_images
from scripts.small_instances import segmenters
from tests import closeness
from tests import command
from tests.instances import exported_model
from tests.instances import small_exporter
from tests.test_checks import processes  # noqa: F401 - a fixture.
from tests.test_checks import results  # noqa: F401 - a fixture.
from tests.test_checks import with_status
from tests.test_encoded_images import decoded
from tests.test_encoded_images import example
from tests.test_encoded_images import photographs

_NAMES = ("deeplabv3plus", "fpn_segmentation")
_EXPORTER = "segmentation.SemanticSegmentationExporter"
_FILES = f"{_EXPORTER}.signatures = ['image_bytes', 'tf_example']"
_MODEL = "semantic_segmentation.SemanticSegmentationModel"
_HEAD = "semantic_segmentation.SegmentationHead"


def experiment_of(exporter: base.Exporter):
  """Returns the configuration of a training of the same model."""
  experiment = exp_factory.get_exp_config("semantic_segmentation")
  task = experiment.task
  task.model = copy.deepcopy(exporter.model)
  task.losses.l2_weight_decay = exporter.l2_weight_decay
  task.losses.ignore_label = exporter.ignore_label
  for data in (task.train_data, task.validation_data):
    data.output_size = list(exporter.image_size)
    data.preserve_aspect_ratio = exporter.preserve_aspect_ratio
    data.image_feature.mean = list(exporter.mean)
    data.image_feature.stddev = list(exporter.stddev)
  return experiment


def _garden(exporter: base.Exporter, *, rescale: bool):
  """Returns Model Garden's serving module on the exporter's checkpoint."""
  params = experiment_of(exporter)
  params.task.export_config.rescale_output = rescale
  module = semantic_segmentation.SegmentationModule(
    params,
    batch_size=1,
    input_image_size=list(exporter.image_size),
    input_type="image_bytes",
  )
  module.model(tf.zeros([1, *exporter.image_size, 3]))
  status = tf.train.Checkpoint(model=module.model).read(exporter.checkpoint)
  status.assert_existing_objects_matched()
  return module


def _same_classes(got, logits) -> None:
  """Compares a mask with the likeliest classes, but where two are equal."""
  first, second = tf.unstack(tf.math.top_k(logits, 2).values, axis=-1)
  decided = (first - second).numpy() > closeness.BOUND * np.abs(logits).max()
  assert decided.mean() > 0.99
  assert got.dtype == tf.int32
  want = np.argmax(logits, axis=-1)
  np.testing.assert_array_equal(np.asarray(got)[decided], want[decided])
  assert len(np.unique(want)) > 1


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict[str, str]:
  """The binding of a training's checkpoint, by name."""
  found = {}
  for name in _NAMES:
    found[name], *_ = INSTANCES[name].write_inputs(
      tmp_path_factory.mktemp(name)
    )
  return found


@pytest.fixture(scope="module", params=_NAMES)
def exporter(request, checkpoints) -> base.Exporter:
  return small_exporter(request.param, checkpoints[request.param], _FILES)


@pytest.fixture(scope="module")
def model(exporter, tmp_path_factory):
  return exported_model(exporter, tmp_path_factory.mktemp("exported") / "model")


def _photographs_of_one_size(exporter) -> np.ndarray:
  """Returns photographs of bytes, as large as the model takes them."""
  resized = [
    tf.image.resize(decoded(file), exporter.image_size)
    for file in photographs()
  ]
  return tf.cast(tf.stack(resized), tf.uint8).numpy()


def test_gives_what_the_gardens_serving_gives(exporter, model):
  garden = _garden(exporter, rescale=False)
  pixels = _photographs_of_one_size(exporter)
  images = tf.constant(pixels / np.float32(255))
  logits = model(images)
  assert logits.shape[1] < images.shape[1]
  found = model.predict(images)
  closeness.assert_close(
    found["probabilities"],
    tf.nn.softmax(tf.image.resize(logits, exporter.image_size)),
  )
  for i, image in enumerate(pixels):
    want = garden.inference_from_image_tensors(image[None])["logits"]
    closeness.assert_close(
      tf.image.resize(logits[i : i + 1], exporter.image_size), want
    )
    _same_classes(found["predicted_masks"][i], want[0])


# Model Garden's serving mixes up height and width where it stretches images.
@pytest.mark.parametrize(
  ("preserve", "size"), [(True, [64, 96]), (True, [96, 64]), (False, [64, 64])]
)
def test_masks_of_files_are_those_of_the_gardens_serving(
  preserve, size, checkpoints, tmp_path
):
  """On photographs of several sizes, in one batch here, one by one there."""
  name = "fpn_segmentation"
  exporter = small_exporter(
    name,
    checkpoints[name],
    f"{_EXPORTER}.image_size = {size}",
    f"{_MODEL}.input_size = {[*size, 3]}",
    f"{_EXPORTER}.preserve_aspect_ratio = {preserve}",
    f"{_EXPORTER}.mean = [100.0, 110.0, 120.0]",
    f"{_EXPORTER}.stddev = [50.0, 60.0, 70.0]",
    f"{_EXPORTER}.ignore_label = 200",
  )
  model = exported_model(exporter, tmp_path / "model")
  garden = _garden(exporter, rescale=True)
  files = photographs()
  found = model.image_bytes(files)
  predicted, sizes = found["predicted_masks"], found["image_sizes"]
  np.testing.assert_array_equal(
    sizes, [decoded(file).shape[:2] for file in files]
  )
  assert predicted.shape == (len(files), *np.max(sizes, axis=0))
  for file, mask, (height, width) in zip(files, predicted, sizes, strict=True):
    want = garden.inference_from_image_bytes(tf.constant([file]))["logits"][0]
    assert want.shape[:2] == (height, width)
    _same_classes(mask[:height, :width], want)
    outside = np.concatenate(
      [np.ravel(mask[height:]), np.ravel(mask[:height, width:])]
    )
    assert set(outside) <= {200}
    alone = model.signatures["image_bytes"](tf.constant([file]))
    np.testing.assert_array_equal(
      alone["predicted_masks"][0], mask[:height, :width]
    )
  from_examples = model.tf_example([example(file) for file in files])
  np.testing.assert_array_equal(from_examples["predicted_masks"], predicted)


@pytest.mark.parametrize("preserve", [True, False])
@pytest.mark.parametrize("file", photographs(), ids=len)
def test_prepares_files_as_the_evaluation_does(file, preserve):
  data = configs.DataConfig()
  mean, stddev = data.image_feature.mean, data.image_feature.stddev
  preparation = masks.Preparation(
    image_size=(64, 96),
    preserve_aspect_ratio=preserve,
    mean=mean,
    ignore_label=255,
  )
  got, _ = preparation.prepared(decoded(file))
  height, width, _ = decoded(file).shape
  parser = segmentation_input.Parser(
    [64, 96], preserve_aspect_ratio=preserve, groundtruth_padded_size=[64, 96]
  )
  blank = tf.io.encode_png(tf.zeros([height, width, 1], tf.uint8))
  want, _ = parser._parse_eval_data(
    {
      "image/encoded": file,
      "image/height": height,
      "image/width": width,
      "image/segmentation/class/encoded": blank,
    }
  )
  closeness.assert_close((got * 255 - mean) / stddev, want, bound=1e-4)


def test_trains_as_the_task_does(exporter, checkpoints, tmp_path):
  """The same losses, logits in training, and averages after it."""
  without_dropout = dataclasses.replace(exporter, signatures=())
  if exporter.model.decoder.type == "aspp":
    config = copy.deepcopy(exporter.model)
    config.decoder.aspp.dropout_rate = 0.0
    without_dropout = dataclasses.replace(without_dropout, model=config)
  model = exported_model(without_dropout, tmp_path / "model")
  config = experiment_of(without_dropout).task
  config.init_checkpoint = exporter.checkpoint
  task = tasks.SemanticSegmentationTask(config)
  garden = task.build_model()
  tf.train.Checkpoint(model=garden).read(exporter.checkpoint)
  rng = np.random.default_rng(3)
  images = rng.random([4, 64, 64, 3], np.float32)
  normalized = (images * 255 - exporter.mean) / exporter.stddev
  want = garden(normalized.astype(np.float32), training=True)["logits"]
  closeness.assert_close(model(images, training=True), want)
  # Keras numbers the names in each process.
  after = [v.numpy() for v in garden.non_trainable_variables]
  moved = [v.numpy() for v in model.variables if not v.trainable]
  assert moved
  for got in moved:
    same = [v for v in after if v.shape == got.shape]
    distances = [np.abs(got - v).max() / np.abs(v).max() for v in same]
    assert min(distances) < closeness.BOUND
  losses = np.sum([loss() for loss in model.regularization_losses])
  squares = [
    np.sum(np.square(v))
    for v in model.trainable_variables
    if v.name.endswith("kernel:0")
  ]
  l2 = exporter.l2_weight_decay
  closeness.assert_close(losses, 0.5 * l2 * np.sum(squares))
  if exporter.model.decoder.type == "aspp":
    # Of the pyramid, the logits do not depend on all levels.
    closeness.assert_close(losses, np.sum(garden.losses))


def test_takes_images_of_any_size_that_its_signature_allows(exporter, model):
  sizes = {"aspp": ((65, 97), (33, 40)), "fpn": ((32, 96), (128, 64))}
  for size in sizes[exporter.model.decoder.type]:
    images = tf.random.stateless_uniform([2, *size, 3], [1, 2])
    found = model.signatures["predict"](images=images)
    assert found["predicted_masks"].shape == (2, *size)
    assert found["probabilities"].shape == (2, *size, 7)
    served = model.signatures["serving_default"](images=images)
    closeness.assert_close(served["logits"], model(images))


def test_sigmoids_where_the_loss_took_each_class_alone(checkpoints, tmp_path):
  exporter = small_exporter(
    "deeplabv3plus",
    checkpoints["deeplabv3plus"],
    f"{_EXPORTER}.use_binary_cross_entropy = True",
  )
  model = exported_model(exporter, tmp_path / "model")
  images = tf.ones([1, 64, 64, 3]) / 2
  want = tf.nn.sigmoid(tf.image.resize(model(images), [64, 64]))
  closeness.assert_close(model.predict(images)["probabilities"], want)


def test_carries_the_names_of_the_classes(checkpoints, tmp_path):
  names = tmp_path / "names.txt"
  names.write_text("".join(f"class {i}\n" for i in range(7)))
  binding = f"{_EXPORTER}.labels_file = '{names}'"
  exporter = small_exporter(
    "deeplabv3plus", checkpoints["deeplabv3plus"], binding
  )
  model = exported_model(exporter, tmp_path / "model")
  found = pathlib.Path(model.labels.asset_path.numpy().decode())
  assert found.read_text() == names.read_text()
  names.write_text("only one\n")
  with pytest.raises(ExportError, match="names 1 classes, but the model has 7"):
    exporter.build()


@pytest.mark.parametrize(
  ("bindings", "reason"),
  [
    ([f"{_MODEL}.num_classes = 9"], r"segmentation_output|\(9,\)"),
    (["decoders.ASPP.dilation_rates = [2]"], "fit"),
    (["decoders.ASPP.num_filters = 16"], "fit"),
    (["backbones.DilatedResNet.stem_type = 'v0'"], "fit"),
  ],
)
def test_another_model_does_not_fit(bindings, reason, checkpoints, tmp_path):
  exporter = small_exporter(
    "deeplabv3plus", checkpoints["deeplabv3plus"], *bindings
  )
  with pytest.raises(ExportError, match=reason):
    exported_model(exporter, tmp_path / "model")
  assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
  ("name", "bindings", "reason"),
  [
    ("deeplabv3plus", [f"{_EXPORTER}.image_size = [64]"], "must be .height"),
    ("deeplabv3plus", [f"{_MODEL}.input_size = [64, 64, 6]"], "three channels"),
    ("fpn_segmentation", [f"{_MODEL}.input_size = [96, 96, 3]"], "input_size"),
    ("deeplabv3plus", [f"{_MODEL}.num_classes = 1"], "at least 2"),
    (
      "deeplabv3plus",
      [f"{_HEAD}.logit_activation = 'softmax'"],
      "something else than logits. Bind it to None",
    ),
    (
      "deeplabv3plus",
      [f"{_HEAD}.feature_fusion = 'panoptic_fpn_fusion'"],
      "Model Garden can't build a head",
    ),
    ("deeplabv3plus", [f"{_HEAD}.feature_fusion = 'plus'"], "must be one of"),
    ("deeplabv3plus", [f"{_HEAD}.level = 7"], "head.level = 7 is not among"),
    ("deeplabv3plus", [f"{_HEAD}.low_level = 9"], "levels of the backbone: 2"),
    ("deeplabv3plus", ["decoders.ASPP.level = 9"], "decoder.aspp.level = 9"),
    (
      "deeplabv3plus",
      ["decoders.ASPP.pool_kernel_size = [128, 64]"],
      r"must be at least \[128, 64\]",
    ),
    (
      "fpn_segmentation",
      [
        f"{_EXPORTER}.image_size = [64, 72]",
        f"{_MODEL}.input_size = [64, 72, 3]",
      ],
      "multiples of 32",
    ),
    ("deeplabv3plus", [f"{_EXPORTER}.stddev = [1.0, 0.0, 1.0]"], "may be 0"),
    (
      "deeplabv3plus",
      [f"{_EXPORTER}.signatures = ['image_tensor']"],
      "may name 'image_bytes' and",
    ),
  ],
)
def test_what_is_not_exported_is_refused(name, bindings, reason, checkpoints):
  with pytest.raises(ExportError, match=reason):
    small_exporter(name, checkpoints[name], *bindings).build()


def test_a_head_that_scores_masks_is_refused(exporter):
  config = copy.deepcopy(exporter.model)
  config.mask_scoring_head = configs.MaskScoringHead()
  with pytest.raises(ExportError, match="mask_scoring_head is not exported"):
    dataclasses.replace(exporter, model=config).build()


def test_model_garden_builds_no_panoptic_fusion(checkpoints):
  """As the refusal says."""
  exporter = small_exporter("fpn_segmentation", checkpoints["fpn_segmentation"])
  config = copy.deepcopy(exporter.model)
  config.head.feature_fusion = "panoptic_fpn_fusion"
  config.head.decoder_min_level, config.head.decoder_max_level = 3, 5
  with pytest.raises(TypeError):
    segmenters.built(dataclasses.replace(exporter, model=config))


def _train(exporter: base.Exporter, folder: pathlib.Path, change=None) -> None:
  """Leaves what a training does: a checkpoint, and its configuration."""
  experiment = experiment_of(exporter)
  if change:
    experiment.override(change)
  train_utils.serialize_config(experiment, str(folder))
  garden = tasks.SemanticSegmentationTask(experiment_of(exporter).task)
  model = garden.build_model()
  small_images.randomize(model)
  tf.train.Checkpoint(**model.checkpoint_items).write(exporter.checkpoint)


@pytest.mark.parametrize("name", _NAMES)
def test_the_configuration_beside_a_checkpoint_agrees(name, tmp_path):
  """And a checkpoint of the parts alone is restored."""
  exporter = small_exporter(name, f"CHECKPOINT = '{tmp_path / 'ckpt'}'")
  _train(exporter, tmp_path)
  exported_model(exporter, tmp_path / "model")


def test_the_configuration_beside_a_checkpoint_is_not_contradicted(tmp_path):
  exporter = small_exporter(
    "deeplabv3plus", f"CHECKPOINT = '{tmp_path / 'ckpt'}'"
  )
  change = {
    "task": {
      "model": {"decoder": {"aspp": {"dilation_rates": [6, 12]}}},
      "train_data": {"preserve_aspect_ratio": False},
    }
  }
  _train(exporter, tmp_path, change)
  with pytest.raises(ExportError) as caught:
    exporter.build()
  assert str(caught.value).splitlines()[1:3] == [
    "  task.model.decoder.aspp.dilation_rates = [6, 12, 18], but the training "
    "had [6, 12]",
    "  task.train_data.preserve_aspect_ratio = True, but the training had "
    "False",
  ]


@pytest.mark.parametrize(
  ("leaf", "experiment"),
  [
    ("deeplabv3_resnet_101_pascal", "seg_deeplabv3_pascal"),
    ("deeplabv3plus_resnet_101_pascal", "seg_deeplabv3plus_pascal"),
    ("deeplabv3plus_resnet_101_cityscapes", "seg_deeplabv3plus_cityscapes"),
    ("fpn_resnet_50_pascal", "seg_resnetfpn_pascal"),
    ("deeplabv3_mobilenet_v2_pascal", "mnv2_deeplabv3_pascal"),
    ("deeplabv3_mobilenet_v2_cityscapes", "mnv2_deeplabv3_cityscapes"),
    ("deeplabv3plus_mobilenet_v2_cityscapes", "mnv2_deeplabv3plus_cityscapes"),
  ],
)
def test_leaves_are_the_gardens_experiments(leaf, experiment):
  gin.clear_config()
  path = str(command.ROOT / f"configs/segmentation/{leaf}.gin")
  exporter = recipe.load([path], ["CHECKPOINT = ''"]).exporter
  gin.clear_config()
  task = exp_factory.get_exp_config(experiment).task
  task.model.norm_activation.use_sync_bn = False
  ours, theirs = exporter.model.as_dict(), task.model.as_dict()
  if "aspp" in theirs["decoder"]:
    # An empty size is as good as none.
    pooled = theirs["decoder"]["aspp"]
    pooled["pool_kernel_size"] = pooled["pool_kernel_size"] or None
  assert ours == theirs
  assert exporter.l2_weight_decay == task.losses.l2_weight_decay
  assert exporter.ignore_label == task.losses.ignore_label
  binary = task.losses.use_binary_cross_entropy
  assert exporter.use_binary_cross_entropy == binary
  data = task.train_data
  assert exporter.preserve_aspect_ratio == data.preserve_aspect_ratio
  assert list(exporter.mean) == list(data.image_feature.mean)
  assert list(exporter.stddev) == list(data.image_feature.stddev)
  # The experiment of the pyramid leaves it to its user.
  size = task.validation_data.output_size or task.model.input_size[:2]
  assert list(exporter.image_size) == size


def _segmenter() -> base.Published:
  """Returns a model of one layer, with masks."""
  # Of each class some pixels: those whose channel is the brightest.
  layer = tf_keras.layers.Conv2D(
    3,
    1,
    strides=2,
    kernel_initializer=tf_keras.initializers.Constant(np.eye(3)),
  )
  layer.build([None, None, None, 3])
  spec = tf.TensorSpec([None, None, None, 3], tf.float32, "images")
  samples = [
    np.random.default_rng(0).random([n, 8, 6, 3], np.float32) for n in (1, 2)
  ]

  def predict(images):
    logits = tf.image.resize(layer(images), tf.shape(images)[1:3])
    return {
      "predicted_masks": tf.argmax(logits, -1, tf.int32),
      "probabilities": tf.nn.softmax(logits),
    }

  return base.Published(
    function=lambda images, training: layer(images),
    reference=lambda images, training: layer(images),
    inputs=[spec],
    outputs=("logits",),
    variables=layer.variables,
    trainable_variables=layer.trainable_variables,
    samples=samples,
    api="image segmentation",
    sub_objects={
      "predict": base.Published(
        function=predict,
        reference=predict,
        inputs=[spec],
        training=False,
        signature=True,
        variables=layer.variables,
        samples=samples,
      )
    },
  )


@pytest.mark.parametrize(
  ("change", "detail"),
  [
    ({"predicted_masks": lambda x: x[:, ::2]}, r"predicted_masks are int32"),
    ({"predicted_masks": lambda x: x + 1}, r"not in \[0, 3\)"),
    ({"predicted_masks": lambda x: (x + 1) % 3}, "not of the highest"),
    ({"predicted_masks": lambda x: tf.cast(x, tf.int64)}, "are int64"),
    ({"probabilities": lambda x: x[..., :2]}, "probabilities are float32"),
    ({"probabilities": lambda x: 3.0 * x}, r"not in \[0, 1\]"),
  ],
)
def test_masks_that_are_wrong(change, detail, results):  # noqa: F811
  good = _segmenter()
  predict = good.sub_objects["predict"]

  def wrong(images):
    outputs = predict.function(images)
    return outputs | {n: f(outputs[n]) for n, f in change.items()}

  broken = dataclasses.replace(
    good,
    sub_objects={
      "predict": dataclasses.replace(predict, function=wrong, reference=wrong)
    },
  )
  assert with_status(results(good, good), checks.FAILED) == []
  made = results(broken, broken)
  assert with_status(made, checks.FAILED) == ["masks"]
  assert made["masks"].figure > 0
  assert re.search(detail, made["masks"].detail)


def test_few_pixels_may_be_of_another_class_where_two_are_as_likely():
  want = {"predicted_masks": np.zeros([2, 50, 40], np.int32)}
  got = {"predicted_masks": want["predicted_masks"].copy()}
  got["predicted_masks"].flat[:4] = 1
  assert numbers.difference(got, want) == (0.0, "")
  got["predicted_masks"].flat[:5] = 1
  assert numbers.difference(got, want)[0] == float("inf")
  # Other whole numbers must be equal.
  one, other = ({"ids": nest["predicted_masks"]} for nest in (got, want))
  one["ids"].flat[1:] = 0
  assert numbers.difference(one, other)[0] == float("inf")


def test_a_stranger_is_not_asked_for_a_row_an_image(exporter, tmp_path):
  """As `scripts.check` looks at a SavedModel from anywhere."""
  exporting.export(
    exporter, export_path=str(tmp_path / "model"), level=checks.NONE
  )
  done = command.run("scripts.check", str(tmp_path / "model"))
  shown = " ".join(done.stdout.split())
  assert "specification: images: " in shown
  assert "does not follow" not in shown


def test_a_page_counts_what_the_model_trains(exporter, tmp_path):
  """Though the callables for files and masks train nothing."""
  path = str(tmp_path / "model")
  exporting.export(exporter, export_path=path, level=checks.NONE)
  described = description.read(path)
  trained = hub.load(path).trainable_variables
  assert described.trainable_parameters == sum(
    v.shape.num_elements() for v in trained
  )
  assert described.constants == {"ignore_label": 255}


def test_gradients_are_of_plain_operations(exporter):
  """Converters can't read those that TensorFlow defines for swish."""
  model = exporter.segmenter()
  call = tf.function(lambda images: model(images, training=True)["logits"])
  concrete = call.get_concrete_function(tf.zeros([1, 64, 64, 3]))
  graph = concrete.graph.as_graph_def()
  nodes = [
    *graph.node,
    *(n for f in graph.library.function for n in f.node_def),
  ]
  assert any(node.op == "Sigmoid" for node in nodes)
  assert not any("_gradient_op_type" in node.attr for node in nodes)
