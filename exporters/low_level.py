r"""Exports a model of plain TensorFlow, without Keras: a template to copy.

The model multiplies its input by one variable and regularizes that variable: it
is the smallest one that a consumer can fine-tune. It follows "Saving from
low-level TensorFlow" in
https://www.tensorflow.org/hub/exporting_tf2_saved_model.

  python -m exporters.low_level --gin_file=configs/low_level/multiply.gin \
    --export_path=/tmp/multiply

  layer = hub.KerasLayer("/tmp/multiply", trainable=True)
  layer([10.0, 20.0])  # [20.0, 40.0]
  layer.losses  # [0.004]
"""

if __name__ == "__main__":
  # The command starts here; the gin file imports this module by its name.
  from exporters.command_line import export_command

  export_command.run()

import dataclasses

import numpy as np
import tensorflow as tf
from typing_extensions import override

from exporters import base


@dataclasses.dataclass(frozen=True, kw_only=True)
class LowLevelExporter(base.Exporter):
  """Publishes `inputs * factor`.

  Attributes:
    factor: The initial value of the one variable.
    l2: The weight of its regularization loss, `l2 * factor ** 2`.
  """

  factor: float
  l2: float

  @override
  def build(self) -> base.Build:
    factor = tf.Variable(self.factor, name="factor")
    published = base.Published(
      # float32 of any shape to float32 of the same shape.
      function=lambda inputs: inputs * factor,
      inputs=[tf.TensorSpec(None, tf.float32, name="inputs")],
      training=False,
      variables=[factor],
      trainable_variables=[factor],
      reference=lambda inputs: inputs * self.factor,
      regularization_losses=[lambda: self.l2 * factor**2],
      samples=[np.array([10.0, 20.0], np.float32), np.ones([3, 2], np.float32)],
    )
    return base.Build(published={"": published})
