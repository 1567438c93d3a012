"""Strikes commands at random moments, and looks at what is left."""

from __future__ import annotations

import pathlib
import signal
import tempfile

from absl import flags

from exporters.command_line import program
from exporters.errors import ExportError
from scripts.kills import commands
from scripts.kills import disks
from scripts.kills import gardens

_OF = flags.DEFINE_enum(
  "of",
  "commands",
  ["commands", "gardens"],
  "What to strike: single exports and releases, or gardens.",
)
_KILLS = flags.DEFINE_integer(
  "kills", 200, "How many times to strike.", lower_bound=1
)
_SEED = flags.DEFINE_integer(
  "seed", 0, "Chooses the moments, the faults and the processes."
)


def main() -> None:
  """Strikes, and prints tables of what came of it."""
  # In the background of a shell, it is ignored, and so it would be by all that
  # is started here.
  signal.signal(signal.SIGINT, signal.default_int_handler)
  if _OF.value == "commands":
    disks.enter_namespace()
  with tempfile.TemporaryDirectory(prefix="kills-") as folder:
    made = commands.Campaign if _OF.value == "commands" else gardens.Campaign
    campaign = made(pathlib.Path(folder), _SEED.value)
    try:
      campaign.run(_KILLS.value)
    finally:
      campaign.tally.print_tables(campaign.remark())
  if not campaign.tally.faultless:
    raise ExportError("See the lines above.")


if __name__ == "__main__":
  program.run(main, modules=[__name__, commands.__name__, gardens.__name__])
