"""`official` is the package of the wheel, with modules from here before it."""

import pathlib

from official.nlp import modeling
import pytest

from tests import command

import official  # isort: skip


def test_the_package_is_this_repositorys():
  assert (
    pathlib.Path(official.__file__) == command.ROOT / "official/__init__.py"
  )


@pytest.mark.parametrize("module", [modeling])
def test_what_is_not_here_comes_from_the_wheel(module):
  assert "site-packages" in pathlib.Path(module.__file__).parts


def test_a_run_that_finds_the_wheel_first_says_so(tmp_path):
  # Without the root on the path before site-packages, `official` is the wheel.
  done = command.run(
    "tests.wheel_first",
    "--gin_file=configs/low_level/multiply.gin",
    f"--export_path={tmp_path / 'model'}",
    "--checks=none",
    fresh=True,
  )
  assert "note: `official` comes from" in done.stderr
