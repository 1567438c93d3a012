"""Folders that are no checkpoints: what lies in them is named."""

import io
import zipfile

import h5py
import pytest

from exporters.checkpoints import open_checkpoint
from exporters.errors import ExportError


def _zip(*names: str) -> bytes:
  file = io.BytesIO()
  with zipfile.ZipFile(file, "w") as archive:
    for name in names:
      archive.writestr(name, b"")
  return file.getvalue()


def _h5(name: str) -> bytes:
  file = io.BytesIO()
  with h5py.File(file, "w") as h5:
    h5[name] = [1.0]
  return file.getvalue()


_TFJS = b'{"format": "layers-model", "modelTopology": {}}'
_HELD = {
  "a Keras file": (
    {"weights/a.h5": _h5("a"), "weights/readme.txt": b"Of ours."},
    "weights",
    "Did you mean '{}/a.h5'?",
  ),
  "an ensemble": (
    {f"{n}.h5": _h5("a") for n in "abc"},
    "",
    "Did you mean one of those in it: 'a.h5', 'b.h5' and 'c.h5'?",
  ),
  "many": (
    {f"{n}.keras": b"" for n in "abcdefgh"},
    "",
    "'d.keras', 'e.keras' and 3 more?",
  ),
  "a version below a model's folder": (
    {"1/saved_model.pb": b"\x08\x01\x12\x00", "README.md": b"# A model"},
    "",
    "Did you mean '{}/1'?",
  ),
  "the steps of a training": (
    {"train/ckpt-1.index": b"", "eval/events.out": b""},
    "",
    "Did you mean '{}/train'?",
  ),
  "a folder of `transformers` one below": (
    {"bert/config.json": b"{}", "bert/model.safetensors": b""},
    "",
    "Did you mean '{}/bert'?",
  ),
  "TensorFlow.js": (
    {"model.json": _TFJS, "group1-shard1of1.bin": bytes(range(256))},
    "",
    "It holds a TensorFlow.js model ('model.json'). Export the",
  ),
  "two formats": (
    {"a.tflite": b"\0\0\0\0TFL3", "b.tflite": b"\0\0\0\0TFL3", "c": _zip("a")},
    "",
    "It holds a TFLite model ('a.tflite') and a zip archive ('c'). Export the",
  ),
}


@pytest.mark.parametrize("case", _HELD)
def test_what_there_is_is_named(case, tmp_path):
  files, folder, message = _HELD[case]
  for name, content in files.items():
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
  with pytest.raises(ExportError) as e:
    open_checkpoint(str(tmp_path / folder))
  assert message.format(tmp_path / folder) in e.value.message


def test_what_is_nothing_is_not_named(tmp_path):
  for name in ("notes.txt", "empty", "labels.json", "page.html"):
    (tmp_path / name).write_text("<html>" if name == "page.html" else "")
  (tmp_path / "folder").mkdir()
  (tmp_path / "lost.h5").symlink_to(tmp_path / "nowhere.h5")
  with pytest.raises(ExportError, match=r"in '[^']*'\. Looked for a TF2"):
    open_checkpoint(str(tmp_path))
