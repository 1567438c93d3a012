"""Tests that commands survive what `scripts.kills` does to them."""

import pytest

from scripts.kills import tally
from tests import command


@pytest.mark.parametrize(
  "flags",
  [
    ("--of=gardens", "--kills=3", "--models=2"),
    ("--of=commands", "--kills=3", "--crowd=3"),
  ],
  ids=lambda flags: flags[0].removeprefix("--of="),
)
def test_a_few(flags):
  with command.all_cores():
    done = command.run("scripts.kills", *flags, fresh=True)
  assert "| all |" in done.stdout
  for what in tally.FOUND:
    assert f"| {what} | 0 |" in done.stdout
