"""Modules that come before Model Garden's of the same package."""

import pkgutil

__path__ = pkgutil.extend_path(__path__, __name__)

# As the package of the wheel has them.
from official.vision import configs as configs
from official.vision import tasks as tasks
