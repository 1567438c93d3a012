"""Runs a test module of the installed Model Garden on this repository's code.

  python -m tests.garden_test official.nlp.tools.export_tfhub_lib_test

The module itself is unchanged. TensorFlow has no `estimator` any more, so its
import gets an empty module, and the cases that use it are left out. With
`--only`, so are those whose names have no match for a regular expression.
"""

import gc
import importlib
import re
import sys
import types
import unittest

from absl import flags
import tensorflow as tf

_ABSENT = "estimator"
_ONLY = flags.DEFINE_string("only", "", "Which cases to run.")


def _cases(suite):
  for test in suite:
    if isinstance(test, unittest.TestSuite):
      yield from _cases(test)
    elif _ABSENT not in test.id() and re.search(_ONLY.value, test.id()):
      yield test


def main() -> None:
  gc.disable()  # As in the commands.
  setattr(tf, _ABSENT, types.ModuleType(f"tensorflow.{_ABSENT}"))
  module = importlib.import_module(sys.argv[1])
  flags.FLAGS([sys.argv[0], *sys.argv[2:]])
  found = unittest.defaultTestLoader.loadTestsFromModule(module)
  result = unittest.TextTestRunner().run(unittest.TestSuite(_cases(found)))
  passed = result.testsRun - len(result.skipped)
  print(f"{module.__file__}: {passed} run, {len(result.skipped)} skipped")
  sys.exit(not result.wasSuccessful())


if __name__ == "__main__":
  main()
