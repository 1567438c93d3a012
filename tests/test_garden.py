"""Model Garden's own commands and tests, on the overlay."""

import importlib.util
import pathlib

import numpy as np
from official.nlp.configs import encoders
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import yaml

from tests import checkpoint_files
from tests import command
from tests import numpy_bert
from tests import small_bert

OVERLAY = {
  "official.legacy.bert.export_tfhub": "official.legacy.bert.bert_models",
  "official.legacy.image_classification.efficientnet.tfhub_export": (
    "official.legacy.image_classification.efficientnet.efficientnet_model"
  ),
  "official.legacy.image_classification.resnet.tfhub_export": (
    "official.legacy.image_classification.resnet.resnet_model"
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
  "official.vision.serving.export_tfhub": (
    "official.vision.serving.export_saved_model_lib"
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
  ("module", "summary"),
  [
    ("official.nlp.tools.export_tfhub_lib_test", "19 run, 3 skipped"),
    ("official.legacy.bert.export_tfhub_test", "2 run, 1 skipped"),
  ],
)
def test_the_wheels_own_tests_pass(module, summary):
  file = importlib.util.find_spec(module).origin
  assert "site-packages" in file
  done = command.run("tests.garden_test", module)
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
    np.testing.assert_allclose(got[name], want[name], atol=1e-5)
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


def test_what_is_not_set_is_said(tmp_path):
  done = command.run("official.nlp.tools.export_tfhub", check=False)
  assert done.returncode == 1
  assert done.stderr.splitlines()[-1] == (
    "error: Set --export_path; see --help."
  )
