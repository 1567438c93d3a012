"""The memory that checks take, and how much there is."""

from __future__ import annotations

import contextlib
import ctypes
import gc


def collect() -> None:
  """Frees what nobody refers to any more."""
  # TensorFlow's objects refer to each other in circles, and the processes that
  # check don't search for these on their own.
  gc.collect()
  trim()


def trim() -> None:
  """Gives memory that is free back to the system."""
  # Only glibc has it, and only glibc needs it.
  with contextlib.suppress(AttributeError, OSError):
    ctypes.CDLL(None).malloc_trim(0)
