"""MoViNet against Model Garden's own, and as its published pages use it."""

import json
import pathlib

import gin
import numpy as np
from official.projects.movinet.modeling import movinet_model
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras

from exporters import base
from exporters import checks
from exporters import recipe
from exporters.errors import ExportError
from exporters.life_cycle import exporting
from exporters.overlay import garden_videos
from scripts import moving_digits
from scripts.small_instances import INSTANCES
from tests import closeness
from tests import command
from tests.instances import small_exporter

_SPECS = tf_keras.layers.InputSpec(shape=[None, None, None, None, 3])


def _export(exporter: base.Exporter, path: pathlib.Path) -> str:
  exporting.export(exporter, export_path=str(path), level=checks.NONE)
  return str(path)


def _garden(exporter: base.Exporter) -> tf_keras.Model:
  """Returns the model as Model Garden trains it, with its own activations."""
  return movinet_model.build_movinet_model(
    _SPECS, exporter.model, exporter.num_classes
  )


def _restored(exporter: base.Exporter) -> tf_keras.Model:
  model = _garden(exporter)
  status = tf.train.Checkpoint(model=model).read(exporter.checkpoint)
  status.assert_existing_objects_matched()
  return model


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict[str, str]:
  """The binding of a training's checkpoint, by name."""
  found = {}
  for name in ("movinet_base", "movinet_stream"):
    folder = tmp_path_factory.mktemp(name)
    found[name], *_ = INSTANCES[name].write_inputs(folder)
  return found


@pytest.fixture(scope="module")
def exported(checkpoints, tmp_path_factory) -> dict[str, str]:
  """The path of the artifact, by name."""
  return {
    name: _export(
      small_exporter(name, checkpoint), tmp_path_factory.mktemp("model") / name
    )
    for name, checkpoint in checkpoints.items()
  }


@pytest.fixture(scope="module")
def video() -> tf.Tensor:
  return tf.constant(
    np.random.default_rng(1).random([2, 5, 40, 33, 3], np.float32)
  )


def test_a_base_gives_what_the_trained_model_gives(
  exported, checkpoints, video
):
  exporter = small_exporter("movinet_base", checkpoints["movinet_base"])
  garden = _restored(exporter)
  got = hub.load(exported["movinet_base"])({"image": video})
  closeness.assert_close(got, tf.function(garden)({"image": video}))


def test_a_stream_gives_what_the_trained_model_gives(
  exported, checkpoints, video
):
  """Frame by frame, and in a clip; the training takes whole videos."""
  exporter = small_exporter("movinet_stream", checkpoints["movinet_stream"])
  garden = _restored(exporter)
  want = tf.function(garden)({"image": video})
  model = hub.load(exported["movinet_stream"])
  states = model.init_states(tf.shape(video))
  for frames in (video[:, :1], video[:, 1:2], video[:, 2:]):
    logits, states = model({**states, "image": frames})
  closeness.assert_close(logits, want)


def test_the_usage_of_the_published_pages_runs(exported, video):
  """A functional model that takes the states, called frame by frame."""
  layer = hub.KerasLayer(exported["movinet_stream"], trainable=True)
  init_states = layer.resolved_object.signatures["init_states"]
  # A zero leaves a dimension open.
  states = {
    name: tf_keras.Input(
      [size or None for size in state.shape[1:]], dtype=state.dtype, name=name
    )
    for name, state in init_states(tf.constant([0, 0, 0, 0, 3])).items()
  }
  image = tf_keras.Input([None, None, None, 3], name="image")
  inputs = {**states, "image": image}
  model = tf_keras.Model(inputs, layer(inputs))
  states = init_states(tf.shape(video))
  want, _ = model({**states, "image": video})
  for frame in tf.split(video, video.shape[1], axis=1):
    logits, states = model({**states, "image": frame})
  assert logits.shape == [2, 7]
  closeness.assert_close(logits, want)
  # By `hub.load` alone, of the signature for serving.
  loaded = hub.load(exported["movinet_stream"])
  states = loaded.signatures["init_states"](input_shape=tf.shape(video))
  for frame in tf.split(video, video.shape[1], axis=1):
    states = loaded.signatures["serving_default"](**states, image=frame)
    logits = states.pop("logits")
  closeness.assert_close(logits, want)


def test_a_base_is_fine_tuned_as_its_page_says(exported, video):
  layer = hub.KerasLayer(
    exported["movinet_base"], trainable=True, arguments={"dropout_rate": 0.0}
  )
  image = tf_keras.Input([None, None, None, 3], name="image")
  scores = tf_keras.layers.Dense(2)(layer({"image": image}))
  model = tf_keras.Model({"image": image}, scores)
  model.compile(
    tf_keras.optimizers.Adam(1e-2),
    tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
  )
  losses = model.fit(
    {"image": video}, tf.constant([0, 1]), epochs=8, verbose=0
  ).history["loss"]
  assert losses[-1] < losses[0]


@pytest.mark.parametrize(
  ("conv_type", "se_type", "pooled"),
  [("3d", "3d", True), ("3d_2plus1d", "2d", False), ("2plus1d", "none", False)],
)
def test_other_convolutions_and_poolings_stream_too(
  tmp_path, video, conv_type, se_type, pooled
):
  exporter = small_exporter(
    "movinet_stream",
    f"CHECKPOINT = '{tmp_path / 'ckpt'}'",
    f"movinet_configs.Movinet.conv_type = '{conv_type}'",
    f"movinet_configs.Movinet.se_type = '{se_type}'",
  )
  tf.train.Checkpoint(model=_garden(exporter)).write(exporter.checkpoint)
  model = hub.load(_export(exporter, tmp_path / "model"))
  first = model.init_states(tf.shape(video))
  assert ("state_block0_layer0_pool_buffer" in first) == pooled
  want, _ = model({**first, "image": video})
  states = first
  for frame in tf.split(video, video.shape[1], axis=1):
    logits, states = model({**states, "image": frame})
  closeness.assert_close(logits, want)


def test_a_backbone_alone_lacks_the_classifier(checkpoints, tmp_path):
  """A checkpoint of both parts has all."""
  exporter = small_exporter("movinet_base", checkpoints["movinet_base"])
  garden = _garden(exporter)
  both = tf.train.Checkpoint(model=garden, backbone=garden.backbone)
  prefix = both.write(str(tmp_path / "both"))
  path = _export(
    small_exporter("movinet_base", f"CHECKPOINT = '{prefix}'"),
    tmp_path / "model",
  )
  assert len(hub.load(path).trainable_variables) == 58
  prefix = tf.train.Checkpoint(backbone=garden.backbone).write(
    str(tmp_path / "backbone")
  )
  with pytest.raises(ExportError, match="classifier"):
    _export(
      small_exporter("movinet_base", f"CHECKPOINT = '{prefix}'"),
      tmp_path / "no",
    )


def test_the_gardens_function_restores_and_fixes_sizes(
  checkpoints, exported, video, tmp_path
):
  """One frame of one size at a time, as for a device."""
  exporter = small_exporter("movinet_stream", checkpoints["movinet_stream"])
  frame = video[:1, :1]
  garden_videos.export(
    exporter.classifier().model,
    input_shape=tuple(frame.shape),
    causal=True,
    init_states=False,
    checkpoint_path=exporter.checkpoint,
    export_path=str(tmp_path / "model"),
  )
  fixed = hub.load(str(tmp_path / "model"))
  assert list(fixed.signatures) == ["serving_default"]
  _, specs = fixed.signatures["serving_default"].structured_input_signature
  assert all(spec.shape.is_fully_defined() for spec in specs.values())
  free = hub.load(exported["movinet_stream"])
  inputs = {**free.init_states(tf.shape(frame)), "image": frame}
  got, _ = fixed(inputs)
  want, _ = free(inputs)
  closeness.assert_close(got, want)


def test_labels_travel_with_it(checkpoints, tmp_path):
  path = tmp_path / "labels.txt"
  path.write_text("a\nb\nc\nd\ne\nf\n")
  lines = [
    checkpoints["movinet_base"],
    f"movinet.MoViNetExporter.labels_file = '{path}'",
  ]
  with pytest.raises(ExportError, match="names 6 classes, but .* 7 logits"):
    small_exporter("movinet_base", *lines).build()
  lines.append("movinet.MoViNetExporter.background_label = 'background'")
  model = hub.load(
    _export(small_exporter("movinet_base", *lines), tmp_path / "model")
  )
  with open(model.labels.asset_path.numpy()) as f:
    assert f.read().split() == ["background", *"abcdef"]


@pytest.mark.parametrize(
  ("binding", "reason"),
  [
    ("movinet_configs.Movinet.model_id = 'b0'", "There is no MoViNet 'b0'"),
    (
      "movinet.MoViNetExporter.image_size = [32]",
      r"image_size = \[32\] must be \[height, width\]",
    ),
    (
      "movinet.MoViNetExporter.background_label = 'background'",
      "needs a labels_file",
    ),
    (
      "movinet_configs.Backbone3D.type = 'resnet_3d'",
      "exports only 'movinet'",
    ),
  ],
)
def test_what_is_wrong_is_said_before_anything_is_built(binding, reason):
  with pytest.raises(ExportError, match=reason):
    small_exporter("movinet_base", "CHECKPOINT = '/tmp'", binding).build()


@pytest.fixture(scope="module")
def held_out() -> moving_digits.Videos:
  return moving_digits.load()[1]


@pytest.mark.parametrize("kind", ["base", "stream"])
def test_a_trained_one_is_as_accurate_as_its_training_said(
  kind, held_out, tmp_path
):
  """To the video; of a stream, frame by frame."""
  gin.clear_config()
  leaf = f"configs/movinet/moving_digits_{kind}.gin"
  model = hub.load(_export(recipe.load([leaf], []).exporter, tmp_path / kind))
  gin.clear_config()
  videos = tf.constant(held_out.videos)
  if kind == "base":
    logits = model({"image": videos})
  else:
    states = model.init_states(tf.shape(videos))
    for frame in tf.split(videos, moving_digits.FRAMES, axis=1):
      logits, states = model({**states, "image": frame})
  right = int(np.sum(np.argmax(logits, -1) == held_out.labels))
  folder = command.ROOT / f"tests/testdata/moving_digits_{kind}"
  accuracy = json.loads((folder / "accuracy.json").read_text())
  assert accuracy == {"held_out_videos": len(held_out.labels), "right": right}
  assert right >= 900
  assert sum(file.stat().st_size for file in folder.iterdir()) < 3e6
  with open(model.labels.asset_path.numpy()) as f:
    assert f.read().splitlines() == moving_digits.LABELS


def test_a_strangers_stream_is_checked_with_its_own_first_states(exported):
  path = exported["movinet_stream"]
  done = command.run("scripts.check", "--checks=basic", path)
  for check in ("hub.KerasLayer", "gradients", "specification: batch size"):
    assert f"{check}: passed" in done.stdout
  assert "  ! " not in done.stdout
