"""What two programs of the same arithmetic may differ by."""

from collections.abc import Mapping

import numpy as np

from exporters import checks

# Kernels round differently on different processors, and so do two orders of
# the same additions.
BOUND = 1e-5


def assert_close(got, want, bound: float = BOUND, of: str = "") -> None:
  """Fails where the distance is over `bound` times the largest value of `want`.

  Structures are compared leaf by leaf, each by a scale of its own.

  Args:
    got: An array, or a structure of them.
    want: The same structure, of what is known to be right.
    bound: A share of scale.
    of: The name that a failure tells.
  """
  if isinstance(want, Mapping):
    got, want = checks.flatten(got), checks.flatten(want)
    assert sorted(got) == sorted(want), of
    for name, value in want.items():
      assert_close(got[name], value, bound, f"{of} {name}")
    return
  got, want = np.asarray(got), np.asarray(want)
  assert got.shape == want.shape, of
  distance = np.abs(got - want).max(initial=0)
  scale = np.abs(want).max(initial=0)
  assert distance <= bound * scale, f"{of}: {distance / scale:.1e} of scale"
