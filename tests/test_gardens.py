"""Tests gardens: families of models that one command releases."""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import signal
import sys

import gin
import psutil
import pytest

from exporters import recipe
from exporters.errors import ExportError
from exporters.gardens import estimates
from exporters.gardens import jobs
from exporters.gardens import processes
from exporters.gardens import progress
from exporters.gardens import record
from exporters.gardens import schedule
from exporters.gardens import settings
from exporters.gardens import whole
from exporters.gardens.jobs import FAILED
from exporters.gardens.jobs import MADE
from exporters.gardens.jobs import NEW
from exporters.gardens.jobs import Job
from exporters.gardens.jobs import Outcome
from exporters.gardens.jobs import Terms
from exporters.gin_files import imports
from exporters.release import kaggle
from exporters.release import validation
from scripts import list_configs
from tests import command
from tests import gardens
from tests import releases

_NAMES = ("apple", "birch", "cedar", "dogwood")


def _record(release_dir):
  return json.loads((release_dir / "plot.garden.json").read_text())


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
  folder = tmp_path_factory.mktemp("planted")
  return gardens.plant(folder, _NAMES)


@pytest.fixture(scope="module")
def grown(planted):
  """A garden with all checks, and what the command said."""
  release_dir = planted.parent / "release"
  return release_dir, gardens.grow(planted, release_dir)


def test_all_models_are_released(grown):
  release_dir, done = grown
  for name in _NAMES:
    for file in (
      "1.tar.gz",
      "1/saved_model.pb",
      "1.provenance.json",
      "1.report.html",
    ):
      assert (release_dir / "example" / name / file).exists()
  lines = done.stderr.splitlines()
  assert [line[:6] for line in lines] == [f"{i} of 4" for i in range(1, 5)]
  assert all("checks passed" in line for line in lines)
  assert "4 made, 0 there already" in done.stdout


def test_record_says_what_was_made(grown):
  release_dir, _ = grown
  record = _record(release_dir)
  assert [leaf["leaf"] for leaf in record["leaves"]] == [*_NAMES]
  for leaf in record["leaves"]:
    (model,) = leaf["models"]
    archive = (release_dir / model["archive"]).read_bytes()
    assert model["sha256"] == hashlib.sha256(archive).hexdigest()
    assert model["parameters"] == 1
    assert model["difference"] == 0
    assert model["checks passed"] > 10
    assert leaf["memory"] > 1e8
    assert {"save", "check", "pack", "publish"} <= leaf["stages"].keys()


def test_report_links_to_each_model(grown):
  release_dir, _ = grown
  text = (release_dir / "plot.garden.html").read_text()
  for name in _NAMES:
    assert f'href="example/{name}/1.report.html"' in text
    assert (release_dir / "example" / name / "1.report.html").exists()


def test_bytes_are_those_of_a_single_release(grown, planted, tmp_path):
  release_dir, _ = grown
  alone = tmp_path / "alone"
  releases.release(
    planted.parent / "birch.gin", alone, bindings=["page.Page.name = 'birch'"]
  )
  for file in (
    "example/birch/1.tar.gz",
    "assets/docs/example/models/birch/1.md",
    "example/birch/1/model-instance-metadata.json",
  ):
    assert (alone / file).read_bytes() == (release_dir / file).read_bytes()


def test_second_run_makes_nothing(grown, planted):
  release_dir, _ = grown
  before = _record(release_dir)
  done = gardens.grow(planted, release_dir)
  assert "0 made, 4 there already" in done.stdout
  assert _record(release_dir) == before


def test_dry_run_writes_nothing(planted, tmp_path):
  done = gardens.grow(planted, tmp_path / "release", "--dry_run")
  assert "4 to make, 0 there already, 0 cannot be made" in done.stdout
  assert not (tmp_path / "release").exists()


def test_only_some_leaves(planted, tmp_path):
  release_dir = tmp_path / "release"
  gardens.grow(
    planted, release_dir, "--only=a*,cedar", "--draft", "--checks=none"
  )
  assert sorted(os.listdir(release_dir / "example")) == ["apple", "cedar"]
  done = gardens.grow(planted, release_dir, "--only=oak", check=False)
  assert done.returncode == 1
  assert "the garden has no such leaf" in done.stderr


def test_models_that_fail_take_nothing_with_them(tmp_path):
  kinds = {"birch": "Hangs", "cedar": "IsKilled", "dogwood": "HasADefect"}
  garden = gardens.plant(tmp_path, [*_NAMES, "elder"], kinds)
  release_dir = tmp_path / "release"
  flags = ("--draft", "--checks=none")
  done = gardens.grow(
    garden, release_dir, *flags, "--time_limit=25", check=False
  )
  assert done.returncode == 1
  assert sorted(os.listdir(release_dir / "example")) == ["apple", "elder"]
  assert "2 made, 0 there already, 3 failed" in done.stdout
  assert "3 of 5 models failed" in done.stderr
  assert "birch: It took more than 25 s and was stopped" in done.stderr
  assert "cedar: Its process was ended by SIGKILL" in done.stderr
  assert "nobody thought of this" in done.stderr
  states = {
    leaf["leaf"]: leaf["state"] for leaf in _record(release_dir)["leaves"]
  }
  assert [*states.values()].count("failed") == 3
  # Nothing is left beside it, and the rest can still be made.
  assert not [*tmp_path.glob(".release*")]
  gardens.plant(tmp_path, [*_NAMES, "elder"])
  done = gardens.grow(garden, release_dir, *flags)
  assert "3 made, 2 there already" in done.stdout
  assert not [
    leaf for leaf in _record(release_dir)["leaves"] if leaf["state"] == "failed"
  ]


def test_mistakes_are_told_before_anything_is_made(tmp_path):
  garden = gardens.plant(tmp_path, _NAMES)
  text = garden.read_text()
  for name in _NAMES[:2]:
    path = tmp_path / f"{name}.gin"
    text = text.replace(
      f"'{path}': {{'page.Page.name': '$leaf'",
      f"'{path}': {{'page.Page.name': 'same'",
    )
  garden.write_text(
    text.replace(
      "cedar.gin': {'page.Page.name'", "cedar.gin': {'page.Page.nmae'"
    )
  )
  release_dir = tmp_path / "release"
  done = gardens.grow(
    garden, release_dir, "--draft", "--checks=none", check=False
  )
  assert done.returncode == 1
  assert os.listdir(release_dir / "example") == ["dogwood"]
  assert "1 made, 0 there already, 3 could not be tried" in done.stdout
  for name in _NAMES[:2]:
    assert (
      f"  {name}: 'apple' and 'birch' would both be example/same/1. Give each "
      "a page.Page.name of its own."
    ) in done.stderr
  assert "Did you mean 'name'?" in done.stderr
  assert f"gardens.Garden.leaves['{tmp_path / 'cedar.gin'}']" in done.stderr
  assert "page.Page.nmae = 'cedar'" in done.stderr
  assert "--gin_bindings" not in done.stderr
  assert "error: 3 could not be tried." in done.stderr


def test_missing_files_are_all_told_at_once(tmp_path):
  folder = tmp_path / "checkpoints"
  done = command.run(
    "scripts.garden",
    "--gin_file=configs/gardens/small_berts.gin",
    f"--gin_bindings=CHECKPOINTS = '{folder}'",
    f"--release_dir={tmp_path / 'release'}",
    "--dry_run",
    fresh=True,
  )
  assert "0 to make, 0 there already, 25 cannot be made" in done.stdout
  text = " ".join(done.stdout.split())
  for size in ("L-2_H-128_A-2", "L-12_H-768_A-12"):
    assert f"uncased_{size}/vocab.txt' does not exist" in text


def test_encoder_of_a_missing_preprocessor_is_not_tried(tmp_path):
  preprocessor = "configs/bert/bert_en_uncased_preprocess.gin"
  leaves = {
    preprocessor: {
      "VOCAB_FILE": str(tmp_path / "vocab.txt"),
      "page.Page.name": "preprocess",
      "page.Page.description": "Splits text.",
      "page.Page.task": "text-preprocessing",
      "page.Kaggle.variation": "preprocess",
    },
    gardens.MULTIPLY: {"page.Page.preprocessor": "example/preprocess/1"},
  }
  garden = tmp_path / "plot.gin"
  garden.write_text(
    "from __gin__ import dynamic_registration\n"
    "from exporters import gardens\n"
    f"gardens.Garden.leaves = {leaves!r}\n"
    "gardens.Garden.shared = ('configs/gardens/small_berts_page.gin',)\n"
  )
  done = gardens.grow(garden, tmp_path / "release", "--dry_run")
  assert "0 to make, 0 there already, 2 cannot be made" in done.stdout
  assert "vocab.txt' does not exist" in done.stdout
  reason = "multiply: Its preprocessor example/preprocess/1 cannot be made."
  assert reason in done.stdout


def test_interrupted_garden_leaves_no_process_and_no_half_version(tmp_path):
  garden = gardens.plant(tmp_path, _NAMES, {"birch": "Hangs", "cedar": "Hangs"})
  release_dir = tmp_path / "release"
  process = gardens.start(garden, release_dir)
  # Two are made, two hang.
  for _ in range(2):
    assert "made" in process.stderr.readline()
  family = psutil.Process(process.pid).children(recursive=True)
  assert family
  process.send_signal(signal.SIGINT)
  _, complaint = process.communicate(timeout=60)
  assert process.returncode == 1
  assert "stopping ..." in complaint
  assert "interrupted: 2 of 4 were released" in complaint
  assert "Traceback" not in complaint
  _, alive = psutil.wait_procs(family, timeout=20)
  assert not alive
  assert sorted(os.listdir(release_dir / "example")) == ["apple", "dogwood"]
  assert not [*tmp_path.glob(".release*")]


def test_killed_garden_leaves_no_process(tmp_path):
  garden = gardens.plant(tmp_path, _NAMES, {"birch": "Hangs", "cedar": "Hangs"})
  process = gardens.start(garden, tmp_path / "release")
  for _ in range(2):
    assert "made" in process.stderr.readline()
  family = psutil.Process(process.pid).children(recursive=True)
  process.kill()
  process.communicate()
  _, alive = psutil.wait_procs(family, timeout=20)
  assert not alive


def test_verify_and_reproduce_take_a_garden(grown):
  release_dir, _ = grown
  record = release_dir / "plot.garden.json"
  done = command.run("scripts.verify", str(record), "--checks=none", fresh=True)
  assert "All 4 models" in done.stdout
  done = command.run("scripts.reproduce", str(record), fresh=True)
  assert "All 4 models are the same, byte for byte." in done.stdout


def test_verify_finds_the_model_that_is_not_as_recorded(grown, tmp_path):
  release_dir, _ = grown
  record = _record(release_dir)
  record["leaves"][1]["models"][0]["sha256"] = "0" * 64
  changed = release_dir / "changed.garden.json"
  changed.write_text(json.dumps(record))
  done = command.run(
    "scripts.verify", str(changed), "--checks=none", check=False, fresh=True
  )
  assert done.returncode == 1
  assert "failed  example/birch/1" in done.stdout
  assert "ok      example/apple/1" in done.stdout
  changed.unlink()


def test_record_that_names_a_file_elsewhere_is_refused(tmp_path):
  (tmp_path / "release").mkdir()
  (tmp_path / "other.tar.gz").write_bytes(b"")
  record = tmp_path / "release/x.garden.json"
  model = {
    "handle": "a/b/1",
    "archive": "../other.tar.gz",
    "sha256": "",
    "companions": [],
  }
  for archive in ("../other.tar.gz", str(tmp_path / "other.tar.gz")):
    leaf = {"models": [model | {"archive": archive}], "files": {}}
    record.write_text(json.dumps({"leaves": [leaf]}))
    with pytest.raises(ExportError, match="lies elsewhere"):
      whole.models(str(record))
  for text in ("", "[]", '{"leaves": [{}]}', '{"leaves": [{"models": [{}]}]}'):
    record.write_text(text)
    with pytest.raises(ExportError, match="not the record of a garden"):
      whole.models(str(record))


def test_draft_is_not_taken_for_a_checked_release(tmp_path):
  garden = gardens.plant(tmp_path, _NAMES[:2])
  release_dir = tmp_path / "release"
  gardens.grow(garden, release_dir, "--draft", "--checks=none")
  assert "(draft: none)" in (release_dir / "plot.garden.html").read_text()
  done = gardens.grow(garden, release_dir)
  assert "2 made, 0 there already" in done.stdout
  # A release that went through all checks stays one.
  done = gardens.grow(garden, release_dir, "--draft", "--checks=none")
  assert "0 made, 2 there already" in done.stdout
  (first, _) = _record(release_dir)["leaves"]
  assert first["models"][0]["checks"] == "all"
  assert first["models"][0]["checks passed"] > 10
  assert "draft" not in (release_dir / "plot.garden.html").read_text()


def test_damaged_or_absent_files_are_not_there(tmp_path):
  garden = gardens.plant(tmp_path, _NAMES[:2])
  release_dir = tmp_path / "release"
  draft = ("--draft", "--checks=none")
  gardens.grow(garden, release_dir, *draft)
  archive = release_dir / "example/apple/1.tar.gz"
  whole_ = archive.read_bytes()
  archive.unlink()  # It may be linked elsewhere.
  archive.write_bytes(whole_[:-1])
  done = gardens.grow(garden, release_dir, *draft, check=False)
  assert done.returncode == 1
  assert "'example/apple/1.tar.gz' is not as it was released" in done.stderr
  shutil.rmtree(release_dir / "example/apple")
  done = gardens.grow(garden, release_dir, *draft)
  assert "1 made, 1 there already" in done.stdout
  assert archive.read_bytes() == whole_


def test_record_keeps_what_is_there_when_a_leaf_fails(tmp_path):
  garden = gardens.plant(tmp_path, _NAMES[:2])
  release_dir = tmp_path / "release"
  draft = ("--draft", "--checks=none")
  gardens.grow(garden, release_dir, *draft)
  leaf = tmp_path / "apple.gin"
  leaf.write_text(leaf.read_text().replace("= 2.0", "= 7.0"))
  done = gardens.grow(garden, release_dir, *draft, check=False)
  assert "A published version never changes" in done.stderr
  (apple, _) = _record(release_dir)["leaves"]
  assert apple["state"] == "failed"
  assert "<path>/" in apple["error"] or str(tmp_path) not in apple["error"]
  assert [m["handle"] for m in apple["models"]] == ["example/apple/1"]
  leaf.write_text(
    f"{leaf.read_text()}"
    "from exporters.release import page\n"
    "page.Page.version = 2\n"
    "page.Page.changelog = {1: 'First.', 2: 'Other.'}\n"
  )
  gardens.grow(garden, release_dir, *draft)
  (apple, _) = _record(release_dir)["leaves"]
  handles = [m["handle"] for m in apple["models"]]
  assert handles == ["example/apple/1", "example/apple/2"]
  record = release_dir / "plot.garden.json"
  done = command.run("scripts.verify", str(record), "--checks=none", fresh=True)
  assert "All 3 models" in done.stdout


def test_release_that_is_not_signed_yet_is_signed(tmp_path):
  garden = gardens.plant(tmp_path, _NAMES[:1])
  release_dir = tmp_path / "release"
  key, public = tmp_path / "key.pem", tmp_path / "key.pub"
  releases.make_key(tmp_path, "key")
  draft = ("--draft", "--checks=none")
  gardens.grow(garden, release_dir, *draft)
  done = gardens.grow(garden, release_dir, *draft, f"--sign_key={key}")
  assert "1 made, 0 there already" in done.stdout
  record = release_dir / "plot.garden.json"
  command.run(
    *("scripts.verify", str(record), "--checks=none"),
    f"--public_key={public}",
    fresh=True,
  )
  done = gardens.grow(garden, release_dir, *draft, f"--sign_key={key}")
  assert "0 made, 1 there already" in done.stdout


def test_record_does_not_identify_this_machine(tmp_path, monkeypatch):
  from exporters.life_cycle import checker

  private = [f"{tmp_path}/", "bert"]
  monkeypatch.setattr(checker, "private_strings", lambda: private)
  error = f"'{tmp_path}/x' on bert is not bertha."
  (tmp_path / "release").mkdir()
  record.write(
    "berts",
    "all",
    [Outcome(leaf="bert_base", state="failed", error=error)],
    str(tmp_path / "release"),
  )
  found = json.loads((tmp_path / "release/berts.garden.json").read_text())
  assert found["name"] == "berts"
  (leaf,) = found["leaves"]
  assert leaf["leaf"] == "bert_base"
  assert leaf["error"] == "'<path>/x' on <host> is not bertha."


class TestGinFile:
  def _expanded(self, tmp_path, text):
    path = tmp_path / "garden.gin"
    path.write_text(
      "from __gin__ import dynamic_registration\n"
      f"from exporters import gardens\n{text}\n"
    )
    return settings.load([str(path)], ()).expanded()

  def test_star_and_names(self, tmp_path):
    (leaf,) = self._expanded(
      tmp_path,
      "gardens.Garden.folder = '/data'\n"
      "gardens.Garden.leaves = {'configs/bert/small_*_L-2_H-128_A-2.gin': {\n"
      "  'CHECKPOINT': '$folder/$leaf/$part', 'page.Page.name': '$$$part',\n"
      "  'page.Kaggle.variation': '$slug', 'page.Page.version': 2}}",
    )
    assert leaf.name == "small_bert_en_uncased_L-2_H-128_A-2"
    assert [*leaf.bindings] == [
      f"CHECKPOINT = '/data/{leaf.name}/bert_en_uncased'",
      "page.Page.name = '$bert_en_uncased'",
      "page.Kaggle.variation = 'bert-en-uncased'",
      "page.Page.version = 2",
    ]
    assert leaf.files == {"CHECKPOINT": f"$folder/{leaf.name}/bert_en_uncased"}

  def test_names_in_dicts_and_tuples(self, tmp_path):
    (leaf,) = self._expanded(
      tmp_path,
      "gardens.Garden.leaves = {'configs/bert/small_*_L-2_H-128_A-2.gin': {\n"
      "  'A': ('$part', 1), 'B': {'$part': ['$leaf']}}}",
    )
    assert [*leaf.bindings] == [
      "A = ('bert_en_uncased', 1)",
      f"B = {{'$part': ['{leaf.name}']}}",
    ]

  def test_star_leaves_out_what_leaves_include(self, tmp_path):
    leaves = self._expanded(
      tmp_path,
      "gardens.Garden.leaves = {\n"
      "  'configs/efficientnet/legacy_efficientnet_b*.gin': {'A': '$part'}}",
    )
    bindings = [*zip(*(leaf.bindings for leaf in leaves), strict=True)]
    assert bindings == [tuple(f"A = '{size}'" for size in range(8))]

  def test_later_keys_override_single_values(self, tmp_path):
    leaves = self._expanded(
      tmp_path,
      "gardens.Garden.leaves = {\n"
      "  'configs/albert/albert_en_*.gin': {'A': '1', 'B': '$part'},\n"
      "  'configs/albert/albert_en_base.gin': {'A': '2'}}",
    )
    bindings = {leaf.name: [*leaf.bindings] for leaf in leaves}
    assert bindings["albert_en_base"] == ["A = '2'", "B = 'base'"]
    assert bindings["albert_en_large"] == ["A = '1'", "B = 'large'"]

  @pytest.mark.parametrize(
    ("leaves", "message"),
    [
      ("{'configs/bert/no_such_*.gin': {}}", "there is no gin file"),
      ("{'configs/*/bert_*.gin': {}}", "may have one"),
      ("{'configs/bert/bert_base.gin': {'A': '$nome'}}", "something else"),
      ("{'configs/bert/bert_base.gin': {'A': '100 $'}}", "something else"),
      ("['configs/bert/bert_base.gin']", "leaves"),
    ],
  )
  def test_mistakes(self, tmp_path, leaves, message):
    with pytest.raises(ExportError, match=message):
      self._expanded(tmp_path, f"gardens.Garden.leaves = {leaves}")

  def test_leaf_is_not_a_garden(self):
    with pytest.raises(ExportError, match="is not the gin file of a garden"):
      settings.load([gardens.MULTIPLY], ())

  def test_missing_garden(self):
    with pytest.raises(ExportError, match=r"small_bert.gin' does not exist"):
      settings.load(["configs/gardens/small_bert.gin"], ())

  def test_two_leaves_of_one_name(self, tmp_path):
    (tmp_path / "multiply.gin").write_text("")
    with pytest.raises(ExportError, match="two leaves named 'multiply'"):
      self._expanded(
        tmp_path,
        f"gardens.Garden.leaves = {{'{gardens.MULTIPLY}': {{}}, "
        f"'{tmp_path}/multiply.gin': {{}}}}",
      )

  def test_gin_is_left_as_it_was(self, tmp_path):
    self._expanded(tmp_path, "gardens.Garden.leaves = {}")
    assert not gin.config_str()


# With checkpoints that are not there.
_GARDENS = {
  path: ["CHECKPOINTS = '/nonexistent'"] * ("CHECKPOINTS" in path.read_text())
  for path in sorted(pathlib.Path("configs/gardens").glob("*.gin"))
  if "gardens.Garden" in path.read_text()
}
_OF_PUBLISHED = [path for path, bindings in _GARDENS.items() if bindings]


@pytest.mark.parametrize("path", _OF_PUBLISHED, ids=lambda path: path.stem)
def test_each_garden_file_names_leaves_that_load(path):
  """With checkpoints that are not there, nothing else is wrong."""
  done = command.run(
    "scripts.garden",
    f"--gin_file={path}",
    "--gin_bindings=CHECKPOINTS = '/nonexistent'",
    "--release_dir=/nonexistent/release",
    "--dry_run",
    fresh=True,
  )
  text = " ".join(done.stdout.split())
  assert "0 to make" in text
  told = text.count("does not exist") + text.count("There is no checkpoint at")
  assert f"{told} cannot be made" in text
  assert told


@pytest.mark.parametrize("path", _GARDENS, ids=lambda path: path.stem)
def test_pages_of_each_garden_are_valid_distinct_and_named_as_published(path):
  handles, on_kaggle = [], []
  for leaf in settings.load([str(path)], _GARDENS[path]).expanded():
    try:
      loaded = recipe.load(leaf.gin_files, leaf.bindings)
      page = validation.validated(loaded.page)
    finally:
      gin.clear_config()
    artifacts = getattr(loaded.exporter, "artifacts", [""])
    pages = [page.of(artifact) for artifact in artifacts]
    handles += [page.handle for page in pages]
    on_kaggle += [kaggle.address(page) for page in pages]
    header = list_configs.Leaf.read(pathlib.Path(leaf.gin_files[0]).resolve())
    published = [
      handle.removeprefix("https://tfhub.dev/").split("/")[1:-1]
      for handle in header.handles
    ]
    if published:
      # The names of artifacts have no hyphens.
      assert [
        page.name.replace("feature_vector", "feature-vector") for page in pages
      ] == ["/".join(name) for name in published]
  for names in (handles, on_kaggle):
    assert len({*names}) == len(names)


def test_gardens_agree_on_what_they_share():
  """So that both can be released to one directory."""
  bindings: dict[str, str] = {}
  for path, checkpoints in _GARDENS.items():
    for leaf in settings.load([str(path)], checkpoints).expanded():
      try:
        recipe.load(leaf.gin_files, leaf.bindings)
        text = gin.config_str()
      finally:
        gin.clear_config()
      assert bindings.setdefault(leaf.name, text) == text


def test_imported_modules_are_listed_without_importing_them(tmp_path):
  before = set(sys.modules)
  found = imports.modules(["configs/movinet/movinet_a0_base.gin"])
  assert "exporters.movinet" in found
  broken = tmp_path / "broken.gin"
  broken.write_text("from exporters import bert\n= nothing\n")
  assert "exporters.bert" in imports.modules([str(broken)])
  assert not {m for m in set(sys.modules) - before if m.startswith("official")}


def test_progress_names_all_that_a_leaf_makes():
  begin = "example/digits"
  models = [
    {"handle": f"{begin}/{name}/1", "size": 10**6, "checks passed": 0}
    | {"difference": None}
    for name in ("classification", "feature_vector")
  ]
  several = Outcome(leaf="digits", state=MADE, seconds=2.0, models=models)
  assert progress.told(_job("digits", 1), several) == (
    "made    example/digits/{classification,feature_vector}/1  2.0 s, 2.0 MB"
  )


def _job(name, size, preprocessor=""):
  leaf = settings.Leaf(name=name, gin_files=[], bindings=[], files={})
  return Job(
    leaf=leaf,
    state=NEW,
    handle=f"example/{name}/1",
    size=size,
    preprocessor=preprocessor,
  )


class TestChecked:
  """What jobs rule out of each other."""

  def _job(self, name, version=1, kaggle=()):
    return dataclasses.replace(
      _job(name, 1), handle=f"me/{name}/{version}", kaggle=kaggle
    )

  def test_same_place_on_kaggle(self):
    place = "me/same/tensorFlow2/default"
    checked = jobs.checked(
      [
        self._job("apple", kaggle=[place]),
        self._job("birch", kaggle=[place]),
        self._job("cedar", kaggle=["me/same/tensorFlow2/other"]),
      ]
    )
    assert [job.state for job in checked] == ["unusable", "unusable", "new"]
    assert checked[1].error == (
      f"'apple' and 'birch' would both be {place} on Kaggle. Give each a "
      "page.Kaggle.variation of its own."
    )

  def test_versions_share_a_place_on_kaggle(self):
    same = [self._job("apple", v, ["me/apple/tensorFlow2/x"]) for v in (1, 2)]
    assert jobs.checked(same) == same

  def test_preprocessor_that_is_two_leaves(self):
    checked = jobs.checked(
      [
        self._job("words"),
        self._job("words"),
        dataclasses.replace(self._job("encoder"), preprocessor="me/words/1"),
      ]
    )
    assert [job.state for job in checked] == ["unusable"] * 3
    assert checked[2].error == (
      "Its preprocessor me/words/1 would be several leaves."
    )


class TestSchedule:
  """Which releases begin, given what has begun."""

  LIMITS = schedule.Limits(releases=3, memory=10 * 10**9)

  def _next(self, waiting, running=()):
    guesses = estimates.Estimates("none")
    found = schedule.startable(waiting, running, self.LIMITS, guesses)
    return [job.leaf.name for job in found]

  def test_as_many_as_fit(self):
    small = [_job(name, 10**8) for name in "abcd"]
    assert self._next(small) == ["a", "b", "c"]
    assert self._next(small, [_job("x", 10**8)] * 2) == ["a"]

  def test_small_ones_fill_what_large_ones_leave(self):
    waiting = [_job("large", 3 * 10**9), _job("large_2", 3 * 10**9)]
    waiting.append(_job("small", 10**7))
    assert self._next(waiting) == ["large", "small"]

  def test_what_fits_nowhere_is_made_alone(self):
    giant = _job("giant", 10**11)
    assert self._next([giant, _job("small", 10**7)]) == ["giant"]
    assert self._next([giant], [_job("small", 10**7)]) == []

  def test_preprocessor_comes_first(self):
    encoder = _job("encoder", 10**8, "example/words/1")
    assert self._next([encoder, _job("words", 0)]) == ["words"]
    assert self._next([encoder], [_job("words", 0)]) == []
    assert self._next([encoder]) == ["encoder"]

  def test_what_names_a_failed_preprocessor_is_not_tried(self):
    tried, told = [], []

    class Fails:
      def run(self, function, arguments, **unused):
        tried.append(arguments[0].name)
        return processes.Done(error="no", seconds=1.0, memory=1)

    class Listener:
      def begins(self, job):
        told.append(job.leaf.name)

      def stage(self, job, stage):
        pass

      def ends(self, job, outcome, seconds_left):
        told.append(outcome.error)

    outcomes = schedule.run(
      [_job("encoder", 10**8, "example/words/1"), _job("words", 0)],
      Terms(release_dir="", level="none", commit=None),
      Fails(),
      self.LIMITS,
      estimates.Estimates("none"),
      Listener(),
    )
    assert tried == ["words"]
    failed = "its preprocessor example/words/1 failed"
    assert told == ["words", "no", "encoder", failed]
    assert [outcome.state for outcome in outcomes] == [FAILED, FAILED]

  def test_one_that_takes_much_for_its_size(self):
    guesses = estimates.Estimates("none")
    small, large = _job("small", 0), _job("large", 10**9)
    first = guesses.of(small).memory / 1.25
    taken = int(4 * first)
    guesses.learn(
      small, Outcome(leaf="small", state=MADE, seconds=1.0, memory=taken)
    )
    assert guesses.of(small).memory == pytest.approx(taken)
    # As much more, and the margin of what nothing has confirmed.
    unlearned = estimates.Estimates("none").of(large).memory
    assert guesses.of(large).memory == pytest.approx(
      unlearned + 3 * first - 0.25 * first
    )

  def test_estimates_learn(self):
    guesses = estimates.Estimates("all")
    job = _job("a", 10**8)
    first = guesses.of(job)
    outcome = Outcome(
      leaf="a",
      state=MADE,
      seconds=first.seconds * 3,
      memory=first.memory // 2,
    )
    guesses.learn(job, outcome)
    later = guesses.of(job)
    assert later.seconds == pytest.approx(first.seconds * 3)
    assert later.memory == pytest.approx(first.memory / 2, rel=1e-6)
    assert later.disk == first.disk
