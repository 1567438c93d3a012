"""Every leaf below configs/: its header, and how many parameters it builds."""

import copy
import pathlib
import re

import gin
import numpy as np
from official.legacy.image_classification.efficientnet import efficientnet_model
from official.projects.movinet.modeling import movinet as movinet_lib
from official.vision.modeling.backbones import spinenet
from official.vision.modeling.backbones import spinenet_mobile
import pytest
import tensorflow as tf

from exporters import bert
from exporters import checkpoints
from exporters import movinet
from exporters import recipe
from exporters.text import encoder_types
from exporters.text import encoders
from exporters.text import vocabulary
from scripts import list_configs
from scripts import small_movinet  # noqa: F401 - adds a table.
from scripts.small_instances import sentencepiece_model as small_sentencepiece
from tests import checkpoint_files
from tests import command


def _bert(tokens: int, width: int, layers: int, embedding: int = 0) -> int:
  """Counts a BERT of 512 positions, 2 types, and an inner width of 4 widths."""
  embedding = embedding or width
  dense = width * width + width
  projection = embedding * width + width if embedding != width else 0
  layer = 4 * dense + 2 * 4 * width * width + 4 * width + width + 4 * width
  embeddings = (tokens + 512 + 2) * embedding + 2 * embedding
  return embeddings + projection + layers * layer + dense


def _mobilebert(tokens: int) -> int:
  """Counts a MobileBERT of 24 blocks of width 512, with bottlenecks of 128."""
  norm, wide_norm = 2 * 128, 2 * 512
  down, up, narrow = 512 * 128 + 128, 128 * 512 + 512, 128 * 128 + 128
  # Two bottlenecks; query, key, value and output; four networks; the way out.
  block = 2 * (down + norm) + 2 * narrow + down + narrow + norm
  block += 4 * (up + down + norm) + up + wide_norm
  # Each token sees its neighbours' embeddings.
  trigram = 3 * 128 * 512 + 512
  return tokens * 128 + trigram + (512 + 2) * 512 + wide_norm + 24 * block


# Torchvision's ResNet-50 without its dense layer and with batch statistics. In
# the pyramid three lateral convolutions, one for each of five levels, and their
# batch norms.
_RESNET_50_FPN = (
  (25_557_032 - 2048 * 1000 - 1000 + 53_120)
  + ((512 + 1024 + 2048) * 256 + 3 * 256)
  + 5 * (9 * 256 * 256 + 256 + 4 * 256)
)


def _retinanet(features: int, *, width: int, separable: bool = False) -> int:
  """Counts a RetinaNet of 91 classes, 9 anchors and 5 levels.

  Args:
    features: What backbone and decoder have.
    width: The number of filters in its two towers of four convolutions.
    separable: Whether convolutions are separable.
  """

  def convolution(filters: int) -> int:
    kernel = 9 * width + width * filters
    return (kernel if separable else 9 * width * filters) + filters

  tower = 4 * (convolution(width) + 5 * 4 * width)
  return features + 2 * tower + convolution(9 * 91) + convolution(9 * 4)


def _mask_rcnn(features: int, *, levels: int, masks: bool) -> int:
  """Counts a Mask R-CNN of 91 classes and 3 anchors, 256 wide."""
  convolution, norm = 9 * 256 * 256 + 256, 4 * 256
  proposals = convolution + levels * norm + (256 + 1) * (3 + 3 * 4)
  dense = 7 * 7 * 256 * 1024 + 1024 + 4 * 1024
  boxes = 4 * (convolution + norm) + dense + (1024 + 1) * (91 + 91 * 4)
  upsampling = 2 * 2 * 256 * 256 + 256 + norm
  outlines = 4 * (convolution + norm) + upsampling + (256 + 1) * 91
  return features + proposals + boxes + masks * outlines


def _movinet(
  size: str,
  *,
  stream: bool = False,
  apart: bool = False,
  positions: bool = False,
  classes: int = 600,
) -> int:
  """Counts a MoViNet by the kernels and filters in its paper's tables.

  Args:
    size: Its name in these tables.
    stream: Whether what is squeezed is pooled in two ways.
    apart: Whether space and time have kernels of their own.
    positions: Whether it weights the positions of frames.
    classes: The number of logits.
  """
  stem, *blocks, head = movinet_lib.BLOCK_SPECS[size]
  width = stem.filters
  total = 3 * 9 * width + 4 * width  # A batch norm has four numbers a filter.
  for block in blocks:
    out = block.base_filters
    for expanded, (frames, side, _), strides in zip(
      block.expand_filters, block.kernel_sizes, block.strides, strict=True
    ):
      total += width * expanded + 4 * expanded
      total += _kernels(frames, side, apart=apart) * expanded
      total += _squeeze_and_excite(expanded, twice=stream)
      total += positions
      total += expanded * out + 4 * out + 1
      if width != out or strides[1] > 1:
        total += width * out + 4 * out
      width = out
  features, hidden = head.project_filters, head.head_filters
  total += width * features + 4 * features
  return total + features * hidden + hidden + hidden * classes + classes


def _kernels(frames: int, side: int, *, apart: bool) -> int:
  """Counts the numbers a channel has in space and time, with batch norms."""
  if not apart:
    return frames * side * side + 4
  return side * side + 4 + (frames + 4 if frames > 1 else 0)


def _squeeze_and_excite(width: int, *, twice: bool) -> int:
  """Counts two dense layers, whose inner width is a multiple of 8."""
  pooled = width * (1 + twice)
  hidden = max(8, (pooled // 4 + 4) // 8 * 8)
  hidden += 8 * (hidden < 0.9 * pooled / 4)
  return pooled * hidden + hidden + hidden * width + width


def _talking_heads(width: int, layers: int, heads: int) -> int:
  """Counts as `_bert` does; inside, two dense layers make one gated one."""
  inner = 4 * width
  gate, between_heads = width * inner + inner, 2 * heads * heads
  return _bert(30_522, width, layers) + layers * (gate + between_heads)


def _maxvit(widths: tuple[int, ...], blocks: tuple[int, ...], last: int) -> int:
  """Counts a MaxViT with heads of 32, windows and grids of 7, 1,001 classes."""
  width, count = 64, 27 * 64 + 64 + 4 * 64 + 9 * 64 * 64 + 64
  for wide, repeats in zip(widths, blocks, strict=True):
    inner, squeezed = 4 * wide, wide // 4
    for _ in range(repeats):
      if width != wide:
        count += width * wide + wide
      count += 4 * width + width * inner + 4 * inner + 9 * inner + 4 * inner
      count += 2 * inner * squeezed + squeezed + inner + inner * wide + wide
      attention = 4 * (wide * wide + wide) + wide // 32 * 13 * 13
      network = wide * inner + inner + inner * wide + wide
      count += 2 * (2 * wide + attention + 2 * wide + network)
      width = wide
  return count + 2 * width + width * last + last + last * 1001 + 1001


def _revnet(stages: tuple[tuple[int, int], ...]) -> int:
  """Counts a RevNet of bottlenecks, with a last norm and 1,001 classes."""
  halved = stages[0][0] // 2
  count = 49 * 3 * 2 * halved + 4 * 2 * halved
  for i, (filters, repeats) in enumerate(stages):
    narrow = filters // 2
    wide = 4 * narrow
    for repeat in range(repeats):
      for inputs in (halved if repeat == 0 else wide, wide):
        if i and repeat == 0:
          count += 4 * inputs
        count += inputs * narrow + 9 * narrow * narrow + narrow * wide
        count += 2 * 4 * narrow
    halved = wide
  features = 2 * halved
  return count + 4 * features + features * 1001 + 1001


def _convolution(side: int, inputs: int, outputs: int, norm: int = 4) -> int:
  """Counts a convolution and its batch norm of 4 numbers a filter."""
  return side * side * inputs * outputs + norm * outputs


def _spinenet(
  *without: int, levels: tuple[int, ...], classes: int, norm: int = 4
) -> int:
  """Counts a SpineNet-49 by the paper's table of its blocks.

  Args:
    *without: The blocks to leave out.
    levels: Those of its outputs.
    classes: The number of logits.
    norm: The numbers that a batch norm has a filter: 2 without its statistics.
  """
  stem = [(2, "bottleneck", (), False)] * 2
  # The first bottleneck takes 64 filters and projects them to 256.
  count = _convolution(7, 3, 64, norm) + _convolution(1, 64, 256, norm)
  count += 64 * 64 - 256 * 64
  blocks: list[tuple[int, int, int]] = []
  for i, (level, kind, inputs, is_output) in enumerate(
    [*stem, *spinenet.SPINENET_BLOCK_SPECS]
  ):
    narrow = {2: 64, 3: 128}.get(level, 256)
    wide = narrow * (4 if kind == "bottleneck" else 1)
    blocks.append((level, narrow, wide))
    if i in without:
      continue
    if kind == "bottleneck":
      count += _convolution(1, wide, narrow, norm)
      count += _convolution(3, narrow, narrow, norm)
      count += _convolution(1, narrow, wide, norm)
    else:
      count += 2 * _convolution(3, narrow, narrow, norm)
    for lower, width, filters in (blocks[j] for j in inputs):
      half = width // 2
      count += _convolution(1, filters, half, norm)
      if lower < level:
        count += _convolution(3, half, half, norm)
      count += _convolution(1, half, wide, norm)
    if is_output and level in levels:
      count += _convolution(1, wide, 256, norm)
  return count + 256 * classes + classes


def _spinenet_mobile(
  *without: int, levels: tuple[int, ...], classes: int = 0, norm: int = 4
) -> int:
  """Counts a SpineNet-mobile-49, as `_spinenet` does."""

  def block(inputs: int, outputs: int) -> int:
    inner, squeezed = 6 * inputs, max(1, inputs // 5)
    gate = 2 * inner * squeezed + squeezed + inner
    around = _convolution(1, inputs, inner, norm) + (9 + norm) * inner
    return around + gate + _convolution(1, inner, outputs, norm)

  count = _convolution(3, 3, 8, norm) + block(8, 16) + block(16, 24)
  blocks = [(1, 16), (2, 24)]
  for i, (level, _, inputs, is_output) in enumerate(
    spinenet_mobile.SPINENET_BLOCK_SPECS, start=2
  ):
    filters = {2: 24, 3: 40, 4: 80}.get(level, 112)
    blocks.append((level, filters))
    if i in without:
      continue
    count += block(filters, filters)
    for lower, width in (blocks[j] for j in inputs):
      count += max(0, level - lower) * (9 + norm) * width
      count += _convolution(1, width, filters, norm)
    if is_output and level in levels:
      count += _convolution(1, filters, 48, norm)
  return count + (48 + 1) * classes


def _resnet_3d(frames: tuple[tuple[int, ...], ...], *, rs: bool) -> int:
  """Counts a ResNet-3D of width 64, 400 classes, with a gate a group.

  Args:
    frames: How many frames the kernels see in time, by group and block.
    rs: Whether the stem has three convolutions, and blocks squeeze and excite.
  """
  count, width = 5 * 49 * 3 * 64 + 4 * 64, 64
  if rs:
    count = 5 * 9 * 3 * 32 + 9 * 32 * 32 + 9 * 32 * 64 + 4 * (32 + 32 + 64)
  for group, kernels in enumerate(frames):
    narrow = 64 * 2**group
    wide = 4 * narrow
    for kernel in kernels:
      if width != wide:
        count += width * wide + 4 * wide
      count += kernel * width * narrow + 9 * narrow * narrow + narrow * wide
      count += 4 * (2 * narrow + wide)
      if rs:
        count += wide * narrow + narrow + narrow * wide + wide
      width = wide
    count += wide * wide + wide
  return count + width * 400 + 400


def _segmenter(
  backbone: int, level: int, classes: int, rates: int = 0, *, low: int = 0
) -> int:
  """Counts DeepLab v3, or v3+ if there is a lower level, of width 256.

  Args:
    backbone: The number of parameters below.
    level: The width of the level that is pooled.
    classes: The number of logits.
    rates: How many dilated convolutions there are.
    low: The width of the lower level; negative if the head's convolutions are
      separable.
  """
  count = backbone + 2 * _convolution(1, level, 256)
  count += rates * _convolution(3, level, 256)
  count += _convolution(1, (2 + rates) * 256, 256)
  if low:
    count += _convolution(1, abs(low), 48)
  for width in (256 + 48, 256) if low else ():
    if low < 0:
      count += (9 + 4) * width + _convolution(1, width, 256)
    else:
      count += _convolution(3, width, 256)
  return count + (256 + 1) * classes


# The numbers written out are those that users of the published weights count.
# Papers and READMEs round them: 110M and 340M for BERT; 4.4M to 41.7M for Tiny
# to Medium; 12M, 18M, 60M and 235M for ALBERT; 14M, 110M and 335M for ELECTRA;
# 25.3M and 36M for MobileBERT.
# torchvision's ResNet-101, its stem replaced by three convolutions, the last of
# which has 128 channels, and without its 1,000 classes.
_RESNET_101 = (
  44_549_160
  - 2_049_000
  + 105_344
  - _convolution(7, 3, 64)
  + _convolution(3, 3, 64)
  + _convolution(3, 64, 64)
  + _convolution(3, 64, 128)
  + 64 * (64 + 256)
)
# Keras's MobileNetV2 without its last convolution and its 1,000 classes.
_MOBILENET_V2 = 3_538_984 - 1_281_000 - _convolution(1, 320, 1280)
_SIZES = {128: 2, 256: 4, 512: 8, 768: 12}
GOLDEN = {
  "bert/bert_en_uncased_L-12_H-768_A-12": 109_482_240,
  "bert/bert_en_cased_L-12_H-768_A-12": _bert(28_996, 768, 12),
  "bert/bert_en_uncased_L-24_H-1024_A-16": 335_141_888,
  "bert/bert_en_cased_L-24_H-1024_A-16": _bert(28_996, 1024, 24),
  "bert/bert_en_wwm_uncased_L-24_H-1024_A-16": 335_141_888,
  "bert/bert_en_wwm_cased_L-24_H-1024_A-16": _bert(28_996, 1024, 24),
  "bert/bert_multi_cased_L-12_H-768_A-12": _bert(119_547, 768, 12),
  "bert/bert_zh_L-12_H-768_A-12": _bert(21_128, 768, 12),
  **{
    f"bert/small_bert_en_uncased_L-{layers}_H-{width}_A-{heads}": _bert(
      30_522, width, layers
    )
    for layers in (2, 4, 6, 8, 10, 12)
    for width, heads in _SIZES.items()
  },
  **{
    f"bert/experts_{name}": 109_482_240
    for name in (
      "pubmed",
      "pubmed_squad2",
      "wiki_books",
      "wiki_books_mnli",
      "wiki_books_qnli",
      "wiki_books_qqp",
      "wiki_books_squad2",
      "wiki_books_sst2",
    )
  },
  # Its layers share their weights.
  **{
    f"albert/albert_{name}": _bert(30_000, width, 1, 128)
    for size, width in (
      ("base", 768),
      ("large", 1024),
      ("xlarge", 2048),
      ("xxlarge", 4096),
    )
    for name in (f"en_{size}", f"{size}_v1")
  },
  "bert/lambert_en_uncased_L-24_H-1024_A-16": 335_141_888,
  "talking_heads/talkheads_ggelu_bert_en_base": _talking_heads(768, 12, 12),
  "talking_heads/talkheads_ggelu_bert_en_large": _talking_heads(1024, 24, 16),
  "electra/electra_small": _bert(30_522, 256, 12, 128),
  "electra/electra_base": 109_482_240,
  "electra/electra_large": 335_141_888,
  "mobilebert/mobilebert_en_uncased_L-24_H-128_B-512_A-4_F-4_OPT": _mobilebert(
    30_522
  ),
  "mobilebert/mobilebert_multi_cased_L-24_H-128_B-512_A-4_F-4_OPT": _mobilebert(
    119_547
  ),
  "albert/albert_en_preprocess": 0,
  "bert/bert_en_cased_preprocess": 0,
  "bert/bert_multi_cased_preprocess": 0,
  "bert/bert_zh_preprocess": 0,
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
  # As https://keras.io/api/applications lists EfficientNets and MobileNetV2:
  # with 1,000 classes, and for EfficientNets 7 numbers of the normalization.
  "efficientnet/efficientnet_b0": 5_330_571 - 7 + 1_281,
  **{
    f"efficientnet/legacy_efficientnet_b{i}": listed - 7
    for i, listed in enumerate(
      (
        *(5_330_571, 7_856_239, 9_177_569, 12_320_535),
        *(19_466_823, 30_562_527, 43_265_143, 66_658_687),
      )
    )
  },
  "mobilenet/mobilenet_v2": 3_538_984 + 1_281,
  # The published 5.5M.
  "mobilenet/mobilenet_v3_large": 5_508_713,
  "maxvit/maxvit_tiny": _maxvit((64, 128, 256, 512), (2, 2, 5, 2), 768),
  "resnet_3d/resnet_3d_50": _resnet_3d(
    ((3, 3, 3), (3, 1) * 2, (3, 1) * 3, (1, 3, 1)), rs=False
  ),
  "resnet_3d/resnet_3d_rs_50": _resnet_3d(
    ((1,) * 3, (1,) * 4, (3,) * 6, (3,) * 3), rs=True
  ),
  "revnet/revnet_56": _revnet(((128, 2), (256, 2), (512, 3), (832, 2))),
  # Of the blocks, three and two make outputs of other levels than the last.
  "segmentation/deeplabv3_resnet_101_pascal": _segmenter(
    _RESNET_101, 2048, 21, 3
  ),
  "segmentation/deeplabv3plus_resnet_101_pascal": _segmenter(
    _RESNET_101, 2048, 21, 3, low=256
  ),
  "segmentation/deeplabv3plus_resnet_101_cityscapes": _segmenter(
    _RESNET_101, 2048, 19, 3, low=256
  ),
  "segmentation/deeplabv3_mobilenet_v2_pascal": _segmenter(
    _MOBILENET_V2, 320, 21
  ),
  "segmentation/deeplabv3_mobilenet_v2_cityscapes": _segmenter(
    _MOBILENET_V2, 320, 19
  ),
  "segmentation/deeplabv3plus_mobilenet_v2_cityscapes": _segmenter(
    _MOBILENET_V2, 320, 19, low=-144
  ),
  # torchvision's ResNet-50 without its 1,000 classes. Of the pyramid, the
  # logits depend on three lateral convolutions and on the lowest level.
  "segmentation/fpn_resnet_50_pascal": 25_557_032
  - 2_049_000
  + 53_120
  + (512 + 1024 + 2048 + 3) * 256
  + _convolution(3, 256, 256, 4 + 1)
  + 3 * _convolution(3, 256, 256)
  + (256 + 1) * 21,
  "spinenet/spinenet_49": _spinenet(13, 16, 17, levels=(7,), classes=1001),
  "spinenet/spinenet_mobile_49": _spinenet_mobile(
    14, 17, levels=(7,), classes=1001
  ),
  "retinanet/retinanet_resnet50_fpn_coco": _retinanet(
    _RESNET_50_FPN, width=256
  ),
  "retinanet/retinanet_spinenet_mobile_49_coco": _retinanet(
    _spinenet_mobile(levels=(3, 4, 5, 6, 7)), width=48, separable=True
  ),
  "mask_rcnn/mask_rcnn_resnet50_fpn_coco": _mask_rcnn(
    _RESNET_50_FPN, levels=5, masks=True
  ),
  # Its pyramid starts one level lower, at 256 channels, and ends one lower.
  "mask_rcnn/faster_rcnn_resnet50_fpn_coco": _mask_rcnn(
    _RESNET_50_FPN + 256 * 256 + 256, levels=5, masks=False
  ),
  # timm's vit_base_patch16_224, with one class more.
  "vit/vit_b16": 86_567_656 + 769,
  **{
    f"movinet/movinet_{size}_base": _movinet(size)
    for size in ("a0", "a1", "a2", "a3", "a4", "a5")
  },
  **{
    f"movinet/movinet_{size}_stream": _movinet(
      size, stream=True, apart=True, positions=size >= "a3"
    )
    for size in ("a0", "a1", "a2", "a3", "a4", "a5")
  },
  "movinet/moving_digits_base": _movinet("small", apart=True, classes=20),
  "movinet/moving_digits_stream": _movinet(
    "small", stream=True, apart=True, positions=True, classes=20
  ),
}
_TOKENS = 30_522
# Without the pooler, which is for a text as a whole.
_BERT_OF_TOKENS = 109_482_240 - (768 + 1) * 768
# What templates of text make of a BERT-base with heads of two outputs: the
# class of `transformers`, and as many parameters as that has.
GOLDEN_OF_BERT_BASE = {
  "text_task/masked_words": (
    "BertForMaskedLM",
    # The table of tokens is also that of the head's last layer.
    _BERT_OF_TOKENS + (768 + 1) * 768 + 2 * 768 + _TOKENS,
  ),
  "text_task/question_answering": (
    "BertForQuestionAnswering",
    _BERT_OF_TOKENS + (768 + 1) * 2,
  ),
  "text_task/sentence_prediction": (
    "BertForSequenceClassification",
    109_482_240 + (768 + 1) * 2,
  ),
  "text_task/tagging": (
    "BertForTokenClassification",
    _BERT_OF_TOKENS + (768 + 1) * 2,
  ),
}
# Templates, which take what a user's file holds.
GOLDEN_OF_FILE = {"keras_model/keras_model", *GOLDEN_OF_BERT_BASE}
LEAVES = {
  str(path.relative_to(command.ROOT / "configs").with_suffix("")): path
  for path in list_configs.leaves()
}


# What the header of each says; a leaf without a count fails here.
STATED = {
  leaf: int(list_configs.Leaf.read(path).parameters.replace(",", ""))
  for leaf, path in LEAVES.items()
  if leaf not in GOLDEN_OF_FILE
}


def test_headers_say_what_others_count():
  assert LEAVES.keys() > GOLDEN_OF_FILE
  stated = {leaf: STATED[leaf] for leaf in GOLDEN}
  assert stated == GOLDEN


@pytest.mark.parametrize(
  ("published", "leaf"),
  [
    (4.4, "bert/small_bert_en_uncased_L-2_H-128_A-2"),
    (11.2, "bert/small_bert_en_uncased_L-4_H-256_A-4"),
    (28.8, "bert/small_bert_en_uncased_L-4_H-512_A-8"),
    (41.4, "bert/small_bert_en_uncased_L-8_H-512_A-8"),
    (178, "bert/bert_multi_cased_L-12_H-768_A-12"),
    (12, "albert/albert_en_base"),
    (18, "albert/albert_en_large"),
    (223, "albert/albert_en_xxlarge"),
    (14, "electra/electra_small"),
    (24.6, "mobilebert/mobilebert_en_uncased_L-24_H-128_B-512_A-4_F-4_OPT"),
    (31, "maxvit/maxvit_tiny"),
    (36, "mobilebert/mobilebert_multi_cased_L-24_H-128_B-512_A-4_F-4_OPT"),
  ],
)
def test_golden_counts_round_to_published_ones(published, leaf):
  digits = len(str(published).partition(".")[2])
  assert round(GOLDEN[leaf] / 1e6, digits) == published


@pytest.mark.parametrize(
  ("size", "published"),
  # As Model Garden's README lists the sizes of the checkpoints, in MB.
  [("a0", 12), ("a1", 18), ("a2", 20), ("a3", 29), ("a4", 44), ("a5", 72)],
)
def test_movinets_fill_their_published_checkpoints(size, published):
  megabytes = 4 * GOLDEN[f"movinet/movinet_{size}_base"] / 2**20
  assert megabytes == pytest.approx(published, abs=0.7)


def test_a_whole_spinenet_is_as_large_as_published():
  # The paper's classifier, which averages the outputs of five levels.
  levels = (3, 4, 5, 6, 7)
  count = _spinenet(17, levels=levels, classes=1000, norm=2)
  assert round(count / 1e6, 1) == 22.1
  # Model Garden's README: with RetinaNet's heads of 48 filters, 91 classes and
  # 9 anchors, all of separable convolutions.
  count = _spinenet_mobile(levels=levels, norm=2)
  count += 2 * 4 * (9 * 48 + 48 * 48 + len(levels) * 2 * 48)
  count += sum(9 * 48 + 48 * n + n for n in (9 * 91, 9 * 4))
  assert count / 1e6 == pytest.approx(2.32, rel=0.01)


@pytest.mark.parametrize(
  ("leaf", "published"),
  # Model Garden's README, official/vision/MODEL_GARDEN.md, in millions.
  [
    ("retinanet/retinanet_resnet50_fpn_coco", 34.0),
    ("mask_rcnn/mask_rcnn_resnet50_fpn_coco", 46.3),
  ],
)
def test_detectors_are_as_large_as_published(leaf, published):
  assert GOLDEN[leaf] / 1e6 == pytest.approx(published, rel=0.005)


def test_table_of_leaves_is_current():
  readme = (command.ROOT / "configs/README.md").read_text()
  assert readme == "\n".join(list_configs.table()) + "\n"


@pytest.fixture(scope="module")
def user_files(tmp_path_factory) -> dict[str, str]:
  """What only a user has; here, a checkpoint that holds nothing."""
  folder = tmp_path_factory.mktemp("user")
  tokens = [*vocabulary.SPECIAL_TOKENS, *(f"w{i}" for i in range(30517))]
  (folder / "vocab.txt").write_text("\n".join(tokens))
  return {
    "CHECKPOINT": tf.train.Checkpoint().write(str(folder / "ckpt")),
    "VOCAB_FILE": str(folder / "vocab.txt"),
    "SP_MODEL_FILE": str(small_sentencepiece.write(folder / "sp.model")),
  }


@pytest.fixture
def _clear_gin():
  gin.clear_config()
  yield
  gin.clear_config()


@pytest.mark.usefixtures("_clear_gin")
@pytest.mark.parametrize("leaf", STATED)
def test_builds_as_many_parameters_as_published(leaf, user_files, minilm):
  text = LEAVES[leaf].read_text()
  files = user_files | ({"CHECKPOINT": str(minilm)} if "minilm" in leaf else {})
  bindings = [
    f"{name} = '{path}'"
    for name, path in files.items()
    if f"{name} = %gin.REQUIRED" in text
  ]
  exporter = recipe.load([str(LEAVES[leaf])], bindings).exporter
  if isinstance(exporter, bert.BertExporter):
    assert _encoder_parameters(exporter.encoder) == STATED[leaf]
    return
  if isinstance(exporter, movinet.MoViNetExporter):
    backbone = exporter.model.backbone.movinet
    if backbone.model_id not in ("a0", "small"):
      # To build it takes up to a minute; they differ in the table alone.
      assert leaf.startswith(f"movinet/movinet_{backbone.model_id}_")
      assert backbone.use_positional_encoding == (
        backbone.causal and backbone.model_id >= "a3"
      )
      return
  with checkpoints.uninitialized():
    build = exporter.build()
  # The first artifact is the whole model.
  published = next(iter(build.published.values()))
  assert _parameters(published) == STATED[leaf]


@pytest.mark.usefixtures("_clear_gin")
@pytest.mark.parametrize("i", range(8))
def test_legacy_efficientnets_are_as_model_garden_has_them(i, user_files):
  leaf = LEAVES[f"efficientnet/legacy_efficientnet_b{i}"]
  checkpoint = f"CHECKPOINT = '{user_files['CHECKPOINT']}'"
  exporter = recipe.load([str(leaf)], [checkpoint]).exporter
  garden = dict(efficientnet_model.MODEL_CONFIGS)[f"efficientnet-b{i}"]
  assert exporter.model.as_dict() == garden.as_dict()


@pytest.mark.usefixtures("_clear_gin")
@pytest.mark.parametrize("leaf", GOLDEN_OF_BERT_BASE)
def test_templates_of_text_build_as_many_parameters(leaf, tmp_path):
  architecture, count = GOLDEN_OF_BERT_BASE[leaf]
  tokens = [*vocabulary.SPECIAL_TOKENS, *(f"w{i}" for i in range(_TOKENS - 5))]

  def built(num_layers: int) -> int:
    folder = tmp_path / str(num_layers)
    # As many outputs as the head's biases; no other weights are looked at.
    checkpoint_files.hugging_face(
      folder,
      "bert",
      {
        "architectures": [architecture],
        "attention_probs_dropout_prob": 0.1,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "model_type": "bert",
        "num_attention_heads": 12,
        "num_hidden_layers": num_layers,
        "type_vocab_size": 2,
        "vocab_size": _TOKENS,
      },
      {
        "classifier.bias": np.zeros([2], np.float32),
        "qa_outputs.bias": np.zeros([2], np.float32),
        "cls.predictions.bias": np.zeros([_TOKENS], np.float32),
      },
    )
    (folder / "vocab.txt").write_text("\n".join(tokens))
    bindings = [f"CHECKPOINT = '{folder}'", "DO_LOWER_CASE = True"]
    exporter = recipe.load([str(LEAVES[leaf])], bindings).exporter
    gin.clear_config()
    with checkpoints.uninitialized():
      published = exporter.build().published
    (from_ids, from_text) = (
      _parameters(published[name]) for name in ("from_ids", "from_text")
    )
    assert from_ids == from_text
    return from_ids

  one, two = built(1), built(2)
  assert one + 11 * (two - one) == count


@pytest.mark.parametrize(
  ("leaf", "published"),
  # As `transformers` counts those of bert-base-uncased.
  [
    ("text_task/masked_words", 109_514_298),
    ("text_task/question_answering", 108_893_186),
    ("text_task/sentence_prediction", 109_483_778),
    ("text_task/tagging", 108_893_186),
  ],
)
def test_tasks_of_bert_base_are_as_large_as_published(leaf, published):
  assert GOLDEN_OF_BERT_BASE[leaf][1] == published


def _encoder_parameters(config) -> int:
  """Counts with one layer and with two: each further one adds as much."""
  shallow = copy.deepcopy(config)
  fields = shallow.get().as_dict()
  layers = fields.get("num_layers") or fields["num_blocks"]
  encoder_types.override(shallow, {"num_layers": 0})
  one, two = (_shallow_parameters(shallow, n) for n in (1, 2))
  return one + (layers - 1) * (two - one)


# Several leaves differ in the number of layers alone.
_COUNTED: dict[tuple[str, int], int] = {}


def _shallow_parameters(config, num_layers: int) -> int:
  """Counts an encoder of fewer layers."""
  key = (repr(config.as_dict()), num_layers)
  if key not in _COUNTED:
    shallow = copy.deepcopy(config)
    encoder_types.override(shallow, {"num_layers": num_layers})
    with checkpoints.uninitialized():
      _COUNTED[key] = _parameters(encoders.build(shallow, {}).model)
  return _COUNTED[key]


def _parameters(model) -> int:
  return sum(variable.shape.num_elements() for variable in model.variables)


@pytest.mark.parametrize("leaf", LEAVES)
def test_header_says_what_a_user_needs(leaf):
  header = re.match(r"(#.*\n)+", LEAVES[leaf].read_text()).group()
  text = re.sub(r"\n# ?", " ", header)
  assert f"--gin_file=configs/{leaf}.gin" in text
  assert f"--export_path=/tmp/{pathlib.Path(leaf).name}" in text
  assert "Checkpoint:" in text
  assert "Licence:" in text
  parameters = f"{STATED[leaf]:,}" if leaf in STATED else "those of the file"
  assert f"Parameters: {parameters}." in text
  module = re.search(r"python -m (exporters\.\w+)", text).group(1)
  assert f"from {module.replace('.', ' import ')}\n" in LEAVES[leaf].read_text()
