"""Modules that take precedence over those of the wheel's package."""

import pkgutil

__path__ = pkgutil.extend_path(__path__, __name__)

# The wheel's package imports it too.
from official.vision.serving import (
  export_saved_model_lib as export_saved_model_lib,
)
