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

from collections.abc import Sequence
import copy
import dataclasses

from official.projects.movinet.configs import movinet as configs
from official.projects.movinet.modeling import movinet
from official.projects.movinet.modeling import movinet_model
import tensorflow as tf
import tf_keras
from typing_extensions import override

from exporters.errors import ExportError
from exporters.errors import did_you_mean
from exporters.video import videos


@dataclasses.dataclass(frozen=True, kw_only=True)
class MoViNetExporter(videos.VideoExporter):
  """Publishes a MoViNet: a stream if its backbone is causal, or else a base.

  Attributes:
    model: The architecture, as in the training's configuration.
    num_classes: The number of logits.
    image_size: Height and width of the videos that it was trained on.
    l2_weight_decay: The weight of the regularization losses, as in the
      training's configuration: each is half of it times a sum of squares.
  """

  model: configs.MovinetModel
  num_classes: int
  image_size: Sequence[int]
  l2_weight_decay: float

  @override
  def classifier(self) -> videos.Classifier:
    self._refuse_other_models()
    config = _for_export(self.model)
    model = movinet_model.build_movinet_model(
      input_specs=tf_keras.layers.InputSpec(shape=videos.ANY_VIDEO),
      model_config=config,
      num_classes=self.num_classes,
      # As the task does: TensorFlow's l2_loss has the factor 1/2, Keras's L2
      # has not.
      l2_regularizer=tf_keras.regularizers.L2(self.l2_weight_decay / 2)
      if self.l2_weight_decay
      else None,
    )
    height, width = self.image_size
    return videos.Classifier(
      model=model,
      image_size=(height, width),
      states=states(model) if config.output_states else None,
      restored=model.checkpoint_items,
    )

  def _refuse_other_models(self) -> None:
    backbone = self.model.backbone
    if backbone.type != "movinet":
      raise ExportError(
        f"The gin file gives {type(self).__name__} a backbone of type "
        f"'{backbone.type}', but it exports only 'movinet'."
      )
    known = movinet.BLOCK_SPECS
    if backbone.movinet.model_id not in known:
      raise ExportError(
        f"There is no MoViNet '{backbone.movinet.model_id}'."
        f"{did_you_mean(backbone.movinet.model_id, known)} Model Garden has "
        f"{', '.join(known)}."
      )
    if len(self.image_size) != 2 or not all(self.image_size):
      raise ExportError(
        f"image_size = {list(self.image_size)} must be [height, width], the "
        "size of the videos that the model was trained on."
      )


def _for_export(model: configs.MovinetModel) -> configs.MovinetModel:
  """Returns the configuration of the same model, for a SavedModel."""
  config = copy.deepcopy(model)
  backbone = config.backbone.movinet
  backbone.use_external_states = config.output_states = backbone.causal
  # The classifier asks for them, and leaves them out.
  backbone.output_states = True
  backbone.activation = without_custom_gradient(backbone.activation)
  config.activation = without_custom_gradient(config.activation)
  # A consumer has one replica, or a strategy of his own.
  config.norm_activation.use_sync_bn = False
  return config


def without_custom_gradient(activation: str) -> str:
  """Returns the name of the same function, of plain operations."""
  return "simple_swish" if activation == "swish" else activation


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
