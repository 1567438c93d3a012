"""Modules that come before Model Garden's of the same package."""

import pkgutil

__path__ = pkgutil.extend_path(__path__, __name__)

# As the package of the wheel has it.
from official.vision.serving import (
  export_saved_model_lib as export_saved_model_lib,
)
