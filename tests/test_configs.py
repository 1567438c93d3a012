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
  # As published: torchvision's ResNets have 25,557,032, 44,549,160 and
  # 60,192,808 without batch statistics (53,120, 105,344 and 151,424) and with
  # 1,000 classes, where these have 1,001 (2,049 more).
  "resnet/legacy_resnet_50": 25_557_032 + 53_120 + 2_049,
  "resnet/resnet_50": 25_557_032 + 53_120 + 2_049,
  "resnet/resnet_101": 44_549_160 + 105_344 + 2_049,
  "resnet/resnet_152": 60_192_808 + 151_424 + 2_049,
  # The published 35.7M.
  "resnet/resnet_rs_50": 35_747_337,
  # The stem, four blocks of 16, 32, 64 and 128 channels, 10 classes.
  "resnet/digits_resnet": 2_416 + 5_056 + 14_720 + 58_112 + 230_912 + 1_290,
  # As tf_keras.applications count their EfficientNetB0 and MobileNetV2, which
  # have 1,000 classes, without the 7 numbers of B0's normalization.
  "efficientnet/efficientnet_b0": 5_330_571 - 7 + 1_281,
  "efficientnet/legacy_efficientnet_b0": 5_330_571 - 7,
  "mobilenet/mobilenet_v2": 3_538_984 + 1_281,
  # The published 5.5M.
  "mobilenet/mobilenet_v3_large": 5_508_713,
  # timm's vit_base_patch16_224, with one class more.
  "vit/vit_b16": 86_567_656 + 769,
}
# Templates, which take what a user's file holds.
GOLDEN_OF_FILE = {"keras_model/keras_model"}
LEAVES = {
  str(path.relative_to(command.ROOT / "configs").with_suffix("")): path
  for path in sorted((command.ROOT / "configs").rglob("*.gin"))
  # What leaves include is named so.
  if not path.stem.endswith("_base")
}


def test_every_leaf_has_a_golden_count():
  assert set(LEAVES) == GOLDEN.keys() | GOLDEN_OF_FILE


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
@pytest.mark.parametrize("leaf", GOLDEN)
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
  # The first artifact is the whole model.
  published = next(iter(build.published.values()))
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
  parameters = f"{GOLDEN[leaf]:,}" if leaf in GOLDEN else "those of the file"
  assert f"Parameters: {parameters}." in text
  module = re.search(r"python -m (exporters\.\w+)", text).group(1)
  assert f"from {module.replace('.', ' import ')}\n" in LEAVES[leaf].read_text()
