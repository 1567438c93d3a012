"""Releases of small models: the tree, its bytes, and what consumers do."""

import contextlib
import dataclasses
import functools
import http.server
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import threading

import pytest

from exporters import base
from exporters import checks
from exporters import low_level
from exporters import recipe as recipe_lib
from exporters.errors import ExportError
from exporters.release import page as page_lib
from exporters.release import publish
from exporters.release import source
from scripts import expected_digests
from tests import command
from tests import releases

_CONSUMERS = command.ROOT / "tests"


@pytest.fixture(scope="module")
def release_dir(tmp_path_factory):
  """A release of the template and of the digits ResNet."""
  folder = tmp_path_factory.mktemp("releases") / "release"
  for gin_file in (releases.MULTIPLY, releases.DIGITS):
    releases.release(gin_file, folder)
  return folder


def _consume(program: str, *args: str, **environment: str) -> str:
  done = subprocess.run(
    [sys.executable, "-I", str(_CONSUMERS / program), *map(str, args)],
    cwd="/",
    env=command.environment() | environment,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  return done.stdout


# ---------------------------------------------------------------------------
# Bytes.


def test_the_digests_are_those_expected(release_dir):
  """If they changed for a reason: python -m scripts.expected_digests."""
  expected = json.loads(expected_digests.EXPECTED.read_text())
  assert expected_digests.promised(release_dir) == expected


def test_another_clone_user_hash_seed_and_core_make_the_same_bytes(
  release_dir, tmp_path
):
  root = releases.clone(tmp_path)
  # The other way round: with another export before it.
  releases.release_elsewhere(
    root, (releases.DIGITS, releases.MULTIPLY), tmp_path / "release"
  )
  assert releases.digests(tmp_path / "release") == (
    releases.digests(release_dir)
  )


def test_nothing_tells_of_the_machine(release_dir):
  private = {
    str(command.ROOT),
    os.path.expanduser("~") + "/",
    str(release_dir.parent),
    socket.gethostname(),
  } - {"localhost"}
  # What is compressed is there uncompressed too.
  paths = [p for p in release_dir.rglob("*") if p.suffix != ".gz"]
  for path in filter(pathlib.Path.is_file, paths):
    content = path.read_bytes()
    for text in private:
      pattern = rb"(?<![\w-])" + re.escape(text.encode()) + rb"(?![\w-])"
      if "variables" not in path.parts:  # Any bytes at all.
        assert not re.search(pattern, content), (path, text)


@pytest.mark.parametrize("model", ["multiply", "digits_resnet/classification"])
def test_reproduce_finds_the_same_bytes(model, release_dir):
  provenance = release_dir / "example" / model / "1.provenance.json"
  done = command.run("scripts.reproduce", str(provenance))
  assert "files are the same, byte for byte." in done.stdout
  assert f"same       example/{model}/1.tar.gz" in done.stdout


def test_reproduce_says_what_differs_and_where(release_dir, tmp_path):
  provenance = release_dir / "example/multiply/1.provenance.json"
  done = command.run(
    "scripts.reproduce",
    str(provenance),
    "--gin_bindings=low_level.LowLevelExporter.l2 = 0.002",
    check=False,
  )
  assert done.returncode == 1
  # The loss is in the graph, the factor in the weights.
  assert "different  example/multiply/1/saved_model.pb" in done.stdout
  assert "differs in function __inference_<lambda>" in done.stdout
  assert "same       example/multiply/1/variables/variables.data" in (
    done.stdout
  )


# ---------------------------------------------------------------------------
# The tree.


def test_a_release_is_the_tree_that_is_documented(release_dir):
  found = {str(p.relative_to(release_dir)) for p in release_dir.rglob("*")}
  for name in (
    "multiply",
    "digits_resnet/classification",
    "digits_resnet/feature_vector",
  ):
    assert f"assets/docs/example/models/{name}/1.md" in found
    for rest in (
      ".tar.gz",
      ".provenance.json",
      "/saved_model.pb",
      "/model-metadata.json",
      "/model-instance-metadata.json",
    ):
      assert f"example/{name}/1{rest}" in found
  assert "assets/docs/example/example.md" in found
  assert "assets/docs/example/collections/digits_resnet/1.md" in found


def test_a_version_that_is_there_with_the_same_bytes_stays(
  release_dir, tmp_path
):
  folder = shutil.copytree(release_dir, tmp_path / "release")
  releases.release(releases.MULTIPLY, folder)
  assert releases.digests(folder) == releases.digests(release_dir)


def test_a_version_that_is_there_with_other_bytes_is_refused(
  release_dir, tmp_path
):
  folder = shutil.copytree(release_dir, tmp_path / "release")
  done = releases.release(
    releases.MULTIPLY,
    folder,
    bindings=["low_level.LowLevelExporter.factor = 3.0"],
    check=False,
  )
  assert done.returncode == 1
  assert "holds example/multiply/1 already" in done.stderr
  assert "set page.Page.version = 2" in done.stderr
  assert releases.digests(folder) == releases.digests(release_dir)
  assert [path.name for path in tmp_path.iterdir()] == ["release"]


@pytest.mark.parametrize(
  ("changes", "reason"),
  [
    ({"license": "apache-2"}, "knows no license 'apache-2'"),
    ({"task": "multiplying"}, "knows no task 'multiplying'"),
    ({"dataset": ("mnist",)}, "knows no dataset 'mnist'"),
    ({"publisher": "An Example"}, "line 1 must be"),
    ({"kaggle": page_lib.Kaggle(owner="An Owner", title="T")}, "is no slug"),
  ],
)
def test_what_a_page_may_not_say_is_refused_before_the_export(
  changes, reason, tmp_path
):
  page = page_lib.Page(
    publisher="example",
    name="multiply",
    version=1,
    description="Multiplies.",
    license="apache-2.0",
    task="image-others",
    asset_root="https://example.com",
    changelog={1: "Initial release."},
  )
  recipe = recipe_lib.Recipe(
    exporter=low_level.LowLevelExporter(factor=2.0, l2=0.001),
    page=dataclasses.replace(page, **changes),
  )
  with pytest.raises(ExportError, match=reason):
    publish.release(
      recipe,
      release_dir=str(tmp_path / "release"),
      level=checks.NONE,
      stages=base.Stages(),
      finish=lambda one: None,
    )
  assert not list(tmp_path.iterdir())


def test_the_command_refuses_with_one_message(tmp_path):
  done = releases.release(
    releases.MULTIPLY,
    tmp_path / "release",
    bindings=["recipe.Recipe.page = None"],
    check=False,
  )
  assert done.returncode == 1
  assert "error: The gin file has no page." in done.stderr
  assert "Traceback" not in done.stderr
  assert not list(tmp_path.iterdir())


def test_strict_refuses_a_tree_that_is_not_clean():
  with pytest.raises(ExportError, match=r"not clean: exporters/base\.py"):
    source.Source("0" * 40, ("exporters/base.py",)).refuse_dirty()
  with pytest.raises(ExportError, match="no git checkout"):
    source.Source(None, ()).refuse_dirty()
  source.Source("0" * 40, ()).refuse_dirty()


def test_strict_is_asked_of_git(tmp_path):
  root = releases.clone(tmp_path)
  git = ["git", "-C", root, "-c", "user.name=n", "-c", "user.email=e"]
  for arguments in (
    ["init", "--quiet"],
    ["add", "--all"],
    ["commit", "--quiet", "--message=all"],
  ):
    subprocess.run([*git, *arguments], check=True)
  (root / "configs/publisher.gin").write_text("changed")
  done = subprocess.run(
    [
      *(sys.executable, "-m", "scripts.release", "--strict"),
      f"--gin_file={releases.MULTIPLY}",
      f"--release_dir={tmp_path / 'release'}",
    ],
    cwd=root,
    env=command.environment() | {"PYTHONPATH": str(root)},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 1
  assert "not clean: configs/publisher.gin" in done.stderr
  assert not (tmp_path / "release").exists()


# ---------------------------------------------------------------------------
# Consumers.


@contextlib.contextmanager
def _served(folder: pathlib.Path):
  """Serves a folder from loopback, as a host of archives does."""

  class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *unused_args):
      pass

  handler = functools.partial(Handler, directory=str(folder))
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
      yield f"http://127.0.0.1:{server.server_port}"
    finally:
      server.shutdown()
      thread.join()


def test_an_archive_loads_from_an_address(release_dir, tmp_path):
  with _served(release_dir) as address:
    printed = _consume(
      "consumer_of_archives.py",
      f"{address}/example/multiply/1.tar.gz",
      TFHUB_CACHE_DIR=str(tmp_path),
    )
  assert printed.split("\n")[:2] == ["[20.0, 40.0]", "[20.0, 40.0]"]


def test_an_archive_loads_from_the_folder_that_it_unpacks_to(
  release_dir, tmp_path
):
  shutil.unpack_archive(release_dir / "example/multiply/1.tar.gz", tmp_path)
  printed = _consume("consumer_of_archives.py", str(tmp_path))
  assert printed.split("\n")[:2] == ["[20.0, 40.0]", "[20.0, 40.0]"]


@pytest.mark.parametrize(
  ("model", "snippets"),
  [
    ("multiply", 5),
    ("digits_resnet/classification", 5),
    ("digits_resnet/feature_vector", 5),
  ],
)
def test_every_snippet_of_a_page_runs(model, snippets, release_dir, tmp_path):
  page = release_dir / "assets/docs/example/models" / model / "1.md"
  printed = _consume("consumer_of_pages.py", page, release_dir, tmp_path)
  assert f"{snippets} snippets ran" in printed
  # What the last one exported after fine-tuning.
  assert (tmp_path / "fine_tuned/saved_model.pb").exists()
