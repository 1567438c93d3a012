r"""Makes releases on this machine for gardens of another.

  python -m scripts.garden_worker tcp://10.0.0.1:8786

It connects to a scheduler of Dask distributed, which `python -m
distributed.cli.dask_scheduler` starts, and takes as many releases at the same
time as cores and memory allow, until the scheduler ends. Start one on each
machine, from the same checkout, where the release directory and the checkpoints
have the same paths. Whoever can reach the scheduler can run any code here: keep
it on a network of your own, or use TLS,
https://distributed.dask.org/en/stable/tls.html.
"""

import asyncio
import os
import threading

from absl import flags

from exporters.command_line import program
from exporters.errors import ExportError
from scripts import garden_flags

_END_WITH_INPUT = flags.DEFINE_bool(
  "end_with_input",
  False,
  "Also end when standard input is closed, as it is when what has started this "
  "worker is killed.",
)
_WAIT = flags.DEFINE_float(
  "wait",
  60.0,
  "How many seconds to wait for a scheduler that does not answer yet.",
  lower_bound=0.0,
)


def main(scheduler: str) -> None:
  """Works for a scheduler."""
  if _END_WITH_INPUT.value:
    threading.Thread(target=_end_with_input, daemon=True).start()
  try:
    from exporters.gardens import cluster
  except ModuleNotFoundError as e:
    raise ExportError(garden_flags.ABSENT) from e
  try:
    limits = garden_flags.limits()
    asyncio.run(cluster.serve(scheduler, limits, wait=_WAIT.value))
  except (OSError, RuntimeError, TimeoutError, ValueError) as e:
    raise ExportError(f"No scheduler at '{scheduler}' answers: {e}") from e


def _end_with_input() -> None:
  """Ends this process, hence what it has started."""
  # Not by `sys.stdin`, whose lock the interpreter wants when it ends.
  while os.read(0, 1024):
    pass
  os._exit(1)


if __name__ == "__main__":
  program.run(
    main, modules=[garden_flags.__name__, __name__], arguments=["SCHEDULER"]
  )
