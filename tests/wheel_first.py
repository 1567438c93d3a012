"""An exporter's command line in a process where the wheel comes first."""

import site
import sys

sys.path[:0] = site.getsitepackages()

from exporters.command_line import export_command

export_command.run()
