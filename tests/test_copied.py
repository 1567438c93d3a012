"""A copy of an exporter and of a leaf, changed, keeps the contract.

As the README's "Add an architecture" says, with two files in a folder of one's
own.
"""

import dataclasses
import os
import pathlib

import numpy as np
import pytest
import tensorflow_hub as hub

from tests import command
from tests import test_contract
from tests.cases import CASES

# The contract, of the fixture below.
from tests.test_contract import (
  test_bytes_do_not_depend_on_place_time_or_checks as test_bytes,  # noqa: F401
)
from tests.test_contract import (
  test_every_check_passes_or_says_why_not as test_checks,  # noqa: F401
)
from tests.test_contract import (
  test_has_one_signature_of_named_tensors as test_signature,  # noqa: F401
)
from tests.test_contract import (
  test_has_the_reusable_interface as test_interface,  # noqa: F401
)
from tests.test_contract import (
  test_holds_what_tf_hub_allows_and_nothing_else as test_files,  # noqa: F401
)

# `inputs * factor` becomes `inputs * factor + offset`.
_CHANGES = {
  "LowLevelExporter": "AffineExporter",
  # A module of one's own stands outside the repository.
  "from exporters import low_level": "import affine",
  "low_level": "affine",
  "multiply": "affine",
  "  l2: float\n": "  l2: float\n  offset: float = 0.5\n",
  "    published = base.Published(\n": (
    '    offset = tf.Variable(self.offset, name="offset")\n'
    "    published = base.Published(\n"
  ),
  "inputs * factor,\n": "inputs * factor + offset,\n",
  "variables=[factor]": "variables=[factor, offset]",
}


def _copy(source: str, target: pathlib.Path) -> None:
  text = (command.ROOT / source).read_text()
  for old, new in _CHANGES.items():
    text = text.replace(old, new)
  # A module of one's own stands outside the repository.
  target.write_text(
    text.replace("from exporters import affine", "import affine")
  )


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
  """The changed copy, exported by its command with all checks."""
  folder = tmp_path_factory.mktemp("copied")
  _copy("exporters/low_level.py", folder / "affine.py")
  _copy("configs/low_level/multiply.gin", folder / "affine.gin")
  case = dataclasses.replace(
    CASES["low_level"],
    module="affine",
    gin_file=str(folder / "affine.gin"),
    trainable=2,
  )
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    yield test_contract.export(case, folder / "model", [])


def test_computes_what_was_changed(exported):
  layer = hub.KerasLayer(str(exported.path))
  np.testing.assert_array_equal(layer([10.0, 20.0]), [20.5, 40.5])
