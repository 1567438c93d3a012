"""A release of real weights: all-MiniLM-L6-v2 and its preprocessor."""

import shutil

import gin
import numpy as np
import pytest
import tensorflow_hub as hub
import tensorflow_text  # noqa: F401 - the preprocessor's operations.

from exporters import base
from exporters import recipe as recipe_lib
from exporters.errors import ExportError
from exporters.release import publish
from exporters.release import reproduce
from tests import command
from tests import releases

# By name, how many snippets its page has.
_SNIPPETS = {"all_minilm_l6_v2_preprocess": 3, "all_minilm_l6_v2": 5}


@pytest.fixture(autouse=True)
def _clear_gin():
  yield
  gin.clear_config()


@pytest.fixture(scope="module")
def release_dir(minilm, tmp_path_factory):
  folder = tmp_path_factory.mktemp("minilm") / "release"
  for gin_file in (releases.MINILM_PREPROCESS, releases.MINILM):
    releases.release(gin_file, folder, bindings=[f"CHECKPOINT = '{minilm}'"])
  return folder


def _provenance(release_dir, name: str) -> str:
  return str(release_dir / "example" / name / "1.provenance.json")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
  return releases.clone(tmp_path_factory.mktemp("elsewhere"))


@pytest.mark.parametrize("name", _SNIPPETS)
def test_another_clone_reproduces_the_bytes(name, clone, minilm, release_dir):
  printed = releases.run_elsewhere(
    clone,
    "scripts.reproduce",
    _provenance(release_dir, name),
    f"--gin_bindings=CHECKPOINT = '{minilm}'",
  )
  for file in (
    f"example/{name}/1.tar.gz",
    f"example/{name}/1.tar",
    f"example/{name}/1/saved_model.pb",
    f"example/{name}/1/assets/vocab.txt",
    f"example/{name}/1/model-metadata.json",
    f"assets/docs/example/models/{name}/1.md",
  ):
    assert f"same       {file}\n" in printed
  assert "files are the same, byte for byte." in printed
  assert "different" not in printed


def test_one_byte_of_the_checkpoint_is_found(minilm, release_dir, tmp_path):
  folder = shutil.copytree(minilm, tmp_path / "checkpoint")
  with open(folder / "model.safetensors", "r+b") as f:
    f.seek(50_000_000)
    byte = f.read(1)[0]
    f.seek(50_000_000)
    f.write(bytes([byte ^ 1]))
  with pytest.raises(ExportError) as raised:
    reproduce.reproduce(
      _provenance(release_dir, "all_minilm_l6_v2"),
      [f"CHECKPOINT = '{folder}'"],
      base.Stages(),
    )
  assert "other files than these" in str(raised.value)
  assert "checkpoint/model.safetensors: " in str(raised.value)
  assert "checkpoint/vocab.txt" not in str(raised.value)


def test_reproduce_asks_for_the_checkpoint(release_dir):
  with pytest.raises(ExportError, match=r"CHECKPOINT = '\.\.\.'"):
    reproduce.reproduce(
      _provenance(release_dir, "all_minilm_l6_v2"), [], base.Stages()
    )


def test_an_encoder_with_another_vocabulary_is_refused(
  minilm, release_dir, tmp_path
):
  folder = shutil.copytree(release_dir, tmp_path / "release")
  encoder = str(folder / "example/all_minilm_l6_v2/1")
  page = recipe_lib.load([releases.MINILM], [f"CHECKPOINT = '{minilm}'"]).page
  publish.refuse_other_vocabulary(page, encoder, str(folder))
  vocab = folder / "example/all_minilm_l6_v2_preprocess/1/assets/vocab.txt"
  vocab.write_text(vocab.read_text().replace("\nhello\n", "\nhullo\n"))
  with pytest.raises(ExportError, match="another vocabulary than this encoder"):
    publish.refuse_other_vocabulary(page, encoder, str(folder))


def test_archives_load_from_an_address(release_dir, tmp_path, monkeypatch):
  """And give the embeddings of another implementation."""
  monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
  with releases.served(release_dir) as address:
    preprocess, encode = (
      hub.KerasLayer(f"{address}/example/{name}/1.tar.gz") for name in _SNIPPETS
    )
  with np.load(
    command.ROOT / "tests/testdata/all_minilm_l6_v2_reference.npz"
  ) as reference:
    np.testing.assert_allclose(
      encode(preprocess(reference["sentences"]))["default"],
      reference["sentence_embedding"],
      rtol=0,
      atol=1e-6,
    )


def test_every_snippet_of_a_page_runs(release_dir, tmp_path):
  handles = [f"example/{name}/1" for name in _SNIPPETS]
  printed = releases.run_snippets(release_dir, tmp_path, handles)
  for handle, count in zip(handles, _SNIPPETS.values(), strict=True):
    assert f"{handle}: {count} snippets ran" in printed
