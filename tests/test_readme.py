"""The README's commands, as a reader would paste them, one after the other."""

import pathlib

import pytest

from tests import documentation

README = documentation.ROOT / "README.md"
BLOCKS = documentation.blocks(README)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
  """What stands at /path/to; /tmp is a folder beside it."""
  folder = tmp_path_factory.mktemp("readme")
  (folder / "tmp").mkdir()
  documentation.write_inputs(folder)
  return folder


def test_there_are_commands():
  assert len(BLOCKS) >= 3


def test_is_short_and_says_where_it_runs():
  text = README.read_text()
  assert len(text.splitlines()) <= 200
  assert "Linux on x86-64" in text


@pytest.mark.parametrize("block", BLOCKS, ids=lambda b: b.split()[2])
def test_commands_run(block, folder):
  documentation.run(block, folder, folder / "tmp")
