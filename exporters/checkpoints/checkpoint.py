"""What every kind of checkpoint offers, and how a model is restored from it."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import os
import tempfile
from typing import Any

import tensorflow as tf

from exporters.checkpoints import mismatch
from exporters.checkpoints.sentence_embedding import SentenceEmbedding
from exporters.errors import ExportError
from exporters.errors import first_line
from exporters.saved_model.variables import variable_name

# What `declared` calls the GELU by the error function; see
# `exporters.encoders.exact_gelu`. "gelu" is the tanh approximation, as it is
# in Model Garden.
EXACT_GELU = "exporters>exact_gelu"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Match:
  """Which tensor of a checkpoint belongs in which variable.

  Attributes:
    pairs: Variables, each with a function that reads its value.
    mismatch: What has no counterpart.
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
    """Returns a match of these pairs; `differences` are `Mismatch`'s own."""
    return cls(
      pairs=pairs,
      mismatch=mismatch.Mismatch(restorable=len(pairs), **differences),
      ignored=ignored,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tensor:
  """A tensor of a checkpoint, read when it is needed.

  Attributes:
    shape: Its dimensions.
    dtype: Such as "float32".
    read: Returns it.
  """

  shape: tuple[int, ...]
  dtype: str
  read: Callable[[], Any]

  @property
  def transposed(self) -> Tensor:
    return dataclasses.replace(
      self, shape=self.shape[::-1], read=lambda: self.read().T
    )


class Checkpoint(abc.ABC):
  """Weights in one of the formats that people have.

  Attributes:
    path: What the user gave, for messages.
    kind: The format's name, for messages.
  """

  kind: str

  def __init__(self, path: str):
    self.path = path
    self._copies = contextlib.ExitStack()  # Until the checkpoint goes.

  @abc.abstractmethod
  def match(self, items: Mapping[str, Any]) -> Match:
    """Returns where the variables below `items` come from.

    Args:
      items: Trackables (layers, models) by the name under which an object-based
        checkpoint holds them. One trackable may have several names; one of
        them is enough.
    """

  @property
  @abc.abstractmethod
  def tensors(self) -> Mapping[str, Tensor]:
    """All that it holds, by name; what training keeps begins `optimizer/`."""

  def _local(self, path: str) -> str:
    """Returns `path`, or a local copy for libraries that read no other."""
    if "://" not in path:
      return path
    folder = self._copies.enter_context(tempfile.TemporaryDirectory())
    local = os.path.join(folder, os.path.basename(path))
    tf.io.gfile.copy(path, local)
    return local

  @property
  def parts(self) -> frozenset[str]:
    """The names under which it holds models, if it is of a kind that does."""
    return frozenset()

  @property
  def files(self) -> Sequence[str]:
    """The files that it is read from, in order."""
    return [self.path]

  @property
  def vocab_file(self) -> str | None:
    """The vocabulary that the checkpoint brings, if it does."""
    return None

  @property
  def declared(self) -> Mapping[str, Any]:
    """The sizes and rates that the checkpoint states of itself.

    Keys are the fields of Model Garden's encoder configurations, such as
    `hidden_size`, and `do_lower_case`. Empty if it states nothing.
    """
    return {}

  @property
  def sentence_embedding(self) -> SentenceEmbedding | None:
    """How a sentence encoder pools; None for any other model."""
    return None


@contextlib.contextmanager
def uninitialized() -> Iterator[list[tf.Variable]]:
  """Creates variables without values: a restore is about to give them theirs.

  Drawing the weights of BERT-base at random takes longer than reading them, and
  memory that nothing has written to takes no room.

  Yields:
    A list, to which each variable so created is added. Whoever publishes one
    sees to it that it was restored: it holds whatever was in memory before.
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
  """Restores all variables below `items`, or none.

  Returns:
    What was restored.

  Raises:
    ExportError: A variable has no counterpart of its shape, the part of the
      checkpoint that is restored holds more than the model, a value is not
      finite or of another kind than its variable, or a file can't be read.
  """
  with readable(checkpoint.path):
    match = checkpoint.match(items)
    if match.mismatch:
      raise match.mismatch.error(checkpoint.path, checkpoint.kind)
    not_finite, not_floating = [], []
    for variable, read in match.pairs:
      value = read()
      dtype = tf.as_dtype(value.dtype)
      # Quantized weights need their scales; as they are they mean nothing.
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
      f"The checkpoint '{checkpoint.path}' holds values that are no floating "
      f"point numbers in\n{names}\nPerhaps it is quantized. Take the model as "
      "it was before, in float32, float16 or bfloat16."
    )
  if not_finite:
    names = "\n".join(not_finite)
    raise ExportError(
      f"The checkpoint '{checkpoint.path}' holds NaN or infinite values in\n"
      f"{names}\nIts training diverged, or the file is damaged. Take an "
      "earlier checkpoint."
    )
  return match


def _is_finite(value: tf.Tensor) -> bool:
  """Whether no number in `value` is NaN or infinite; needs no memory."""
  if value.dtype.is_floating:
    try:
      tf.debugging.check_numerics(value, "")
    except tf.errors.InvalidArgumentError:
      return False
  return True


@contextlib.contextmanager
def readable(path: str) -> Iterator[None]:
  """Rewords what TensorFlow raises on files that are absent or damaged."""
  try:
    yield
  except (tf.errors.NotFoundError, FileNotFoundError) as e:
    raise ExportError(
      f"Cannot read the checkpoint '{path}': a file of it is missing. "
      f"({first_line(e)}) Copy all of its files: the `.index` and every "
      "`.data-*-of-*`."
    ) from e
  except tf.errors.OpError as e:
    raise ExportError(
      f"Cannot read the checkpoint '{path}': it is truncated or damaged. "
      f"({first_line(e)}) Copy it again, and compare the sizes of its files."
    ) from e
