"""The exporters of small instances, as tests want them."""

import pathlib
from typing import Any

import gin
import tensorflow_hub as hub

from exporters import base
from exporters import checks
from exporters import recipe
from exporters.life_cycle import exporting
from scripts.small_instances import INSTANCES


def small_exporter(name: str, *bindings: str) -> base.Exporter:
  """Returns the exporter of an instance, with further bindings."""
  gin.clear_config()
  instance = INSTANCES[name]
  lines = [*instance.bindings, *bindings]
  exporter = recipe.load([instance.leaf], lines).exporter
  gin.clear_config()
  return exporter


def exported_model(exporter: base.Exporter, path: pathlib.Path) -> Any:
  """Exports without checks; returns what a consumer loads."""
  exporting.export(exporter, export_path=str(path), level=checks.NONE)
  return hub.load(str(path))
