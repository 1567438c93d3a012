"""Writes the weights of the legacy ResNet-50."""

import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"
# This reads the environment as it is imported.
from official.legacy.image_classification.resnet import resnet_model

resnet_model.resnet50(1001).save_weights(f"{sys.argv[1]}/resnet_50.h5")
