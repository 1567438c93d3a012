"""The contract of every exporter: two views of the same variables.

A checkpoint is restored into one of them; the other is published, under one
name or several. `Exporter.build` returns both. Everything else is written once,
in `exporters.life_cycle`:

    build -> restore -> save beside the target -> check in a fresh process
    -> rename
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
import dataclasses
import functools
from typing import Any

from exporters import checkpoints
from exporters.fields import types
from exporters.fields.paths import CheckpointPath as CheckpointPath
from exporters.fields.paths import FilePath as FilePath
from exporters.saved_model import overrides
from exporters.saved_model.published import Hyperparameter as Hyperparameter
from exporters.saved_model.published import Published as Published


@dataclasses.dataclass(frozen=True, kw_only=True)
class Build:
  """Two views of the same variables.

  Attributes:
    published: What is published, by the name of its folder below the export
      path; "" stands for the export path itself.
    restores: What the checkpoint is restored into, in this order. Each entry
      maps names in an object-based checkpoint to layers or models. Several are
      needed if a later one overwrites part of what an earlier one restored.
  """

  published: Mapping[str, Published]
  restores: Sequence[Mapping[str, Any]] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exporter(abc.ABC):
  """Turns one architecture into SavedModels; gin binds the fields by name.

  Attributes:
    trainable: A regular expression. Consumers may train the variables whose
      names contain a match. None: all variables that the training trained.
    hyperparameter_defaults: New defaults for tensor-valued arguments of a call,
      by name, where a value other than the trained one suits more tasks.
    warmup_requests: Whether to add the requests with which TF Serving warms the
      model up; see `exporters.saved_model.warmup`.
    keras_saved_model: Whether to write a SavedModel for
      `tf_keras.models.load_model` instead of a Reusable SavedModel; see
      `exporters.saved_model.keras_format`.
  """

  trainable: str | None = None
  warmup_requests: bool = False
  keras_saved_model: bool = False
  hyperparameter_defaults: Mapping[str, float] = dataclasses.field(
    default_factory=dict
  )

  def __post_init__(self):
    types.refuse_other_types(self)
    overrides.compiled_pattern(self.trainable or "")

  def refuse_mistakes(self) -> None:  # noqa: B027 - most have nothing to add.
    """Refuses what can't be exported, before anything is built.

    Raises:
      ExportError: The fields contradict each other, or what they lead to.
    """

  @abc.abstractmethod
  def build(self) -> Build:
    """Builds the model; nothing is restored yet."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointExporter(Exporter):
  """An exporter whose weights come from a checkpoint.

  Attributes:
    checkpoint: The checkpoint's path; see `checkpoints.open_checkpoint`.
    average_weights: Whether to restore the averages of the weights that an
      optimizer kept. None: if the checkpoint has them; see
      `checkpoints.averages`.
  """

  checkpoint: CheckpointPath
  average_weights: bool | None = None

  @functools.cached_property
  def opened(self) -> checkpoints.Checkpoint:
    """The checkpoint, which also describes itself, opened once."""
    return checkpoints.open_checkpoint(
      self.checkpoint, averages=self.average_weights
    )
