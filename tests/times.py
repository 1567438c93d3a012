"""Limits on the time that a test's own thread works."""

from collections.abc import Iterator
import contextlib
import gc
import time


@contextlib.contextmanager
def seconds_at_most(limit: float) -> Iterator[None]:
  """Fails if the body keeps this thread's core busy for longer.

  What earlier tests left costs the body nothing: TensorFlow's threads are
  not counted, and the garbage collector does not search their models.
  """
  gc.freeze()
  start = time.thread_time()
  try:
    yield
    assert time.thread_time() - start < limit
  finally:
    gc.unfreeze()
