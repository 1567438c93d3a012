"""Archives: what tfhub.dev takes, the same bytes every time."""

import gzip
import hashlib
import io
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zlib

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest
from tensorflow_hub import file_utils

from exporters.errors import ExportError
from exporters.release import archive
from tests import command

# Windows cannot hold one that ends with a space or a dot, nor a device's.
_NAMES = st.from_regex(
  r"(?!con|prn|aux|nul|com|lpt)[a-z0-9_-]"
  r"([-!',_a-z0-9.=:% ]{0,7}[-!',_a-z0-9=:%])?",
  fullmatch=True,
)
_TREES = st.dictionaries(
  st.builds("assets/{}".format, _NAMES)
  | st.builds("assets.extra/{}".format, _NAMES)
  | st.sampled_from(
    [
      "fingerprint.pb",
      "variables/variables.index",
      "variables/variables.data-00000-of-00001",
    ]
  ),
  st.binary(min_size=1, max_size=3000),
)


def _write(folder: pathlib.Path, files: dict[str, bytes]) -> str:
  for name, content in ({"saved_model.pb": b"graph"} | files).items():
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
  return str(folder)


def _read(folder: pathlib.Path) -> dict[str, bytes]:
  return {
    path.relative_to(folder).as_posix(): path.read_bytes()
    for path in folder.rglob("*")
    if path.is_file()
  }


@settings(max_examples=60, deadline=None)
@given(_TREES)
def test_hubs_own_extractor_unpacks_what_was_packed(files):
  with tempfile.TemporaryDirectory() as scratch:
    scratch = pathlib.Path(scratch)
    source = _write(scratch / "model", files)
    archive.pack(source, str(scratch / "1.tar.gz"))
    target = scratch / "unpacked"
    target.mkdir()
    with open(scratch / "1.tar.gz", "rb") as f:
      file_utils.extract_tarfile_to_destination(f, str(target))
    assert _read(target) == {"saved_model.pb": b"graph"} | files


@settings(max_examples=20, deadline=None)
@given(_TREES, st.integers(1, 5))
def test_the_number_of_threads_does_not_show(files, workers):
  with tempfile.TemporaryDirectory() as scratch:
    source = _write(pathlib.Path(scratch) / "model", files)
    one, more = (os.path.join(scratch, name) for name in ("one", "more"))
    archive.pack(source, one, workers=1)
    archive.pack(source, more, workers=workers)
    assert pathlib.Path(one).read_bytes() == pathlib.Path(more).read_bytes()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
  """A folder of 9 MB: float32 of a normal distribution, and some text."""
  rng = np.random.default_rng(0)
  values = rng.normal(0, 0.02, 2 << 20).astype(np.float32)
  words = " ".join(f"word{i % 997}" for i in range(60_000))
  return _write(
    tmp_path_factory.mktemp("weights") / "model",
    {
      "assets/vocab.txt": words.encode(),
      "variables/variables.index": b"index",
      "variables/variables.data-00000-of-00001": values.tobytes(),
    },
  )


def test_members_have_a_fixed_order_owner_time_and_mode(weights, tmp_path):
  os.utime(os.path.join(weights, "saved_model.pb"), (1, 1))
  os.chmod(os.path.join(weights, "saved_model.pb"), 0o600)
  archive.pack(weights, str(tmp_path / "1.tar.gz"))
  with tarfile.open(tmp_path / "1.tar.gz") as tar:
    members = tar.getmembers()
  assert [m.name for m in members] == [
    "assets",
    "assets/vocab.txt",
    "saved_model.pb",
    "variables",
    "variables/variables.data-00000-of-00001",
    "variables/variables.index",
  ]
  assert {(m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, "", "")}
  assert len({m.mtime for m in members}) == 1
  assert {m.mode for m in members if m.isfile()} == {0o644}
  assert {m.mode for m in members if m.isdir()} == {0o755}


def test_it_is_one_gzip_member_without_name_or_time(weights, tmp_path):
  archive.pack(weights, str(tmp_path / "1.tar.gz"))
  content = (tmp_path / "1.tar.gz").read_bytes()
  assert content[:10] == bytes.fromhex("1f8b08000000000000ff")
  decompressor = zlib.decompressobj(16 + zlib.MAX_WBITS)
  decompressor.decompress(content)
  assert decompressor.eof
  assert decompressor.unused_data == b""


def test_it_is_hardly_larger_than_gzips(weights, tmp_path):
  archive.pack(weights, str(tmp_path / "1.tar.gz"))
  content = gzip.decompress((tmp_path / "1.tar.gz").read_bytes())
  ours = (tmp_path / "1.tar.gz").stat().st_size
  assert ours <= 1.01 * len(gzip.compress(content, 6))


def test_packing_holds_few_blocks_in_memory(tmp_path):
  source = _write(
    tmp_path / "model",
    {
      "variables/variables.data-00000-of-00001": np.random.default_rng(0).bytes(
        200 << 20
      )
    },
  )
  program = """
import resource, sys
from exporters.release import archive
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
archive.pack(sys.argv[1], sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
  done = subprocess.run(
    [sys.executable, "-c", program, source, str(tmp_path / "1.tar.gz")],
    cwd=command.ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  assert int(done.stdout) * 1024 < 64e6


@pytest.mark.parametrize(
  "name",
  [
    "README.md",
    "debug/saved_model_debug_info.pb",
    "assets/.hidden",
    "assets/a+b",
    "variables/checkpoint",
    "model/saved_model.pb",
  ],
)
def test_what_tfhub_refuses_is_refused_by_name(name, tmp_path):
  source = _write(tmp_path / "model", {name: b"content"})
  with pytest.raises(ExportError, match="tfhub.dev"):
    archive.pack(source, str(tmp_path / "1.tar.gz"))


@pytest.mark.parametrize(
  ("name", "content", "reason"),
  [
    ("assets/empty.txt", b"", "is empty"),
    ("assets/" + "a" * 101, b"a", "long"),
  ],
)
def test_what_an_extractor_would_lose_is_refused(
  name, content, reason, tmp_path
):
  source = _write(tmp_path / "model", {name: content})
  with pytest.raises(ExportError, match=reason):
    archive.pack(source, str(tmp_path / "1.tar.gz"))


def test_links_are_refused(tmp_path):
  source = _write(tmp_path / "model", {})
  (tmp_path / "model/fingerprint.pb").symlink_to("/etc/passwd")
  with pytest.raises(ExportError, match=r"fingerprint\.pb.* links"):
    archive.pack(source, str(tmp_path / "1.tar.gz"))


def test_the_uncompressed_stream_is_a_whole_tar_file(weights):
  stream = b"".join(archive.tar_stream(weights))
  assert len(stream) % tarfile.RECORDSIZE == 0
  with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
    content = tar.extractfile("assets/vocab.txt").read()
  with open(os.path.join(weights, "assets/vocab.txt"), "rb") as f:
    assert hashlib.sha256(content).digest() == (
      hashlib.file_digest(f, "sha256").digest()
    )
