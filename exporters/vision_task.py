"""What exporters of the tasks of Model Garden's `official.vision` share."""

from __future__ import annotations

import abc
from collections.abc import Mapping
import dataclasses
from typing import Any

import tf_keras
from typing_extensions import override

from exporters import base
from exporters.checkpoints import params_file


@dataclasses.dataclass(frozen=True, kw_only=True)
class VisionTaskExporter(base.CheckpointExporter):
  """Publishes a model as `official.vision` trains it.

  Attributes:
    l2_weight_decay: The weight of the regularization losses, as in the
      training's configuration: each is half of it times a sum of squares.
  """

  checkpoint: params_file.CheckpointPath
  l2_weight_decay: float

  @override
  def refuse_mistakes(self) -> None:
    super().refuse_mistakes()
    self.refuse_other_models()
    params_file.refuse_contradictions(self.opened, self.stated())

  @abc.abstractmethod
  def refuse_other_models(self) -> None:
    """Refuses a configuration that can't be exported."""

  @abc.abstractmethod
  def stated(self) -> Mapping[str, Any]:
    """Returns what weights don't show, as the training's file would say it."""

  @property
  def l2_regularizer(self) -> tf_keras.regularizers.Regularizer | None:
    """That of the training.

    As the tasks make it: TensorFlow's l2_loss has the factor 1/2, Keras's L2
    has not.
    """
    if not self.l2_weight_decay:
      return None
    return tf_keras.regularizers.L2(self.l2_weight_decay / 2)
