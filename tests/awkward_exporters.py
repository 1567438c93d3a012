"""Exporters that fail in ways that no exporter should."""

import os
import signal
import threading

from exporters import low_level


class Hangs(low_level.LowLevelExporter):
  def build(self):
    threading.Event().wait()
    return super().build()


class IsKilled(low_level.LowLevelExporter):
  def build(self):
    os.kill(os.getpid(), signal.SIGKILL)
    return super().build()


class HasADefect(low_level.LowLevelExporter):
  def build(self):
    raise RuntimeError("nobody thought of this")
