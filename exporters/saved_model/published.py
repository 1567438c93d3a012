"""What one SavedModel offers to its consumers, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
import dataclasses
from typing import Any

import tensorflow as tf

from exporters.errors import ExportError
from exporters.saved_model.variables import each_once

SERVING_DEFAULT = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hyperparameter:
  """A number that a consumer may override in a call, such as a dropout rate.

  Attributes:
    default: The value that a call uses if it is not given another. An int makes
      the argument an int32 scalar, a float a float32 scalar.
    layers: The layers whose `attribute` is set to it while a call is traced.
      Without layers, it is a keyword argument of `Published.function`.
    attribute: The name of the layers' attribute, such as "rate".
  """

  default: float | int
  layers: Sequence[Any] = ()
  attribute: str = ""

  @property
  def spec(self) -> tf.TensorSpec:
    """The argument of a call: a scalar."""
    dtype = tf.int32 if isinstance(self.default, int) else tf.float32
    return tf.TensorSpec([], dtype)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stream:
  """How a model takes a stream, such as a video, piece by piece.

  A call takes a dict of a piece and of states, and returns `(result, states)`.
  The states go into the call with the next piece.

  Attributes:
    piece: The name of the input that is a piece; all others are states.
    axis: The axis along which pieces follow each other.
    initial: The sub-object that returns the states before the first piece. It
      takes the shape of a piece, int32 [rank], where 0 leaves a dimension open.
  """

  piece: str
  axis: int
  initial: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Published:
  """A callable of the Reusable SavedModel interface, with its attributes.

  https://www.tensorflow.org/hub/reusable_saved_models explains these parts.

  Attributes:
    function: What a call computes: `function(inputs, training=...)` returns a
      tensor or a nest of tensors. It takes no `training` if that is False here,
      and no `inputs` if there are none.
    inputs: The nests of `tf.TypeSpec` that a call accepts; each gets a trace.
      The first is the input of the signature and of `serve`, so its tensors are
      named. Empty for a callable without input.
    outputs: The signature's names for a result that is a tensor, which gets all
      of them, or for the elements of a list or tuple. The tensors of a dict
      have names of their own.
    training: Whether a call takes the Python bool `training`.
    hyperparameters: Tensor-valued keyword arguments, by name.
    variables: The variables that any call uses.
    trainable_variables: The variables that a consumer may train.
    regularization_losses: Functions without arguments that return a scalar.
    constants: Facts for the consumer (such as `do_lower_case`), by attribute.
    assets: Files that travel with the model, by attribute.
    trackables: Anything else that the function uses, such as lookup tables.
    sub_objects: Further callables, by attribute.
    signature: Whether a sub-object is also a signature, of the same name.
    parent: For a sub-object that builds on the model it belongs to: the keyword
      by which `function` takes a function that calls this model, so that the
      model is in the graph only once.
    built_on: For a model that builds on one of its sub-objects, or a sub-object
      that builds on one before it: that one's name, which is also the keyword
      by which `function` takes a function that calls it, for the same reason.
    serving: The name of the sub-object that `serving_default` calls. "": it
      calls the model itself.
    samples: Inputs to check the artifact with: nests of arrays with different
      batch sizes and, where `inputs` leave them open, lengths or image sizes.
    unbatched: The names of inputs that have no batch dimension, such as
      counters.
    stream: How it takes a stream piece by piece. None: it does not.
    reference: What the artifact is compared with, called like `function`: the
      model as its own loader gives it, called whole, however `function` is put
      together. A callable with inputs needs one.
    api: The common SavedModel API of TF Hub that it claims to follow: "image",
      "text encoder" or "text preprocessor"; "video" or "detector", which are
      those of the published video classifiers and detectors; or "image
      segmentation", which is that of `exporters.vision.masks`. A sub-object
      that detects, or gives masks of files, claims it for itself. None: none
      but the interface above.
    image_size: For "image", "video" and "detector", the height and width of the
      images that the model was trained on, which the first of the samples of
      images has too; for "image segmentation", those that files are brought to.
      None: not known.
    remarks: Sentences for those who publish or use the model, about what it
      leaves out or does otherwise than they may expect.
    save_options: The `tf.saved_model.SaveOptions` of the SavedModel. None: the
      defaults.
  """

  function: Callable[..., Any]
  inputs: Sequence[Any] = ()
  outputs: Sequence[str] = ("default",)
  training: bool = True
  hyperparameters: Mapping[str, Hyperparameter] = dataclasses.field(
    default_factory=dict
  )
  variables: Sequence[tf.Variable] = ()
  trainable_variables: Sequence[tf.Variable] = ()
  regularization_losses: Sequence[Callable[[], tf.Tensor]] = ()
  constants: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  assets: Mapping[str, str] = dataclasses.field(default_factory=dict)
  trackables: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  sub_objects: Mapping[str, Published] = dataclasses.field(default_factory=dict)
  signature: bool = False
  parent: str | None = None
  built_on: str | None = None
  serving: str = ""
  samples: Sequence[Any] = ()
  unbatched: Collection[str] = ()
  stream: Stream | None = None
  reference: Callable[..., Any] | None = None
  api: str | None = None
  image_size: tuple[int, int] | None = None
  remarks: Sequence[str] = ()
  save_options: Any = None

  def __post_init__(self):
    """Refuses what nothing could be compared with."""
    if self.inputs and self.reference is None:
      raise ExportError(
        "A Published with inputs has no reference to be compared with. Set "
        "reference to a function that calls the whole model as its own code "
        "does; if that is what function does, name it there too."
      )

  @property
  def served(self) -> Published:
    """What the signature `serving_default` calls: this, or a sub-object."""
    return self.sub_objects[self.serving] if self.serving else self

  def callables(self, name: str = "") -> dict[str, Published]:
    """Returns this callable and those below it, by dotted attribute path."""
    found = {name: self}
    for attribute, sub_object in self.sub_objects.items():
      found |= sub_object.callables(f"{name}.{attribute}".lstrip("."))
    return found

  def every(self, attribute: str) -> list[tf.Variable]:
    """Returns the variables in `attribute` of all callables, each once."""
    return each_once(
      variable
      for callable_ in self.callables().values()
      for variable in getattr(callable_, attribute)
    )

  def arguments(self, training: bool) -> dict[str, Any]:
    """Returns keyword arguments for `function`: hyperparameters as trained."""
    arguments: dict[str, Any] = {"training": training} if self.training else {}
    for name, hyperparameter in self.hyperparameters.items():
      if not hyperparameter.layers:
        arguments[name] = hyperparameter.default
    return arguments
