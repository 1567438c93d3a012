"""Exporters that fail in ways that no exporter should."""

import os
import signal
import threading
import time

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


class Waits(low_level.LowLevelExporter):
  """Waits until the file $GATE is there, and shows that it does."""

  def build(self):
    gate = os.environ["GATE"]
    with open(f"{gate}.waits", "a") as f:
      os.dup2(f.fileno(), 200)
    while not os.path.exists(gate):
      time.sleep(0.05)
    os.close(200)
    return super().build()
