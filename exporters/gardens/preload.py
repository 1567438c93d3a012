"""What the process that is forked for each model imports beforehand.

Nothing here, and nothing of what the leaves of a garden name in this repository
or in Model Garden, starts TensorFlow's threads, which no fork would have.
"""

import gc

from exporters.command_line import program

program.prepare_tensorflow()

from exporters.gardens import work  # noqa: F401
from exporters.life_cycle import exporting  # noqa: F401
from exporters.release import complete  # noqa: F401

# What is there by now stays, shared by all forks.
gc.freeze()
