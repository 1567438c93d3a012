"""What a consumer would try on a SavedModel, tried before it is published.

A check is a small named function of a `Candidate`. It returns a `Finding`, a
figure and the bound that it must not exceed, or raises `NotApplicableError`
with the reason. `__main__.py` is the process that runs the checks;
`exporters/life_cycle/checker.py` is the export's side of it, and `reference.py`
there says what the model is compared with.

Anything may import this package. Its modules import each other relatively and
nothing else of this repository, because the process, a consumer's, loads the
package under another name and cannot import `exporters`.
"""

from .candidate import Candidate as Candidate
from .candidate import snapshot as snapshot
from .harness import CHECKS as CHECKS
from .harness import FILES as FILES
from .harness import OPERATIONS as OPERATIONS
from .harness import complete as complete
from .harness import run as run
from .harness import units as units
from .nests import encode as encode
from .numbers import TOLERANCE as TOLERANCE
from .numbers import flatten as flatten
from .numbers import tolerance as tolerance
from .results import ALL as ALL
from .results import BASIC as BASIC
from .results import BLOCKED as BLOCKED
from .results import DEVIATES as DEVIATES
from .results import FAILED as FAILED
from .results import LEVELS as LEVELS
from .results import NONE as NONE
from .results import NOT_APPLICABLE as NOT_APPLICABLE
from .results import PASSED as PASSED
from .results import SAME_NUMBERS as SAME_NUMBERS
from .results import Result as Result

# In the order in which they are run and shown.
from . import files as files  # isort: skip
from . import loaded as loaded  # isort: skip
from . import gradients as gradients  # isort: skip
from . import specification as specification  # isort: skip
from . import images as images  # isort: skip
from . import videos as videos  # isort: skip
from . import detections as detections  # isort: skip
from . import masks as masks  # isort: skip
from . import reloads as reloads  # isort: skip
