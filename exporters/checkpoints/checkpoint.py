"""What every kind of checkpoint offers, and how a model is restored from it."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import functools
import os
import re
import tempfile
from typing import Any

import tensorflow as tf

from exporters.checkpoints import mismatch
from exporters.checkpoints.sentence_embedding import SentenceEmbedding
from exporters.checkpoints.trained_task import TrainedTask
from exporters.errors import ExportError
from exporters.errors import first_line
from exporters.saved_model.variables import variable_name

# What stands between the parts of a tensor's name.
_PART = re.compile(r"[/.]")
# What `declared` calls the GELU by the error function; see
# `exporters.text.encoders.exact_gelu`. "gelu" is the tanh approximation, as in
# Model Garden.
EXACT_GELU = "exporters>exact_gelu"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Match:
  """Which tensor of a checkpoint belongs in which variable.

  Attributes:
    pairs: Variables, each with a function that reads its value.
    mismatch: The variables and tensors that have no counterpart.
    ignored: The names of tensors outside the parts that are restored: other
      heads, an optimizer's slots, counters.
  """

  pairs: Sequence[tuple[tf.Variable, Callable[[], Any]]]
  mismatch: mismatch.Mismatch
  ignored: Sequence[str] = ()

  @classmethod
  def of(
    cls,
    pairs: Sequence[tuple[tf.Variable, Callable[[], Any]]],
    *,
    ignored: Sequence[str],
    **differences: Any,
  ) -> Match:
    """Returns a match of these pairs.

    Args:
      pairs: See the class.
      ignored: See the class.
      **differences: The other attributes of `Mismatch`.
    """
    return cls(
      pairs=pairs,
      mismatch=mismatch.Mismatch(restorable=len(pairs), **differences),
      ignored=ignored,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tensor:
  """A tensor of a checkpoint, read when its values are needed.

  Attributes:
    shape: Its dimensions.
    dtype: The name of its type, such as "float32".
    read: Returns the values, an array or a `tf.Tensor`.
  """

  shape: tuple[int, ...]
  dtype: str
  read: Callable[[], Any]

  @property
  def transposed(self) -> Tensor:
    """The same tensor with its axes in reverse order."""
    return dataclasses.replace(
      self, shape=self.shape[::-1], read=lambda: self.read().T
    )


class Checkpoint(abc.ABC):
  """Weights in one of the formats that people have.

  Attributes:
    path: The path that the user gave, for messages.
    kind: The name of the format, for messages.
  """

  kind: str

  def __init__(self, path: str):
    self.path = path
    self._copies = contextlib.ExitStack()  # They live as long as this object.

  @abc.abstractmethod
  def match(self, items: Mapping[str, Any]) -> Match:
    """Pairs the variables below `items` with tensors.

    Args:
      items: Trackables (layers, models) by the name under which an object-based
        checkpoint holds them. A trackable may have several names, of which the
        checkpoint needs only one.

    Raises:
      ExportError: The checkpoint is damaged, or its weights can't be told
        apart.
    """

  @property
  @abc.abstractmethod
  def tensors(self) -> Mapping[str, Tensor]:
    """All tensors, by name; an optimizer's names begin with `optimizer/`."""

  @functools.cached_property
  def training(self) -> frozenset[str]:
    """The names of tensors that only the training needs.

    An optimizer names its slots after a weight: `dense/kernel/adam_m` belongs
    to `dense/kernel`.
    """
    names = self.tensors.keys()
    return frozenset(
      name
      for name in names
      if name.startswith("optimizer/")
      or any(name[: end.start()] in names for end in _PART.finditer(name))
    )

  def _local(self, path: str) -> str:
    """Returns `path`, or a local copy for libraries that read only such."""
    if "://" not in path:
      return path
    folder = self._copies.enter_context(tempfile.TemporaryDirectory())
    local = os.path.join(folder, os.path.basename(path))
    tf.io.gfile.copy(path, local)
    return local

  @property
  def averages(self) -> bool:
    """Whether averages are restored in place of weights.

    Also true where only `match` can tell, or raises an `ExportError` to ask.
    """
    return False

  @property
  def parts(self) -> frozenset[str]:
    """The names under which it holds models; empty for kinds without names."""
    return frozenset()

  @property
  def files(self) -> Sequence[str]:
    """The paths of the files that are read, in a fixed order."""
    return [self.path]

  @property
  def vocab_file(self) -> str | None:
    """The path of the vocabulary that comes with the checkpoint, if any."""
    return None

  @property
  def declared(self) -> Mapping[str, Any]:
    """The sizes and rates that the checkpoint states for its model.

    Keys are `do_lower_case` and the fields of Model Garden's encoder
    configurations, such as `hidden_size`. Empty if it states nothing.
    """
    return {}

  @property
  def sentence_embedding(self) -> SentenceEmbedding | None:
    """How a sentence encoder pools its outputs; None for any other model."""
    return None

  @property
  def task(self) -> TrainedTask | None:
    """What the checkpoint itself states about its task; None for nothing."""
    return None

  def shape_of(self, variable: str) -> tuple[int, ...] | None:
    """Returns the shape of a variable's tensor; None if there is none.

    Args:
      variable: The end of the variable's name.
    """
    names = sorted(
      name
      for name in self.tensors.keys() - self.training
      if f"/{name}".endswith(f"/{variable}")
    )
    return self.tensors[names[0]].shape if names else None


@contextlib.contextmanager
def uninitialized() -> Iterator[list[tf.Variable]]:
  """Creates variables without initial values, for a restore that follows.

  Drawing the weights of BERT-base at random takes longer than reading them, and
  memory that was never written to takes no room.

  Yields:
    A list of the variables that were created so, which grows with each. They
    hold whatever was in memory, so a variable that is published must have been
    restored.
  """
  created: list[tf.Variable] = []

  def empty(next_creator, **kwargs):
    initial_value = kwargs.get("initial_value")
    shape, dtype = kwargs.get("shape"), kwargs.get("dtype")
    if not callable(initial_value) or shape is None or dtype is None:
      return next_creator(**kwargs)
    kwargs["initial_value"] = lambda: tf.raw_ops.Empty(
      shape=shape, dtype=dtype, init=not tf.as_dtype(dtype).is_floating
    )
    created.append(next_creator(**kwargs))
    return created[-1]

  with tf.variable_creator_scope(empty):
    yield created


def restore(checkpoint: Checkpoint, items: Mapping[str, Any]) -> Match:
  """Restores all variables below `items`.

  Args:
    checkpoint: The checkpoint.
    items: Trackables by name; see `Checkpoint.match`.

  Returns:
    What was restored.

  Raises:
    ExportError: The model and the part of the checkpoint to restore don't have
      the same variables with the same shapes, and nothing was restored. Or a
      value is not finite or not a floating-point number, or a file can't be
      read.
  """
  with readable(checkpoint.path):
    match = checkpoint.match(items)
    if match.mismatch:
      raise match.mismatch.error(checkpoint.path, checkpoint.kind)
    not_finite, not_floating = [], []
    for variable, read in match.pairs:
      value = read()
      dtype = tf.as_dtype(value.dtype)
      # Quantized weights mean nothing without their scales.
      if variable.dtype.is_floating and dtype not in (
        tf.float16,
        tf.bfloat16,
        tf.float32,
        tf.float64,
      ):
        not_floating.append(f"  {variable_name(variable)}: {dtype.name}")
        continue
      value = tf.cast(value, variable.dtype)
      if not _is_finite(value):
        not_finite.append(f"  {variable_name(variable)}")
      variable.assign(value)
  if not_floating:
    names = "\n".join(not_floating)
    raise ExportError(
      f"The checkpoint '{checkpoint.path}' holds values that are not "
      f"floating-point numbers in\n{names}\nPerhaps it is quantized. Use the "
      "unquantized model, in float32, float16 or bfloat16."
    )
  if not_finite:
    names = "\n".join(not_finite)
    raise ExportError(
      f"The checkpoint '{checkpoint.path}' holds NaN or infinite values in\n"
      f"{names}\nIts training diverged, or the file is damaged. Use an earlier "
      "checkpoint."
    )
  return match


def _is_finite(value: tf.Tensor) -> bool:
  """Tells whether no number is NaN or infinite, without a copy in memory."""
  if value.dtype.is_floating:
    try:
      tf.debugging.check_numerics(value, "")
    except tf.errors.InvalidArgumentError:
      return False
  return True


@contextlib.contextmanager
def readable(path: str) -> Iterator[None]:
  """Rewords what TensorFlow raises for files that are missing or damaged.

  Args:
    path: The checkpoint's path that the user gave.

  Raises:
    ExportError: The block could not read a file.
  """
  try:
    yield
  except (tf.errors.NotFoundError, FileNotFoundError) as e:
    raise ExportError(
      f"Cannot read the checkpoint '{path}': one of its files is missing. "
      f"({first_line(e)}) Copy all of its files: the `.index` and every "
      "`.data-*-of-*`."
    ) from e
  except tf.errors.OpError as e:
    raise ExportError(
      f"Cannot read the checkpoint '{path}': it is truncated or damaged. "
      f"({first_line(e)}) Copy it again, and compare the sizes of its files."
    ) from e
