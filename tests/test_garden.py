"""Model Garden's own commands and tests, on the overlay."""

import importlib.util
import json
import pathlib
import re

import numpy as np
from official.legacy.bert import bert_models
from official.legacy.bert import configs
from official.legacy.image_classification.efficientnet import efficientnet_model
from official.nlp.configs import encoders
from official.projects.mobilebert import model_utils as mobilebert
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras
import yaml

from scripts.small_instances import images as small_images
from tests import checkpoint_files
from tests import closeness
from tests import command
from tests import numpy_bert
from tests import small_bert

OVERLAY = {
  "official.core.export_base": "official.core.exp_factory",
  "official.legacy.bert.export_tfhub": "official.legacy.bert.bert_models",
  "official.legacy.image_classification.efficientnet.tfhub_export": (
    "official.legacy.image_classification.efficientnet.efficientnet_model"
  ),
  "official.legacy.image_classification.resnet.tfhub_export": (
    "official.legacy.image_classification.resnet.resnet_model"
  ),
  "official.nlp.serving.export_savedmodel": (
    "official.nlp.serving.serving_modules"
  ),
  "official.nlp.serving.export_savedmodel_util": (
    "official.nlp.serving.serving_modules_test"
  ),
  "official.nlp.tools.checkpoint_converter": (
    "official.nlp.tools.tf1_bert_checkpoint_converter_lib"
  ),
  "official.nlp.tools.export_tfhub": "official.nlp.tools.tokenization",
  "official.nlp.tools.export_tfhub_lib": (
    "official.nlp.tools.squad_evaluate_v2_0"
  ),
  "official.projects.mobilebert.export_tfhub": (
    "official.projects.mobilebert.model_utils"
  ),
  "official.projects.movinet.tools.export_saved_model": (
    "official.projects.movinet.tools.convert_3d_2plus1d"
  ),
  "official.vision.serving.export_saved_model": (
    "official.vision.serving.export_module_factory"
  ),
  "official.vision.serving.export_saved_model_lib": (
    "official.vision.serving.export_saved_model_lib_v2"
  ),
  "official.vision.serving.export_tfhub": (
    "official.vision.serving.export_utils"
  ),
  "official.vision.serving.export_tflite": (
    "official.vision.serving.image_classification"
  ),
  "official.vision.serving.export_tflite_lib": (
    "official.vision.serving.semantic_segmentation"
  ),
  "official.vision.serving.export_tfhub_lib": (
    "official.vision.serving.export_base"
  ),
}


def test_overlay_comes_first_and_its_neighbours_are_the_wheels():
  done = command.run("tests.overlay_modules", *OVERLAY, *OVERLAY.values())
  files = [pathlib.Path(line) for line in done.stdout.split()]
  own, neighbours = files[: len(OVERLAY)], files[len(OVERLAY) :]
  for module, file in zip(OVERLAY, own, strict=True):
    assert file == command.ROOT / f"{module.replace('.', '/')}.py"
  for module, file in zip(OVERLAY.values(), neighbours, strict=True):
    assert "site-packages" in file.parts
    assert file.parts[-len(module.split(".")) :][0] == "official"


def test_every_overlay_module_is_listed():
  found = {
    ".".join(path.relative_to(command.ROOT).with_suffix("").parts)
    for path in (command.ROOT / "official").rglob("*.py")
    if path.name != "__init__.py"
  }
  assert found == OVERLAY.keys()


@pytest.mark.parametrize(
  ("module", "flags", "summary"),
  [
    ("official.nlp.tools.export_tfhub_lib_test", [], "19 run, 3 skipped"),
    ("official.legacy.bert.export_tfhub_test", [], "2 run, 1 skipped"),
    # As many as on Model Garden's own code.
    ("official.nlp.serving.export_savedmodel_test", [], "5 run, 1 skipped"),
    ("official.nlp.serving.serving_modules_test", [], "12 run, 1 skipped"),
    (
      "official.projects.movinet.tools.export_saved_model_test",
      # It runs the command, which would make all checks three times.
      ["--checks=none"],
      "3 run, 1 skipped",
    ),
    ("official.vision.serving.export_base_v2_test", [], "2 run, 1 skipped"),
    (
      "official.vision.serving.export_module_factory_test",
      [],
      "3 run, 1 skipped",
    ),
    (
      "official.vision.serving.export_saved_model_lib_test",
      [],
      "2 run, 1 skipped",
    ),
    ("official.core.export_base_test", [], "4 run, 1 skipped"),
    (
      "official.vision.serving.image_classification_test",
      [],
      "6 run, 1 skipped",
    ),
    (
      "official.vision.serving.video_classification_test",
      [],
      "2 run, 1 skipped",
    ),
    # All cases of these two would take many minutes.
    (
      "official.vision.serving.semantic_segmentation_test",
      ["--only=test_export3|invalid_batch_size"],
      "2 run, 0 skipped",
    ),
    (
      "official.vision.serving.detection_test",
      ["--only=without_decoding_boxes0"],
      "1 run, 0 skipped",
    ),
  ],
)
def test_the_wheels_own_tests_pass(module, flags, summary):
  file = importlib.util.find_spec(module).origin
  assert "site-packages" in file
  done = command.run("tests.garden_test", module, *flags)
  assert f"{file}: {summary}" in done.stdout


@pytest.fixture(scope="module")
def bert_dir(tmp_path_factory):
  """A folder as Model Garden's page on exporting has it."""
  folder = tmp_path_factory.mktemp("bert")
  small_bert.write_vocabulary(folder / "vocab.txt")
  (folder / "bert_encoder.yaml").write_text(
    yaml.safe_dump(
      {
        "type": "bert",
        "bert": encoders.BertEncoderConfig(**small_bert.SIZES).as_dict(),
      }
    )
  )
  pretrainer = small_bert.pretrainer()
  tf.train.Checkpoint(**pretrainer.checkpoint_items).write(
    str(folder / "bert_model.ckpt")
  )
  return folder


def test_encoder_by_the_old_command_line(bert_dir, tmp_path):
  done = command.run(
    "official.nlp.tools.export_tfhub",
    f"--encoder_config_file={bert_dir}/bert_encoder.yaml",
    f"--model_checkpoint_path={bert_dir}/bert_model.ckpt",
    f"--vocab_file={bert_dir}/vocab.txt",
    "--export_type=model_with_mlm",
    f"--export_path={tmp_path}/bert_model",
    "--checks=basic",
  )
  # The path says nothing of it, the tokens do.
  assert "note: do_lower_case = True" in done.stderr
  loaded = hub.load(str(tmp_path / "bert_model"))
  inputs = small_bert.inputs(positions=True)
  want = small_bert.pretrainer()(inputs)
  got = loaded.mlm(inputs)
  for name in ("pooled_output", "mlm_logits"):
    closeness.assert_close(got[name], want[name])
  assert loaded.do_lower_case.numpy()


def test_preprocessor_by_the_old_command_line(bert_dir, tmp_path):
  command.run(
    "official.nlp.tools.export_tfhub",
    "--vocab_file",
    f"{bert_dir}/vocab.txt",
    "--export_type",
    "preprocessing",
    "--export_path",
    f"{tmp_path}/bert_preprocessing",
    "--checks=none",
  )
  assert (tmp_path / "bert_preprocessing/assets/vocab.txt").exists()


def test_converts_to_what_model_garden_trains_from(bert_dir, tmp_path):
  tensors = numpy_bert.tensors("bert")
  config = numpy_bert.CONFIGS["bert"] | {"hidden_act": "gelu_new"}
  checkpoint_files.hugging_face(tmp_path / "hf", "bert", config, tensors)
  converted = str(tmp_path / "converted/ckpt")
  command.run(
    "official.nlp.tools.checkpoint_converter",
    f"--encoder_config_file={bert_dir}/bert_encoder.yaml",
    f"--model_checkpoint_path={tmp_path / 'hf'}",
    f"--converted_checkpoint_path={converted}",
    "--with_mlm",
  )
  pretrainer = small_bert.pretrainer()
  items = pretrainer.checkpoint_items
  del items["next_sentence.pooler_dense"]
  status = tf.train.Checkpoint(**items).read(converted)
  status.assert_existing_objects_matched()
  (kernel,) = (
    v for v in pretrainer.variables if "layer_1/output/kernel" in v.name
  )
  np.testing.assert_array_equal(
    kernel, tensors["bert.encoder.layer.1.output.dense.weight"].T
  )


def test_mobilebert_by_the_old_command_line(bert_dir, tmp_path, monkeypatch):
  # Model Garden's module uses it without importing it.
  monkeypatch.setattr(mobilebert, "tf_keras", tf_keras, raising=False)
  config = {
    "vocab_size": numpy_bert.VOCABULARY,
    "embedding_size": numpy_bert.NARROW,
    "max_position_embeddings": numpy_bert.POSITIONS,
    "num_hidden_layers": numpy_bert.LAYERS,
    "hidden_size": numpy_bert.WIDTH,
    "num_attention_heads": numpy_bert.HEADS,
    "intermediate_size": numpy_bert.INNER,
    "hidden_act": "relu",
    "intra_bottleneck_size": numpy_bert.NARROW,
    "num_feedforward_networks": 2,
    "normalization_type": "no_norm",
    "classifier_activation": False,
  }
  (tmp_path / "bert_config.json").write_text(json.dumps(config))
  pretrainer = mobilebert.create_mobilebert_pretrainer(
    mobilebert.BertConfig.from_dict(config)
  )
  small_bert.randomize(pretrainer, seed=4)
  prefix = tf.train.Checkpoint(**pretrainer.checkpoint_items).write(
    str(tmp_path / "ckpt")
  )
  command.run(
    "official.projects.mobilebert.export_tfhub",
    f"--bert_config_file={tmp_path}/bert_config.json",
    f"--model_checkpoint_path={prefix}",
    f"--vocab_file={bert_dir}/vocab.txt",
    f"--export_path={tmp_path}/mobilebert",
    "--checks=basic",
  )
  inputs = small_bert.inputs(positions=True)
  got = hub.load(str(tmp_path / "mobilebert")).mlm(inputs)
  want = pretrainer(inputs)
  for name in ("pooled_output", "mlm_logits"):
    closeness.assert_close(got[name], want[name])


@pytest.fixture
def bert_config_file(tmp_path):
  names = {"num_layers": "num_hidden_layers"}
  sizes = {names.get(name, name): x for name, x in small_bert.SIZES.items()}
  path = tmp_path / "bert_config.json"
  path.write_text(json.dumps(sizes | {"hidden_act": "gelu"}))
  return path


def test_question_answering_by_the_old_command_line(
  bert_dir, bert_config_file, tmp_path
):
  config = configs.BertConfig.from_json_file(str(bert_config_file))
  model, _ = bert_models.squad_model(config, max_seq_length=None)
  small_bert.randomize(model, seed=5)
  prefix = tf.train.Checkpoint(model=model).write(str(tmp_path / "ckpt"))
  command.run(
    "official.legacy.bert.export_tfhub",
    "--model_type=squad",
    f"--bert_config_file={bert_config_file}",
    f"--model_checkpoint_path={prefix}",
    f"--vocab_file={bert_dir}/vocab.txt",
    f"--export_path={tmp_path}/squad",
    "--checks=basic",
  )
  inputs = [x.numpy() for x in small_bert.inputs().values()]
  got = hub.load(str(tmp_path / "squad"))(inputs)
  want = model(inputs)
  assert len(got) == len(want) == 2
  for logits, wanted in zip(got, want, strict=True):
    closeness.assert_close(logits, wanted)


@pytest.mark.parametrize("flags", [[], ["--skip_logits_layer"]])
def test_official_vision_by_the_old_command_line(flags, tmp_path):
  model = small_images.resnet()
  prefix = tf.train.Checkpoint(model=model).write(str(tmp_path / "ckpt"))
  backbone = {"model_id": 10, "depth_multiplier": 0.125}
  overrides = {
    "num_classes": 7,
    "backbone": {"type": "resnet", "resnet": backbone},
  }
  done = command.run(
    "official.vision.serving.export_tfhub",
    "--experiment=resnet_imagenet",
    f"--params_override={json.dumps({'task': {'model': overrides}})}",
    f"--checkpoint_path={prefix}",
    "--input_image_size=32,32",
    f"--export_dir={tmp_path}/resnet",
    "--checks=none",
    *flags,
  )
  assert "takes images in [0, 1]" in done.stderr
  images = np.random.default_rng(0).random([2, 32, 32, 3], np.float32)
  mean, deviation = np.array(
    [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32
  )
  got = hub.load(str(tmp_path / "resnet"))(images)
  if flags:
    assert got.shape == [2, 64]
    got = model.layers[-1](got)
  want = model((images - mean) / deviation, training=False)
  closeness.assert_close(got, want)


def test_efficientnet_by_the_old_command_line(tmp_path):
  model = efficientnet_model.EfficientNet.from_name("efficientnet-b0")
  model.save_weights(tmp_path / "weights.h5")
  command.run(
    "official.legacy.image_classification.efficientnet.tfhub_export",
    "--model_name=efficientnet-b0",
    f"--model_path={tmp_path}/weights.h5",
    f"--export_path={tmp_path}/model",
    "--probabilities",
    "--checks=none",
  )
  images = np.random.default_rng(0).random([2, 64, 64, 3], np.float32)
  got = hub.load(str(tmp_path / "model/classification"))(images)
  want = model(images * 255, training=False)
  closeness.assert_close(np.sum(got, axis=-1), np.ones(2))
  closeness.assert_close(got, want)
  vector = hub.load(str(tmp_path / "model/feature-vector"))(images)
  assert vector.shape == [2, 1280]


def test_what_is_not_set_is_said(tmp_path):
  done = command.run("official.nlp.tools.export_tfhub", check=False)
  assert done.returncode == 1
  assert done.stderr.splitlines()[-1] == (
    "error: Set --export_path; see --help."
  )


@pytest.mark.parametrize(
  ("module", "flags", "reason"),
  [
    (
      "official.nlp.tools.export_tfhub",
      ["--bert_config_file=no.json", "--vocab_file=no.txt"],
      "no file 'no.txt', which --vocab_file names",
    ),
    (
      "official.legacy.bert.export_tfhub",
      ["--bert_config_file=no.json", "--vocab_file=no.txt"],
      "no file 'no.json', which --bert_config_file names",
    ),
    (
      "official.vision.serving.export_tfhub",
      ["--experiment=no_such", "--export_dir=model", "--checkpoint_path=c"],
      "Cannot read the experiment .* no_such",
    ),
  ],
)
def test_what_is_not_there_is_one_error(tmp_path, module, flags, reason):
  bert = ["--model_checkpoint_path=c", f"--export_path={tmp_path / 'model'}"]
  if "bert" in " ".join(flags):
    flags = [*flags, *bert]
  done = command.run(module, *flags, check=False)
  assert done.returncode == 1
  assert re.search(reason, done.stderr)
  assert "Traceback" not in done.stderr
  assert not list(tmp_path.iterdir())
