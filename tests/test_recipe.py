"""Gin files: what is wrong, where, and what was probably meant."""

import gin
import pytest

from exporters import low_level
from exporters import recipe
from exporters.errors import ExportError
from tests import command

_GOOD = """
from __gin__ import dynamic_registration
from exporters import low_level
from exporters import recipe
recipe.Recipe.exporter = @low_level.LowLevelExporter()
low_level.LowLevelExporter.factor = 2.0
low_level.LowLevelExporter.l2 = 0.001
"""


@pytest.fixture(autouse=True)
def _clear_gin(monkeypatch):
  gin.clear_config()
  monkeypatch.chdir(command.ROOT)
  yield
  gin.clear_config()


def refusal(tmp_path, text, *bindings) -> str:
  path = tmp_path / "leaf.gin"
  path.write_text(text)
  with pytest.raises(ExportError) as error:
    recipe.load([str(path)], bindings)
  return str(error.value)


def test_file_then_bindings(tmp_path):
  path = tmp_path / "leaf.gin"
  path.write_text(_GOOD)
  loaded = recipe.load([str(path)], ["low_level.LowLevelExporter.factor = 3.0"])
  assert loaded.exporter == low_level.LowLevelExporter(factor=3.0, l2=0.001)


def test_leaf_is_found_from_another_directory(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  recipe.load(
    ["configs/bert/bert_en_uncased_preprocess.gin"], ["VOCAB_FILE=''"]
  )


def test_no_file():
  with pytest.raises(ExportError, match="--gin_file"):
    recipe.load([], [])


def test_missing_file():
  with pytest.raises(ExportError, match="'no/such.gin' does not exist"):
    recipe.load(["no/such.gin"], [])


def test_missing_include(tmp_path):
  message = refusal(tmp_path, "include 'no/such.gin'\n")
  assert "'no/such.gin' does not exist" in message


def test_misspelt_parameter(tmp_path):
  message = refusal(tmp_path, _GOOD.replace("r.factor", "r.facto"))
  assert "has no parameter 'facto'" in message
  assert "Did you mean 'factor'" in message
  assert "leaf.gin, line 6" in message


def test_misspelt_class(tmp_path):
  message = refusal(
    tmp_path, _GOOD.replace("LowLevelExporter.l2", "LowLevl.l2")
  )
  assert "has no 'LowLevl'" in message


def test_misspelt_class_in_a_binding(tmp_path):
  message = refusal(tmp_path, _GOOD, "low_level.LowLevl.factor = 3.0")
  assert "uses 'low_level.LowLevl', but imports nothing" in message
  assert "Did you mean 'low_level.LowLevelExporter'?" in message
  assert '(--gin_bindings="low_level.LowLevl.factor = 3.0")' in message


def test_missing_module(tmp_path):
  message = refusal(tmp_path, _GOOD + "from exporters import no_such\n")
  assert "no_such" in message


def test_parameter_left_out(tmp_path):
  message = refusal(
    tmp_path, _GOOD.replace("low_level.LowLevelExporter.l2", "#")
  )
  assert "must set 'l2' of LowLevelExporter" in message


@pytest.mark.parametrize("value", ["/a/path", "path"])
def test_unquoted_string(tmp_path, value):
  message = refusal(tmp_path, _GOOD, f"CHECKPOINT = {value}")
  assert "in quotes" in message


def test_unset_macro(tmp_path):
  message = refusal(tmp_path, _GOOD.replace("2.0", "%FACTOR"))
  assert "macro %FACTOR, but nothing sets it" in message


def test_what_only_the_user_has():
  with pytest.raises(ExportError) as error:
    recipe.load(["configs/bert/bert_en_uncased_L-12_H-768_A-12.gin"], [])
  assert "leaves CHECKPOINT and VOCAB_FILE to you" in str(error.value)
  assert "--gin_bindings=\"VOCAB_FILE = '...'\"" in str(error.value)


def test_a_binding_in_place_of_a_macro(tmp_path):
  """Whoever binds the field itself has no use for the leaf's macro."""
  file = tmp_path / "leaf.gin"
  file.write_text(
    _GOOD.replace("2.0", "%FACTOR") + "\nFACTOR = %gin.REQUIRED\n"
  )
  loaded = recipe.load([str(file)], ["low_level.LowLevelExporter.factor = 7.0"])
  assert loaded.exporter.factor == 7.0
  gin.clear_config()
  with pytest.raises(ExportError, match="leaves FACTOR to you"):
    recipe.load([str(file)], [])
  gin.clear_config()
  with pytest.raises(ExportError, match="uses the macro FACTR"):
    recipe.load([str(file)], ["FACTOR = 1.0", "FACTR = 2.0"])
