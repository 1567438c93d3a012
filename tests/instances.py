"""The exporters of small instances, as tests want them."""

import gin

from exporters import base
from exporters import recipe
from scripts.small_instances import INSTANCES


def small_exporter(name: str, *bindings: str) -> base.Exporter:
  """Returns the exporter of an instance, with further bindings."""
  gin.clear_config()
  instance = INSTANCES[name]
  lines = [*instance.bindings, *bindings]
  exporter = recipe.load([instance.leaf], lines).exporter
  gin.clear_config()
  return exporter
