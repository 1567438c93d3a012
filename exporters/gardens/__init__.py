"""Gardens: families of models that one command releases.

  Garden -> a leaf for each gin file -> survey -> schedule -> outcome

`processes` makes one release, in a fork of a process that has imported what
exports need. `schedule` has many of them made on this machine, `cluster` on
several. The process that runs the command imports no TensorFlow.
"""

from exporters.gardens.settings import Garden as Garden
