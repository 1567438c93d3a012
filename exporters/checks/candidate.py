"""What is checked: a SavedModel, and what its reference says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import functools
import os
from typing import Any

import tensorflow as tf

from . import self_description
from .nests import decode
from .results import BASIC
from .results import NotApplicable


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
  """A SavedModel to check, with what is known of its reference.

  Attributes:
    path: The SavedModel's directory.
    scratch: A directory for what a check writes.
    private: Strings that must not stand in the model, such as local paths.
    level: The level of the checks that are made.
    keras: Whether it was written for `tf_keras.models.load_model`.
    ask: Returns `reference` and `arrays`, when the reference is done with them.
    memo: What a check leaves for a later one.
  """

  path: str
  scratch: str
  private: Sequence[str]
  level: str
  keras: bool
  ask: Callable[[], tuple[Mapping[str, Mapping[str, Any]] | None, list[Any]]]
  memo: dict[str, Any] = dataclasses.field(default_factory=dict)

  @functools.cached_property
  def _answer(self):
    return self.ask()

  @property
  def reference(self) -> Mapping[str, Mapping[str, Any]] | None:
    """What the reference says of each callable, by attribute path.

    The key "" is for the model itself; see `checker.stated`. None: there is
    no reference, and the model speaks for itself.
    """
    return self._answer[0]

  @property
  def arrays(self) -> list[Any]:
    """The arrays to which `callables` refers."""
    return self._answer[1]

  @functools.cached_property
  def callables(self) -> Mapping[str, Mapping[str, Any]]:
    """What is said of each callable."""
    # Loaded while the reference may still be computing.
    model = self.model
    if not self.speaks_for_itself:
      return self.reference
    return self_description.stated(model, self.arrays)

  @property
  def speaks_for_itself(self) -> bool:
    """Whether its interface is what it says itself: there is none to keep to.

    Keras's own form has Keras's interface, whatever the reference offers.
    """
    return self.reference is None or self.keras

  def require_reference(self) -> None:
    if self.reference is None:
      raise NotApplicable("there is no reference to compare with")
    if self.keras:
      raise NotApplicable("a Keras SavedModel has Keras's interface")

  def traces(self, name: str) -> list[tuple[dict[str, Any], Any]]:
    """Returns a callable's traces: Python keywords, and input specs."""
    return self_description.traces(self.find(name))

  @property
  def model(self) -> Any:
    """The loaded model."""
    return self._loaded[0]

  def reset(self) -> None:
    """Puts back the variables that a check moved, by training, if any did."""
    if "_loaded" in self.__dict__:
      for variable, value in self._loaded[1]:
        variable.assign(value)

  @functools.cached_property
  def _loaded(self) -> tuple[Any, list[tuple[Any, Any]]]:
    """The model, and the variables that a call in training mode may move."""
    import tensorflow_hub as hub

    model = hub.load(self.path)
    variables = getattr(model, "variables", [])
    return model, [(v, tf.identity(v)) for v in variables if not v.trainable]

  @functools.cached_property
  def proto(self):
    from tensorflow.core.protobuf import saved_model_pb2

    with open(os.path.join(self.path, "saved_model.pb"), "rb") as f:
      return saved_model_pb2.SavedModel.FromString(f.read())

  def find(self, name: str, model: Any = None) -> Any:
    """Returns the loaded callable at an attribute path."""
    found = self.model if model is None else model
    for attribute in filter(None, name.split(".")):
      found = getattr(found, attribute)
    return found

  def cases(self, name: str) -> list[tuple[list[Any], Any]]:
    """Returns a callable's sample arguments, with the reference's outputs."""
    return self.cases_of(self.callables[name])

  def cases_of(self, stated: Mapping[str, Any]) -> list[tuple[list[Any], Any]]:
    """Returns the same of what is said of a callable."""
    return [
      (
        [decode(argument, self.arrays) for argument in case["arguments"]],
        decode(case["outputs"], self.arrays),
      )
      for case in stated["cases"]
    ]

  def calls(self) -> list[tuple[list[Any], Any]]:
    """Returns the cases of the model itself that have an input."""
    return [case for case in self.cases("") if case[0]]

  def cases_of_signature(self) -> list[tuple[list[Any], Any]]:
    """Returns the cases whose shapes the model's signature accepts."""
    specs = self._signature_specs

    def accepted(inputs):
      named = self.named(inputs)
      return all(
        spec.shape.is_compatible_with(named[name].shape)
        for name, spec in specs.items()
      )

    return [case for case in self.calls() if accepted(*case[0])]

  @property
  def _signature_specs(self) -> Mapping[str, tf.TensorSpec]:
    signature = self.model.signatures["serving_default"]
    return signature.structured_input_signature[1]

  @contextlib.contextmanager
  def without_graph_optimization(self) -> Iterator[None]:
    """Leaves graphs as they are, where optimizing them never pays.

    For calls whose numbers are not compared with others. Where more checks
    follow, these call the same graphs again, and start anew after this.
    """
    if self.level != BASIC:
      yield
      return
    key = "disable_meta_optimizer"
    before = tf.config.optimizer.get_experimental_options().get(key, False)
    tf.config.optimizer.set_experimental_options({key: True})
    try:
      yield
    finally:
      tf.config.optimizer.set_experimental_options({key: before})

  def named(self, inputs: Any) -> Mapping[str, tf.Tensor]:
    """Returns a call's inputs by the names that the signature has for them."""
    if isinstance(inputs, Mapping):
      return inputs
    if isinstance(inputs, (list, tuple)):
      _, specs = self.traces("")[0]
      return {s.name: x for s, x in zip(specs, inputs, strict=True)}
    return dict.fromkeys(self._signature_specs, inputs)

  def hyperparameters(self, name: str, attribute: str) -> dict[str, float]:
    """Returns those that set a layer's `attribute`, with their defaults."""
    return {
      key: value["default"]
      for key, value in self.callables[name]["hyperparameters"].items()
      if value["attribute"] == attribute
    }

  def training(self, name: str) -> dict[str, bool]:
    """Returns the keyword that a call in training mode takes, if any."""
    return {"training": True} if self.callables[name]["training"] else {}

  def trainable_callables(self) -> list[str]:
    """Returns the callables that have variables to train."""
    names = [
      name
      for name, callable_ in self.callables.items()
      if callable_["trainable"] and callable_["cases"]
    ]
    if not names:
      raise NotApplicable("no callable has variables to train")
    return names
