"""Prints how many seconds `hub.load` takes where nothing else is loaded."""

import sys
import time

import tensorflow as tf  # noqa: F401 - it is not to be timed.
import tensorflow_hub as hub

started = time.monotonic()
hub.load(sys.argv[1])
print(time.monotonic() - started)
