"""Tests releases in a directory at an address, such as gs://."""

import dataclasses
import hashlib
import json
import os
import time
import types

import pytest
import tensorflow as tf

from exporters.companions import kinds
from exporters.errors import ExportError
from exporters.release import object_store
from exporters.release.page import Page
from exporters.release.place import Place
from exporters.release.released import Released
from tests import command
from tests import fake_gcs
from tests import gardens

_NAMES = ("apple", "birch")
_DRAFT = ("--draft", "--checks=basic")
_DIRECTORY = "gs://bucket/garden"


@pytest.fixture
def bucket(tmp_path, monkeypatch):
  """A bucket that all processes see which a test starts."""
  with fake_gcs.serving(tmp_path) as serving:
    for name, value in serving.environment.items():
      monkeypatch.setenv(name, value)
    yield serving


def _grow(garden, *flags, check=True):
  return gardens.grow(garden, _DIRECTORY, *_DRAFT, *flags, check=check)


def _plant(folder):
  garden = gardens.plant(folder, _NAMES)
  shared = folder / "shared.gin"
  shared.write_text(
    "from __gin__ import dynamic_registration\n"
    "from exporters.release import page\n"
    "page.Page.collection = 'fruit'\n"
  )
  with garden.open("a") as f:
    f.write(f"gardens.Garden.shared = ({str(shared)!r},)\n")
  return garden


def _stored(bucket):
  """Returns contents by path below the release directory."""
  return {
    name.removeprefix("garden/"): content
    for name, (content, _) in bucket.objects.items()
    if not name.endswith("/")
  }


def _same_each_time(name):
  return not name.endswith(
    (".report.html", ".provenance.json", ".garden.html", ".garden.json")
  )


@pytest.mark.parametrize("flags", [(), ("--workers=2",)])
def test_garden_at_an_address_is_that_of_a_local_directory(
  bucket, tmp_path, flags
):
  if flags:
    pytest.importorskip("distributed")
  garden = _plant(tmp_path)
  local = tmp_path / "release"
  gardens.grow(garden, local, *_DRAFT)
  done = _grow(garden, *flags)
  assert "2 made, 0 there already" in done.stdout
  stored = _stored(bucket)
  expected = {
    str(path.relative_to(local)): path.read_bytes()
    for path in local.rglob("*")
    if path.is_file()
  }
  assert sorted(stored) == sorted(expected)
  for name in filter(_same_each_time, expected):
    assert stored[name] == expected[name], name
  assert "assets/docs/example/collections/fruit/1.md" in stored
  record = json.loads(stored["plot.garden.json"])
  assert [leaf["state"] for leaf in record["leaves"]] == ["made", "made"]
  again = _grow(garden, *flags)
  assert "0 made, 2 there already" in again.stdout
  assert sorted(_stored(bucket)) == sorted(expected)


def test_half_a_version_is_completed(bucket, tmp_path):
  garden = _plant(tmp_path)
  _grow(garden, "--only=apple")
  whole = _stored(bucket)
  for name in list(bucket.objects):
    if name.endswith((".provenance.json", ".md", "saved_model.pb")):
      del bucket.objects[name]
  done = _grow(garden, "--only=apple")
  assert "1 made, 0 there already" in done.stdout
  assert sorted(_stored(bucket)) == sorted(whole)


def test_command_that_is_killed_while_it_copies(bucket, tmp_path):
  garden = _plant(tmp_path)
  process = gardens.start(garden, _DIRECTORY)
  ends = time.monotonic() + 120
  while not any("/1/" in name for name in [*bucket.objects]):
    assert time.monotonic() < ends
    time.sleep(0.01)
  process.kill()
  process.communicate()
  done = _grow(garden)
  assert "failed" not in done.stdout
  stored = _stored(bucket)
  assert not [name for name in stored if name.endswith(".claim")]
  for name in _NAMES:
    provenance = json.loads(stored[f"example/{name}/1.provenance.json"])
    for subject in provenance["subject"]:
      digest = hashlib.sha256(stored[subject["name"]]).hexdigest()
      assert digest == subject["digest"]["sha256"]
  assert "2 there already" in _grow(garden).stdout


def test_damage_is_told(bucket, tmp_path):
  garden = _plant(tmp_path)
  _grow(garden, "--only=apple")
  del bucket.objects["garden/example/apple/1.tar.gz"]
  done = _grow(garden, "--only=apple", check=False)
  assert done.returncode == 1
  assert "its file 'example/apple/1.tar.gz' is gone" in done.stderr


def test_address_that_cannot_be_written_is_one_error(tmp_path):
  done = gardens.grow(
    _plant(tmp_path), "none://bucket/garden", *_DRAFT, check=False
  )
  assert done.returncode == 1
  assert "Traceback" not in done.stderr
  assert "none" in done.stderr


def test_single_release_goes_to_the_local_disk():
  done = command.run(
    "scripts.release",
    f"--gin_file={gardens.MULTIPLY}",
    f"--release_dir={_DIRECTORY}",
    check=False,
  )
  assert "a release is made on the local disk" in done.stderr


class TestAdd:
  """Adds a version that has a file or two."""

  _DIRECTORY = "ram://store"

  @pytest.fixture(autouse=True)
  def _empty(self):
    yield
    if tf.io.gfile.exists(self._DIRECTORY):
      tf.io.gfile.rmtree(self._DIRECTORY)

  def _released(self, folder, content, companion=None):
    root = folder / content
    (root / "me/it").mkdir(parents=True)
    (root / "me/it/1.tar.gz").write_text(content)
    digests = {"me/it/1.tar.gz": content}
    if companion:
      digests[companion] = content
    subject = [
      {"name": name, "digest": {"sha256": digest}}
      for name, digest in digests.items()
    ]
    (root / "me/it/1.provenance.json").write_text(
      json.dumps({"subject": subject})
    )
    return Released(
      page=Page(
        publisher="me",
        name="it",
        version=1,
        description="",
        license="",
        task="",
        asset_root="",
        changelog={},
      ),
      artifact=None,
      description=None,
      texts=types.SimpleNamespace(publisher="Me."),
      root=str(root),
      digests=digests,
      byproducts={},
    )

  def _names(self):
    return sorted(tf.io.gfile.listdir(f"{self._DIRECTORY}/me/it"))

  def _text(self):
    return object_store.read(f"{self._DIRECTORY}/me/it/1.tar.gz")

  def test_same_bytes_again(self, tmp_path):
    one = self._released(tmp_path, "one")
    object_store.add([one], self._DIRECTORY)
    object_store.add([one], self._DIRECTORY)
    assert self._names() == ["1.provenance.json", "1.tar.gz"]

  def test_other_bytes_are_refused(self, tmp_path):
    object_store.add([self._released(tmp_path, "one")], self._DIRECTORY)
    with pytest.raises(ExportError, match="already holds me/it/1, with a diff"):
      object_store.add([self._released(tmp_path, "two")], self._DIRECTORY)
    assert self._names() == ["1.provenance.json", "1.tar.gz"]
    assert self._text() == "one"

  def test_provenance_comes_last_and_lets_the_same_bytes_in(
    self, tmp_path, monkeypatch
  ):
    one = self._released(tmp_path, "one")

    def copy(source, target):
      assert not source.endswith("provenance.json"), "killed"
      tf.io.gfile.copy(source, target, overwrite=True)

    with monkeypatch.context() as patch:
      patch.setattr(object_store, "_copy", copy)
      with pytest.raises(AssertionError, match="killed"):
        object_store.add([one], self._DIRECTORY)
    archive, claim = sorted(self._names(), key=lambda n: n.endswith(".claim"))
    assert archive == "1.tar.gz"
    two = self._released(tmp_path, "two")
    with pytest.raises(ExportError, match=f"{claim}': delete it"):
      object_store.add([two], self._DIRECTORY)
    assert self._names() == sorted([archive, claim])
    object_store.add([one], self._DIRECTORY)
    assert self._names() == ["1.provenance.json", "1.tar.gz"]

  def test_two_at_once(self, tmp_path, monkeypatch):
    """The second begins while the first copies."""
    one, two = (self._released(tmp_path, text) for text in ("one", "two"))
    real = object_store._copy
    errors = []

    def copy(source, target):
      if not errors:
        with pytest.raises(ExportError, match="Somebody else is adding") as e:
          object_store.add([two], self._DIRECTORY)
        errors.append(e)
      real(source, target)

    monkeypatch.setattr(object_store, "_copy", copy)
    object_store.add([one], self._DIRECTORY)
    assert len(errors) == 1
    assert self._text() == "one"
    assert self._names() == ["1.provenance.json", "1.tar.gz"]

  def test_companion_that_is_left_out_is_refused(self, tmp_path):
    path = Place(model="me/it/1", kind=kinds.KINDS["lite"]).path
    one = self._released(tmp_path, "one", companion=path)
    object_store.add([one], self._DIRECTORY)
    with pytest.raises(ExportError, match="which this release leaves out"):
      object_store.add(
        [dataclasses.replace(one, digests={"me/it/1.tar.gz": "one"})],
        self._DIRECTORY,
      )

  def test_companion_may_join(self, tmp_path):
    one = self._released(tmp_path, "one")
    object_store.add([one], self._DIRECTORY)
    digests = {**one.digests, "me/it/tflite/1.tflite": "joined"}
    joined = dataclasses.replace(one, digests=digests)
    object_store.add([joined], self._DIRECTORY)

  def test_preprocessor_is_there_to_compare_with(self, tmp_path):
    one = self._released(tmp_path, "one")
    page = dataclasses.replace(one.page, preprocessor="me/words/1")
    vocabulary = "me/words/1/assets/vocab.txt"
    object_store.write(f"{self._DIRECTORY}/{vocabulary}", "a\nb\n")

    def make():
      with object_store.local_directory(page, self._DIRECTORY) as local:
        with open(os.path.join(local, vocabulary)) as f:
          assert f.read() == "a\nb\n"
        raise ExportError(f"another vocabulary in '{local}'")

    with pytest.raises(ExportError, match=f"in '{self._DIRECTORY}'"):
      make()

  def test_other_signature_goes(self, tmp_path):
    one = self._released(tmp_path, "one")
    signature = tmp_path / "one/me/it/1.provenance.json.sig"
    signature.write_text("signed")
    object_store.add([one], self._DIRECTORY)
    assert "1.provenance.json.sig" in self._names()
    os.remove(signature)
    object_store.add([one], self._DIRECTORY)
    assert "1.provenance.json.sig" not in self._names()
