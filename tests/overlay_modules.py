"""Imports modules of `official`; prints the file of each.

python -m tests.overlay_modules official.vision.serving.export_tfhub ...
"""

import importlib
import sys

from absl import flags

for name in sys.argv[1:]:
  before = set(flags.FLAGS)
  print(importlib.import_module(name).__file__)
  # Each is a command of its own, with flags of the same names.
  for flag in set(flags.FLAGS) - before:
    delattr(flags.FLAGS, flag)
