"""A release of real weights: all-MiniLM-L6-v2 and its preprocessor."""

import shutil
import subprocess
import sys

import pytest

from tests import command
from tests import releases

_NAMES = {"all_minilm_l6_v2": 5, "all_minilm_l6_v2_preprocess": 3}


@pytest.fixture(scope="module")
def release_dir(minilm, tmp_path_factory):
  folder = tmp_path_factory.mktemp("minilm") / "release"
  for gin_file in (releases.MINILM_PREPROCESS, releases.MINILM):
    releases.release(gin_file, folder, bindings=[f"CHECKPOINT = '{minilm}'"])
  return folder


def test_two_clones_make_the_same_bytes(minilm, release_dir, tmp_path):
  releases.release_elsewhere(
    releases.clone(tmp_path),
    (releases.MINILM_PREPROCESS, releases.MINILM),
    tmp_path / "release",
    bindings=[f"CHECKPOINT = '{minilm}'"],
  )
  found = releases.digests(tmp_path / "release")
  assert found == releases.digests(release_dir)
  assert {f"example/{name}/1.tar.gz" for name in _NAMES} <= found.keys()


@pytest.mark.parametrize("name", _NAMES)
def test_reproduce_finds_the_same_bytes(name, minilm, release_dir):
  done = command.run(
    "scripts.reproduce",
    str(release_dir / "example" / name / "1.provenance.json"),
    f"--gin_bindings=CHECKPOINT = '{minilm}'",
  )
  assert "files are the same, byte for byte." in done.stdout


def test_one_byte_of_the_checkpoint_is_found(minilm, release_dir, tmp_path):
  folder = shutil.copytree(minilm, tmp_path / "checkpoint")
  with open(folder / "model.safetensors", "r+b") as f:
    f.seek(50_000_000)
    byte = f.read(1)[0]
    f.seek(50_000_000)
    f.write(bytes([byte ^ 1]))
  done = command.run(
    "scripts.reproduce",
    str(release_dir / "example/all_minilm_l6_v2/1.provenance.json"),
    f"--gin_bindings=CHECKPOINT = '{folder}'",
    check=False,
  )
  assert done.returncode == 1
  assert "other files than these" in done.stderr
  assert "checkpoint/model.safetensors: " in done.stderr
  assert "checkpoint/vocab.txt" not in done.stderr


def test_reproduce_asks_for_the_checkpoint(release_dir):
  done = command.run(
    "scripts.reproduce",
    str(release_dir / "example/all_minilm_l6_v2/1.provenance.json"),
    check=False,
  )
  assert done.returncode == 1
  assert "CHECKPOINT = '...'" in done.stderr
  assert "Traceback" not in done.stderr


def test_an_encoder_with_another_vocabulary_is_refused(
  minilm, release_dir, tmp_path
):
  folder = shutil.copytree(release_dir, tmp_path / "release")
  vocab = folder / "example/all_minilm_l6_v2_preprocess/1/assets/vocab.txt"
  vocab.write_text(vocab.read_text().replace("\nhello\n", "\nhullo\n"))
  done = releases.release(
    releases.MINILM, folder, bindings=[f"CHECKPOINT = '{minilm}'"], check=False
  )
  assert done.returncode == 1
  assert "has another vocabulary than this encoder" in done.stderr


@pytest.mark.parametrize("name", _NAMES)
def test_every_snippet_of_a_page_runs(name, release_dir, tmp_path):
  done = subprocess.run(
    [
      *(sys.executable, "-I", str(command.ROOT / "tests/consumer_of_pages.py")),
      str(release_dir / "assets/docs/example/models" / name / "1.md"),
      *(str(release_dir), str(tmp_path)),
    ],
    cwd="/",
    env=command.environment(),
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  assert f"{_NAMES[name]} snippets ran" in done.stdout
