"""Writes a RetinaNet with a ResNet-50, as its training leaves it.

All anchors score alike, above the threshold: the suppression of overlapping
boxes has as much to do as it ever has.
"""

import sys

import numpy as np
from official.core import exp_factory
from official.vision.tasks import retinanet
import tensorflow as tf
import yaml

work = sys.argv[1]
params = exp_factory.get_exp_config("retinanet_resnetfpn_coco")
model = retinanet.RetinaNetTask(params.task).build_model()
model(tf.zeros([1, *params.task.model.input_size]))
classifier = model.head._classifier
classifier.bias.assign(np.full(classifier.bias.shape, -2.0))
tf.train.Checkpoint(model=model).save(f"{work}/ckpt")
with open(f"{work}/params.yaml", "w") as file:
  yaml.safe_dump(params.as_dict(), file)
