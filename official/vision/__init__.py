"""Modules that take precedence over those of the wheel's package."""

import pkgutil
import sys

__path__ = pkgutil.extend_path(__path__, __name__)

# The wheel's package imports them too. While Python is still looking for the
# command that `-m` names, nothing may: its help does not need TensorFlow.
if sys.argv[:1] != ["-m"]:
  from official.vision import configs as configs
  from official.vision import tasks as tasks
