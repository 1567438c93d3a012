r"""Makes releases on this machine for gardens of another.

  python -m scripts.garden_worker tcp://10.0.0.1:8786

It connects to a scheduler of Dask distributed, which `dask scheduler` starts,
and takes as many releases at the same time as cores and memory allow, until the
scheduler ends. Start one on each machine, from the same checkout, where the
release directory and the checkpoints have the same paths. Whoever can reach the
scheduler can run any code here: keep it on a network of your own, or use TLS,
https://distributed.dask.org/en/stable/tls.html.
"""

import asyncio

from exporters.command_line import program
from exporters.errors import ExportError
from scripts import garden_flags


def main(scheduler: str) -> None:
  """Works for a scheduler."""
  try:
    from exporters.gardens import cluster
  except ModuleNotFoundError as e:
    raise ExportError(garden_flags.ABSENT) from e
  try:
    asyncio.run(cluster.serve(scheduler, garden_flags.limits()))
  except (OSError, RuntimeError, TimeoutError, ValueError) as e:
    raise ExportError(f"No scheduler at '{scheduler}' answers: {e}") from e


if __name__ == "__main__":
  program.run(main, modules=[garden_flags.__name__], arguments=["SCHEDULER"])
