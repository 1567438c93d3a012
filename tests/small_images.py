"""Image classifiers of some thousand weights, as training leaves them.

Every variable is drawn at random, batch statistics too, so that one that is not
restored shows.
"""

import pathlib

import numpy as np
from official.vision.configs import backbones
from official.vision.configs import common
from official.vision.configs import image_classification
from official.vision.modeling import factory
import tensorflow as tf
import tf_keras

# Half of the training's weight decay, as official.vision builds it.
L2 = 0.5e-4
MODEL = "image_classification.ImageClassificationModel"
# These make `resnet()` of configs/resnet/resnet_50.gin.
RESNET = [
  f"{MODEL}.num_classes = 7",
  f"{MODEL}.input_size = [32, 32, 3]",
  "backbones.ResNet.model_id = 10",
  "backbones.ResNet.depth_multiplier = 0.125",
]

# Architectures besides ResNet, each small: a leaf, and what makes it so.
VARIANTS = {
  "efficientnet": (
    "configs/efficientnet/efficientnet_b0.gin",
    [
      f"{MODEL}.input_size = [32, 32, 3]",
      f"{MODEL}.num_classes = 7",
      "efficientnet.EfficientNetExporter.artifacts = ['classification']",
    ],
  ),
  "legacy_efficientnet": (
    "configs/efficientnet/legacy_efficientnet_b0.gin",
    [
      "efficientnet_model.ModelConfig.resolution = 32",
      "efficientnet_model.ModelConfig.width_coefficient = 0.25",
      "efficientnet_model.ModelConfig.depth_coefficient = 0.3",
      "efficientnet_model.ModelConfig.num_classes = 7",
      "efficientnet.LegacyEfficientNetExporter.artifacts = ['classification']",
    ],
  ),
  "mobilenet": (
    "configs/mobilenet/mobilenet_v3_large.gin",
    [
      f"{MODEL}.input_size = [32, 32, 3]",
      f"{MODEL}.num_classes = 7",
      "backbones.MobileNet.model_id = 'MobileNetV3Small'",
      "backbones.MobileNet.filter_size_scale = 0.25",
      "mobilenet.MobileNetExporter.artifacts = ['classification']",
    ],
  ),
  "vit": (
    "configs/vit/vit_b16.gin",
    [
      f"{MODEL}.input_size = [32, 32, 3]",
      f"{MODEL}.num_classes = 7",
      "backbones.VisionTransformer.model_name = 'vit-ti16'",
      "vit.ViTExporter.artifacts = ['classification']",
    ],
  ),
}


def resnet(depth: int = 10) -> tf_keras.Model:
  """Returns a classifier of official.vision, built by Model Garden alone."""
  model = factory.build_classification_model(
    tf_keras.layers.InputSpec(shape=[None, None, None, 3]),
    image_classification.ImageClassificationModel(
      num_classes=7,
      backbone=backbones.Backbone(
        type="resnet",
        resnet=backbones.ResNet(model_id=depth, depth_multiplier=0.125),
      ),
      norm_activation=common.NormActivation(
        norm_momentum=0.9, norm_epsilon=1e-5, use_sync_bn=False
      ),
    ),
    tf_keras.regularizers.L2(L2),
  )
  randomize(model)
  return model


def randomize(model: tf_keras.Model, seed: int = 0) -> None:
  """Moves every variable away from its initial value."""
  rng = np.random.default_rng(seed)
  for variable in model.variables:
    noise = rng.uniform(0.01, 0.1, variable.shape)
    if variable.shape.rank > 1:  # Kernels: around what they are.
      noise *= rng.choice([-0.2, 0.2], variable.shape)
    variable.assign_add(noise)


def write(
  model: tf_keras.Model, folder: pathlib.Path, *bindings: str
) -> list[str]:
  """Writes a checkpoint; returns the bindings that name it, and `bindings`."""
  prefix = tf.train.Checkpoint(model=model).write(str(folder / "ckpt"))
  return [f"CHECKPOINT = '{prefix}'", *bindings]


def written_by_leaf(gin_file: str, *bindings: str):
  """Returns a function that writes the checkpoint of a leaf's own model."""

  def write_inputs(folder: pathlib.Path) -> list[str]:
    import gin

    from exporters import recipe

    gin.clear_config()
    exporter = recipe.load([gin_file], ["CHECKPOINT = ''", *bindings]).exporter
    gin.clear_config()
    model = exporter.classifier().model
    randomize(model)
    return write(model, folder, *bindings)

  return write_inputs
