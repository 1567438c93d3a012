"""The smallest exporter: the numbers of TF Hub's guide."""

import os
import shutil

import numpy as np
import pytest
import tensorflow_hub as hub

from tests import command

LEAF = "configs/low_level/multiply.gin"


@pytest.fixture(scope="module")
def multiply(tmp_path_factory):
  """Exported without checks: the contract makes them on this one too."""
  path = tmp_path_factory.mktemp("low_level") / "multiply"
  command.export("low_level", LEAF, path, "--checks=none")
  return str(path)


def test_multiplies_by_the_factor(multiply):
  layer = hub.KerasLayer(multiply)
  np.testing.assert_array_equal(layer([10.0, 20.0]), [20.0, 40.0])


def test_has_its_regularization_loss_while_trainable(multiply):
  layer = hub.KerasLayer(multiply, trainable=True)
  assert [float(loss) for loss in layer.losses] == [pytest.approx(0.004)]
  layer.trainable = False
  assert sum(float(loss) for loss in layer.losses) == 0.0


def test_has_one_trainable_weight(multiply):
  layer = hub.KerasLayer(multiply, trainable=True)
  assert [w.numpy() for w in layer.trainable_weights] == [2.0]


def test_refuses_to_replace_unless_told(multiply, tmp_path):
  shutil.copytree(multiply, tmp_path / "model")
  (tmp_path / "model/mark").touch()
  arguments = ("low_level", LEAF, tmp_path / "model", "--checks=none")
  done = command.export(*arguments, check=False)
  assert done.returncode == 1
  assert "exists already" in done.stderr
  assert "Traceback" not in done.stderr
  assert (tmp_path / "model/mark").exists()
  command.export(*arguments, "--overwrite")
  assert not (tmp_path / "model/mark").exists()
  assert os.listdir(tmp_path) == ["model"]
