"""What is checked: a SavedModel, with its reference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import functools
import os
import shutil
import tempfile
from typing import Any

import tensorflow as tf

from . import memory
from . import self_description
from .nests import decode
from .numbers import TOLERANCE
from .numbers import worst
from .results import Finding
from .results import NotApplicableError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
  """A SavedModel to check, with what is known of its reference.

  Attributes:
    path: The SavedModel's directory.
    scratch: A directory for what a check writes.
    private: Strings that must not be in the model, such as local paths.
    level: The level of checks.
    keras: Whether it was written for `tf_keras.models.load_model`.
    stranger: Whether nothing is known of it but its files: no reference.
    tolerance: How far two computations of an output may be apart, as a share of
      its scale.
    ask: Waits for the reference; returns `reference` and `arrays`.
    memo: What a check leaves for later ones.
  """

  path: str
  scratch: str
  private: Sequence[str]
  level: str
  keras: bool
  stranger: bool
  tolerance: float = TOLERANCE
  ask: Callable[[], tuple[Mapping[str, Mapping[str, Any]] | None, list[Any]]]
  memo: dict[str, Any] = dataclasses.field(default_factory=dict)

  @functools.cached_property
  def _answer(self):
    return self.ask()

  @property
  def reference(self) -> Mapping[str, Mapping[str, Any]] | None:
    """What each callable should be and return, by attribute path.

    The key "" is for the model itself; see `reference.stated`. None: there is
    no reference, so the model is described by itself.
    """
    return self._answer[0]

  @property
  def arrays(self) -> list[Any]:
    """The arrays that `callables` refers to."""
    return self._answer[1]

  @functools.cached_property
  def callables(self) -> Mapping[str, Mapping[str, Any]]:
    """What each callable should be and return: by reference, or by itself."""
    # Loaded first: the reference may still be computing.
    model = self.model
    reference = self.reference
    if reference is None or self.keras:
      return self_description.stated(model, self.arrays)
    return reference

  def without(self, what: str) -> NotApplicableError:
    """Returns an error for a model without something that a check looks at."""
    if self.stranger:
      return NotApplicableError("unknown without the reference")
    return NotApplicableError(f"the model is without {what}")

  def require_api(self, api: str) -> None:
    """Raises `NotApplicableError` if the publisher claims another API, or none.

    Of a stranger's model nobody knows what it claims.
    """
    reference = self.reference
    if reference is not None and reference[""]["api"] != api:
      raise NotApplicableError(f"nobody claims that it follows the {api} API")

  def follows(self, name: str, api: str) -> bool:
    """Whether the publisher claims that one of `callables` follows an API."""
    stated = (self.reference or {}).get(name)
    return stated is not None and stated["api"] == api

  @property
  def speaks_for_itself(self) -> bool:
    """Whether `callables` is only the model's description of itself.

    Keras's form has Keras's interface, whatever the reference's is.
    """
    return self.reference is None or self.keras

  def require_reference(self) -> None:
    """Raises `NotApplicableError` unless there is an interface to compare."""
    if self.reference is None:
      raise self.without("a reference to compare with")
    if self.keras:
      raise NotApplicableError("a Keras SavedModel has Keras's interface")

  def traces(self, name: str) -> list[tuple[dict[str, Any], Any]]:
    """Returns a callable's traces: Python keyword arguments, input specs."""
    return self_description.traces(self.find(name))

  @property
  def model(self) -> Any:
    """The loaded model."""
    return self._loaded[0]

  def reset(self) -> None:
    """Undoes what training calls of a check did to variables."""
    if "_loaded" in self.__dict__:
      for variable, value in self._loaded[1]:
        variable.assign(value)

  def drop(self) -> None:
    """Frees the model. A later check that needs it loads it anew."""
    if self.__dict__.pop("_loaded", None):
      memory.collect()

  def delete_copy(self) -> None:
    """Frees the model, and deletes the files that it was loaded from."""
    self.drop()
    shutil.rmtree(self._copy)
    del self.__dict__["_copy"]

  @functools.cached_property
  def _copy(self) -> str:
    """The directory to load from: a copy of links, which may be deleted."""
    folder = tempfile.mkdtemp(prefix="copy_", dir=self.scratch)
    return shutil.copytree(
      self.path, folder, copy_function=link, dirs_exist_ok=True
    )

  @functools.cached_property
  def _loaded(self) -> tuple[Any, list[tuple[Any, Any]]]:
    """The model, and the values of variables that a training call may move."""
    import tensorflow_hub as hub

    model = hub.load(self._copy)
    variables = getattr(model, "variables", [])
    return model, [(v, tf.identity(v)) for v in variables if not v.trainable]

  @functools.cached_property
  def proto(self):
    """The parsed saved_model.pb."""
    from tensorflow.core.protobuf import saved_model_pb2

    with open(os.path.join(self.path, "saved_model.pb"), "rb") as f:
      return saved_model_pb2.SavedModel.FromString(f.read())

  def worst(
    self, differences: Iterable[tuple[str, tuple[float, str]]]
  ) -> Finding:
    """Returns the largest difference of two computations, with its place."""
    return worst(differences, self.tolerance)

  def find(self, name: str, model: Any = None) -> Any:
    """Returns the loaded callable at an attribute path."""
    found = self.model if model is None else model
    for attribute in filter(None, name.split(".")):
      found = getattr(found, attribute)
    return found

  def cases(self, name: str) -> list[tuple[list[Any], Any]]:
    """Returns a callable's sample arguments, with the outputs wanted."""
    return self.cases_of(self.callables[name])

  def cases_of(self, stated: Mapping[str, Any]) -> list[tuple[list[Any], Any]]:
    """Returns the same for one of `callables` or of `reference`."""
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

  def cases_of_signature(self, name: str = "") -> list[tuple[list[Any], Any]]:
    """Returns a callable's cases whose shapes its signature accepts.

    Args:
      name: The callable's: "" for `serve`, or what `serving_default` calls.
    """
    specs = self._specs(name)

    def accepted(inputs):
      named = self.named(inputs, name)
      return all(
        spec.shape.is_compatible_with(named[name].shape)
        for name, spec in specs.items()
      )

    return [case for case in self.cases(name) if case[0] and accepted(*case[0])]

  def _specs(self, name: str) -> Mapping[str, tf.TensorSpec]:
    if name == self.callables[""]["serving"]:
      signature = self.model.signatures["serving_default"]
      return signature.structured_input_signature[1]
    _, specs = self.traces(name)[0]
    return specs if isinstance(specs, Mapping) else {specs.name: specs}

  @contextlib.contextmanager
  def without_graph_optimization(self) -> Iterator[None]:
    """Switches off graph optimization, which never pays for a call or two.

    Only for calls whose numbers are not compared with others, and for graphs
    that are not called with optimization too: they would have to start anew.
    """
    key = "disable_meta_optimizer"
    before = tf.config.optimizer.get_experimental_options()[key]
    tf.config.optimizer.set_experimental_options({key: True})
    try:
      yield
    finally:
      tf.config.optimizer.set_experimental_options({key: before})

  def named(self, inputs: Any, name: str = "") -> Mapping[str, tf.Tensor]:
    """Returns the inputs of a callable by their names in its signature."""
    if isinstance(inputs, Mapping):
      return inputs
    if isinstance(inputs, (list, tuple)):
      _, specs = self.traces(name)[0]
      return {s.name: x for s, x in zip(specs, inputs, strict=True)}
    return dict.fromkeys(self._specs(name), inputs)

  def hyperparameters(self, name: str, attribute: str) -> dict[str, float]:
    """Returns the hyperparameters that set a layers' attribute, by name."""
    return {
      key: value["default"]
      for key, value in self.callables[name]["hyperparameters"].items()
      if value["attribute"] == attribute
    }

  def updates(self, name: str) -> list[int]:
    """Returns how often a training call updates each variable that may move.

    That is how often the source calls its layer: a tower of layers may be
    called on each of two inputs, and a frozen layer keeps its averages.
    """
    counts = self.callables[name]["updates"]
    pairs = zip(self.find(name).variables, counts, strict=True)
    return [count for variable, count in pairs if not variable.trainable]

  def training(self, name: str) -> dict[str, bool]:
    """Returns the keyword argument for a call in training mode, if any."""
    return {"training": True} if self.callables[name]["training"] else {}

  def trainable_callables(self) -> list[str]:
    """Returns the callables that have variables to train."""
    names = [
      name
      for name, callable_ in self.callables.items()
      if callable_["trainable"] and callable_["cases"]
    ]
    if not names:
      raise NotApplicableError("no callable has variables to train")
    return names


def snapshot(path: str, scratch: str) -> str:
  """Returns a directory that stays as it is, whatever becomes of a model.

  What is looked through is what is loaded, even if its owner puts something
  else in its place meanwhile. Only the numbers of variables are not copied:
  they are large, and do nothing. A link to a folder is left out: through two of
  them, a folder may have any number of others in it.

  Args:
    path: A SavedModel.
    scratch: Where to write.
  """
  folder = tempfile.mkdtemp(prefix="seen_", dir=scratch)

  def copy(source: str, target: str) -> str:
    in_variables = os.path.basename(os.path.dirname(source)) == "variables"
    # A pipe would be waited for.
    if in_variables or not os.path.isfile(source):
      return link(source, target)
    return shutil.copyfile(source, target)

  return shutil.copytree(
    path,
    folder,
    copy_function=copy,
    ignore=_linked_folders,
    # What lacks a file is for a check to find.
    ignore_dangling_symlinks=True,
    dirs_exist_ok=True,
  )


def _linked_folders(folder: str, names: Sequence[str]) -> list[str]:
  paths = [os.path.join(folder, name) for name in names]
  return [
    os.path.basename(p) for p in paths if os.path.islink(p) and os.path.isdir(p)
  ]


def link(source: str, target: str) -> str:
  """Links a file into a copy, on another disk too."""
  source = os.path.realpath(source)
  try:
    os.link(source, target)
  except OSError:
    os.symlink(source, target)
  return target
