"""`pytorch_model.bin` from strangers: tensors are read, nothing is run."""

import os
import pickle
import zipfile

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies
import numpy as np
import pytest

from exporters.checkpoints import torch_pickle
from exporters.errors import ExportError
from tests.checkpoint_files import Pickle
from tests.checkpoint_files import torch_legacy
from tests.checkpoint_files import torch_zip

TENSORS = {
  "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
  "position_ids": np.arange(4),
}
# A dict of one tensor, memo and all, after the format of `torch.save`.
MEMOIZED = (
  b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01ctorch._utils\n_rebuild_tensor_v2\n"
  b"q\x02((X\x07\x00\x00\x00storageq\x03ctorch\nFloatStorage\nq\x04"
  b"X\x01\x00\x00\x000q\x05X\x03\x00\x00\x00cpuq\x06K\x03tq\x07QK\x00K\x03"
  b"\x85q\x08K\x01\x85q\t\x89ccollections\nOrderedDict\nq\n)Rq\x0btq\x0cRq\rs."
)


class Evil:
  """Pickles as a call, with arguments that may be calls too."""

  def __init__(self, function, *args):
    self._call = (function, args)

  def __reduce__(self):
    return self._call


def write_zip(path, program: bytes, data: bytes = b"", **options) -> str:
  with zipfile.ZipFile(path, "w", **options) as archive:
    archive.writestr("archive/data.pkl", program)
    archive.writestr("archive/data/0", data)
  return str(path)


def read(path) -> dict[str, np.ndarray]:
  tensors = torch_pickle.read(str(path), "model.bin")
  return {name: tensor.read() for name, tensor in tensors.items()}


@pytest.mark.parametrize("write", [torch_zip, torch_legacy])
def test_either_format(tmp_path, write):
  write(tmp_path / "model.bin", TENSORS)
  got = read(tmp_path / "model.bin")
  assert got.keys() == TENSORS.keys()
  for name, value in TENSORS.items():
    np.testing.assert_array_equal(got[name], value)
    assert got[name].dtype == value.dtype


def test_memoized_objects(tmp_path):
  data = np.array([1, 2, 3], np.float32)
  got = read(write_zip(tmp_path / "model.bin", MEMOIZED, data.tobytes()))
  np.testing.assert_array_equal(got["a"], data)


def test_views_of_one_storage(tmp_path):
  # By hand: 12 numbers, the middle two rows of three, and their transpose.
  program = Pickle.state(
    {
      "rows": Pickle.tensor("0", "float32", 12, [2, 3], [3, 1], offset=3),
      "turned": Pickle.tensor("0", "float32", 12, [3, 2], [1, 3], offset=3),
      "scalar": Pickle.tensor("0", "float32", 12, [], [], offset=11),
    }
  )
  data = np.arange(12, dtype=np.float32).tobytes()
  got = read(write_zip(tmp_path / "model.bin", program, data))
  np.testing.assert_array_equal(got["rows"], [[3, 4, 5], [6, 7, 8]])
  np.testing.assert_array_equal(got["turned"], [[3, 6], [4, 7], [5, 8]])
  assert got["scalar"] == 11


@pytest.fixture
def marker(tmp_path):
  """A file that a pickle would make if anything of it ran."""
  return tmp_path / "ran"


def hostile(marker) -> dict[str, tuple[object, str]]:
  command = f"touch {marker}"
  system = f"{os.system.__module__}.system"
  code = f"open({str(marker)!r}, 'w')"
  return {
    "system": (Evil(os.system, command), system),
    "eval": (Evil(eval, code), "builtins.eval"),
    # The innermost is asked for first.
    "nested": (Evil(print, Evil(os.system, command)), "builtins.print"),
    "in a dict": ({"weight": Evil(exec, code)}, "builtins.exec"),
    "attribute": (Evil(getattr, "text", "upper"), "builtins.getattr"),
  }


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("case", sorted(hostile("")))
@pytest.mark.parametrize("zipped", [True, False])
def test_a_program_is_refused(tmp_path, marker, case, protocol, zipped):
  evil, name = hostile(marker)[case]
  program = pickle.dumps(evil, protocol)
  path = tmp_path / "model.bin"
  if zipped:
    write_zip(path, program)
  else:
    path.write_bytes(program)
  # Names of protocols below 3 are those of Python 2.
  name = name.replace("builtins", "__builtin__") if protocol < 3 else name
  with pytest.raises(ExportError, match=f"asks for '{name}'"):
    read(path)
  assert not marker.exists()


@pytest.mark.parametrize(
  "tensor",
  [
    Pickle.tensor("0", "float32", 12, [2, 7], [7, 1]),
    Pickle.tensor("0", "float32", 12, [3], [1], offset=10),
    Pickle.tensor("0", "float32", 12, [3], [-1], offset=4),
    Pickle.tensor("0", "float32", 12, [3], [1], offset=-1),
    Pickle.tensor("0", "float32", 12, [1 << 30, 1 << 30], [0, 0]),
    Pickle.tensor("0", "float32", 13, [3], [1]),
    Pickle.tensor("../../secret", "float32", 12, [3], [1]),
    # BUILD: another shape for a tensor that was found to be in bounds.
    Pickle.tensor("0", "float32", 12, [3], [1])
    + b"}"
    + Pickle.text("shape")
    + Pickle.numbers([1 << 20])
    + b"sb",
  ],
)
def test_refuses_what_lies_beyond_the_storage(tmp_path, tensor):
  path = tmp_path / "model.bin"
  write_zip(path, Pickle.state({"x": tensor}), bytes(48))
  with pytest.raises(ExportError, match="truncated, damaged or"):
    assert read(path) == {}


def test_refuses_compressed_archives(tmp_path):
  path = tmp_path / "model.bin"
  write_zip(path, MEMOIZED, bytes(12), compression=zipfile.ZIP_DEFLATED)
  with pytest.raises(ExportError, match="it is compressed"):
    read(path)


def test_refuses_a_memo_larger_than_its_program(tmp_path):
  program = b"\x80\x02}r\xff\xff\xff\x7f."
  with pytest.raises(ExportError, match="more objects than it has"):
    read(write_zip(tmp_path / "model.bin", program))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
  folder = tmp_path_factory.mktemp("torch")
  torch_legacy(folder / "legacy", TENSORS)
  torch_zip(folder / "zip", TENSORS)
  return {name: (folder / name).read_bytes() for name in ("legacy", "zip")}


@settings(max_examples=200, deadline=None)
@given(data=strategies.data())
@pytest.mark.parametrize("form", ["legacy", "zip"])
def test_damage_gives_one_kind_of_error(whole, tmp_path_factory, form, data):
  content = whole[form]
  end = data.draw(strategies.integers(0, len(content)))
  place = data.draw(strategies.integers(0, len(content) - 1))
  byte = data.draw(strategies.integers(0, 255))
  damaged = bytearray(content)
  damaged[place] = byte
  path = tmp_path_factory.mktemp("damaged") / "model.bin"
  path.write_bytes(damaged[:end])
  try:
    got = read(path)
  except ExportError:
    return
  # What is read all the same is what a storage holds: no array is larger.
  for array in got.values():
    assert array.nbytes <= len(content)


def test_truncated_anywhere(whole, tmp_path):
  content = whole["legacy"]
  path = tmp_path / "model.bin"
  for end in range(len(content)):
    path.write_bytes(content[:end])
    with pytest.raises(ExportError):
      read(path)
