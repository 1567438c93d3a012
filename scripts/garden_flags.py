"""The flags that say what a garden may take of a machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from absl import flags

if TYPE_CHECKING:
  from exporters.gardens import schedule

AT_ONCE = flags.DEFINE_integer(
  "at_once",
  None,
  "How many models to make at the same time. By default, one for each core.",
  lower_bound=1,
)
MEMORY_LIMIT = flags.DEFINE_float(
  "memory_limit",
  None,
  "How many gigabytes all processes may hold together, by estimate. By "
  "default, nine tenths of what is free. A model that needs more is made "
  "alone.",
  lower_bound=0.0,
)
ABSENT = (
  "Gardens on several machines need Dask distributed: bash "
  "scripts/install_extra.sh dask."
)


def limits() -> schedule.Limits:
  """Returns what a garden may take of this machine."""
  from exporters.bounds import free_memory
  from exporters.gardens import schedule

  available = free_memory.available()
  memory = 2**62 if available is None else int(0.9 * available)
  if MEMORY_LIMIT.value:
    memory = int(MEMORY_LIMIT.value * 1e9)
  at_once = AT_ONCE.value or len(os.sched_getaffinity(0))
  return schedule.Limits(releases=at_once, memory=memory)
