"""What all tests share: the environment of an export, and real weights."""

import gc
import os
import pathlib
import sys

# As `exporters.command_line.program` sets it, before TensorFlow is imported.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import psutil
import pytest

from tests import forked_consumers

_MUCH = 300 << 20


def pytest_configure() -> None:
  """Gives each of several workers a core: their threads would only compete.

  And has the garbage collector look seldom, as the commands do without it.
  """
  gc.set_threshold(100_000, 50, 100)
  worker = os.environ.get("PYTEST_XDIST_WORKER")
  if worker:
    cores = sorted(os.sched_getaffinity(0))
    core = cores[int(worker.removeprefix("gw")) % len(cores)]
    os.sched_setaffinity(0, {core})


@pytest.fixture(scope="session")
def _kept() -> list[int]:
  """The memory that this process took when it was last searched, in bytes."""
  return [0]


@pytest.fixture(scope="module", autouse=True)
def _without_garbage(_kept):
  """Frees what the modules before left, if it is much: graphs have cycles."""
  memory = psutil.Process().memory_info
  if memory().rss > _kept[0] + _MUCH:
    gc.collect()
    _kept[0] = memory().rss


@pytest.fixture(autouse=True)
def _without_a_recipe():
  """Forgets what gin was told, which later tests would otherwise find."""
  yield
  if "gin" in sys.modules:
    sys.modules["gin"].clear_config()


@pytest.fixture(scope="session", autouse=True)
def _forked_consumers():
  """Spares the checks of exports in this process an import each."""
  consumers = forked_consumers.ForkedConsumers()
  consumers.use()
  yield
  consumers.stop()


ROOT = pathlib.Path(__file__).parents[1]
MINILM = ROOT / ".cache/all-MiniLM-L6-v2"


@pytest.fixture(scope="session")
def minilm() -> pathlib.Path:
  """The Hugging Face folder of all-MiniLM-L6-v2, as published."""
  if not MINILM.exists():
    pytest.fail(f"{MINILM} is absent: run the tests by `bash scripts/test.sh`.")
  return MINILM
