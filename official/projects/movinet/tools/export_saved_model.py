r"""Exports a MoViNet, with Model Garden's flags.

  python -m official.projects.movinet.tools.export_saved_model \
    --model_id=a0 --causal=True --conv_type=2plus1d --se_type=2plus3d \
    --activation=hard_swish --gating_activation=hard_sigmoid \
    --checkpoint_path=/path/to/movinet_a0_stream --export_path=/tmp/movinet

A SavedModel by `exporters.movinet`: a model of streams has `serving_default` in
place of Model Garden's `call`.
"""

from absl import flags

from exporters.command_line import program

_EXPORT_PATH = flags.DEFINE(
  program.PathParser(),
  "export_path",
  "/tmp/movinet/",
  "The directory to write.",
)
_MODEL_ID = flags.DEFINE_string("model_id", "a0", "Such as 'a0'.")
_CAUSAL = flags.DEFINE_bool(
  "causal", False, "Export a model of streams, with states."
)
_CONV_TYPE = flags.DEFINE_string(
  "conv_type",
  "3d",
  "'3d'; '2plus1d', kernels of two dimensions, then of one; or '3d_2plus1d', "
  "the same without reshaping.",
)
_SE_TYPE = flags.DEFINE_string(
  "se_type",
  "3d",
  "What squeeze-and-excite pools: '3d', space and time; '2d', each frame; or "
  "'2plus3d', both.",
)
_ACTIVATION = flags.DEFINE_string(
  "activation", "swish", "The activation of most layers."
)
_CLASSIFIER_ACTIVATION = flags.DEFINE_string(
  "classifier_activation", "swish", "The activation of the classifier."
)
_GATING_ACTIVATION = flags.DEFINE_string(
  "gating_activation", "sigmoid", "The activation that gates channels."
)
_USE_POSITIONAL_ENCODING = flags.DEFINE_bool(
  "use_positional_encoding",
  False,
  "Whether a model of streams knows the positions of frames.",
)
_NUM_CLASSES = flags.DEFINE_integer(
  "num_classes", 600, "The number of classes."
)
_BATCH_SIZE = flags.DEFINE_integer(
  "batch_size", None, "The size of a batch; any, if it is not set."
)
_NUM_FRAMES = flags.DEFINE_integer(
  "num_frames", None, "The number of frames; any, if it is not set."
)
_IMAGE_SIZE = flags.DEFINE_integer(
  "image_size", None, "Height and width; any, if it is not set."
)
_BUNDLE_INPUT_INIT_STATES_FN = flags.DEFINE_bool(
  "bundle_input_init_states_fn",
  True,
  "Add `init_states`, as a callable and as a signature.",
)
_CHECKPOINT_PATH = flags.DEFINE(
  program.PathParser(),
  "checkpoint_path",
  "",
  "A checkpoint of any kind. If it is not set, the weights are random.",
)
_ASSERT_CHECKPOINT_OBJECTS_MATCHED = flags.DEFINE_bool(
  "assert_checkpoint_objects_matched",
  True,
  "Has no effect: each variable has to come from the checkpoint.",
)
_CHECKS = program.define_checks()


def export_saved_model(
  model,
  input_shape: tuple[int | None, ...] | None,
  export_path: str = "/tmp/movinet/",
  causal: bool = False,
  bundle_input_init_states_fn: bool = True,
  checkpoint_path: str | None = None,
  assert_checkpoint_objects_matched: bool = True,
  level: str = "none",
) -> None:
  """Exports a MoViNet that is built.

  Args:
    model: A `MovinetClassifier`.
    input_shape: [batch, frames, height, width, 3], None where it is open.
    export_path: The directory to write.
    causal: Whether the model is one of streams, with states.
    bundle_input_init_states_fn: Whether to add `init_states`.
    checkpoint_path: A checkpoint of any kind. None or "": the model's weights.
    assert_checkpoint_objects_matched: Has no effect: each variable has to come
      from the checkpoint.
    level: Which checks a fresh process makes.
  """
  from exporters.overlay import arguments
  from exporters.overlay import garden_videos

  if not assert_checkpoint_objects_matched:
    arguments.note("each variable has to come from the checkpoint, as always.")
  garden_videos.export(
    model,
    input_shape=input_shape,
    causal=causal,
    init_states=bundle_input_init_states_fn,
    checkpoint_path=checkpoint_path,
    export_path=export_path,
    level=level,
  )


def build_and_export_saved_model(
  export_path: str = "/tmp/movinet/",
  model_id: str = "a0",
  causal: bool = False,
  conv_type: str = "3d",
  se_type: str = "3d",
  activation: str = "swish",
  classifier_activation: str = "swish",
  gating_activation: str = "sigmoid",
  use_positional_encoding: bool = False,
  num_classes: int = 600,
  input_shape: tuple[int | None, ...] | None = None,
  bundle_input_init_states_fn: bool = True,
  checkpoint_path: str | None = None,
  assert_checkpoint_objects_matched: bool = True,
  level: str = "none",
) -> None:
  """Builds a MoViNet and exports it.

  Args:
    export_path: The directory to write.
    model_id: Such as "a0".
    causal: Whether to export a model of streams, with states.
    conv_type: "3d", "2plus1d" or "3d_2plus1d".
    se_type: "3d", "2d" or "2plus3d".
    activation: The activation of most layers.
    classifier_activation: The activation of the classifier.
    gating_activation: The activation that gates channels.
    use_positional_encoding: Whether a model of streams knows the positions of
      frames.
    num_classes: The number of classes.
    input_shape: [batch, frames, height, width, 3], None where it is open.
    bundle_input_init_states_fn: Whether to add `init_states`.
    checkpoint_path: A checkpoint of any kind. None or "": random weights.
    assert_checkpoint_objects_matched: Has no effect, as in
      `export_saved_model`.
    level: Which checks a fresh process makes.
  """
  from official.projects.movinet.modeling import movinet as movinet_lib
  from official.projects.movinet.modeling import movinet_model
  import tf_keras

  from exporters.video import official_vision
  from exporters.video import videos

  input_shape = input_shape or videos.ANY_VIDEO
  specs = tf_keras.layers.InputSpec(shape=input_shape)
  backbone = movinet_lib.Movinet(
    model_id=model_id,
    causal=causal,
    use_positional_encoding=use_positional_encoding,
    conv_type=conv_type,
    se_type=se_type,
    input_specs=specs,
    activation=official_vision.without_custom_gradient(activation),
    gating_activation=gating_activation,
    use_sync_bn=False,
    use_external_states=causal,
  )
  model = movinet_model.MovinetClassifier(
    backbone,
    num_classes=num_classes,
    output_states=causal,
    input_specs={videos.INPUT: specs},
    activation=official_vision.without_custom_gradient(classifier_activation),
  )
  export_saved_model(
    model=model,
    input_shape=input_shape,
    export_path=export_path,
    causal=causal,
    bundle_input_init_states_fn=bundle_input_init_states_fn,
    checkpoint_path=checkpoint_path,
    assert_checkpoint_objects_matched=assert_checkpoint_objects_matched,
    level=level,
  )


def main(*unused_args) -> None:
  """Exports what the flags describe."""
  program.prepare_tensorflow()
  from exporters.overlay import arguments

  if _CAUSAL.value:
    arguments.note(
      "the signature is `serving_default`, as TensorFlow Serving expects, not "
      "`call`."
    )
  size = _IMAGE_SIZE.value
  build_and_export_saved_model(
    export_path=_EXPORT_PATH.value,
    model_id=_MODEL_ID.value,
    causal=_CAUSAL.value,
    conv_type=_CONV_TYPE.value,
    se_type=_SE_TYPE.value,
    activation=_ACTIVATION.value,
    classifier_activation=_CLASSIFIER_ACTIVATION.value,
    gating_activation=_GATING_ACTIVATION.value,
    use_positional_encoding=_USE_POSITIONAL_ENCODING.value,
    num_classes=_NUM_CLASSES.value,
    input_shape=(_BATCH_SIZE.value, _NUM_FRAMES.value, size, size, 3),
    bundle_input_init_states_fn=_BUNDLE_INPUT_INIT_STATES_FN.value,
    checkpoint_path=_CHECKPOINT_PATH.value,
    assert_checkpoint_objects_matched=_ASSERT_CHECKPOINT_OBJECTS_MATCHED.value,
    level=_CHECKS.value,
  )


if __name__ == "__main__":
  program.run(main, modules=[__name__])
