"""Writes the weights of a MoViNet, as its training leaves them."""

import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"
# These read the environment as they are imported.
from official.projects.movinet.modeling import movinet_model
import tensorflow as tf
import tf_keras

from exporters import movinet
from exporters import recipe

work, size, kind = sys.argv[1:]
gin_file = f"configs/movinet/movinet_{size}_{kind}.gin"
exporter = recipe.load([gin_file], ["CHECKPOINT = ''"]).exporter
assert isinstance(exporter, movinet.MoViNetExporter)
model = movinet_model.build_movinet_model(
  tf_keras.layers.InputSpec(shape=[None, None, None, None, 3]),
  exporter.model,
  exporter.num_classes,
)
# The Garden's exporter needs the counter that `save` adds.
tf.train.Checkpoint(model=model).save(f"{work}/ckpt")
