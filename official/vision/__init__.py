"""Modules that take precedence over those of the wheel's package."""

import pkgutil

__path__ = pkgutil.extend_path(__path__, __name__)

# The wheel's package imports them too.
from official.vision import configs as configs
from official.vision import tasks as tasks
