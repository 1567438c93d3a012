"""Companions in a release: their tree, pages, provenance and reproduction."""

import dataclasses
import json
import pathlib
import re
import shutil
import sys

import gin
import numpy as np
import pytest
import tf_keras

from exporters import checks
from exporters import keras_model
from exporters import low_level
from exporters import recipe as recipe_lib
from exporters.companions import Companions
from exporters.companions import kinds
from exporters.companions import making
from exporters.companions import parity
from exporters.errors import ExportError
from exporters.life_cycle import exporting
from exporters.release import bound_paths
from exporters.release import page as page_lib
from exporters.release import publish
from exporters.release import statement as statement_lib
from exporters.release import tfhub
from scripts.small_instances import INSTANCES
from tests import command
from tests import releases

# ---------------------------------------------------------------------------
# Flag and recipe.


@pytest.mark.parametrize(
  ("kinds_", "lines"),
  [
    (["lite", "onnx"], ["companions.Companions.kinds = ['lite', 'onnx']"]),
    ([], ["recipe.Recipe.companions = None"]),
  ],
)
def test_the_flag_becomes_part_of_the_recipe(kinds_, lines, tmp_path):
  recipe = recipe_lib.load([releases.MULTIPLY], [], kinds_)
  assert list(recipe.companions.kinds if recipe.companions else ()) == kinds_
  text = gin.config_str()
  for line in lines:
    assert line in text
  gin.clear_config()
  (tmp_path / "recipe.gin").write_text(text)
  assert recipe_lib.load([str(tmp_path / "recipe.gin")], []) == recipe


def test_the_flag_goes_before_what_the_gin_file_has(tmp_path):
  (tmp_path / "my.gin").write_text(
    "from __gin__ import dynamic_registration\n"
    f"include '{releases.MULTIPLY}'\n"
    "from exporters import companions\n"
    "from exporters import recipe\n"
    "recipe.Recipe.companions = @companions.Companions()\n"
    "companions.Companions.kinds = ['onnx']\n"
    "companions.Companions.bounds = {'lite': 0.5}\n"
  )
  path = str(tmp_path / "my.gin")
  assert recipe_lib.load([path], []).companions.kinds == ["onnx"]
  gin.clear_config()
  found = recipe_lib.load([path], [], ["lite"]).companions
  assert found == Companions(kinds=["lite"], bounds={"lite": 0.5})
  gin.clear_config()
  assert recipe_lib.load([path], [], []).companions is None


def test_an_unknown_kind_is_refused_by_the_flag(tmp_path):
  done = releases.release(
    releases.MULTIPLY, tmp_path / "release", "--companions=lit", check=False
  )
  assert done.returncode == 1
  assert "no kind of companion 'lit'. Did you mean 'lite'?" in done.stderr
  assert not list(tmp_path.iterdir())


def test_the_samples_of_a_quantization_are_among_the_files(tmp_path):
  path = tmp_path / "samples.npz"
  np.savez(path, inputs=np.ones([3, 2]))
  binding = f"companions.Companions.calibration = '{path}'"
  recipe = recipe_lib.load([releases.MULTIPLY], [binding], ["lite_int8"])
  (found,) = bound_paths.read(recipe)
  assert found.field == "companions.Companions.calibration"
  assert found.files(recipe.exporter) == [str(path)]


def test_so_are_the_files_that_their_function_reads(tmp_path, monkeypatch):
  (tmp_path / "my_samples.py").write_text(
    "from exporters import base\ndef samples(path: base.FilePath): return []\n"
  )
  (tmp_path / "my.gin").write_text(
    "from __gin__ import dynamic_registration\n"
    f"include '{releases.MULTIPLY}'\n"
    "import my_samples\n"
    "from exporters import companions\n"
    "companions.Companions.calibration_data = @my_samples.samples\n"
    f"my_samples.samples.path = '{tmp_path / 'my.gin'}'\n"
  )
  monkeypatch.syspath_prepend(str(tmp_path))
  recipe = recipe_lib.load([str(tmp_path / "my.gin")], [], ["lite_int8"])
  (found,) = bound_paths.read(recipe)
  assert found.field == "my_samples.samples.path"
  assert found.path == str(tmp_path / "my.gin")
  del sys.modules["my_samples"]  # So that no other test's record has it.


# ---------------------------------------------------------------------------
# What is put where, with files that are only called companions.

_PAGE = page_lib.Page(
  publisher="example",
  name="multiply",
  version=1,
  description="Multiplies.",
  license="apache-2.0",
  task="image-others",
  asset_root="https://example.com",
  changelog={1: "Initial release."},
)
_FOLDER = "example/multiply/tflite"


class _Runtime:
  """A runtime that says what a companion of the template takes and gives."""

  def __init__(self, path):
    self.inputs = {"inputs": ([-1], np.dtype(np.float32))}
    self.outputs = {"default": [-1]}


_EXPORTER = low_level.LowLevelExporter(factor=2.0, l2=0.001)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
  path = tmp_path_factory.mktemp("exported") / "multiply"
  return exporting.export(_EXPORTER, export_path=str(path), level=checks.NONE)


@pytest.fixture
def fake(exported, monkeypatch):
  """Exports the same every time, and makes companions with a given content.

  Those called optional are not made at all.
  """
  content = [b"a companion"]

  def export(exporter, *, export_path, **_):
    (artifact,) = exported.artifacts
    shutil.copytree(artifact.path, export_path)
    artifact = dataclasses.replace(artifact, path=export_path)
    return dataclasses.replace(exported, artifacts=[artifact])

  def make(saved_model, wanted, folder, **_):
    found = []
    for name in wanted.kinds:
      kind = kinds.KINDS[name]
      path = pathlib.Path(folder, name + kind.suffix)
      path.write_bytes(content[0])
      if name not in wanted.optional:
        found.append(
          making.Companion(kind=kind, path=str(path), bound=1, parity=None)
        )
    remarks = [f"There is no companion '{name}'." for name in wanted.optional]
    return making.Made(companions=found, remarks=remarks)

  monkeypatch.setattr(exporting, "export", export)
  monkeypatch.setattr(making, "make", make)
  monkeypatch.setattr(parity, "Lite", _Runtime)
  monkeypatch.setattr(parity, "Onnx", _Runtime)
  return content


def _release(
  release_dir: pathlib.Path,
  *kinds_: str,
  page: page_lib.Page = _PAGE,
  optional: tuple[str, ...] = (),
  exporter=None,
):
  return publish.release(
    recipe_lib.Recipe(
      exporter=exporter or _EXPORTER,
      page=page,
      companions=Companions(kinds=kinds_, optional=optional),
    ),
    release_dir=str(release_dir),
    level=checks.NONE,
    stages=exporting.Stages(),
    prove=lambda one: None,
  )


def test_a_companion_may_join_a_version_and_stays(fake, tmp_path):
  _release(tmp_path / "r")
  _release(tmp_path / "r", "lite")
  before = releases.digests(tmp_path / "r")
  assert f"{_FOLDER}/float32/1.tflite" in before
  _release(tmp_path / "r", "lite", "lite_float16")
  after = releases.digests(tmp_path / "r")
  assert after[f"{_FOLDER}/float16/1.tflite"]
  # The page of the SavedModel names them; all else is as it was.
  changed = {file for file in before if after[file] != before[file]}
  assert changed == {"assets/docs/example/models/multiply/1.md"}

  for kinds_ in ([], ["lite"], ["lite", "onnx"]):
    with pytest.raises(ExportError) as raised:
      _release(tmp_path / "r", *kinds_)
    every = "lite,lite_float16" + (",onnx" if "onnx" in kinds_ else "")
    assert f"add --companions={every}." in str(raised.value)
    left_out = "float16" if kinds_ else "float32"
    assert f"'{_FOLDER}/{left_out}/1.tflite'" in str(raised.value)
  assert releases.digests(tmp_path / "r") == after


def test_a_companion_with_other_bytes_is_refused(fake, tmp_path):
  _release(tmp_path / "r", "lite")
  before = releases.digests(tmp_path / "r")
  fake[0] = b"another"
  with pytest.raises(ExportError) as raised:
    _release(tmp_path / "r", "lite")
  assert f"a different '{_FOLDER}/float32/1.tflite'" in str(raised.value)
  assert "set page.Page.version = 2" in str(raised.value)
  assert releases.digests(tmp_path / "r") == before


def test_an_optional_companion_that_is_not_there_is_a_remark(fake, tmp_path):
  done, (one,) = _release(
    tmp_path / "r", "lite", "lite_float16", optional=("lite_float16",)
  )
  (artifact,) = done.artifacts
  assert artifact.remarks == ["There is no companion 'lite_float16'."]
  assert [c.kind.name for c in one.companions] == ["lite"]
  assert one.missing == artifact.remarks
  assert not (tmp_path / "r" / _FOLDER / "float16").exists()
  # What the page says must be the same every time.
  assert "There is no" not in one.texts.page


def test_onnx_has_a_place_and_a_card_but_no_page(fake, tmp_path):
  kaggle = page_lib.Kaggle(owner="an_example", title="Multiplies")
  page = dataclasses.replace(_PAGE, kaggle=kaggle)
  _release(tmp_path / "r", "onnx", page=page)
  folder = tmp_path / "r/example/multiply/onnx"
  assert (folder / "1.onnx").read_bytes() == fake[0]
  assert {path.name for path in (folder / "1").iterdir()} == {
    "multiply_float32.onnx",
    "model-metadata.json",
    "model-instance-metadata.json",
  }
  metadata = json.loads((folder / "1/model-instance-metadata.json").read_text())
  assert metadata["framework"] == "onnx"
  assert metadata["instanceSlug"] == "float32"
  assert '"an_example/multiply/onnx/float32"' in metadata["usage"]
  assert "onnxruntime.InferenceSession(path)" in metadata["usage"]
  pages = {path.name for path in (tmp_path / "r/assets").rglob("*.md")}
  assert pages == {"1.md", "example.md"}


def _texts() -> tf_keras.Model:
  words = tf_keras.Input([], dtype="string", name="words")
  lookup = tf_keras.layers.StringLookup(vocabulary=["red"])
  return tf_keras.Model(words, lookup(words))


def test_a_model_that_takes_text_says_why_it_has_none(tmp_path):
  with pytest.raises(ExportError) as raised:
    _release(
      tmp_path / "r",
      "lite",
      exporter=keras_model.KerasModelExporter(model_function=_texts),
    )
  message = str(raised.value)
  assert message.startswith(
    "example/multiply/1: There is no companion 'lite': 'inputs' of the model "
    "is text"
  )
  assert message.count("--companions=") == 1
  assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------
# A classifier, with labels, in one of two artifacts of a recipe.

_NAME = "digits_resnet/classification"
_COMPANION = f"{_NAME}/tflite/float16"
_ROOT = "https://example.com/models"


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
  folder = tmp_path_factory.mktemp("digits") / "release"
  releases.release(releases.DIGITS, folder, "--companions=lite_float16")
  return folder


def _metadata(folder: pathlib.Path) -> dict:
  return json.loads((folder / "model-instance-metadata.json").read_text())


def test_a_companion_lies_below_its_models_name(digits):
  model = digits / "example" / _COMPANION
  assert {path.name for path in model.iterdir()} == {
    "1",
    "1.tflite",
    "1.labels.txt",
  }
  labels = digits / "example" / _NAME / "1/assets/labels.txt"
  assert (model / "1.labels.txt").read_bytes() == labels.read_bytes()
  # Kaggle's ${FILEPATH} needs the lone file.
  name = "digits_resnet_classification_float16.tflite"
  assert {path.name for path in (model / "1").iterdir()} == {
    name,
    "model-metadata.json",
    "model-instance-metadata.json",
  }
  content = (model / "1.tflite").read_bytes()
  assert content[4:8] == b"TFL3"
  assert (model / "1" / name).read_bytes() == content
  # Half of 312,506 float32 weights.
  assert len(content) < 750_000
  other = digits / "example/digits_resnet/feature_vector/tflite/float16"
  assert not (other / "1.labels.txt").exists()


def test_a_companions_page_follows_the_rules(digits):
  path = digits / f"assets/docs/example/models/{_COMPANION}/lite/1.md"
  parsed = tfhub.read(path.read_text())
  assert parsed.kind == "Lite"
  assert parsed.handle == f"example/{_COMPANION}/1"
  assert parsed.metadata == {
    "asset-path": [f"{_ROOT}/example/{_COMPANION}/1.tflite"],
    "parent-model": [f"example/{_NAME}/1"],
  }
  size = (digits / f"example/{_COMPANION}/1.tflite").stat().st_size
  assert f"| size | {size:,} bytes |" in parsed.body
  assert "| `images` | `[batch, height, width, 3]`, float32 |" in parsed.body
  assert '"images": np.random.random([1, 28, 28, 3])' in parsed.body
  labels = f"{_ROOT}/example/{_COMPANION}/1.labels.txt"
  assert f"| names of the classes | {labels} |" in parsed.body
  assert "| `logits` | `[batch, 10]`, float32 |" in parsed.body
  # The SavedModel's page says where it is.
  page = digits / f"assets/docs/example/models/{_NAME}/1.md"
  assert f"`{parsed.metadata['asset-path'][0]}`" in page.read_text()


def test_a_companion_is_a_variation_of_the_model_on_kaggle(digits):
  model = digits / "example" / _NAME / "1"
  companion = digits / "example" / _COMPANION / "1"
  of_model, found = _metadata(model), _metadata(companion)
  assert found["framework"] == "tfLite"
  assert found["instanceSlug"] == "classification-float16"
  assert found["modelInstanceType"] == "KaggleVariant"
  assert found["baseModelInstance"] == "/".join(
    of_model[k] for k in ("ownerSlug", "modelSlug", "framework", "instanceSlug")
  )
  assert not found["fineTunable"]
  same = ("ownerSlug", "modelSlug", "licenseName", "trainingData")
  assert {k: found[k] for k in same} == {k: of_model[k] for k in same}
  name = "model-metadata.json"
  assert (companion / name).read_text() == (model / name).read_text()
  handle = "example/digits-resnet/tfLite/classification-float16"
  assert f'"{handle}"' in found["usage"]
  assert "tfhub.dev" not in found["usage"]
  assert f"`{handle}`" in of_model["usage"]


@pytest.mark.parametrize(
  ("text", "folder"), [("page", "/lite"), ("card", "")], ids=lambda text: text
)
def test_a_companions_snippet_runs(text, folder, digits, tmp_path):
  handle = f"example/{_COMPANION}{folder}/1"
  printed = releases.run_snippets(digits, tmp_path, [handle], text)
  assert "(1, 10)\n" in printed
  assert f"{handle}: 1 snippets ran" in printed


def test_the_digests_of_a_companion_are_recorded(digits):
  path = digits / f"example/{_NAME}/1.provenance.json"
  statement = statement_lib.read(str(path))
  assert statement_lib.archive_name(statement) == f"example/{_NAME}/1.tar.gz"
  subjects = statement_lib.digests(statement["subject"])
  others = statement_lib.digests(
    statement["predicate"]["runDetails"]["byproducts"]
  )
  found = releases.digests(digits)
  companion = f"example/{_COMPANION}/1"
  for file in (f"{companion}.tflite", f"{companion}.labels.txt"):
    assert subjects[file] == found[file]
  for file in (
    f"assets/docs/example/models/{_COMPANION}/lite/1.md",
    f"{companion}/model-metadata.json",
    f"{companion}/model-instance-metadata.json",
  ):
    assert others[file] == found[file]
  recipe = statement["predicate"]["buildDefinition"]["externalParameters"]
  assert "Companions.kinds = ['lite_float16']" in recipe["recipe"]


def test_a_companion_is_verified_by_its_models_provenance(digits):
  path = digits / f"example/{_COMPANION}/1.tflite"
  provenance = digits / f"example/{_NAME}/1.provenance.json"
  command.run("scripts.verify", str(path), f"--provenance={provenance}")


def test_an_archive_is_verified_without_its_companions(digits, tmp_path):
  folder = shutil.copytree(digits / "example" / _NAME, tmp_path / "downloaded")
  shutil.rmtree(folder / "tflite")
  done = command.run(
    "scripts.verify",
    str(folder / "1.tar.gz"),
    f"--provenance={folder / '1.provenance.json'}",
    "--checks=none",
  )
  assert "each file matches the provenance" in done.stdout


# ---------------------------------------------------------------------------
# A stream, which a companion takes frame by frame.


def test_the_snippet_of_a_stream_hands_on_the_states(tmp_path):
  instance = INSTANCES["movinet_stream"]
  (tmp_path / "inputs").mkdir()
  bindings = instance.write_inputs(tmp_path / "inputs")
  recipe = recipe_lib.load([instance.leaf], bindings)
  page = dataclasses.replace(_PAGE, name="stream", asset_root=_ROOT)
  _release(tmp_path / "r", "lite", page=page, exporter=recipe.exporter)
  name = "stream/tflite/float32/lite"
  text = (tmp_path / f"r/assets/docs/example/models/{name}/1.md").read_text()
  assert "| `image` | `[1, 1, 32, 32, 3]`, float32 |" in text
  assert "and 13 states" in text
  assert "state_" not in text  # Only the runtime need know them.
  (tmp_path / "cache").mkdir()
  printed = releases.run_snippets(
    tmp_path / "r", tmp_path / "cache", [f"example/{name}/1"]
  )
  assert printed.startswith("(1, 7)\n")


# ---------------------------------------------------------------------------
# A model of one's own, with samples to quantize by, compared with its
# companions.

_MODEL = """
import numpy as np
import tf_keras


def build() -> tf_keras.Model:
  numbers = tf_keras.Input([4], name="numbers")
  dense = tf_keras.layers.Dense(3, name="scores")
  model = tf_keras.Model(numbers, {"scores": dense(numbers)})
  dense.set_weights([np.linspace(-1, 1, 12).reshape(4, 3), np.ones(3)])
  return model
"""
_GIN = """
from __gin__ import dynamic_registration

include 'configs/publisher.gin'

import my_model
from exporters import companions
from exporters import keras_model
from exporters import recipe
from exporters.release import page

recipe.Recipe.exporter = @keras_model.KerasModelExporter()
keras_model.KerasModelExporter.model_function = @my_model.build

recipe.Recipe.companions = @companions.Companions()
companions.Companions.kinds = ['lite', 'lite_int8']
companions.Companions.calibration = %SAMPLES

SAMPLES = %gin.REQUIRED

recipe.Recipe.page = @page.Page()
page.Page.name = 'mine'
page.Page.version = 1
page.Page.description = 'Mine.'
page.Page.license = 'apache-2.0'
page.Page.task = 'image-others'
page.Page.changelog = {1: 'Initial release.'}
"""
_SAMPLES = "my samples.npz"


def _release_mine(home: pathlib.Path, release_dir: str):
  return command.run(
    "scripts.release",
    "--gin_file=my.gin",
    f"--release_dir={release_dir}",
    "--draft",
    "--checks=basic",
    f"--gin_bindings=SAMPLES = '{home / _SAMPLES}'",
    cwd=home,
  )


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
  """A folder with my model and two releases of it, and what the first said."""
  home = tmp_path_factory.mktemp("mine")
  (home / "my_model.py").write_text(_MODEL)
  (home / "my.gin").write_text(_GIN)
  generator = np.random.default_rng(1)
  np.savez(home / _SAMPLES, inputs=generator.random([20, 4]).astype(np.float32))
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("PYTHONPATH", str(home))
    done = _release_mine(home, "release")
    _release_mine(home, "again")
    yield home, done.stdout


def test_the_same_bytes_every_time(mine):
  home, _ = mine
  digests = releases.digests(home / "release")
  assert digests == releases.digests(home / "again")
  assert sum(file.endswith(".tflite") for file in digests) == 2


def test_the_samples_are_recorded_and_their_path_is_not(mine):
  home, _ = mine
  text = (home / "release/example/mine/1.provenance.json").read_text()
  build = json.loads(text)["predicate"]["buildDefinition"]
  found = statement_lib.digests(build["resolvedDependencies"])
  name = f"companions.Companions.calibration/{_SAMPLES}"
  assert found[name] == releases.digests(home)[_SAMPLES]
  recipe = build["externalParameters"]["recipe"]
  assert statement_lib.unnamed(recipe) == ["SAMPLES"]
  for path in (home / "release").rglob("*"):
    if path.is_file() and path.suffix != ".gz":
      assert str(home).encode() not in path.read_bytes(), path


def test_the_summary_and_the_report_say_how_far_they_agree(mine):
  home, printed = mine
  rows = re.findall(
    r"companion +\S+/(\w+)/1\.tflite \((\S+) of scale from the SavedModel, "
    r"at most (\S+)\)",
    printed,
  )
  assert [(name, bound) for name, _, bound in rows] == [
    ("float32", "1e-05"),
    ("int8", "0.25"),
  ]
  report = (home / "release/example/mine/1.report.html").read_text()
  _, _, section = report.partition('<section id="companions">')
  section, _, _ = section.partition("</section>")
  for name, difference, bound in rows:
    assert f"example/mine/tflite/{name}/1.tflite" in section
    assert f"{difference} of scale, in <code>scores</code>" in section
    assert f"at most {bound}" in section
  for name in ("smallest cosine", "calls compared"):
    assert section.count(name) == 2
  assert section.count(" ms; the SavedModel takes ") == 2


def _reproduce(home: pathlib.Path, *bindings: str):
  return command.run(
    "scripts.reproduce",
    str(home / "release/example/mine/1.provenance.json"),
    *(f"--gin_bindings={binding}" for binding in bindings),
    check=False,
  )


def test_reproduces_companions_with_the_same_samples(mine, tmp_path):
  home, _ = mine
  done = _reproduce(home, f"SAMPLES = '{home / _SAMPLES}'")
  assert done.returncode == 0, done.stdout + done.stderr
  for kind in ("float32", "int8"):
    assert f"same       example/mine/tflite/{kind}/1.tflite" in done.stdout
    page = f"assets/docs/example/models/mine/tflite/{kind}/lite/1.md"
    assert f"same       {page}" in done.stdout

  done = _reproduce(home)
  assert done.returncode == 1
  assert "--gin_bindings=\"SAMPLES = '...'\"" in done.stderr
  np.savez(tmp_path / _SAMPLES, inputs=np.ones([2, 4], np.float32))
  done = _reproduce(home, f"SAMPLES = '{tmp_path / _SAMPLES}'")
  assert done.returncode == 1
  assert f"companions.Companions.calibration/{_SAMPLES}: sha256" in done.stderr
