"""Prints how many seconds `hub.load` takes in a fresh process."""

import sys
import time

import tensorflow as tf  # noqa: F401 - its import is not timed.
import tensorflow_hub as hub

started = time.monotonic()
hub.load(sys.argv[1])
print(time.monotonic() - started)
