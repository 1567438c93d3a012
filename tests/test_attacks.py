"""Files that were made to do harm, each refused before it is loaded."""

import pathlib
import re

import pytest

from scripts import attacks
from tests import command

ATTACKS = {
  name: attack
  for name, attack in attacks.all_attacks().items()
  if not attack.loads
}


@pytest.mark.parametrize("name", ATTACKS)
def test_is_refused_before_it_is_loaded(name, tmp_path):
  attack = ATTACKS[name]
  path = attack.write(tmp_path)
  done = command.run(attack.command, *attack.flags, str(path), check=False)
  said = done.stdout + done.stderr
  assert "Traceback" not in said
  # Nothing that a terminal would obey.
  assert all(c.isprintable() or c == "\n" for c in said)
  assert not list(pathlib.Path("/tmp").glob("*attack_was_here*"))
  if attack.says is None:
    assert done.returncode == 0
  else:
    assert done.returncode == 1
    assert re.search(attack.says, said)
    assert "loads: passed" not in said
