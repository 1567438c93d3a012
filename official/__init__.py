"""An overlay on Model Garden's package `official`.

A module that is here wins; every other name resolves to the installed wheel
(tf-models-official). Each sub-package here that the wheel has too extends its
`__path__` in the same way.
"""

import pkgutil

__path__ = pkgutil.extend_path(__path__, __name__)
