"""What a consumer would try on a SavedModel, tried before it is published.

A check is a small named function of a `Subject` that returns a `Finding`: a
figure beside the bound that it must not exceed. One that has nothing to look at
raises `NotApplicable` with the reason. `__main__.py` is the process that makes
them; `exporters/checker.py` is the export's end of it.
"""

from .harness import ALL as ALL
from .harness import BASIC as BASIC
from .harness import BLOCKED as BLOCKED
from .harness import CHECKS as CHECKS
from .harness import FAILED as FAILED
from .harness import FILES as FILES
from .harness import LEVELS as LEVELS
from .harness import NONE as NONE
from .harness import NOT_APPLICABLE as NOT_APPLICABLE
from .harness import OPERATIONS as OPERATIONS
from .harness import PASSED as PASSED
from .harness import SAME_NUMBERS as SAME_NUMBERS
from .harness import Result as Result
from .harness import complete as complete
from .harness import run as run
from .harness import units as units
from .subject import Subject as Subject
from .subject import encode as encode

# In the order in which they are made and shown.
from . import files as files  # isort: skip
from . import loaded as loaded  # isort: skip
from . import gradients as gradients  # isort: skip
from . import specification as specification  # isort: skip
from . import images as images  # isort: skip
from . import alone as alone  # isort: skip
