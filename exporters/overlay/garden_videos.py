"""The exporters behind Model Garden's own command for MoViNet."""

import dataclasses
from typing import Any

import tf_keras
from typing_extensions import override

from exporters import base
from exporters import checks
from exporters import movinet
from exporters.overlay import garden_exporters
from exporters.video import videos


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuiltVideoExporter(base.Exporter):
  """Publishes a video classifier that is built, with the weights that it has.

  Attributes:
    built: The classifier.
    init_states: Whether one of streams has a callable and a signature for the
      first states.
  """

  built: videos.Classifier
  init_states: bool

  @override
  def build(self) -> base.Build:
    return base.Build(published={"": self._published()})

  def _published(self) -> base.Published:
    published = videos.published(self.built, {})
    if self.init_states:
      return published
    return dataclasses.replace(published, sub_objects={}, stream=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RestoredVideoExporter(BuiltVideoExporter, base.CheckpointExporter):
  """The same, with the weights of a checkpoint."""

  @override
  def build(self) -> base.Build:
    restores = [{"model": self.built.model, **self.built.restored}]
    return base.Build(restores=restores, published={"": self._published()})


def export(
  model: tf_keras.Model,
  *,
  input_shape: videos.Shape | None,
  causal: bool,
  init_states: bool,
  checkpoint_path: str | None,
  export_path: str,
  level: str = checks.NONE,
) -> None:
  """Exports a `MovinetClassifier`.

  Args:
    model: The classifier; one of streams takes and returns states.
    input_shape: The shape of its videos, None where it is open.
    causal: Whether it is one of streams.
    init_states: Whether that has a callable and a signature for its first
      states.
    checkpoint_path: A checkpoint of any kind. None: the weights it has.
    export_path: Where the SavedModel appears.
    level: Which checks a fresh process makes.
  """
  shape = tuple(input_shape or videos.ANY_VIDEO)
  _, _, height, width, _ = shape
  built = videos.Classifier(
    model=model,
    image_size=(height, width) if height and width else None,
    input_shape=shape,
    states=movinet.states(model, shape) if causal else None,
    restored=model.checkpoint_items,
  )
  fields: dict[str, Any] = {"built": built, "init_states": init_states}
  exporter: base.Exporter = BuiltVideoExporter(**fields)
  if checkpoint_path:
    exporter = RestoredVideoExporter(**fields, checkpoint=checkpoint_path)
  garden_exporters.export(exporter, export_path, level)
