"""An overlay on Model Garden's package `official`.

A module that is here takes precedence; every other name resolves to the
installed wheel (tf-models-official). Each sub-package here that the wheel also
has extends its `__path__` in the same way.

What lies here are Model Garden's commands at their own paths, with their own
flags and functions, and a converter of checkpoints that it lacks. They import
`exporters`, most of it through `exporters.overlay`; nothing of `exporters`
imports them.
"""

import pkgutil

__path__ = pkgutil.extend_path(__path__, __name__)
