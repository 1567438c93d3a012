"""The smallest exporter: the numbers of TF Hub's guide."""

import numpy as np
import pytest
import tensorflow_hub as hub

from tests import command


@pytest.fixture(scope="module")
def multiply(tmp_path_factory):
  path = tmp_path_factory.mktemp("low_level") / "multiply"
  command.export("low_level", "configs/low_level/multiply.gin", path)
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
