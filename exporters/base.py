"""What every exporter is: two views of the same variables.

One is what a checkpoint is restored into, the other is what is published, under
one name or several. `Exporter.build` returns both; everything else is written
once, in `exporters.life_cycle`:

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
from exporters.saved_model.published import Hyperparameter as Hyperparameter
from exporters.saved_model.published import Published as Published


@dataclasses.dataclass(frozen=True, kw_only=True)
class Build:
  """Two views of the same variables.

  Attributes:
    published: What is published, by the name of its folder below the export
      path; the name "" for the export path itself.
    restores: What the checkpoint is restored into, in this order. Each maps
      names in an object-based checkpoint to layers or models. More than one
      where a later one overwrites what an earlier one restored.
  """

  published: Mapping[str, Published]
  restores: Sequence[Mapping[str, Any]] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exporter(abc.ABC):
  """An architecture's way to a SavedModel; gin binds the fields by name.

  Attributes:
    trainable: A regular expression that finds, in their names, the variables
      that consumers may train. None: all that were trained.
    hyperparameter_defaults: Values for the tensor-valued arguments of a call
      where another than the trained one suits more tasks, by name.
    warmup_requests: Whether to write requests for TF Serving; see
      `exporters.saved_model.warmup`.
    keras_saved_model: Whether to write what `tf_keras.models.load_model` reads,
      in place of a Reusable SavedModel; see
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

  @abc.abstractmethod
  def build(self) -> Build:
    """Returns the model, not restored yet."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointExporter(Exporter):
  """An exporter whose weights come from a checkpoint.

  Attributes:
    checkpoint: Its path; see `checkpoints.open_checkpoint`.
    average_weights: Whether to take the averages that an optimizer kept of the
      weights. None: where the checkpoint has them; see
      `checkpoints.object_based`.
  """

  checkpoint: CheckpointPath
  average_weights: bool | None = None

  @functools.cached_property
  def opened(self) -> checkpoints.Checkpoint:
    """The opened checkpoint, for what it says of itself."""
    return checkpoints.open_checkpoint(
      self.checkpoint, averages=self.average_weights
    )
