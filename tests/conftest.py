"""What all tests share: the environment of an export, and real weights."""

import os
import pathlib

# As `exporters.cli` sets it, before anything imports TensorFlow.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

ROOT = pathlib.Path(__file__).parents[1]
MINILM = ROOT / ".cache/all-MiniLM-L6-v2"


@pytest.fixture(scope="session")
def minilm() -> pathlib.Path:
  """The Hugging Face folder of all-MiniLM-L6-v2, as published."""
  if not MINILM.exists():
    pytest.fail(f"{MINILM} is absent: run the tests by `bash scripts/test.sh`.")
  return MINILM
