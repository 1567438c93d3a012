"""An exporter's command line that at its end loads what it wrote, remotely."""

import atexit
import os
import sys

from exporters.command_line import export_command


def _load() -> None:
  import tensorflow as tf

  path = sys.argv[2].partition("=")[2]
  files = sorted(
    os.path.relpath(os.path.join(folder, name), path)
    for folder, _, names in tf.io.gfile.walk(path)
    for name in names
  )
  model = tf.saved_model.load(path)
  print(
    " ".join(files), model(tf.constant([10.0, 20.0])).numpy().tolist(), sep=": "
  )


atexit.register(_load)
export_command.run()
