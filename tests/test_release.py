"""Releases of small models: the tree, its bytes, and what consumers do."""

import dataclasses
import hashlib
import html.parser
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys

import gin
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras

from exporters import checks
from exporters import low_level
from exporters import recipe as recipe_lib
from exporters.checks import numbers
from exporters.errors import ExportError
from exporters.life_cycle import exporting
from exporters.life_cycle import version
from exporters.release import directory
from exporters.release import git_commit
from exporters.release import page as page_lib
from exporters.release import publish
from exporters.release import released
from exporters.release import report as report_lib
from exporters.release import statement as statement_lib
from exporters.release import texts
from exporters.saved_model import description
from exporters.saved_model import object_graph
from scripts import digits
from scripts import expected_digests
from tests import command
from tests import releases

_NAMES = (
  "multiply",
  "digits_resnet/classification",
  "digits_resnet/feature_vector",
)
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


@pytest.fixture(scope="module")
def key(tmp_path_factory):
  return releases.make_key(tmp_path_factory.mktemp("keys"), "key")


@pytest.fixture(scope="module")
def release_dir(key, tmp_path_factory):
  """A release of the template, signed, and of the digits ResNet."""
  folder = tmp_path_factory.mktemp("releases") / "release"
  releases.release(releases.MULTIPLY, folder, f"--sign_key={key}")
  releases.release(releases.DIGITS, folder)
  return folder


# ---------------------------------------------------------------------------
# Bytes.


def test_the_digests_are_those_expected(release_dir):
  """If they changed for a reason: python -m scripts.expected_digests."""
  expected = json.loads(expected_digests.EXPECTED.read_text())
  assert expected_digests.promised(release_dir) == expected


def test_another_clone_user_hash_seed_and_core_make_the_same_bytes(
  release_dir, tmp_path
):
  """So a version that is there already may be released again."""
  folder = shutil.copytree(release_dir, tmp_path / "release")
  archives = [folder / f"example/{name}/1.tar.gz" for name in _NAMES[1:]]
  before = [path.stat().st_ino for path in archives]
  releases.run_elsewhere(
    releases.clone(tmp_path),
    "scripts.release",
    f"--gin_file={releases.DIGITS}",
    f"--release_dir={folder}",
    "--draft",
    "--checks=none",
  )
  assert releases.digests(folder) == releases.digests(release_dir)
  # These are the new ones.
  after = [path.stat().st_ino for path in archives]
  assert not set(before) & set(after)


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


def test_the_provenance_says_what_a_release_was_made_from(release_dir):
  model = release_dir / "example/digits_resnet/classification"
  statement = json.loads((model / "1.provenance.json").read_text())
  assert statement["_type"] == "https://in-toto.io/Statement/v1"
  assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
  subjects = _digests(statement["subject"])
  # Kaggle's files lie beside the SavedModel's and are no part of the archive.
  files = {p for p in model.glob("1/**/*") if p.is_file()}
  files -= {*model.glob("1/*.json")}
  assert subjects == {
    str(path.relative_to(release_dir)): _sha256(path)
    for path in (model / "1.tar.gz", *files)
  }
  build = statement["predicate"]["buildDefinition"]
  checkpoint = command.ROOT / "tests/testdata/digits_resnet"
  assert _digests(build["resolvedDependencies"]) == {
    "checkpoint/ckpt.index": _sha256(checkpoint / "ckpt.index"),
    "checkpoint/ckpt.data-00000-of-00001": _sha256(
      checkpoint / "ckpt.data-00000-of-00001"
    ),
    "labels_file/labels.txt": _sha256(checkpoint / "labels.txt"),
    "requirements.txt": _sha256(command.ROOT / "requirements.txt"),
  }
  addresses = {r.get("uri") for r in build["resolvedDependencies"]}
  for package in (tf, tf_keras, hub):
    name = package.__name__.replace("tensorflow_hub", "tensorflow-hub")
    assert f"pkg:pypi/{name}@{package.__version__}" in addresses
  assert "resnet.ResNetExporter" in build["externalParameters"]["recipe"]
  commit = subprocess.run(
    ["git", "-C", command.ROOT, "rev-parse", "HEAD"],
    capture_output=True,
    text=True,
    check=True,
  ).stdout.strip()
  assert build["externalParameters"]["source"]["commit"] == commit
  builder = statement["predicate"]["runDetails"]["builder"]
  assert builder["version"] == {"model-garden-exporter": version.version()}


def _digests(resources) -> dict[str, str]:
  return {r["name"]: r["digest"]["sha256"] for r in resources if "digest" in r}


def _sha256(path: pathlib.Path) -> str:
  return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("file", ["1.tar.gz", "1.provenance.json"])
def test_model_signings_own_command_accepts_the_signature(
  file, key, release_dir
):
  path = release_dir / "example/multiply" / file
  command.run(
    "model_signing",
    *("verify", "key", str(path)),
    *("--signature", f"{path}.sig"),
    *("--public_key", str(key.with_suffix(".pub"))),
    fresh=True,
  )


def test_reproduce_says_what_differs_and_where(release_dir):
  model = "example/digits_resnet/classification"
  done = command.run(
    "scripts.reproduce",
    str(release_dir / model / "1.provenance.json"),
    "--gin_bindings=resnet.ResNetExporter.hyperparameter_defaults = "
    "{'batch_norm_momentum': 0.95}",
    check=False,
  )
  assert done.returncode == 1
  # The default is in the graph and on the page, not in the weights.
  assert f"different  {model}/1/saved_model.pb: sha256" in done.stdout
  assert "; differs in function __inference_serve_" in done.stdout
  assert ", object_graph_def\n" in done.stdout
  assert "different  assets/docs/example/models/digits_resnet" in done.stdout
  for name in ("variables.index", "variables.data-00000-of-00001"):
    assert f"same       {model}/1/variables/{name}" in done.stdout


# ---------------------------------------------------------------------------
# The tree.


def test_a_release_is_the_tree_that_is_documented(release_dir):
  found = {str(p.relative_to(release_dir)) for p in release_dir.rglob("*")}
  for name in _NAMES:
    assert f"assets/docs/example/models/{name}/1.md" in found
    for rest in (
      ".tar.gz",
      ".provenance.json",
      ".report.html",
      "/saved_model.pb",
      "/model-metadata.json",
      "/model-instance-metadata.json",
    ):
      assert f"example/{name}/1{rest}" in found
  assert "assets/docs/example/example.md" in found
  assert "assets/docs/example/collections/digits_resnet/1.md" in found


def test_a_version_that_is_there_with_other_bytes_is_refused(
  release_dir, tmp_path
):
  folder = shutil.copytree(release_dir, tmp_path / "release")
  recipe = recipe_lib.Recipe(
    exporter=low_level.LowLevelExporter(factor=3.0, l2=0.001), page=_PAGE
  )
  with pytest.raises(ExportError) as raised:
    _release(recipe, folder)
  assert "already holds example/multiply/1" in str(raised.value)
  assert "set page.Page.version = 2" in str(raised.value)
  assert releases.digests(folder) == releases.digests(release_dir)
  assert [path.name for path in tmp_path.iterdir()] == ["release"]


def test_a_page_that_several_models_share_is_replaced_not_changed(tmp_path):
  """The directory that is being replaced has it too, until the end."""
  (tmp_path / "old.md").write_text("old")
  os.link(tmp_path / "old.md", tmp_path / "new.md")
  directory.write_text(str(tmp_path), "new.md", "new")
  assert (tmp_path / "old.md").read_text() == "old"
  assert (tmp_path / "new.md").read_text() == "new"


@pytest.mark.parametrize(
  ("changes", "reason"),
  [
    (None, "has no page"),
    ({"license": "apache-2"}, "does not know the license 'apache-2'"),
    ({"task": "multiplying"}, "does not know the task 'multiplying'"),
    ({"dataset": ("mnist",)}, "does not know the dataset 'mnist'"),
    ({"publisher": "An Example"}, "line 1 must be"),
    ({"kaggle": page_lib.Kaggle(owner="An Owner", title="T")}, "is not a slug"),
  ],
)
def test_what_a_page_may_not_say_is_refused_before_the_export(
  changes, reason, tmp_path
):
  recipe = recipe_lib.Recipe(
    exporter=low_level.LowLevelExporter(factor=2.0, l2=0.001),
    page=changes and dataclasses.replace(_PAGE, **changes),
  )
  with pytest.raises(ExportError, match=reason):
    _release(recipe, tmp_path / "release")
  assert not list(tmp_path.iterdir())


def _release(recipe: recipe_lib.Recipe, release_dir: pathlib.Path) -> None:
  publish.release(
    recipe,
    release_dir=str(release_dir),
    level=checks.NONE,
    stages=exporting.Stages(),
    prove=lambda one: None,
  )


def test_strict_refuses_a_tree_that_is_not_clean():
  with pytest.raises(ExportError, match=r"not clean: exporters/base\.py"):
    git_commit.Commit("0" * 40, ("exporters/base.py",)).refuse_dirty()
  with pytest.raises(ExportError, match="not a git checkout"):
    git_commit.Commit(None, ()).refuse_dirty()
  git_commit.Commit("0" * 40, ()).refuse_dirty()


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
# The report.


class _Reader(html.parser.HTMLParser):
  """Reads a report; fails on tags that don't match."""

  _VOID = ("meta", "br", "wbr", "hr", "path", "use")

  def __init__(self):
    super().__init__()
    self.open: list[str] = []
    self.tags: set[str] = set()
    self.attributes: list[tuple[str, str, str]] = []
    self.text: list[str] = []

  def handle_starttag(self, tag, attrs):
    self.tags.add(tag)
    self.attributes += [(tag, key, value) for key, value in attrs]
    if tag not in self._VOID:
      self.open.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.tags.add(tag)
    self.attributes += [(tag, key, value) for key, value in attrs]

  def handle_endtag(self, tag):
    if tag not in self._VOID:
      assert self.open.pop() == tag

  def handle_data(self, data):
    self.text.append(data)


@pytest.fixture
def report(release_dir, tmp_path):
  """The classifier's report, with what checks may find: (results, reader)."""
  root = shutil.copytree(release_dir, tmp_path / "release")
  recipe = recipe_lib.load([releases.DIGITS], [])
  gin.clear_config()
  page = recipe.page.of("classification")
  results = [
    checks.Result(
      check=check.name,
      status=checks.PASSED,
      figure=0.5e-6,
      bound=1e-5,
      detail=f"1 < {i} & more",
      histogram={"equal": 7, "1e-08 to 1e-07": 1234},
    )
    for i, check in enumerate(checks.CHECKS)
  ]
  results[0] = checks.Result(
    check="dropout", status=checks.NOT_APPLICABLE, detail="<script>"
  )
  described = description.read(str(root / page.handle))
  artifact = exporting.Artifact(
    path="",
    size=0,
    parameters=0,
    trainable=0,
    results=results,
    sample=np.zeros([1, 28, 28, 3], np.float32),
  )
  one = released.Released(
    page=page,
    artifact=artifact,
    description=described,
    texts=texts.rendered(page, described, artifact),
    root=str(root),
    digests={},
    byproducts={},
  )
  path = root / f"{page.handle}.report.html"
  path.unlink()
  report_lib.write(one, statement_lib.read(one.provenance), {"save": 1.25})
  reader = _Reader()
  reader.feed(path.read_text())
  reader.close()
  assert not reader.open
  return results, reader


def test_a_report_needs_nothing_but_itself(report):
  _, reader = report
  loading = {"script", "link", "img", "iframe", "object", "embed", "image"}
  assert not reader.tags & loading
  for tag, key, value in reader.attributes:
    if key in ("href", "xlink:href", "src"):
      # A reader may follow a link; the page itself follows none.
      assert tag == "a" or value.startswith("#"), (tag, value)
    assert "url(" not in value.replace("url(#", "")
    if tag == "a" and value.startswith("#"):
      assert any(v == value[1:] for _, k, v in reader.attributes if k == "id")
  assert not re.search(r"@import|url\((?!#)", "".join(reader.text))


def test_a_report_says_all_there_is(report, release_dir):
  results, reader = report
  text = re.sub(r"\s+", " ", " ".join(reader.text))
  for result in results:
    assert result.check in text
    assert result.detail in text
  # What goes in and out, the parts with their sizes, the differences.
  assert "images [?, ?, ?, 3] float32" in text
  assert "batch_norm_momentum=0.9" in text
  # The ResNet's last block: 230,912 float32 (see test_configs.py).
  assert "residual_block_3 230,912 923,648" in text
  assert "1,234" in text
  # The page's own words, the digest, and how to make it again.
  assert "With hub.load : import tensorflow as tf" in text
  archive = release_dir / "example/digits_resnet/classification/1.tar.gz"
  assert _sha256(archive) in text
  assert "python -m scripts.reproduce 1.provenance.json" in text


def test_differences_are_counted_by_their_size():
  want = np.array([2.0, -1.0, 0.0, 1.0], np.float32)
  got = want + np.array([0.0, 2e-3, 3e-8, -3e-6], np.float32)
  # Of the largest number, 2: none, 1e-3, 1.5e-8 and 1.5e-6. Integers are equal
  # or wrong.
  found = numbers.histogram([({"a": got, "n": [1]}, {"a": want, "n": [2]})])
  assert {name: count for name, count in found.items() if count} == {
    "equal": 1,
    "1e-08 to 1e-07": 1,
    "1e-06 to 1e-05": 1,
    "1e-05 and more": 1,
  }


def test_a_chart_shows_few_parts_and_loses_none():
  variables = [
    object_graph.Variable(
      name=f"block_{i}/dense/{kind}",
      shape=(i + 1, 2),
      dtype="float32",
      trainable=True,
    )
    for i in range(40)
    for kind in ("kernel", "bias")
  ]
  parts = report_lib.grouped(variables)
  assert [part.name for part in parts[:2]] == ["block_39", "block_38"]
  assert parts[0].parameters == 2 * 2 * 40
  assert parts[-1].name == "27 more"
  # 4 (1 + 2 + ... + 40) parameters of 4 bytes.
  assert sum(part.parameters for part in parts) == 3280
  assert sum(part.size for part in parts) == 4 * 3280


# ---------------------------------------------------------------------------
# Consumers.


def test_an_archive_loads_from_an_address(release_dir, tmp_path, monkeypatch):
  monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
  _, held_out = digits.load()
  with releases.served(release_dir) as address:
    multiply = f"{address}/example/multiply/1.tar.gz"
    for model in (hub.load(multiply), hub.KerasLayer(multiply)):
      np.testing.assert_array_equal(model([10.0, 20.0]), [20.0, 40.0])
    classify = hub.KerasLayer(
      f"{address}/example/digits_resnet/classification/1.tar.gz"
    )
  found = np.argmax(classify(held_out.images[:200]), axis=-1)
  assert np.mean(found == held_out.labels[:200]) > 0.9


def test_an_archive_loads_from_the_folder_that_it_unpacks_to(
  release_dir, tmp_path
):
  shutil.unpack_archive(
    release_dir / "example/multiply/1.tar.gz", tmp_path, filter="data"
  )
  for load in (hub.load, hub.KerasLayer):
    model = load(str(tmp_path))
    np.testing.assert_array_equal(model([10.0, 20.0]), [20.0, 40.0])


def test_every_snippet_of_a_page_runs(release_dir, tmp_path):
  # A feature vector's snippets are a classifier's.
  handles = [f"example/{name}/1" for name in _NAMES[:2]]
  printed = releases.run_snippets(release_dir, tmp_path, handles)
  for handle in handles:
    assert f"{handle}: 5 snippets ran" in printed
    # What the last one exported after fine-tuning.
    assert (tmp_path / handle / "fine_tuned/saved_model.pb").exists()
