"""Modules that take precedence over those of the wheel's package."""

import pkgutil
import sys

__path__ = pkgutil.extend_path(__path__, __name__)

# The wheel's package imports it too; see `official.vision`.
if sys.argv[:1] != ["-m"]:
  from official.vision.serving import (
    export_saved_model_lib as export_saved_model_lib,
  )
