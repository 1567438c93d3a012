"""Archives from strangers: each attack is refused by name, and does nothing."""

from collections.abc import Callable
import contextlib
import gzip
import hashlib
import io
import json
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile
import zlib

import gin
from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_hub import file_utils

from exporters import checks
from exporters import recipe as recipe_lib
from exporters.errors import ExportError
from exporters.life_cycle import exporting
from exporters.release import git_commit
from exporters.release import graph
from exporters.release import provenance
from exporters.release import publish
from exporters.release import signing
from exporters.release import verify
from tests import command
from tests import releases


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
  folder = tmp_path_factory.mktemp("keys")
  for name in ("ours", "theirs"):
    releases.make_key(folder, name)
  return folder


@pytest.fixture(scope="module")
def signed(keys, tmp_path_factory):
  """A folder with a signed archive and its provenance."""
  folder = tmp_path_factory.mktemp("signed") / "release"
  recipe = recipe_lib.load([releases.MULTIPLY], [])
  record = provenance.Recorder(recipe, git_commit.read_commit(), "none")
  gin.clear_config()

  def prove(one):
    record(one)
    for file in (one.provenance, one.archive):
      signing.sign(file, str(keys / "ours.pem"))

  publish.release(
    recipe,
    release_dir=str(folder),
    level=checks.NONE,
    stages=exporting.Stages(),
    prove=prove,
  )
  return folder / "example/multiply"


@pytest.fixture
def copy(signed, tmp_path):
  return pathlib.Path(shutil.copytree(signed, tmp_path / "copy"))


def _members(path: pathlib.Path) -> dict[str, bytes | None]:
  with tarfile.open(path) as tar:
    return {
      m.name: tar.extractfile(m).read() if m.isfile() else None
      for m in tar.getmembers()
    }


def _pack(
  path: pathlib.Path,
  members: dict[str, bytes | None],
  *more: tuple[tarfile.TarInfo, bytes],
) -> pathlib.Path:
  with tarfile.open(path, "w:gz") as tar:
    for name, content in members.items():
      info = tarfile.TarInfo(name)
      info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
      info.size = len(content or b"")
      tar.addfile(info, io.BytesIO(content or b""))
    for info, content in more:
      info.size = len(content)
      tar.addfile(info, io.BytesIO(content))
  return path


def _info(name: str, **attributes) -> tarfile.TarInfo:
  info = tarfile.TarInfo(name)
  for key, value in attributes.items():
    setattr(info, key, value)
  return info


_HOSTILE_MEMBERS = {
  "an absolute path": _info("/tmp/verify_was_here"),
  "a path upwards": _info("../verify_was_here"),
  "a path upwards from a folder": _info("assets/../../verify_was_here"),
  "a symlink": _info("assets/a", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
  "a hard link": _info(
    "assets/a", type=tarfile.LNKTYPE, linkname="/etc/passwd"
  ),
  "a device": _info("assets/a", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
  "a pipe": _info("assets/a", type=tarfile.FIFOTYPE),
  "a hidden file": _info(".bashrc"),
  "a program": _info("install.sh"),
  "a file without its folder": _info("assets.extra/a"),
  "a path upwards from the root": _info("./../verify_was_here"),
  "a path upwards and back": _info("assets/../install"),
  "an absolute path with two slashes": _info("//tmp/verify_was_here"),
  "a symlink at the root": _info(".", type=tarfile.SYMTYPE, linkname="/tmp"),
  "a file at the root": _info("."),
  "a program at the root": _info("./install.sh"),
  "a file that ends like a folder": _info("fingerprint.pb/."),
}


@pytest.mark.parametrize("attack", _HOSTILE_MEMBERS)
def test_a_hostile_member_is_refused_by_name(attack, signed, tmp_path):
  info = _HOSTILE_MEMBERS[attack]
  members = _members(signed / "1.tar.gz") | {"assets": None}
  path = _pack(tmp_path / "1.tar.gz", members, (info, b""))
  before = sorted(tmp_path.rglob("*"))
  name = info.name.removeprefix("./")
  with pytest.raises(ExportError, match=re.escape(name)):
    verify.verify(str(path))
  assert sorted(tmp_path.rglob("*")) == before
  assert not pathlib.Path("/tmp/verify_was_here").exists()


def test_a_member_twice_is_refused(signed, tmp_path):
  members = _members(signed / "1.tar.gz")
  again = (_info("saved_model.pb"), b"another")
  path = _pack(tmp_path / "1.tar.gz", members, again)
  with pytest.raises(ExportError, match=r"'saved_model\.pb' twice"):
    verify.verify(str(path))


@pytest.mark.parametrize(
  ("name", "twice"),
  [
    ("./saved_model.pb", r"saved_model\.pb"),
    (".//saved_model.pb", r"saved_model\.pb"),
    ("./assets/./.", "assets"),
  ],
)
def test_a_member_twice_in_other_words_is_refused(
  name, twice, signed, tmp_path
):
  members = _members(signed / "1.tar.gz") | {"assets": None}
  again = _info(name)
  if twice == "assets":
    again.type = tarfile.DIRTYPE
  path = _pack(tmp_path / "1.tar.gz", members, (again, b""))
  with pytest.raises(ExportError, match=f"'{twice}' twice"):
    verify.verify(str(path))


# Of a name below the root: the same file, written in another way.
_SPELLINGS = {
  "a leading dot": "./{}".format,
  "a dot and two slashes": ".//{}".format,
  "dots and slashes inside": lambda name: name.replace("/", "/.//./"),
  "two dots": "././{}".format,
}


@pytest.mark.parametrize("kind", ["tar.gz", "tar"])
@pytest.mark.parametrize("spelling", _SPELLINGS)
def test_a_member_in_other_words_is_the_same(spelling, kind, signed, tmp_path):
  members = _members(signed / "1.tar.gz")
  spelt = {_SPELLINGS[spelling](name): c for name, c in members.items()}
  if spelling.startswith("a leading"):
    spelt = {"./": None} | spelt
  path = _pack(tmp_path / "1.tar.gz", spelt)
  if kind == "tar":
    content = gzip.decompress(path.read_bytes())
    path = tmp_path / "1.tar"
    path.write_bytes(content)
  assert verify.verify(str(path), level=checks.NONE).files == {
    name: hashlib.sha256(content).hexdigest()
    for name, content in members.items()
    if content is not None
  }


@pytest.mark.parametrize("make", [_info, lambda name: _info(f"./{name}")])
def test_a_graph_is_inspected_however_its_name_is_written(
  make, signed, tmp_path
):
  members = _members(signed / "1.tar.gz")
  del members["saved_model.pb"]
  graph_member = (make("saved_model.pb"), b"\xff" * 100)
  path = _pack(tmp_path / "1.tar.gz", members, graph_member)
  with pytest.raises(ExportError, match=r"saved_model\.pb"):
    verify.verify(str(path), level=checks.NONE)


@pytest.mark.parametrize("options", [["-cz"], ["-c"], ["-c", "--format=pax"]])
def test_an_archive_of_the_command_in_hubs_documentation_is_verified(
  options, signed, tmp_path
):
  """https://www.tensorflow.org/hub/hosting, and the same without gzip."""
  folder = tmp_path / "model"
  folder.mkdir()
  with tarfile.open(signed / "1.tar.gz") as tar:
    tar.extractall(folder, filter="data")
  path = tmp_path / "model.tar"
  subprocess.run(
    ["tar", *options, "-f", path, "--owner=0", "--group=0", "-C", folder, "."],
    check=True,
  )
  verified = verify.verify(str(path), level=checks.BASIC)
  assert verified.files == {
    file.relative_to(folder).as_posix(): hashlib.sha256(
      file.read_bytes()
    ).hexdigest()
    for file in folder.rglob("*")
    if file.is_file()
  }
  assert all(result.status != checks.FAILED for result in verified.results)


def test_something_behind_a_tar_is_refused(signed, tmp_path):
  path = tmp_path / "1.tar"
  path.write_bytes(
    gzip.decompress((signed / "1.tar.gz").read_bytes()) + b"more"
  )
  with pytest.raises(ExportError, match="follows the end of the archive"):
    verify.verify(str(path), level=checks.NONE)


def test_a_file_that_is_no_archive_is_refused(tmp_path):
  path = tmp_path / "1.tar"
  path.write_bytes(b"a page that says 404" * 100)
  with pytest.raises(ExportError, match=r"neither a tar\.gz nor a tar"):
    verify.verify(str(path), level=checks.NONE)


def test_an_archive_without_a_model_is_refused(tmp_path):
  path = _pack(tmp_path / "1.tar.gz", {"fingerprint.pb": b"a"})
  with pytest.raises(ExportError, match=r"no saved_model\.pb"):
    verify.verify(str(path))


def _zeros(name: str, size: int, path: pathlib.Path, kind=tarfile.REGTYPE):
  """Writes a tar.gz of one member of zeros, some thousandth of their size."""
  info = _info(name, size=size, type=kind)
  piece = bytes(16 << 20)
  with gzip.open(path, "wb", compresslevel=1) as f:
    if name.startswith("variables/"):
      f.write(_info("variables", type=tarfile.DIRTYPE).tobuf())
    f.write(info.tobuf(tarfile.GNU_FORMAT))
    for _ in range(size // len(piece)):
      f.write(piece)
    f.write(bytes(1024))


@pytest.fixture(scope="module")
def bomb(tmp_path_factory) -> pathlib.Path:
  """10 GB of zeros in some 10 MB: a gzip stream whose blocks repeat."""
  path = tmp_path_factory.mktemp("bomb") / "1.tar.gz"
  size = 10 << 30
  header = _info("variables", type=tarfile.DIRTYPE).tobuf()
  header += _info("variables/variables.index", size=size).tobuf(
    tarfile.GNU_FORMAT
  )
  piece = bytes(64 << 20)
  # One block is deflated once and written often; where it ends, so does a byte.
  compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
  block = compressor.compress(piece)
  block += compressor.flush(zlib.Z_FULL_FLUSH)
  with open(path, "wb") as f:
    f.write(b"\x1f\x8b\x08\0\0\0\0\0\0\xff")
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    f.write(compressor.compress(header))
    f.write(compressor.flush(zlib.Z_FULL_FLUSH))
    for _ in range(size // len(piece)):
      f.write(block)
  return path


def test_ten_gigabytes_of_zeros_are_refused_by_their_header(bomb):
  assert bomb.stat().st_size < 12e6
  with pytest.raises(ExportError, match=r"variables\.index.*10,737,418,240"):
    verify.verify(str(bomb))


@pytest.mark.parametrize(
  "kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_SPARSE]
)
def test_attributes_that_fill_memory_are_refused(kind, tmp_path):
  path = tmp_path / "1.tar.gz"
  _zeros("saved_model.pb", 64 << 20, path, kind)
  with pytest.raises(ExportError, match=r"saved_model\.pb|sparse file"):
    verify.verify(str(path))


@pytest.mark.parametrize("stage", ["_recorded", "_refuse_hostile", "_try"])
def test_an_archive_that_changes_meanwhile(
  stage, signed, tmp_path, monkeypatch
):
  """A link that leads to another archive for one of the times it is read."""
  other = tmp_path / "other.tar.gz"
  with (
    tarfile.open(signed / "1.tar.gz") as old,
    tarfile.open(other, "w:gz") as new,
  ):
    for member in old:
      new.addfile(member, old.extractfile(member) if member.isfile() else None)
    (info := tarfile.TarInfo("keras_metadata.pb")).size = 4
    new.addfile(info, io.BytesIO(b"evil"))
  path = tmp_path / "1.tar.gz"
  path.symlink_to(signed / "1.tar.gz")
  function = getattr(verify, stage)

  def swapped(*args):
    """The other one from this stage on; in the last, for it alone."""
    path.unlink()
    path.symlink_to(other)
    return function(*args)

  monkeypatch.setattr(verify, stage, swapped)
  with pytest.raises(ExportError, match="changed while"):
    verify.verify(str(path), level=checks.BASIC)


def test_full_disk(signed, tmp_path):
  """The archive is not to blame."""
  done = command.on_small_disk(
    *(tmp_path, 8, "-m", "scripts.verify", str(signed / "1.tar.gz")),
    TMPDIR=str(tmp_path),
  )
  assert done.returncode == 1
  # Nothing is left on the disk to be listed.
  assert done.stderr.endswith("No space left on device.\n")


# ---------------------------------------------------------------------------
# Graphs.


def _reads_a_file(path: str) -> Callable:
  return lambda inputs: tf.io.read_file(path)


def _writes_a_file(path: str) -> Callable:
  def call(inputs):
    tf.io.write_file(path, "was here")
    return inputs

  return call


def _runs_python(path: str) -> Callable:
  def write(inputs):
    pathlib.Path(path).write_text("was here")
    return inputs

  return lambda inputs: tf.numpy_function(write, [inputs], tf.float32)


def _saves_a_tensor(path: str) -> Callable:
  def call(inputs):
    tf.raw_ops.SaveV2(
      prefix=path, tensor_names=["a"], shape_and_slices=[""], tensors=[inputs]
    )
    return inputs

  return call


def _publishes_a_tensor(path: str) -> Callable:
  return lambda inputs: tf.raw_ops.DebugIdentity(
    input=inputs, tensor_name="a:0", debug_urls=[f"file://{path}"]
  )


@pytest.mark.parametrize(
  ("make", "operation"),
  [
    (_publishes_a_tensor, "DebugIdentity"),
    (_reads_a_file, "ReadFile"),
    (_writes_a_file, "WriteFile"),
    (_runs_python, "PyFunc"),
    (_saves_a_tensor, "SaveV2"),
  ],
)
def test_an_operation_that_reaches_out_is_refused_by_name(
  make, operation, tmp_path
):
  target = str(tmp_path / "was_here")
  path = _archive_of(tmp_path, make(target))
  with pytest.raises(ExportError, match=operation):
    verify.verify(str(path))
  assert not list(tmp_path.glob("was_here*"))


def _archive_of(folder: pathlib.Path, call: Callable) -> pathlib.Path:
  module = tf.Module()
  module.__call__ = tf.function(
    call, input_signature=[tf.TensorSpec([None], tf.float32)]
  )
  model = folder / "model"
  tf.saved_model.save(module, str(model))
  members: dict[str, bytes | None] = {"variables": None}
  for name in (
    "saved_model.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
  ):
    members[name] = (model / name).read_bytes()
  return _pack(folder / "1.tar.gz", members)


def test_a_function_that_calls_itself_the_saver_is_refused(tmp_path):
  """What only the saver may call hides behind the name of its function."""
  path = _archive_of(tmp_path, lambda inputs: inputs + 1.0)
  members = _members(path)
  proto = saved_model_pb2.SavedModel.FromString(members["saved_model.pb"])
  graph = proto.meta_graphs[0].graph_def
  saver = next(
    f.signature.name
    for f in graph.library.function
    if f.signature.name.startswith("__inference__traced_save")
  )
  victim = next(
    f
    for f in graph.library.function
    if not f.signature.name.startswith("__inference__traced")
  )
  node = victim.node_def.add(name="evil", op="StatefulPartitionedCall")
  node.attr["f"].func.name = saver
  members["saved_model.pb"] = proto.SerializeToString()
  _pack(path, members)
  with pytest.raises(ExportError, match="calls what saves or restores"):
    verify.verify(str(path))


def test_a_table_that_is_filled_from_a_path_is_refused(tmp_path):
  path = _archive_of(tmp_path, lambda inputs: inputs + 1.0)
  members = _members(path)
  proto = saved_model_pb2.SavedModel.FromString(members["saved_model.pb"])
  function = proto.meta_graphs[0].graph_def.library.function[0]
  function.node_def.add(
    name="fill",
    op="InitializeTableFromTextFileV2",
    input=["table", "a_constant:output:0"],
  )
  members["saved_model.pb"] = proto.SerializeToString()
  _pack(path, members)
  with pytest.raises(ExportError, match="fills a table from a path"):
    verify.verify(str(path))


@pytest.mark.parametrize("content", [b"\xff" * 100, b""])
def test_a_damaged_graph_is_refused(content, signed, tmp_path):
  members = _members(signed / "1.tar.gz") | {"saved_model.pb": content}
  path = _pack(tmp_path / "1.tar.gz", members)
  with pytest.raises(ExportError, match=r"saved_model\.pb|sparse file"):
    verify.verify(str(path))


# ---------------------------------------------------------------------------
# Damage, digests, signatures.


@pytest.mark.parametrize("kept", [0.2, 0.6, 0.9999])
def test_a_truncated_archive_is_refused(kept, copy):
  path = copy / "1.tar.gz"
  content = path.read_bytes()
  path.write_bytes(content[: int(kept * len(content))])
  with pytest.raises(ExportError, match="truncated"):
    verify.verify(str(path))


def test_a_second_gzip_member_is_refused(copy):
  path = copy / "1.tar.gz"
  path.write_bytes(path.read_bytes() + gzip.compress(b"more"))
  with pytest.raises(ExportError, match="follows the first gzip member"):
    verify.verify(str(path))


def test_another_archive_than_the_provenances_is_refused(copy):
  path = copy / "1.tar.gz"
  members = _members(path)
  data = "variables/variables.data-00000-of-00001"
  members[data] = members[data][:-1] + b"\0"
  _pack(path, members)
  digest = hashlib.sha256(path.read_bytes()).hexdigest()
  with pytest.raises(ExportError, match=digest):
    verify.verify(str(path), provenance=str(copy / "1.provenance.json"))


def test_a_provenance_that_is_none_is_refused(copy):
  (copy / "1.provenance.json").write_text('{"_type": "a statement"}')
  with pytest.raises(ExportError, match="not an in-toto statement"):
    verify.verify(
      str(copy / "1.tar.gz"), provenance=str(copy / "1.provenance.json")
    )


@pytest.fixture(scope="module")
def good(signed):
  """Of the good archive: the tar file in it, and its saved_model.pb."""
  path = signed / "1.tar.gz"
  return gzip.decompress(path.read_bytes()), _members(path)["saved_model.pb"]


_FLIPS = st.lists(
  # Half of them in the first headers.
  st.tuples(st.integers(0, 2000) | st.integers(0, 1 << 20), st.integers(1, 255))
)


def _flipped(content: bytes, flips: list[tuple[int, int]]) -> bytes:
  changed = bytearray(content)
  for place, mask in flips:
    changed[place % len(changed)] ^= mask
  return bytes(changed)


@settings(max_examples=200, deadline=None)
@example(flips=[], kept=1.0)
@given(flips=_FLIPS, kept=st.floats(0.5, 1))
def test_whatever_is_accepted_unpacks_to_what_was_said(flips, kept, good):
  """And whatever is not is refused in words, never by another exception."""
  content = _flipped(good[0], flips)
  with tempfile.TemporaryDirectory() as scratch:
    path = pathlib.Path(scratch) / "1.tar.gz"
    path.write_bytes(gzip.compress(content[: int(kept * len(content))], 1))
    try:
      verified = verify.verify(str(path), level=checks.NONE)
    except ExportError:
      return
    unpacked = pathlib.Path(scratch) / "unpacked"
    unpacked.mkdir()
    with open(path, "rb") as f:
      file_utils.extract_tarfile_to_destination(f, str(unpacked))
    for name, digest in verified.files.items():
      found = hashlib.sha256((unpacked / name).read_bytes()).hexdigest()
      assert found == digest


@settings(max_examples=200, deadline=None)
@given(flips=_FLIPS)
def test_no_graph_makes_its_reader_fail_in_another_way(flips, good):
  with contextlib.suppress(ExportError):
    graph.refuse_hostile(_flipped(good[1], flips))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_provenance_makes_its_reader_fail_in_another_way(data, signed):
  """One value of it is another, or gone."""
  statement = json.loads((signed / "1.provenance.json").read_text())
  place = statement
  while True:
    keys = range(len(place)) if isinstance(place, list) else sorted(place)
    key = data.draw(st.sampled_from(keys))
    deeper = isinstance(place[key], (dict, list)) and place[key]
    if not deeper or data.draw(st.booleans()):
      break
    place = place[key]
  if data.draw(st.booleans()):
    del place[key]
  else:
    place[key] = data.draw(
      st.none() | st.text() | st.integers() | st.just([]) | st.just({"a": "b"})
    )
  with tempfile.TemporaryDirectory() as scratch:
    path = pathlib.Path(scratch) / "1.provenance.json"
    path.write_text(json.dumps(statement))
    with contextlib.suppress(ExportError):
      verify.verify(
        str(signed / "1.tar.gz"), provenance=str(path), level=checks.NONE
      )


def test_a_signature_by_another_key_is_refused(copy, keys):
  with pytest.raises(ExportError, match=r"signature .*1\.tar\.gz\.sig"):
    verify.verify(str(copy / "1.tar.gz"), public_key=str(keys / "theirs.pub"))


def test_a_signature_of_another_file_is_refused(copy, keys):
  path = copy / "1.tar.gz"
  _pack(path, _members(path))
  with pytest.raises(ExportError, match=r"signature .*1\.tar\.gz\.sig"):
    verify.verify(str(path), public_key=str(keys / "ours.pub"))


def test_an_absent_signature_is_refused(copy, keys):
  (copy / "1.tar.gz.sig").unlink()
  with pytest.raises(ExportError, match="no signature"):
    verify.verify(str(copy / "1.tar.gz"), public_key=str(keys / "ours.pub"))


def test_a_good_archive_is_verified_and_tried(signed, keys):
  done = command.run(
    "scripts.verify",
    str(signed / "1.tar.gz"),
    f"--provenance={signed / '1.provenance.json'}",
    f"--public_key={keys / 'ours.pub'}",
    "--checks=basic",
  )
  assert "1.tar.gz is signed with the key" in done.stdout
  assert "each file matches the provenance" in done.stdout
  assert "loads: passed" in done.stdout
  assert "is in order." in done.stdout


def test_a_key_that_is_none_is_refused_before_the_export(tmp_path):
  (tmp_path / "key.pem").write_text("no key")
  done = releases.release(
    releases.MULTIPLY,
    tmp_path / "release",
    f"--sign_key={tmp_path / 'key.pem'}",
    check=False,
  )
  assert done.returncode == 1
  assert "not a private key" in done.stderr
  assert not (tmp_path / "release").exists()
