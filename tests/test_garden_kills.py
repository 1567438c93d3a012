"""Tests that a garden survives what `scripts.garden_kills` does to it."""

from tests import command


def test_three_kills():
  with command.all_cores():
    done = command.run(
      "scripts.garden_kills", "--kills=3", "--models=2", fresh=True
    )
  assert "| all |" in done.stdout
  for what in (
    "damaged versions",
    "lost versions",
    "orphans",
    "leftovers after the next run",
    "runs that hung",
    "failures without a reason",
  ):
    assert f"| {what} | 0 |" in done.stdout
