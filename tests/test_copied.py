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

from scripts.small_instances import INSTANCES
from tests import command
from tests import small_bert
from tests import test_contract

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
_AFFINE = {
  "LowLevelExporter": "AffineExporter",
  # A module of one's own stands outside the repository.
  "from exporters import low_level": "import affine",
  "exporters.low_level": "affine",
  "low_level": "affine",
  "multiply": "affine",
  "  l2: float\n": "  l2: float\n  offset: float = 0.5\n",
  "    published = base.Published(\n": (
    '    offset = tf.Variable(self.offset, name="offset")\n'
    "    published = base.Published(\n"
  ),
  "inputs * factor,\n": "inputs * factor + offset,\n",
  "inputs * self.factor,\n": "inputs * self.factor + self.offset,\n",
  "variables=[factor]": "variables=[factor, offset]",
}
# The embedding of a text becomes the vector of its first token.
_FIRST_TOKEN = {
  "BertExporter": "FirstTokenExporter",
  "from exporters import bert\n": "import first_token\n",
  "exporters.bert": "first_token",
  "bert.FirstToken": "first_token.FirstToken",
  "include 'configs/bert/bert_base.gin'\n": "include 'first_token_base.gin'\n",
  'else outputs["pooled_output"]': 'else outputs["sequence_output"][:, 0]',
  '"default": made["pooled_output"]': '"default": tokens[:, 0]',
}


def _copy(folder: pathlib.Path, files: dict[str, str], changes) -> None:
  for source, target in files.items():
    text = (command.ROOT / source).read_text()
    for old, new in changes.items():
      text = text.replace(old, new)
    assert text != (command.ROOT / source).read_text()
    (folder / target).write_text(text)


def _affine(folder: pathlib.Path):
  files = {
    "exporters/low_level.py": "affine.py",
    "configs/low_level/multiply.gin": "affine.gin",
  }
  _copy(folder, files, _AFFINE)
  instance = dataclasses.replace(
    INSTANCES["low_level"],
    module="affine",
    leaf=str(folder / "affine.gin"),
    trainable=2,
  )
  return instance, []


def _first_token(folder: pathlib.Path):
  base = str(folder / "first_token_base.gin")
  files = {
    "exporters/bert.py": "first_token.py",
    "configs/bert/bert_base.gin": "first_token_base.gin",
    "tests/testdata/small_bert.gin": "first_token.gin",
  }
  _copy(folder, files, _FIRST_TOKEN)
  leaf = folder / "first_token.gin"
  leaf.write_text(leaf.read_text().replace("first_token_base.gin", base))
  instance = dataclasses.replace(
    INSTANCES["bert"],
    module="first_token",
    leaf=str(leaf),
    bindings=(),
  )
  bindings = INSTANCES["bert"].write_inputs(folder)
  return instance, [
    b.replace("bert.Bert", "first_token.FirstToken") for b in bindings
  ]


@pytest.fixture(scope="module", params=[_affine, _first_token])
def exported(request, tmp_path_factory):
  """The changed copy, exported by its command with all checks."""
  folder = tmp_path_factory.mktemp("copied")
  instance, bindings = request.param(folder)
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    yield test_contract.export(instance, folder / "model", bindings)


def test_computes_what_was_changed(exported):
  model = hub.load(str(exported.path))
  if exported.instance.module == "affine":
    np.testing.assert_array_equal(model([10.0, 20.0]), [20.5, 40.5])
  else:
    outputs = model(small_bert.inputs())
    np.testing.assert_array_equal(
      outputs["default"], outputs["sequence_output"][:, 0]
    )
