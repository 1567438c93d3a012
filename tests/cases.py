"""One small instance of each exporter, for the contract that all of them pass.

A new architecture is one more line in `CASES`.
"""

from collections.abc import Callable
import dataclasses
import pathlib

from official.modeling import tf_utils
from official.nlp.configs import encoders
from official.nlp.modeling import models
import sentencepiece
import tensorflow as tf
import tf_keras

from tests import small_bert
from tests import small_encoders
from tests import small_images
from tests import small_sentencepiece


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
  """An export that takes seconds.

  Attributes:
    module: The exporter's module.
    gin_file: Its leaf, from the root of the repository or absolute.
    write_inputs: Writes what a user has into a folder; returns the bindings
      that name it.
    trainable: How many trainable variables the model has, counted by hand.
    not_applicable: The checks that find nothing to look at.
  """

  module: str
  gin_file: str
  write_inputs: Callable[[pathlib.Path], list[str]]
  trainable: int
  not_applicable: tuple[str, ...]


def _bert(folder: pathlib.Path) -> list[str]:
  pretrainer = small_bert.pretrainer()
  prefix = tf.train.Checkpoint(**pretrainer.checkpoint_items).write(
    str(folder / "bert_model.ckpt")
  )
  vocab_file = small_bert.write_vocabulary(folder / "vocab.txt")
  return [
    f"CHECKPOINT = '{prefix}'",
    f"VOCAB_FILE = '{vocab_file}'",
    "bert.BertExporter.with_mlm = True",
  ]


def _albert(folder: pathlib.Path) -> list[str]:
  model_file = small_sentencepiece.write(folder / "30k-clean.model")
  pieces = sentencepiece.SentencePieceProcessor(model_file=str(model_file))
  config = small_encoders.config("albert", vocab_size=len(pieces))
  encoder = encoders.build_encoder(config)
  pretrainer = models.BertPretrainerV2(
    encoder, mlm_activation=tf_utils.get_activation("gelu")
  )
  pretrainer(small_bert.inputs(positions=True))
  small_bert.randomize(pretrainer, seed=2)
  prefix = tf.train.Checkpoint(**pretrainer.checkpoint_items).write(
    str(folder / "bert_model.ckpt")
  )
  sizes = config.albert.as_dict()
  return [
    f"CHECKPOINT = '{prefix}'",
    f"SP_MODEL_FILE = '{model_file}'",
    *(f"encoders.AlbertEncoderConfig.{k} = {sizes[k]!r}" for k in sizes),
  ]


def _sentencepiece(folder: pathlib.Path) -> list[str]:
  model_file = small_sentencepiece.write(folder / "30k-clean.model")
  return [f"SP_MODEL_FILE = '{model_file}'"]


def _vocabulary(folder: pathlib.Path) -> list[str]:
  vocab_file = small_bert.write_vocabulary(folder / "vocab.txt")
  return [f"VOCAB_FILE = '{vocab_file}'"]


def _keras_model(folder: pathlib.Path) -> list[str]:
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
  small_images.randomize(model)
  model.save(folder / "model.keras")
  return [
    f"MODEL_FILE = '{folder / 'model.keras'}'",
    "keras_model.KerasModelExporter.output_layer = 'features'",
  ]


def _images(gin_file: str, *bindings: str) -> dict:
  return {
    "gin_file": gin_file,
    "write_inputs": small_images.written_by_leaf(gin_file, *bindings),
  }


_NO_IMAGES = ("image API", "specification: images")
_NO_TEXT_ENCODER = ("specification: text encoder",)
_NO_TEXT_PREPROCESSOR = ("specification: text preprocessor",)
_NO_BATCH_NORM = ("batch statistics", "batch_norm_momentum")
_OF_TEXT_ENCODERS = (
  *_NO_IMAGES,
  *_NO_BATCH_NORM,
  *_NO_TEXT_PREPROCESSOR,
  "regularization losses",
  "Dataset.map",
)
_WITHOUT_TRAINING = (
  *_NO_IMAGES,
  *_NO_BATCH_NORM,
  *_NO_TEXT_ENCODER,
  "specification: training",
  "dropout",
  "gradients",
  "gradients in a tf.function",
  "gradients of a persistent tape",
  "regularization losses",
  "a training step",
  "keras.layers.TFSMLayer",
  "two replicas",
)

CASES = {
  "low_level": Case(
    module="exporters.low_level",
    gin_file="configs/low_level/multiply.gin",
    write_inputs=lambda folder: [],
    trainable=1,
    not_applicable=(
      "dropout",
      "hyperparameters",
      "Dataset.map",
      "specification: training",
      *_NO_IMAGES,
      *_NO_BATCH_NORM,
      *_NO_TEXT_ENCODER,
      *_NO_TEXT_PREPROCESSOR,
    ),
  ),
  "bert": Case(
    module="exporters.bert",
    gin_file=small_bert.GIN_FILE,
    write_inputs=_bert,
    trainable=5 + 2 * 16 + 2,
    not_applicable=_OF_TEXT_ENCODERS,
  ),
  "bert_preprocessor": Case(
    module="exporters.bert_preprocessor",
    gin_file="tests/testdata/small_bert_preprocess.gin",
    write_inputs=_vocabulary,
    trainable=0,
    not_applicable=_WITHOUT_TRAINING,
  ),
  # The two layers are one, called twice.
  "albert": Case(
    module="exporters.bert",
    gin_file="configs/albert/albert_en_base.gin",
    write_inputs=_albert,
    trainable=5 + 2 + 16 + 2,
    not_applicable=_OF_TEXT_ENCODERS,
  ),
  "albert_preprocessor": Case(
    module="exporters.bert_preprocessor",
    gin_file="configs/albert/albert_en_preprocess.gin",
    write_inputs=_sentencepiece,
    trainable=0,
    not_applicable=_WITHOUT_TRAINING,
  ),
  # ResNet-RS of depth 10. Convolutions with their batch norms: 3 in the stem, 1
  # for its pooling, 3 in each of 4 blocks; in each block squeeze and excite.
  "resnet": Case(
    module="exporters.resnet",
    **_images(
      "configs/resnet/resnet_rs_50.gin",
      *small_images.RESNET,
      "backbones.ResNet.stochastic_depth_drop_rate = 0.2",
      "resnet.ResNetExporter.artifacts = ['classification']",
    ),
    trainable=(4 + 3 * 4) * 3 + 4 * 4 + 2,
    not_applicable=(
      "dropout",
      "Dataset.map",
      *_NO_TEXT_ENCODER,
      *_NO_TEXT_PREPROCESSOR,
    ),
  ),
  "keras_model": Case(
    module="exporters.keras_model",
    gin_file="configs/keras_model/keras_model.gin",
    write_inputs=_keras_model,
    trainable=4,
    not_applicable=(
      "dropout",
      "Dataset.map",
      *_NO_IMAGES,
      *_NO_TEXT_ENCODER,
      *_NO_TEXT_PREPROCESSOR,
    ),
  ),
}
