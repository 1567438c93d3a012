"""SpineNets: what of them is published, and the sizes that can be built."""

from official.vision.configs import image_classification as configs
from official.vision.modeling import factory
from official.vision.modeling.backbones import spinenet
from official.vision.modeling.backbones import spinenet_mobile
from official.vision.tasks import image_classification
import pytest
import tensorflow as tf
import tf_keras

from exporters import checkpoints
from exporters.errors import ExportError
from exporters.vision import images
from exporters.vision import official_vision
from scripts.small_instances import images as small_images
from scripts.small_instances import sizes
from tests import closeness
from tests.instances import small_exporter

_BACKBONES = {
  "spinenet": (spinenet.SpineNet, "SpineNet"),
  "spinenet_mobile": (spinenet_mobile.SpineNetMobile, "SpineNetMobile"),
}


@pytest.fixture(scope="module", params=_BACKBONES)
def models(request, tmp_path_factory):
  """Returns the model that Model Garden's task restores, and what is exported.

  From one checkpoint.
  """
  model = small_exporter(request.param, "CHECKPOINT = ''").model
  config = configs.ImageClassificationTask(
    model=model, init_checkpoint_modules="all"
  )
  task = image_classification.ImageClassificationTask(config)
  garden = task.build_model()
  small_images.randomize(garden)
  prefix = tf.train.Checkpoint(model=garden, **garden.checkpoint_items).write(
    str(tmp_path_factory.mktemp(request.param) / "ckpt")
  )
  small_images.randomize(garden, seed=9)
  config.init_checkpoint = prefix
  task.initialize(garden)
  _, name = _BACKBONES[request.param]
  exporter = small_exporter(
    request.param,
    f"CHECKPOINT = '{prefix}'",
    f"spinenet.{name}Exporter.artifacts = ['classification', 'feature_vector']",
  )
  build = exporter.build()
  for parts in build.restores:
    checkpoints.restore(exporter.opened, parts)
  return garden, build.published


def test_outputs_are_those_of_model_gardens_task(models):
  garden, published = models
  inputs = tf.random.stateless_uniform([2, 128, 128, 3], [1, 2])
  want = garden(official_vision.normalize(inputs), training=False)
  got = published[images.CLASSIFICATION].function(inputs, training=False)
  closeness.assert_close(got, want)
  features = published[images.FEATURE_VECTOR].function(inputs, training=False)
  *_, dense = garden.layers
  closeness.assert_close(features @ dense.kernel + dense.bias, want)


def test_what_the_logits_depend_on_is_published(models):
  garden, published = models
  inputs = tf.random.stateless_uniform([2, 128, 128, 3], [1, 2])
  with tf.GradientTape() as tape:
    logits = garden(official_vision.normalize(inputs), training=False)
  gradients = tape.gradient(logits, garden.trainable_variables)
  reached = [
    variable
    for variable, gradient in zip(
      garden.trainable_variables, gradients, strict=True
    )
    if gradient is not None
  ]
  # The outputs of four levels, and the blocks that only they come from.
  assert len(garden.trainable_variables) - len(reached) in (60, 59)
  got = published[images.CLASSIFICATION].trainable_variables
  assert _values(got) == _values(reached)


@pytest.mark.parametrize("name", _BACKBONES)
def test_a_backbone_of_one_output_is_published_whole(name):
  levels = f"backbones.{_BACKBONES[name][1]}.min_level = 7"
  with checkpoints.uninitialized():
    classifier = small_exporter(name, "CHECKPOINT = ''", levels).classifier()
  whole = classifier.model.variables
  assert len(classifier.published.variables) == len(whole)


@pytest.mark.parametrize("name", _BACKBONES)
@pytest.mark.parametrize(
  ("height", "width", "fits"),
  [
    (64, 64, True),
    (96, 96, False),
    (127, 127, True),
    (192, 192, True),
    (224, 224, False),
    (128, 256, True),
    (256, 192, False),
  ],
)
def test_other_sizes_are_refused(name, height, width, fits, monkeypatch):
  exporter = small_exporter(
    name,
    "CHECKPOINT = ''",
    f"{sizes.MODEL}.input_size = [{height}, {width}, 3]",
  )
  backbone, _ = _BACKBONES[name]

  def build():
    shape = [None, height, width, 3]
    backbone(tf_keras.layers.InputSpec(shape=shape), filter_size_scale=1 / 8)

  monkeypatch.setattr(factory, "build_classification_model", _unreachable)
  if fits:
    build()
    exporter.refuse_other_models()
  else:
    with pytest.raises(ValueError, match="shape"):
      build()
    with pytest.raises(ExportError, match=r"Multiples of 128 always fit\."):
      exporter.refuse_other_models()


def test_levels_left_out_of_a_mobile_one_need_not_fit():
  # Its blocks stay below the last level, so that 320 is halved six times.
  exporter = small_exporter(
    "spinenet_mobile",
    "CHECKPOINT = ''",
    "backbones.SpineNetMobile.max_level = 6",
    f"{sizes.MODEL}.input_size = [320, 320, 3]",
  )
  with checkpoints.uninitialized():
    assert exporter.classifier().published.output.shape == (None, 7)


def _unreachable(*args, **kwargs):
  raise AssertionError("Something was built.")


def _values(variables) -> set[bytes]:
  return {variable.numpy().tobytes() for variable in variables}
