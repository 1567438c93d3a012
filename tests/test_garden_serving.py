"""Model Garden's command that exports vision models for serving."""

import json
import pathlib

import numpy as np
from official.core import exp_factory
from official.core import export_base
from official.vision import registry_imports  # noqa: F401 - for its effect.
from official.vision.serving import export_base_v2
from official.vision.serving import export_saved_model_lib
from official.vision.serving import image_classification
from official.vision.serving import video_classification
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
import tf_keras

from exporters.errors import ExportError
from scripts.small_instances import images as small_images
from tests import closeness
from tests import command
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


@pytest.mark.parametrize(
  ("key", "data"),
  [
    *((key, {}) for key in _TYPES),
    ("image_tensor", {"is_multilabel": True}),
    ("image_bytes", {"aug_crop": False}),
  ],
)
def test_images_are_served_as_by_model_garden(key, data, checkpoint, tmp_path):
  params = experiment(**data)
  loaded = export(params, checkpoint, tmp_path, key)
  want = of_the_garden(params, key, checkpoint)(inputs(key))
  assert sorted(want) == ["logits", "probs"]
  served = loaded.signatures["serving_default"]
  closeness.assert_close(served(inputs=inputs(key)), want)
  closeness.assert_close(loaded.serving_default(inputs(key)), want)
  # The call beside it is that of the exporter.
  images = np.random.default_rng(0).random([2, 40, 32, 3], np.float32)
  logits = loaded(images, training=False)
  assert logits.shape == [2, 7]
  trained = small_images.resnet().trainable_variables
  assert len(loaded.trainable_variables) == len(trained)


def test_each_image_is_cut_once_by_several_signatures(checkpoint, tmp_path):
  params = experiment()
  keys = {"tf_example": "serving_default", "image_tensor": "of_tensors"}
  loaded = export(
    params, checkpoint, tmp_path, "image_tensor", function_keys=keys
  )
  for key, name in keys.items():
    want = of_the_garden(params, key, checkpoint)(inputs(key))
    closeness.assert_close(loaded.signatures[name](inputs=inputs(key)), want)


def test_the_command_has_all_flags_and_passes_all_checks(checkpoint, tmp_path):
  def run(folder):
    return command.run(
      _MODULE,
      "--experiment=resnet_imagenet",
      f"--params_override={json.dumps({'task': {'model': _MODEL}})}",
      f"--checkpoint_path={checkpoint}",
      "--input_type=image_bytes",
      "--input_image_size=32,32",
      "--batch_size=2",
      "--input_name=files",
      "--add_tpu_function_alias",
      "--log_model_flops_and_params",
      "--export_saved_model_subdir=model",
      f"--export_dir={tmp_path / folder}",
      *([] if folder == "first" else ["--checks=none"]),
    )

  done = run("first")
  assert "written only for detectors" in done.stderr
  run("second")
  first, second = tmp_path / "first", tmp_path / "second"
  assert sorted(path.name for path in first.iterdir()) == [
    "checkpoint",
    "model",
    "params.yaml",
  ]
  files = [
    p.relative_to(first) for p in first.glob("model/**/*") if p.is_file()
  ]
  assert len(files) == 4
  for file in files:
    assert (first / file).read_bytes() == (second / file).read_bytes()
  proto = saved_model_pb2.SavedModel.FromString(
    (first / "model/saved_model.pb").read_bytes()
  )
  graph = proto.meta_graphs[0]
  aliases = graph.meta_info_def.function_aliases
  assert set(aliases.values()) == {"tpu_candidate"}
  named = {
    function.signature.name for function in graph.graph_def.library.function
  }
  assert set(aliases) <= named
  (tensor,) = graph.signature_def["serving_default"].inputs.values()
  assert [d.size for d in tensor.tensor_shape.dim] == [2]
  assert "files" in graph.signature_def["serving_default"].inputs
  model = small_images.resnet()
  tf.train.Checkpoint(model=model).read(
    str(first / "checkpoint/ckpt-1")
  ).assert_existing_objects_matched()


def test_what_else_is_in_the_directory_stays(checkpoint, tmp_path):
  (tmp_path / "ckpt-7.index").write_text("weights")
  for _ in range(2):
    export(experiment(), checkpoint, tmp_path, "image_tensor")
  assert (tmp_path / "ckpt-7.index").read_text() == "weights"
  assert (tmp_path / "params.yaml").exists()
  before = sorted(tmp_path.iterdir())
  with pytest.raises(ExportError, match="There is no checkpoint"):
    export(experiment(), str(tmp_path / "none"), tmp_path, "image_tensor")
  assert sorted(tmp_path.iterdir()) == before
  assert tf.saved_model.load(str(tmp_path))


@pytest.mark.parametrize("key", ["image_tensor", "tf_example"])
def test_videos_are_served_as_by_model_garden(key, tmp_path):
  params = exp_factory.get_exp_config("video_classification_ucf101")
  data = {"feature_shape": (4, 32, 32, 3), "num_classes": 5}
  params.override(
    {
      "task": {
        "model": {"backbone": {"resnet_3d": {"model_id": 50}}},
        "train_data": {**data, "min_image_size": 40},
        "validation_data": data,
      }
    }
  )
  module = video_classification.VideoClassificationModule(
    params, batch_size=None, input_image_size=[4, 32, 32], input_type=key
  )
  small_images.randomize(module.model)
  prefix = tf.train.Checkpoint(model=module.model).write(str(tmp_path / "ckpt"))
  loaded = export(
    params,
    prefix,
    tmp_path / "model",
    key,
    input_image_size=[4, 32, 32],
  )
  frames = tf.stack([tf.io.decode_jpeg(f) for f in photographs()[:2]] * 2)
  given = tf.image.resize(tf.cast(frames, tf.float32), [32, 32])[None]
  given = tf.cast(given, tf.uint8)
  if key == "tf_example":
    files = [tf.io.encode_jpeg(frame).numpy() for frame in frames]
    feature = [
      tf.train.Feature(bytes_list=tf.train.BytesList(value=[f])) for f in files
    ]
    lists = {"image/encoded": tf.train.FeatureList(feature=feature)}
    one = tf.train.SequenceExample(
      feature_lists=tf.train.FeatureLists(feature_list=lists)
    )
    given = tf.constant([one.SerializeToString()])
  signature = module.get_inference_signatures({key: "served"})["served"]
  want = signature(given)
  served = loaded.signatures["serving_default"]
  (name,) = served.structured_input_signature[1]
  assert (
    name
    == {
      "image_tensor": "INPUT_FRAMES",
      "tf_example": "encoded_inputs",
    }[key]
  )
  closeness.assert_close(served(**{name: given}), want)
  videos = np.random.default_rng(0).random([1, 4, 40, 32, 3], np.float32)
  assert loaded({"image": videos}).shape == [1, 5]


def test_a_module_of_a_caller_is_exported_by_its_own_functions(tmp_path):
  model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=[4])])
  module = export_base_v2.ExportModule(
    params=None,
    model=model,
    input_signature=tf.TensorSpec([None, 4], tf.float32, "features"),
    postprocessor=lambda outputs: {"doubled": 2.0 * outputs},
  )
  prefix = tf.train.Checkpoint(model=model).write(str(tmp_path / "ckpt"))
  values = [variable.numpy() for variable in model.variables]
  small_images.randomize(model)
  path = export_base.export(
    module,
    ["serving_default"],
    str(tmp_path / "models"),
    checkpoint_path=prefix,
    level="all",
  )
  assert pathlib.Path(path).name.isdigit()
  loaded = tf.saved_model.load(path)
  given = np.eye(4, dtype=np.float32)
  got = loaded.signatures["serving_default"](features=tf.constant(given))
  kernel, bias = values
  closeness.assert_close(got["doubled"], 2 * (kernel + bias))
  closeness.assert_close(loaded(given)["doubled"], got["doubled"])


def test_several_keys_need_names(checkpoint, tmp_path):
  with pytest.raises(ValueError, match="must contain a single element"):
    export(
      experiment(),
      checkpoint,
      tmp_path,
      "tflite",
      function_keys=["tflite", "image_bytes"],
    )


@pytest.mark.parametrize(
  ("flag", "reason"),
  [
    ("--function_keys=tf_example", "must be an input type and the name of its"),
    ("--input_image_size=224", "must be HEIGHT,WIDTH"),
    ("--checkpoint_path=no", "There is no checkpoint at 'no'"),
    ("--input_type=jpeg", "Unrecognized `input_type`"),
    ("--params_override=task: {modell: 1}", "does not have"),
  ],
)
def test_what_is_wrong_is_one_error(flag, reason, checkpoint, tmp_path):
  done = command.run(
    _MODULE,
    "--experiment=resnet_imagenet",
    f"--params_override={json.dumps({'task': {'model': _MODEL}})}",
    f"--checkpoint_path={checkpoint}",
    "--input_image_size=32,32",
    f"--export_dir={tmp_path / 'model'}",
    flag,
    check=False,
  )
  assert done.returncode == 1
  assert done.stderr.splitlines()[-1].startswith("error: ")
  assert reason in done.stderr
  assert "Traceback" not in done.stderr
  assert not list(tmp_path.iterdir())
