"""Reads what a training of Model Garden says of itself beside its checkpoints.

`params.yaml` is the training's configuration. It tells what weights don't show,
such as strides and activations, so a gin file that says otherwise is mistaken.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
import os
import re
from typing import Annotated, Any

import tensorflow as tf

from exporters.checkpoints import yaml_file
from exporters.checkpoints.checkpoint import Checkpoint
from exporters.errors import ExportError
from exporters.fields import paths

NAME = "params.yaml"
_WHAT = "training's configuration"
# How many contradictions an error lists.
_SHOWN = 5
# Parts of the names of fields that only the steps of a training need: initial
# values, rates of dropout, how it samples and normalizes. And of what an export
# may choose anew: the size of images, and which of the boxes found are kept.
_FREE = re.compile(
  "(^|_)(drop|init|momentum|sync_bn|trainable|sampler|generator|input_size)"
)


def stated(
  config: Mapping[str, Any], free: Collection[str] = ()
) -> dict[str, Any]:
  """Returns what a configuration says of a trained model.

  Args:
    config: The configuration, such as that of a model, as nested dicts.
    free: Names of further fields that an export may set otherwise than the
      training.
  """
  return {
    name: stated(value, free) if isinstance(value, Mapping) else value
    for name, value in config.items()
    if not (name in free or _FREE.search(name))
  }


def refuse_contradictions(
  checkpoint: Checkpoint, stated: Mapping[str, Any]
) -> None:
  """Compares a gin file with the configuration beside a checkpoint, if any.

  Args:
    checkpoint: The checkpoint.
    stated: What the gin file says, nested as the configuration is.

  Raises:
    ExportError: They differ, or the file is damaged.
  """
  wrong = [
    f"  {name} = {ours!r}, but the training had {theirs!r}"
    for name, ours, theirs in _differences(stated, read(checkpoint))
  ]
  if wrong:
    (path,) = _paths_beside(checkpoint)
    raise ExportError(
      f"The gin file contradicts the training's configuration '{path}':\n"
      + "\n".join(wrong[:_SHOWN])
      + "\nBind what the training had. If the file belongs to another "
      "training, move it away."
    )


def read(checkpoint: Checkpoint) -> Any:
  """Returns the configuration beside a checkpoint; None without one.

  Raises:
    ExportError: The file is damaged.
  """
  for path in _paths_beside(checkpoint):
    return yaml_file.read(path, _WHAT)
  return None


def _paths_beside(checkpoint: Checkpoint) -> list[str]:
  path = checkpoint.path
  folder = path if tf.io.gfile.isdir(path) else os.path.dirname(path)
  found = os.path.join(folder, NAME)
  return [found] if tf.io.gfile.exists(found) else []


def _differences(
  stated: Mapping[str, Any], said: Any, prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
  """Yields the name and both values of what both have, and differently."""
  for key, ours in stated.items():
    if not isinstance(said, Mapping) or key not in said:
      continue
    if isinstance(ours, Mapping):
      yield from _differences(ours, said[key], f"{prefix}{key}.")
    elif _plain(ours) != _plain(said[key]):
      yield f"{prefix}{key}", ours, said[key]


def _plain(value: Any) -> Any:
  """Returns a value with lists in place of tuples, and None of empty ones."""
  if isinstance(value, Mapping):
    return {key: _plain(inner) for key, inner in value.items()}
  if isinstance(value, (list, tuple)):
    return [*map(_plain, value)] or None
  return value


# The path of a checkpoint, with what lies beside it.
CheckpointPath = Annotated[
  str,
  paths.Reads(
    lambda exporter, path: [
      *exporter.opened.files,
      *_paths_beside(exporter.opened),
    ],
    checked=False,
  ),
]
