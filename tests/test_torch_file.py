"""`pytorch_model.bin` from strangers: tensors are read, nothing is run."""

import os
import pickle
import struct
import zipfile

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies
import numpy as np
import pytest

from exporters.checkpoints import torch_file
from exporters.errors import ExportError
from tests.checkpoint_files import Pickle
from tests.checkpoint_files import torch_legacy
from tests.checkpoint_files import torch_zip
from tests.times import seconds_at_most

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
  tensors = torch_file.read(str(path), "model.bin")
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


P = b"\x80\x02"
# Remembers as 0 a pair of two references to a pair, and so on: 2**40 leaves.
TWICE = b")q\x00" + b"h\x00h\x00\x86q\x00" * 40
DEEP = b")" + b"\x85" * 200_000
# A number of 200,000 bytes, remembered as 0.
HUGE = b"\x8b" + struct.pack("<i", 200_000) + b"\x7f" * 200_000 + b"q\x00"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\nq\x01"
FLOATS = b"ctorch\nFloatStorage\n"


def storage(kind=b"", dtype=FLOATS, key=b"", size=b"K\x0c") -> bytes:
  kind, key = kind or Pickle.text("storage"), key or Pickle.text("0")
  return b"(" + kind + dtype + key + Pickle.text("cpu") + size + b"tQ"


def tensor(shape: bytes, strides: bytes) -> bytes:
  hooks = b"\x89" + Pickle.ORDERED_DICT
  return TENSOR + b"(" + storage() + b"K\x00" + shape + strides + hooks + b"tR"


@pytest.mark.parametrize(
  "program",
  {
    "deep key": b"}" + DEEP + b"K\x01s",
    "deep key of a pair": b"ccollections\nOrderedDict\n]("
    + DEEP
    + b"K\x01\x86e\x85R",
    "deep value": b"}" + Pickle.text("x") + DEEP + b"s",
    "wide key": TWICE + b"}h\x00K\x01s",
    "wide kind": TWICE + storage(kind=b"h\x00"),
    "wide dtype": TWICE + storage(dtype=b"h\x00"),
    "wide key of a storage": TWICE + storage(key=b"h\x00"),
    "wide size": TWICE + storage(size=b"h\x00"),
    "wide view of a storage": TWICE + storage(size=b"K\x0ch\x00"),
    "wide name": TWICE + Pickle.text("x") + b"\x93",
    "wide function": TWICE + b")R",
    "wide shape": TWICE + tensor(b"h\x00", b"h\x00"),
    "huge shape": tensor(b"(" + HUGE + b"h\x00" * 20_000 + b"t", b")"),
    "huge key": b"}" + HUGE + b"(" + b"h\x00K\x01" * 20_000 + b"u",
    "large shape": tensor(
      b"(" + b"\x8a\x08" + b"\xff" * 7 + b"\x7ft", b"K\x01\x85"
    ),
    # The tensor asks for the same list 20,000 times.
    "many copies of a list": b"]q\x00("
    + b"K\x01" * 100_000
    + b"e"
    + tensor(b"h\x00", b"h\x00") * 20_000,
    "many copies of a dict": b"ccollections\nOrderedDict\nq\x01}("
    + b"".join(Pickle.text(str(i)) + b"N" for i in range(50_000))
    + b"u\x85q\x00"
    + b"h\x01h\x00R" * 20_000,
    "many copies of pairs": b"ccollections\nOrderedDict\nq\x01]("
    + b"".join(Pickle.text(str(i)) + b"N\x86" for i in range(50_000))
    + b"e\x85q\x00("
    + b"h\x01h\x00R" * 20_000
    + b"t",
    "many arguments": TENSOR
    + b"("
    + b"K\x01" * 100_000
    + b"tq\x00"
    + b"h\x01h\x00R" * 20_000,
    "long key": b"}" + Pickle.text("x" * 2000) + b"K\x01s",
    "large memo": b"}r\xff\xff\xff\x7f",
    "negative memo": b"}p-1\n",
    # Multiples of the modulus of Python's hash of numbers.
    "keys that collide": b"}("
    + b"".join(
      b"\x8a\x10" + (i * (2**61 - 1)).to_bytes(16, "little") + b"N"
      for i in range(40_000)
    )
    + b"u",
    "long text": b"\x8d" + b"\xff" * 7 + b"\x7f",
    "no mark": b"}u",
    "no objects": b"\x87",
    "other opcode": b"}0",
    "itself": b"}q\x00" + Pickle.text("x") + b"h\x00s",
    "one dict many times": b"}("
    + b"".join(Pickle.text(str(i)) + b"N" for i in range(20_000))
    + b"uq\x00}("
    + b"".join(Pickle.text(str(i)) + b"h\x00" for i in range(20_000))
    + b"u",
  }.items(),
  ids=lambda item: item[0].replace(" ", "_"),
)
@pytest.mark.parametrize("zipped", [True, False])
def test_no_program_takes_long(tmp_path, program, zipped):
  path = tmp_path / "model.bin"
  program = P + program[1] + b"."
  if zipped:
    write_zip(path, program)
  else:
    path.write_bytes(program)
  with seconds_at_most(1), pytest.raises(ExportError) as e:
    read(path)
  assert len(str(e.value)) < 500


def test_refuses_a_long_program(tmp_path):
  path = tmp_path / "model.bin"
  with pytest.raises(ExportError, match="more objects than any model"):
    read(write_zip(path, b"\x80\x02" + b"}" * (8 << 20)))


@pytest.mark.parametrize("module", ["evil", "torch"])
def test_names_are_harmless_to_a_terminal(tmp_path, module):
  program = f"c{module}\n\x1b[31m{'x' * 10_000}\n.".encode()
  with pytest.raises(ExportError) as e:
    read(write_zip(tmp_path / "model.bin", program))
  assert f"asks for '{module}.\\x1b[31mxx" in str(e.value)
  assert str(e.value).isprintable()
  assert len(str(e.value)) < 500


def test_other_names_of_torch_are_no_attack(tmp_path):
  path = write_zip(tmp_path / "model.bin", b"ctorch\ndevice\n.")
  with pytest.raises(
    ExportError, match="'torch.device', which is not supported"
  ):
    read(path)


def test_looks_at_compression_before_it_reads(tmp_path):
  path = write_zip(tmp_path / "model.bin", MEMOIZED, bytes(12))
  with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("archive/byteorder", bytes(1 << 28))
  with (
    seconds_at_most(0.1),
    pytest.raises(ExportError, match="it is compressed"),
  ):
    read(path)


def test_byteorder(tmp_path):
  def write(order: bytes) -> str:
    path = write_zip(tmp_path / "model.bin", MEMOIZED, bytes(12))
    with zipfile.ZipFile(path, "a") as archive:
      archive.writestr("archive/byteorder", order)
    return path

  assert read(write(b"little")).keys() == {"a"}
  for order in (b"big", b"little" * 1000):
    with pytest.raises(ExportError, match="big-endian"):
      read(write(order))


@pytest.mark.parametrize(
  ("name", "dtype"),
  [
    ("CharStorage", np.int8),
    ("ShortStorage", np.int16),
    ("ComplexFloatStorage", np.complex64),
    ("ComplexDoubleStorage", np.complex128),
  ],
)
def test_rarer_types(tmp_path, name, dtype):
  data = np.array([1, -2, 3], dtype)
  program = MEMOIZED.replace(b"FloatStorage", name.encode())
  got = read(write_zip(tmp_path / "model.bin", program, data.tobytes()))
  np.testing.assert_array_equal(got["a"], data)
  assert got["a"].dtype == dtype


def test_entries_other_than_plain_tensors(tmp_path):
  x = Pickle.tensor("0", "float32", 3, [3], [1])
  parameter = b"ctorch._utils\n_rebuild_parameter_with_state\n("
  program = Pickle.state(
    {
      "x": parameter + x + b"\x88" + Pickle.ORDERED_DICT + b"}tR",
      "size": b"ctorch\nSize\n" + Pickle.numbers([1, 2]) + b"\x85R",
      "expanded": Pickle.tensor("0", "float32", 3, [1 << 30] * 2, [0, 0]),
      "step": Pickle.number(7),
    }
  )
  data = np.array([1, 2, 3], np.float32)
  path = write_zip(tmp_path / "model.bin", program, data.tobytes())
  tensors = torch_file.read(path, "model.bin")
  assert tensors.keys() == {"x", "expanded"}
  np.testing.assert_array_equal(tensors["x"].read(), data)
  # It could be of any size; others are read all the same.
  with pytest.raises(
    ExportError, match="'expanded' of 'model.bin': it repeats"
  ):
    tensors["expanded"].read()


def test_pairs_as_python_2_wrote_them(tmp_path):
  x = Pickle.tensor("0", "float32", 3, [3], [1])
  pair = b"](" + Pickle.text("x") + x + b"e"
  program = P + b"ccollections\nOrderedDict\n](" + pair + b"e\x85R."
  got = read(write_zip(tmp_path / "model.bin", program, bytes(12)))
  assert got["x"].shape == (3,)


def nested(**inner: bytes) -> bytes:
  items = b"".join(Pickle.text(name) + value for name, value in inner.items())
  return P + b"}(" + items + b"u."


def test_descends_into_the_one_dict_of_tensors(tmp_path):
  path = tmp_path / "model.bin"
  weights = MEMOIZED[2:-1]
  program = nested(epoch=b"K\x03", optimizer=b"}", state_dict=weights)
  assert read(write_zip(path, program, bytes(12))).keys() == {"a"}
  with pytest.raises(ExportError, match=r"several.*'model', 'ema'"):
    read(write_zip(path, nested(model=weights, ema=weights), bytes(12)))
  with pytest.raises(ExportError, match=r"no dict of tensors.*'epoch'"):
    read(write_zip(path, nested(epoch=b"K\x03")))


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
