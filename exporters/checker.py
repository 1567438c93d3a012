"""Has an artifact checked by a fresh process, against what its source says."""

from __future__ import annotations

from collections.abc import Sequence
import json
import os
import socket
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
import tensorflow as tf

from exporters import checks
from exporters.errors import ExportError
from exporters.published import Published


class Checker:
  """A process of `checks.py` that runs beside the export and awaits jobs.

  It is started early, so that it imports TensorFlow while this process builds
  and restores. With the level `checks.NONE` there is none.
  """

  def __init__(self, level: str):
    if level not in checks.LEVELS:
      raise ExportError(
        f"No checks are called '{level}'; choose from "
        f"{', '.join(checks.LEVELS)}."
      )
    self._level = level

  def __enter__(self) -> Checker:
    self._process = None
    if self._level != checks.NONE:
      self._stderr = tempfile.TemporaryFile()
      self._process = subprocess.Popen(
        [sys.executable, "-I", checks.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=self._stderr,
        env={k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"},
      )
    return self

  def __exit__(self, *unused_exception) -> None:
    if self._process:
      self._process.kill()
      self._process.communicate()
      self._stderr.close()

  def check(
    self,
    published: Published,
    path: str,
    *,
    scratch: str,
    private: Sequence[str],
  ) -> list[checks.Result]:
    """Returns the results for the SavedModel at `path`.

    Args:
      published: Its source.
      path: Its directory.
      scratch: A directory for files that nobody needs afterwards.
      private: What must not stand in it, beside this machine's own paths.

    Raises:
      ExportError: The process died.
    """
    if not self._process:
      return []
    arrays: list[np.ndarray] = []
    callables = {
      name: describe(callable_, arrays)
      for name, callable_ in published.callables().items()
    }
    job = {
      "path": path,
      "scratch": scratch,
      "arrays": os.path.join(scratch, "arrays.npz"),
      "results": os.path.join(scratch, "results.json"),
      "callables": callables,
      "private": [*private, *_private()],
      "level": self._level,
      "needs_text": "tensorflow_text" in sys.modules,
    }
    np.savez(job["arrays"], *arrays)
    try:
      self._process.stdin.write(json.dumps(job).encode() + b"\n")
      self._process.stdin.flush()
      answer = self._process.stdout.readline()
    except BrokenPipeError:
      answer = b""
    if not answer:
      self._stderr.seek(0)
      last = self._stderr.read().decode(errors="replace").strip()[-2000:]
      raise ExportError(f"The process that checks the model died:\n{last}")
    with open(job["results"]) as f:
      return [checks.Result(**result) for result in json.load(f)]


def describe(published: Published, arrays: list[np.ndarray]) -> dict[str, Any]:
  """Returns what the checks compare a loaded callable with, for JSON.

  Args:
    published: The source.
    arrays: Takes the samples and the outputs of `published.source` for them.
  """
  source = published.source or published.function
  # Traced, because a graph's numbers differ from eager ones in the last place.
  traced = tf.function(
    lambda *args: source(*args, **published.arguments(training=False)),
    autograph=False,
    reduce_retracing=True,
  )
  cases = []
  for sample in published.samples if published.inputs else [None]:
    arguments = [] if sample is None else [_tensors(sample)]
    cases.append(
      {
        "arguments": [checks.encode(a, arrays) for a in arguments],
        "outputs": checks.encode(traced(*arguments), arrays),
      }
    )
  return {
    "cases": cases,
    "takes_inputs": bool(published.inputs),
    "training": published.training,
    "outputs": list(published.outputs),
    "variables": [_name(v) for v in published.variables],
    "trainable": [_name(v) for v in published.trainable_variables],
    "regularization_losses": [
      float(loss()) for loss in published.regularization_losses
    ],
    "hyperparameters": {
      name: {"default": h.default, "attribute": h.attribute}
      for name, h in published.hyperparameters.items()
    },
  }


def _tensors(nest: Any) -> Any:
  return tf.nest.map_structure(
    tf.convert_to_tensor, nest, expand_composites=True
  )


def _name(variable: tf.Variable) -> str:
  return variable.name.removesuffix(":0")


def _private() -> list[str]:
  """Returns what tells of this machine: its paths, its name."""
  folders = {os.path.expanduser("~"), os.getcwd(), tempfile.gettempdir()}
  host = socket.gethostname()
  # Placements in graphs say /job:localhost.
  names = [] if host == "localhost" else [host]
  return [os.path.join(f, "") for f in sorted(folders - {os.sep})] + names
