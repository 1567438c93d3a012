r"""Exports MoViNet, base and stream: video classifiers.

  python -m exporters.movinet --gin_file=configs/movinet/movinet_a0_stream.gin \
    --gin_bindings="CHECKPOINT = '/path/to/movinet_a0_stream/ckpt-1'" \
    --export_path=/tmp/movinet_a0_stream

  model = hub.load("/tmp/movinet_a0_base")
  model(dict(image=videos))  # float32 [batch, frames, height, width, 3] in
                             # [0, 1] to logits, float32 [batch, classes]

  model = hub.load("/tmp/movinet_a0_stream")
  states = model.init_states(tf.shape(video))
  for clip in clips:  # Of any number of frames.
    logits, states = model({**states, "image": clip})

Videos may have any length, height and width. The paper:
https://arxiv.org/abs/2103.11511.
"""

if __name__ == "__main__":
  # The command starts here; the gin file imports this module by its name.
  from exporters.command_line import export_command

  export_command.run()

import dataclasses

from official.projects.movinet.configs import movinet as configs
from official.projects.movinet.modeling import movinet
from official.projects.movinet.modeling import movinet_model
import tensorflow as tf
from typing_extensions import override

from exporters.errors import ExportError
from exporters.errors import did_you_mean
from exporters.video import official_vision
from exporters.video import videos


@dataclasses.dataclass(frozen=True, kw_only=True)
class MoViNetExporter(official_vision.VideoClassificationExporter):
  """Publishes a MoViNet: a stream if its backbone is causal, or else a base.

  With the `model_type` "video_classification" it has the head of
  `official.vision` in place of its own, and takes whole videos.
  """

  model: configs.MovinetModel

  backbones = ("movinet",)
  free_fields = {
    # A converted checkpoint has another type.
    "conv_type",
    "average_pooling_type",
    "output_states",
    "use_external_states",
  }

  @override
  def classifier(self) -> videos.Classifier:
    classifier = super().classifier()
    if not self._streams:
      return classifier
    return dataclasses.replace(classifier, states=states(classifier.model))

  @override
  def config(self) -> configs.MovinetModel:
    config = super().config()
    backbone = config.backbone.movinet
    backbone.use_external_states = config.output_states = self._streams
    # Its own classifier asks for them, and leaves them out.
    backbone.output_states = self._has_own_head
    backbone.activation = official_vision.without_custom_gradient(
      backbone.activation
    )
    config.activation = official_vision.without_custom_gradient(
      config.activation
    )
    return config

  @property
  def _has_own_head(self) -> bool:
    return self.model.model_type == "movinet"

  @property
  def _streams(self) -> bool:
    return self._has_own_head and self.model.backbone.movinet.causal

  @override
  def refuse_other_models(self) -> None:
    super().refuse_other_models()
    size = self.model.backbone.movinet.model_id
    known = movinet.BLOCK_SPECS
    if size not in known:
      raise ExportError(
        f"There is no MoViNet '{size}'.{did_you_mean(size, known)} Model "
        f"Garden has {', '.join(known)}."
      )


def states(
  model: movinet_model.MovinetClassifier,
  input_shape: videos.Shape = videos.ANY_VIDEO,
) -> videos.States:
  """Returns the states of a model of streams, for videos of a shape."""
  of_any = model.initial_state_specs(videos.ANY_VIDEO)
  return videos.States(
    specs={
      name: tf.TensorSpec(spec.shape, spec.dtype, name)
      for name, spec in model.initial_state_specs(input_shape).items()
    },
    # Counters, which are the same for all videos of a batch.
    unbatched=[n for n, spec in of_any.items() if spec.shape[0] is not None],
    initial=model.backbone.init_states,
    reference=model.init_states,
  )
