"""The provenance has every file that a release was made from."""

import hashlib
import json
import pathlib
import shutil

import gin
import numpy as np
import pytest
import tf_keras

from exporters import recipe as recipe_lib
from exporters.errors import ExportError
from exporters.release import git_commit
from exporters.release import modules
from exporters.release import provenance
from tests import command

_MODEL = """
from __future__ import annotations

import os

import my_layers
import tf_keras

from exporters import base


def build(weights: base.FilePath, note: str = "") -> tf_keras.Model:
  return my_layers.model(os.path.expanduser(weights))
"""
_LAYERS = """
import numpy as np
import tf_keras


def model(weights):
  dense = tf_keras.layers.Dense(2, use_bias=False)
  built = tf_keras.Sequential([tf_keras.Input([3]), dense])
  dense.set_weights([np.load(weights)])
  return built
"""
_GIN = """
from __gin__ import dynamic_registration

include 'configs/publisher.gin'

import my_model
from exporters import keras_model
from exporters import recipe
from exporters.release import page

WEIGHTS = %gin.REQUIRED

recipe.Recipe.exporter = @keras_model.KerasModelExporter()
keras_model.KerasModelExporter.model_function = @my_model.build
my_model.build.weights = %WEIGHTS

recipe.Recipe.page = @page.Page()
page.Page.name = 'mine'
page.Page.version = 1
page.Page.description = 'Mine.'
page.Page.license = 'apache-2.0'
page.Page.task = 'image-others'
page.Page.changelog = {1: 'Initial release.'}
"""
_MODULES = {"my_model.py": _MODEL, "my_layers.py": _LAYERS}


@pytest.fixture(autouse=True)
def _clear_gin():
  yield
  gin.clear_config()


@pytest.fixture
def home(tmp_path, monkeypatch) -> pathlib.Path:
  """What a user has: a model function with a module that it needs, weights."""
  for name, text in _MODULES.items():
    (tmp_path / name).write_text(text)
  np.save(tmp_path / "weights.npy", np.ones([3, 2], np.float32))
  (tmp_path / "my.gin").write_text(_GIN)
  monkeypatch.setenv("PYTHONPATH", str(tmp_path))
  monkeypatch.setenv("HOME", str(tmp_path))
  return tmp_path


def _release(home: pathlib.Path, *bindings: str, check: bool = True):
  return command.run(
    "scripts.release",
    "--gin_file=my.gin",
    "--release_dir=release",
    "--draft",
    "--checks=none",
    *(f"--gin_bindings={binding}" for binding in bindings),
    cwd=home,
    check=check,
  )


def _build(home: pathlib.Path) -> dict:
  statement = (home / "release/example/mine/1.provenance.json").read_text()
  return json.loads(statement)["predicate"]["buildDefinition"]


def _digests(build: dict) -> dict[str, str]:
  return {
    r["name"]: r["digest"]["sha256"]
    for r in build["resolvedDependencies"]
    if "digest" in r
  }


def _sha256(path: pathlib.Path) -> str:
  return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("folder", ["", "./", "~/", "{home}/"])
def test_has_a_functions_module_and_weights_wherever_they_are(folder, home):
  path = f"{folder.format(home=home)}weights.npy"
  _release(home, f"WEIGHTS = '{path}'")
  build = _build(home)
  found = _digests(build)
  assert found["my_model.build.weights/weights.npy"] == _sha256(
    home / "weights.npy"
  )
  for name in _MODULES:
    module = name.removesuffix(".py")
    assert found[f"module/{module}"] == _sha256(home / name)
  recipe = build["externalParameters"]["recipe"]
  line = f"{_sha256(home / 'weights.npy')}  weights.npy\n"
  digest = hashlib.sha256(line.encode()).hexdigest()
  assert f"'sha256:{digest}'" in recipe
  assert "weights.npy" not in recipe


def test_has_no_module_that_others_have_too():
  """What is imported here comes with Python, packages and the repository."""
  untracked = {
    name for name in modules.loaded() if not name.startswith("module/exporters")
  }
  assert not untracked


def test_a_file_that_a_function_does_not_declare_is_refused(home):
  done = _release(
    home,
    "WEIGHTS = 'weights.npy'",
    "my_model.build.note = 'weights.npy'",
    check=False,
  )
  assert done.returncode == 1
  assert "my_model.build.note = 'weights.npy' names a file" in done.stderr
  assert "def build(note: base.FilePath)" in done.stderr
  assert not (home / "release").exists()


def _reproduce(home: pathlib.Path, *bindings: str, fresh: bool = False):
  return command.run(
    "scripts.reproduce",
    str(home / "release/example/mine/1.provenance.json"),
    *(f"--gin_bindings={binding}" for binding in bindings),
    check=False,
    fresh=fresh,
  )


def test_reproduces_with_the_same_modules_alone(home, tmp_path, monkeypatch):
  _release(home, "WEIGHTS = 'weights.npy'")
  weights = f"WEIGHTS = '{home / 'weights.npy'}'"
  done = _reproduce(home, weights)
  assert "files are the same, byte for byte" in done.stdout
  done = _reproduce(home)
  assert "my_model.build.weights/weights.npy: sha256 (missing)" in done.stderr
  assert "--gin_bindings=\"WEIGHTS = '...'\"" in done.stderr

  other = tmp_path / "other"
  shutil.copytree(home, other, ignore=shutil.ignore_patterns("release"))
  (other / "my_layers.py").write_text("raise RuntimeError('it runs')\n")
  monkeypatch.setenv("PYTHONPATH", str(other))
  done = _reproduce(home, weights)
  assert "another module 'my_layers'" in done.stderr
  assert _sha256(home / "my_layers.py") in done.stderr
  assert "it runs" not in done.stderr

  monkeypatch.delenv("PYTHONPATH")
  done = _reproduce(home, weights, fresh=True)
  assert "the module 'my_layers', which Python does not find" in done.stderr
  assert "PYTHONPATH" in done.stderr


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("length", [1, 100])
def test_has_every_file_of_a_keras_saved_model(
  relative, length, tmp_path, monkeypatch
):
  tmp_path = tmp_path / ("d" * length)
  tmp_path.mkdir()
  monkeypatch.chdir(tmp_path)
  tf_keras.Sequential([tf_keras.Input([3]), tf_keras.layers.Dense(2)]).save(
    "model"
  )
  path = "model" if relative else str(tmp_path / "model")
  recipe = recipe_lib.load(
    ["configs/keras_model/keras_model.gin"], [f"MODEL_FILE = '{path}'"]
  )
  found = provenance.materials(recipe)
  files = [p for p in (tmp_path / "model").rglob("*") if p.is_file()]
  assert len(files) >= 5
  assert found["model_file"] == {
    str(file.relative_to(tmp_path / "model")): _sha256(file) for file in files
  }
  assert "MODEL_FILE = 'sha256:" in provenance.recipe_text(recipe, found)


def test_a_path_is_the_repositorys_if_every_clone_has_it(tmp_path, monkeypatch):
  data = "tests/testdata/digits_resnet"
  monkeypatch.chdir(command.ROOT)
  assert git_commit.is_part(data)
  assert git_commit.is_part(f"./{data}/")
  for path in (
    str(command.ROOT / data),
    f"{data}/absent",
    f"exporters/../../{command.ROOT.name}/{data}",
    f"../{command.ROOT.name}",
    ".git/config",
  ):
    assert not git_commit.is_part(path), path
  # The same name, but another folder.
  (tmp_path / data).mkdir(parents=True)
  monkeypatch.chdir(tmp_path)
  assert not git_commit.is_part(data)


def test_what_is_absent_when_reproducing_is_no_error_of_tensorflow():
  recipe = recipe_lib.load(
    ["configs/keras_model/keras_model.gin"],
    [f"MODEL_FILE = 'sha256:{'0' * 64}'"],
  )
  assert provenance.materials(recipe) == {}
  with pytest.raises(ExportError, match="Put its folder on PYTHONPATH"):
    modules.refuse_others({"module/absent.module": "0" * 64})
