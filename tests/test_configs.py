"""Every leaf below configs/: its header, and how many parameters it builds."""

import pathlib
import re

import gin
import pytest
import tensorflow as tf

from exporters import checkpoints
from exporters import recipe
from exporters import vocabulary
from tests import command

# By arithmetic, with V tokens, width H, L layers, I inner width, 512 positions
# and 2 types: (V + 512 + 2) H + 2 H for the embeddings, 4 (H H + H) + 2 H I + I
# + H + 4 H for each layer, H H + H for the pooler. The first one is the
# published 110M, small BERT's is the published 4.4M.
GOLDEN = {
  "bert/bert_en_uncased_L-12_H-768_A-12": 109_482_240,
  "bert/small_bert_en_uncased_L-2_H-128_A-2": 4_385_920,
  "bert/all_minilm_l6_v2": 22_713_216,
  "bert/bert_en_uncased_preprocess": 0,
  "bert/all_minilm_l6_v2_preprocess": 0,
  "low_level/multiply": 1,
}
LEAVES = {
  str(path.relative_to(command.ROOT / "configs").with_suffix("")): path
  for path in sorted((command.ROOT / "configs").rglob("*.gin"))
  # What leaves include is named so.
  if not path.stem.endswith("_base")
}


def test_every_leaf_has_a_golden_count():
  assert sorted(LEAVES) == sorted(GOLDEN)


@pytest.fixture(scope="module")
def user_files(tmp_path_factory) -> dict[str, str]:
  """What only a user has; here, a checkpoint that holds nothing."""
  folder = tmp_path_factory.mktemp("user")
  tokens = [*vocabulary.SPECIAL_TOKENS, *(f"w{i}" for i in range(30517))]
  (folder / "vocab.txt").write_text("\n".join(tokens))
  return {
    "CHECKPOINT": tf.train.Checkpoint().write(str(folder / "ckpt")),
    "VOCAB_FILE": str(folder / "vocab.txt"),
  }


@pytest.fixture
def _clear_gin():
  gin.clear_config()
  yield
  gin.clear_config()


@pytest.mark.usefixtures("_clear_gin")
@pytest.mark.parametrize("leaf", LEAVES)
def test_builds_as_many_parameters_as_published(leaf, user_files, minilm):
  text = LEAVES[leaf].read_text()
  files = user_files | ({"CHECKPOINT": str(minilm)} if "minilm" in leaf else {})
  bindings = [
    f"{name} = '{path}'"
    for name, path in files.items()
    if f"{name} = %gin.REQUIRED" in text
  ]
  exporter = recipe.load([str(LEAVES[leaf])], bindings).exporter
  with checkpoints.zeros_to_restore():
    build = exporter.build()
  for published in build.published.values():
    count = sum(v.shape.num_elements() for v in published.variables)
    assert count == GOLDEN[leaf]


@pytest.mark.parametrize("leaf", LEAVES)
def test_header_says_what_a_user_needs(leaf):
  header = re.match(r"(#.*\n)+", LEAVES[leaf].read_text()).group()
  text = re.sub(r"\n# ?", " ", header)
  assert f"--gin_file=configs/{leaf}.gin" in text
  assert f"--export_path=/tmp/{pathlib.Path(leaf).name}" in text
  assert "Checkpoint:" in text
  assert "Licence:" in text
  assert f"Parameters: {GOLDEN[leaf]:,}." in text
  module = re.search(r"python -m (exporters\.\w+)", text).group(1)
  assert f"from {module.replace('.', ' import ')}\n" in LEAVES[leaf].read_text()
