"""A small instance of each exporter, which exports in seconds.

  python -m scripts.small_instances mobilenet /tmp/small

writes what its owner would have, a checkpoint of random weights say, and prints
the command that exports it. The same instances pass the contract in
`tests/test_contract.py` and stand in the table of checks. A new architecture is
one more entry of `INSTANCES`.
"""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import enum
import pathlib

from scripts.small_instances import sizes


class Kind(enum.Enum):
  """What an artifact is for its consumers."""

  TEXT_ENCODER = "text encoder"
  TEXT_PREPROCESSOR = "text preprocessor"
  TEXT_TASK = "text task"
  IMAGE_CLASSIFIER = "image classifier"
  VIDEO_CLASSIFIER = "video classifier"
  DETECTOR = "detector"
  IMAGE_SEGMENTER = "image segmenter"
  OTHER = "other"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Instance:
  """An export that takes seconds.

  Attributes:
    module: The exporter's module.
    leaf: Its gin file, from the root of the repository or absolute.
    bindings: What makes it small.
    kind: What it is.
    has: Which of these it has: "batch norm", "dropout", "hyperparameters",
      "regularization losses", "stream", "training".
    trainable: How many trainable variables it has, counted by hand.
    write: Writes what a user has into a folder; returns the bindings that name
      it. None: writes a checkpoint of the leaf's model of images or videos.
    signatures: Those that it has beside `serving_default`.
  """

  module: str
  leaf: str
  bindings: tuple[str, ...] = ()
  kind: Kind
  has: frozenset[str]
  trainable: int
  write: Callable[[pathlib.Path], list[str]] | None = None
  signatures: tuple[str, ...] = ()

  def write_inputs(self, folder: pathlib.Path) -> list[str]:
    """Writes what a user has; returns all bindings of the export."""
    if self.write is not None:
      return [*self.write(folder), *self.bindings]
    from scripts.small_instances import detectors
    from scripts.small_instances import images
    from scripts.small_instances import segmenters
    from scripts.small_instances import videos

    models = {
      Kind.DETECTOR: detectors,
      Kind.IMAGE_SEGMENTER: segmenters,
      Kind.VIDEO_CLASSIFIER: videos,
    }
    write = models.get(self.kind, images).write_by_leaf
    written = write(self.leaf, self.bindings, folder)
    return [*written, *self.bindings]


def _bert(folder: pathlib.Path) -> list[str]:
  import tensorflow as tf

  from scripts.small_instances import bert

  pretrainer = bert.pretrainer()
  prefix = tf.train.Checkpoint(**pretrainer.checkpoint_items).write(
    str(folder / "bert_model.ckpt")
  )
  return [f"CHECKPOINT = '{prefix}'", *_vocabulary(folder)]


def _vocabulary(folder: pathlib.Path) -> list[str]:
  from scripts.small_instances import bert

  return [f"VOCAB_FILE = '{bert.write_vocabulary(folder / 'vocab.txt')}'"]


def _albert(folder: pathlib.Path) -> list[str]:
  import sentencepiece

  from scripts.small_instances import bert
  from scripts.small_instances import encoders
  from scripts.small_instances import sentencepiece_model

  model_file = sentencepiece_model.write(folder / "30k-clean.model")
  pieces = sentencepiece.SentencePieceProcessor(model_file=str(model_file))
  config = encoders.config("albert", vocab_size=len(pieces))
  prefix = bert.write_pretrainer(config, folder / "bert_model.ckpt")
  sizes = config.albert.as_dict()
  return [
    f"CHECKPOINT = '{prefix}'",
    f"SP_MODEL_FILE = '{model_file}'",
    *(f"encoders.AlbertEncoderConfig.{k} = {sizes[k]!r}" for k in sizes),
  ]


def _sentencepiece(folder: pathlib.Path) -> list[str]:
  from scripts.small_instances import sentencepiece_model

  model_file = sentencepiece_model.write(folder / "30k-clean.model")
  return [f"SP_MODEL_FILE = '{model_file}'"]


def _keras_model(folder: pathlib.Path) -> list[str]:
  import tf_keras

  from scripts.small_instances import images

  layers = tf_keras.layers
  model = tf_keras.Sequential(
    [
      tf_keras.Input([5]),
      layers.Dense(4, kernel_regularizer="l2", name="first"),
      layers.BatchNormalization(name="features"),
      layers.Dropout(0.3),
      layers.Dense(3, activation="softmax", name="last"),
    ]
  )
  images.randomize(model)
  model.save(folder / "model.keras")
  return [f"MODEL_FILE = '{folder / 'model.keras'}'"]


_MOVINET_BASE = "configs/movinet/movinet_a3_base.gin"
_MOVINET_STREAM = "configs/movinet/movinet_a3_stream.gin"
_TINY_MOVINET = (
  "import scripts.small_instances.tiny_movinet",
  "movinet_configs.Movinet.model_id = 'tiny'",
  "movinet.MoViNetExporter.num_classes = 7",
  "movinet.MoViNetExporter.image_size = [32, 32]",
)
_TINY_RESNET_3D = (
  "import scripts.small_instances.tiny_resnet_3d",
  "resnet_3d.ResNet3DExporter.num_classes = 7",
  "resnet_3d.ResNet3DExporter.image_size = [32, 32]",
)
# With fewer filters, oneDNN's gradients of a single image crash TensorFlow.
_TINY_RETINANET = (
  "retinanet_configs.RetinaNet.num_classes = 4",
  "retinanet_configs.RetinaNet.input_size = [96, 64, 3]",
  "retinanet_configs.RetinaNet.max_level = 6",
  "retinanet_configs.RetinaNetHead.num_convs = 1",
  "retinanet_configs.RetinaNetHead.num_filters = 16",
  "decoders.FPN.num_filters = 16",
  "backbones.ResNet.model_id = 10",
  "backbones.ResNet.depth_multiplier = 0.5",
)
_TINY_MASK_RCNN = (
  "maskrcnn.MaskRCNN.num_classes = 4",
  "maskrcnn.MaskRCNN.input_size = [64, 64, 3]",
  "maskrcnn.MaskRCNN.min_level = 3",
  "maskrcnn.MaskRCNN.max_level = 5",
  "maskrcnn.RPNHead.num_filters = 8",
  "maskrcnn.DetectionHead.num_convs = 1",
  "maskrcnn.DetectionHead.num_filters = 8",
  "maskrcnn.DetectionHead.fc_dims = 16",
  "maskrcnn.MaskHead.num_convs = 1",
  "maskrcnn.MaskHead.num_filters = 8",
  "maskrcnn.ROIGenerator.num_proposals = 30",
  "maskrcnn.ROIGenerator.test_num_proposals = 20",
  "maskrcnn.DetectionGenerator.max_num_detections = 10",
  "mask_rcnn.MaskRCNNExporter.signatures = ['tf_example']",
  "decoders.FPN.num_filters = 8",
  "backbones.ResNet.model_id = 10",
  "backbones.ResNet.depth_multiplier = 0.5",
)
# Smaller images leave out connections.
_TINY_SPINENET = (
  "import scripts.small_instances.tiny_spinenet",
  *sizes.IMAGES,
  f"{sizes.MODEL}.input_size = [128, 128, 3]",
)
_SEGMENTER = "semantic_segmentation.SemanticSegmentationModel"
_SMALL_MASKS = (
  "segmentation.SemanticSegmentationExporter.image_size = [64, 64]",
  f"{_SEGMENTER}.num_classes = 7",
  "semantic_segmentation.SegmentationHead.num_filters = 8",
)


def _talking_heads(folder: pathlib.Path) -> list[str]:
  from official.nlp.configs import encoders as encoder_configs

  from exporters import talking_heads
  from scripts.small_instances import bert

  config = encoder_configs.EncoderConfig(
    type="any", any=talking_heads.TalkingHeadsEncoderConfig(**bert.SIZES)
  )
  prefix = bert.write_pretrainer(config, folder / "ckpt")
  return [f"CHECKPOINT = '{prefix}'", *_vocabulary(folder)]


def _task(
  folder: pathlib.Path, task: str, labels: tuple[str, ...] = ()
) -> list[str]:
  from scripts.small_instances import tasks

  return tasks.write(folder, task, labels)


_OF_TEXT_ENCODERS = frozenset({"dropout", "hyperparameters", "training"})
_OF_CONVOLUTIONS = frozenset(
  {"batch norm", "regularization losses", "hyperparameters", "training"}
)

INSTANCES = {
  "low_level": Instance(
    module="exporters.low_level",
    leaf="configs/low_level/multiply.gin",
    kind=Kind.OTHER,
    has=frozenset({"regularization losses"}),
    trainable=1,
    write=lambda folder: [],
  ),
  "bert": Instance(
    module="exporters.bert",
    leaf="configs/bert/small_bert_en_uncased_L-2_H-128_A-2.gin",
    bindings=(
      "encoders.BertEncoderConfig.vocab_size = 40",
      "encoders.BertEncoderConfig.hidden_size = 16",
      "encoders.BertEncoderConfig.intermediate_size = 32",
      "encoders.BertEncoderConfig.max_position_embeddings = 32",
      "bert.BertExporter.with_mlm = True",
    ),
    kind=Kind.TEXT_ENCODER,
    has=_OF_TEXT_ENCODERS,
    trainable=5 + 2 * 16 + 2,
    write=_bert,
  ),
  "bert_preprocessor": Instance(
    module="exporters.bert_preprocessor",
    leaf="configs/bert/bert_en_uncased_preprocess.gin",
    bindings=(
      "bert_preprocessor.BertPreprocessorExporter.default_seq_length = 16",
    ),
    kind=Kind.TEXT_PREPROCESSOR,
    has=frozenset({"hyperparameters"}),
    trainable=0,
    write=_vocabulary,
  ),
  # The two layers are one, called twice.
  "albert": Instance(
    module="exporters.bert",
    leaf="configs/albert/albert_en_base.gin",
    kind=Kind.TEXT_ENCODER,
    has=_OF_TEXT_ENCODERS,
    trainable=5 + 2 + 16 + 2,
    write=_albert,
  ),
  "albert_preprocessor": Instance(
    module="exporters.bert_preprocessor",
    leaf="configs/albert/albert_en_preprocess.gin",
    kind=Kind.TEXT_PREPROCESSOR,
    has=frozenset({"hyperparameters"}),
    trainable=0,
    write=_sentencepiece,
  ),
  # The encoder's 39 and the logits.
  "sentence_prediction": Instance(
    module="exporters.text_task",
    leaf="configs/text_task/sentence_prediction.gin",
    bindings=("text_task.SentencePredictionExporter.artifacts = ['from_ids']",),
    kind=Kind.OTHER,
    has=_OF_TEXT_ENCODERS,
    trainable=5 + 2 * 16 + 2 + 2,
    write=lambda folder: _task(folder, "sentence prediction", ("no", "yes")),
  ),
  # The same without the pooler.
  "tagging": Instance(
    module="exporters.text_task",
    leaf="configs/text_task/tagging.gin",
    bindings=(
      "text_task.TaggingExporter.artifacts = ['from_text']",
      "text_task.TaggingExporter.default_seq_length = 16",
    ),
    kind=Kind.TEXT_TASK,
    has=_OF_TEXT_ENCODERS,
    trainable=5 + 2 * 16 + 2,
    write=lambda folder: _task(folder, "tagging", ("O", "B", "I")),
  ),
  "question_answering": Instance(
    module="exporters.text_task",
    leaf="configs/text_task/question_answering.gin",
    bindings=(
      "text_task.QuestionAnsweringExporter.artifacts = ['from_text']",
      "text_task.QuestionAnsweringExporter.default_seq_length = 16",
    ),
    kind=Kind.TEXT_TASK,
    has=_OF_TEXT_ENCODERS,
    trainable=5 + 2 * 16 + 2,
    write=lambda folder: _task(folder, "question answering"),
  ),
  # The encoder's without the pooler, and the head's dense layer, norm and bias.
  "masked_words": Instance(
    module="exporters.text_task",
    leaf="configs/text_task/masked_words.gin",
    bindings=(
      "text_task.MaskedWordsExporter.artifacts = ['from_text']",
      "text_task.MaskedWordsExporter.default_seq_length = 16",
    ),
    kind=Kind.TEXT_TASK,
    has=_OF_TEXT_ENCODERS,
    trainable=5 + 2 * 16 + 5,
    write=lambda folder: _task(folder, "masked words"),
  ),
  # ResNet-RS of depth 10. Convolutions with their batch norms: 3 in the stem, 1
  # for its pooling, 3 in each of 4 blocks; in each block squeeze and excite.
  "resnet": Instance(
    module="exporters.resnet",
    leaf="configs/resnet/resnet_rs_50.gin",
    bindings=(
      *sizes.RESNET,
      "backbones.ResNet.stochastic_depth_drop_rate = 0.2",
      "resnet.ResNetExporter.artifacts = ['classification']",
    ),
    kind=Kind.IMAGE_CLASSIFIER,
    has=_OF_CONVOLUTIONS,
    trainable=(4 + 3 * 4) * 3 + 4 * 4 + 2,
  ),
  # A convolution and its batch norm are 3; squeeze and excite is 4. The stem, a
  # block that does not expand, 15 that do, the head, the dense layer. Also,
  # stochastic depth is random, so no dropout rate can be set.
  "efficientnet": Instance(
    module="exporters.efficientnet",
    leaf="configs/efficientnet/efficientnet_b0.gin",
    bindings=(
      *sizes.IMAGES,
      "efficientnet.EfficientNetExporter.artifacts = ['classification']",
    ),
    kind=Kind.IMAGE_CLASSIFIER,
    has=_OF_CONVOLUTIONS,
    trainable=3 + 10 + 15 * 13 + 3 + 2,
  ),
  # The same, with 7 blocks that expand.
  "legacy_efficientnet": Instance(
    module="exporters.efficientnet",
    leaf="configs/efficientnet/legacy_efficientnet_b0.gin",
    bindings=(
      "efficientnet_model.ModelConfig.resolution = 32",
      "efficientnet_model.ModelConfig.width_coefficient = 0.25",
      "efficientnet_model.ModelConfig.depth_coefficient = 0.3",
      "efficientnet_model.ModelConfig.num_classes = 7",
      "efficientnet.LegacyEfficientNetExporter.artifacts = ['classification']",
    ),
    kind=Kind.IMAGE_CLASSIFIER,
    has=_OF_CONVOLUTIONS,
    trainable=3 + 10 + 7 * 13 + 3 + 2,
  ),
  # V3-small: the stem; a block that squeezes and does not expand, 2 that expand
  # and do not squeeze, 8 that do both; two last convolutions, the second of
  # which has a bias in place of a batch norm; the dense layer.
  "mobilenet": Instance(
    module="exporters.mobilenet",
    leaf="configs/mobilenet/mobilenet_v3_large.gin",
    bindings=(
      *sizes.IMAGES,
      "backbones.MobileNet.model_id = 'MobileNetV3Small'",
      "backbones.MobileNet.filter_size_scale = 0.25",
      "mobilenet.MobileNetExporter.artifacts = ['classification']",
    ),
    kind=Kind.IMAGE_CLASSIFIER,
    has=_OF_CONVOLUTIONS - {"regularization losses"} | {"dropout"},
    trainable=3 + 10 + 2 * 9 + 8 * 13 + 3 + 2 + 2,
  ),
  # Ti: patches, the class token, positions, 12 layers, the last norm, the dense
  # layer.
  "vit": Instance(
    module="exporters.vit",
    leaf="configs/vit/vit_b16.gin",
    bindings=(
      *sizes.IMAGES,
      "backbones.VisionTransformer.model_name = 'vit-ti16'",
      "vit.ViTExporter.artifacts = ['classification']",
    ),
    kind=Kind.IMAGE_CLASSIFIER,
    has=frozenset({"training"}),
    trainable=2 + 1 + 1 + 12 * 16 + 2 + 2,
  ),
  "keras_model": Instance(
    module="exporters.keras_model",
    leaf="configs/keras_model/keras_model.gin",
    bindings=("keras_model.KerasModelExporter.output_layer = 'features'",),
    kind=Kind.OTHER,
    has=_OF_CONVOLUTIONS,
    trainable=4,
    write=_keras_model,
  ),
  # A convolution and its batch norm are 3; squeeze and excite is 4. The stem;
  # 19 blocks, of which all but the first expand; the dense layer.
  "mobiledet": Instance(
    module="exporters.mobiledet",
    leaf="configs/mobiledet/mobiledet_cpu.gin",
    bindings=(
      *sizes.IMAGES,
      "backbones.MobileDet.filter_size_scale = 0.125",
      "mobiledet.MobileDetExporter.artifacts = ['classification']",
    ),
    kind=Kind.IMAGE_CLASSIFIER,
    has=_OF_CONVOLUTIONS,
    trainable=3 + 10 + 18 * 13 + 2,
  ),
  # A convolution and its batch norm are 3; squeeze and excite is 4. The stem;
  # three layers with three convolutions and a scale, two of which project what
  # they skip; the head, and its two dense layers.
  "movinet_base": Instance(
    module="exporters.movinet",
    leaf=_MOVINET_BASE,
    bindings=_TINY_MOVINET,
    kind=Kind.VIDEO_CLASSIFIER,
    has=_OF_CONVOLUTIONS | {"dropout"},
    trainable=3 + 3 * (9 + 4 + 1) + 2 * 3 + 3 + 2 * 2,
  ),
  # Also, two layers have a convolution in time, and all three weight positions.
  "movinet_stream": Instance(
    module="exporters.movinet",
    leaf=_MOVINET_STREAM,
    bindings=_TINY_MOVINET,
    kind=Kind.VIDEO_CLASSIFIER,
    has=_OF_CONVOLUTIONS | {"dropout", "stream"},
    trainable=3 + 3 * (9 + 4 + 1) + 2 * 3 + 3 + 2 * 2 + 2 * 3 + 3,
    signatures=("init_states",),
  ),
  # Convolutions with their batch norms: one in the stem, three in each of 3
  # blocks, and one more where a block changes the width. The first group of
  # blocks ends in a gate; the dense layer.
  "resnet_3d": Instance(
    module="exporters.resnet_3d",
    leaf="configs/resnet_3d/resnet_3d_50.gin",
    bindings=(
      "from __gin__ import dynamic_registration",
      "from exporters import resnet_3d",
      "from official.vision.configs import backbones_3d",
      "from scripts.small_instances import tiny_resnet_3d",
      *_TINY_RESNET_3D,
      "backbones_3d.Backbone3D.resnet_3d = @tiny_resnet_3d.ResNet3D11()",
    ),
    kind=Kind.VIDEO_CLASSIFIER,
    has=_OF_CONVOLUTIONS | {"dropout"},
    trainable=(1 + 3 * 3 + 2) * 3 + 2 + 2,
  ),
  # Three in the stem, four in each of 4 blocks, which all end in a gate and in
  # squeeze and excite. Also, stochastic depth is random, so no dropout rate can
  # be set.
  "resnet_3d_rs": Instance(
    module="exporters.resnet_3d",
    leaf="configs/resnet_3d/resnet_3d_rs_50.gin",
    bindings=(*_TINY_RESNET_3D, "backbones_3d.ResNet3DRS.model_id = 14"),
    kind=Kind.VIDEO_CLASSIFIER,
    has=_OF_CONVOLUTIONS,
    trainable=(3 + 4 * 4) * 3 + 4 * (2 + 4) + 2,
  ),
  # Embeddings with their norm; in each of 2 layers query, key, value and
  # output, two matrices between heads, three dense layers and two norms; the
  # pooler.
  "talking_heads": Instance(
    module="exporters.talking_heads",
    leaf="configs/talking_heads/talkheads_ggelu_bert_en_base.gin",
    bindings=(
      "talking_heads.TalkingHeadsEncoderConfig.vocab_size = 40",
      "talking_heads.TalkingHeadsEncoderConfig.hidden_size = 16",
      "talking_heads.TalkingHeadsEncoderConfig.num_layers = 2",
      "talking_heads.TalkingHeadsEncoderConfig.num_attention_heads = 2",
      "talking_heads.TalkingHeadsEncoderConfig.intermediate_size = 32",
      "talking_heads.TalkingHeadsEncoderConfig.max_position_embeddings = 32",
    ),
    kind=Kind.TEXT_ENCODER,
    has=_OF_TEXT_ENCODERS,
    trainable=5 + 2 * (8 + 2 + 6 + 4) + 2,
    write=_talking_heads,
  ),
  # RevNet-38: the stem; 9 reversible blocks of two halves, each with a norm
  # between 2 convolutions, and one norm more at the start of two stages; a last
  # norm; the dense layer. The blocks always have Model Garden's default of the
  # momentum, 0.99; if the other layers have it too, a call may override it.
  "revnet": Instance(
    module="exporters.revnet",
    leaf="configs/revnet/revnet_56.gin",
    bindings=(
      *sizes.IMAGES,
      f"{sizes.MODEL}.input_size = [64, 64, 3]",
      "backbones.RevNet.model_id = 38",
      "common.NormActivation.norm_momentum = 0.99",
      "revnet.RevNetExporter.artifacts = ['classification']",
    ),
    kind=Kind.IMAGE_CLASSIFIER,
    has=_OF_CONVOLUTIONS,
    trainable=3 + 9 * 2 * 4 + 2 * 2 * 2 + 2 + 2,
  ),
  # The stem; 3 blocks, each of a convolution that squeezes and excites, two
  # attentions with their biases and norms, and two networks with their norms;
  # in the first a projection; a norm and two dense layers.
  "maxvit": Instance(
    module="exporters.maxvit",
    leaf="configs/maxvit/maxvit_tiny.gin",
    bindings=(
      *sizes.IMAGES,
      "backbones.MaxViT.stem_hsize = (8, 8)",
      "backbones.MaxViT.block_type = ('maxvit', 'maxvit', 'maxvit')",
      "backbones.MaxViT.num_blocks = (1, 1, 1)",
      "backbones.MaxViT.hidden_size = (32, 32, 32)",
      "backbones.MaxViT.head_size = 16",
      "backbones.MaxViT.window_size = 2",
      "backbones.MaxViT.grid_size = 2",
      "backbones.MaxViT.representation_size = 16",
      "maxvit.MaxViTExporter.artifacts = ['classification']",
    ),
    kind=Kind.IMAGE_CLASSIFIER,
    has=_OF_CONVOLUTIONS - {"regularization losses"},
    trainable=6 + 3 * (14 + 2 * 11 + 2 * 6) + 2 + 6,
  ),
  # Convolutions with their batch norms: one in the stem, 4 and 3 in its blocks,
  # 2 or 3 in the 4 and 9 blocks that the last level depends on. Two blocks come
  # into each of those, through 2, and one more where the size is halved (14
  # times). The output of the last level; the dense layer.
  "spinenet": Instance(
    module="exporters.spinenet",
    leaf="configs/spinenet/spinenet_49.gin",
    bindings=(
      *_TINY_SPINENET,
      "backbones.SpineNet.model_id = 'tiny'",
      "spinenet.SpineNetExporter.artifacts = ['classification']",
    ),
    kind=Kind.IMAGE_CLASSIFIER,
    has=_OF_CONVOLUTIONS,
    trainable=3 * (1 + 4 + 3 + 4 * 2 + 9 * 3 + 13 * 2 * 2 + 14 + 1) + 2,
  ),
  # Squeeze and excite is 4. The stem, its two blocks and 14 others, which all
  # expand. Two blocks come into each of those, through one convolution, and one
  # more each time that the size is halved (24 times). The output of the last
  # level; the dense layer.
  "spinenet_mobile": Instance(
    module="exporters.spinenet",
    leaf="configs/spinenet/spinenet_mobile_49.gin",
    bindings=(
      *_TINY_SPINENET,
      "backbones.SpineNetMobile.model_id = 'tiny'",
      "spinenet.SpineNetMobileExporter.artifacts = ['classification']",
    ),
    kind=Kind.IMAGE_CLASSIFIER,
    has=_OF_CONVOLUTIONS,
    trainable=3 + 16 * 13 + 3 * (14 * 2 + 24 + 1) + 2,
  ),
  # Convolutions with their batch norms: one in the stem, three in each of 4
  # blocks. In the pyramid, convolutions with biases: 3 lateral ones, and one
  # for each of 4 levels, with a batch norm. Each of two towers has a
  # convolution with a bias, a batch norm for each level, a last convolution.
  "retinanet": Instance(
    module="exporters.retinanet",
    leaf="configs/retinanet/retinanet_resnet50_fpn_coco.gin",
    bindings=_TINY_RETINANET,
    kind=Kind.DETECTOR,
    has=_OF_CONVOLUTIONS,
    trainable=(1 + 4 * 3) * 3 + 3 * 2 + 4 * 4 + 2 * (2 + 4 * 2 + 2),
    signatures=("detect", "image_bytes"),
  ),
  # The same with 3 levels. The head that proposes regions has a convolution, a
  # batch norm for each level, and 2 last convolutions; that of boxes a
  # convolution, a dense layer, each with a batch norm, and 2 last dense layers;
  # that of masks two convolutions, each with a batch norm, and a last one.
  "mask_rcnn": Instance(
    module="exporters.mask_rcnn",
    leaf="configs/mask_rcnn/mask_rcnn_resnet50_fpn_coco.gin",
    bindings=_TINY_MASK_RCNN,
    kind=Kind.DETECTOR,
    has=_OF_CONVOLUTIONS,
    trainable=(
      (1 + 4 * 3) * 3
      + (3 * 2 + 3 * 4)
      + (2 + 3 * 2 + 2 * 2)
      + (2 * 4 + 2 * 2)
      + (2 * 4 + 2)
    ),
    signatures=("detect", "tf_example"),
  ),
  # Convolutions with their batch norms: 3 in the stem, 3 and a projection in
  # each of 4 blocks; 4 of the pyramid, its pooling and what joins them; 1 of
  # the lower level; 2 of the head. The logits.
  "deeplabv3plus": Instance(
    module="exporters.segmentation",
    leaf="configs/segmentation/deeplabv3plus_resnet_101_pascal.gin",
    bindings=(
      "import scripts.small_instances.tiny_dilated_resnet",
      *_SMALL_MASKS,
      "backbones.DilatedResNet.model_id = 14",
      "backbones.DilatedResNet.multigrid = [2]",
      # oneDNN crashes on the gradients of narrow convolutions with strides.
      "backbones.DilatedResNet.resnetd_shortcut = True",
      "decoders.ASPP.num_filters = 8",
      "decoders.ASPP.dropout_rate = 0.1",
      "semantic_segmentation.SegmentationHead.low_level_num_filters = 4",
    ),
    kind=Kind.IMAGE_SEGMENTER,
    has=_OF_CONVOLUTIONS | {"dropout"},
    trainable=3 * (3 + 4 * 4 + 4 + 2 + 1 + 2) + 2,
    signatures=("predict",),
  ),
  # Convolutions with their batch norms: 1 in the stem, 3 in each of 4 blocks; 3
  # convolutions of the pyramid's levels, and one with a batch norm of the
  # lowest; 3 of the head. The logits.
  "fpn_segmentation": Instance(
    module="exporters.segmentation",
    leaf="configs/segmentation/fpn_resnet_50_pascal.gin",
    bindings=(
      *_SMALL_MASKS,
      f"{_SEGMENTER}.input_size = [64, 64, 3]",
      "backbones.ResNet.model_id = 10",
      "backbones.ResNet.depth_multiplier = 0.25",
      "backbones.ResNet.resnetd_shortcut = True",
      "decoders.FPN.num_filters = 8",
      "segmentation.SemanticSegmentationExporter.signatures"
      " = ['image_bytes', 'tf_example']",
    ),
    kind=Kind.IMAGE_SEGMENTER,
    has=_OF_CONVOLUTIONS,
    trainable=3 * (1 + 4 * 3) + 3 * 2 + 2 + 2 + 3 * 3 + 2,
    signatures=("predict", "image_bytes", "tf_example"),
  ),
}
