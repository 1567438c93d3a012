"""The life cycle of an export, the same for every architecture.

build -> restore -> save beside the target -> check in a fresh process -> rename
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import os
import time
from typing import Any

import tensorflow as tf

from exporters import checkpoints
from exporters import checks
from exporters.base import Build
from exporters.base import CheckpointExporter
from exporters.base import Exporter
from exporters.bounds import limits
from exporters.errors import ExportError
from exporters.errors import explained
from exporters.errors import first_line
from exporters.fields import paths
from exporters.life_cycle import checker
from exporters.life_cycle import consumer as consumer_lib
from exporters.life_cycle import reference
from exporters.life_cycle import remote
from exporters.life_cycle import staging
from exporters.life_cycle import temporary
from exporters.saved_model import files
from exporters.saved_model import fixed_ids
from exporters.saved_model import keras_format
from exporters.saved_model import overrides
from exporters.saved_model import reusable
from exporters.saved_model import warmup
from exporters.saved_model.published import Published
from exporters.saved_model.published import Stream
from exporters.saved_model.variables import variable_name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Artifact:
  """One SavedModel that an export wrote.

  Attributes:
    path: Its directory.
    size: Bytes of all its files.
    parameters: How many numbers its variables hold.
    trainable: How many of these a consumer may train.
    results: The results of its checks.
    remarks: Sentences of the exporter about what it leaves out or does
      otherwise than expected.
    api: The API that it claims to follow, as `Published` has it.
    image_size: The size of the images that it was trained on, as there.
    sample: An input that it is checked with, a nest of arrays. None: it takes
      none.
    samples: The inputs that it is checked with and the signature takes, as
      arrays by the signature's names. None: it takes no dense tensors.
    stream: How it takes a stream piece by piece, as `Published` has it.
  """

  path: str
  size: int
  parameters: int
  trainable: int
  results: Sequence[checks.Result]
  remarks: Sequence[str] = ()
  api: str | None = None
  image_size: tuple[int, int] | None = None
  sample: Any = None
  samples: Sequence[Mapping[str, Any]] | None = None
  stream: Stream | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export:
  """What `export` did.

  Attributes:
    artifacts: One for each name that the exporter publishes.
    seconds: How long each stage took, in order.
    ignored: The names of the checkpoint's tensors that were not needed.
  """

  artifacts: Sequence[Artifact]
  seconds: Mapping[str, float]
  ignored: Sequence[str]


class Stages:
  """Announces each stage of an export, and times it."""

  def __init__(self, announce: Callable[[str], None] = lambda stage: None):
    self._announce = announce
    self.seconds: dict[str, float] = {}

  @contextlib.contextmanager
  def __call__(self, name: str, detail: str = "") -> Iterator[None]:
    """Times a block. Times under the same name are added up."""
    self._announce(f"{name} {detail}".strip())
    started = time.monotonic()
    yield
    elapsed = time.monotonic() - started
    self.seconds[name] = self.seconds.get(name, 0.0) + elapsed


def export(
  exporter: Exporter,
  *,
  export_path: str,
  overwrite: bool = False,
  level: str = checks.ALL,
  stages: Stages | None = None,
  refuse: Callable[[Sequence[str]], None] = lambda names: None,
  consumer: consumer_lib.Consumer | None = None,
  time_limit: float | None = None,
) -> Export:
  """Exports what one recipe describes.

  Args:
    exporter: What to export.
    export_path: Where the SavedModel appears, complete or not at all. For a
      remote path, it is made and checked on the local disk, then copied.
    overwrite: Whether to replace what is at `export_path`.
    level: Which checks to run: `checks.ALL`, `BASIC` or `NONE`.
    stages: Times and announces the stages.
    refuse: Gets the names of the artifacts as soon as they are known, which is
      before anything is restored. Raises `ExportError` if they don't suit.
    consumer: The process that checks the model. None: one is started.
    time_limit: How many seconds the checks of one artifact may take. None: any.

  Raises:
    ExportError: The input cannot be exported, or the result failed a check or
      took too long for it.
  """
  stages = stages or Stages()
  if "://" in export_path:
    return _export_remote(
      exporter,
      export_path,
      overwrite=overwrite,
      level=level,
      stages=stages,
      refuse=refuse,
      consumer=consumer,
      time_limit=time_limit,
    )
  paths.refuse_missing(exporter)
  with (
    staging.stage(export_path, overwrite=overwrite) as directory,
    staging.scratch("export") as scratch,
    temporary.moved(scratch),
    # It imports TensorFlow while this process builds.
    checker.Checker(
      level, consumer, limits.Limits(seconds=time_limit)
    ) as fresh_process,
  ):
    with (
      stages("build"),
      explained("build the model that the gin file describes"),
      _initial_values(exporter) as without_value,
    ):
      build = exporter.build()
    refuse(list(build.published))
    ignored: Sequence[str] = ()
    if isinstance(exporter, CheckpointExporter):
      with stages("restore", exporter.checkpoint):
        ignored = _restore(exporter, build, without_value)
    models = {
      name: _adjusted(published, exporter)
      for name, published in build.published.items()
    }
    # Everything is saved before the first check, since the reference traces
    # functions, which changes the names of those traced later.
    form = keras_format if exporter.keras_saved_model else reusable
    for name, published in models.items():
      with stages("save", name):
        _save(form.write, published, os.path.join(directory, name))
        if exporter.warmup_requests:
          warmup.write(published, os.path.join(directory, name))
    artifacts = []
    for name, published in models.items():
      path = os.path.join(directory, name)
      results = []
      if level != checks.NONE:
        with stages("check", name):
          results = fresh_process.check(
            published,
            path,
            keras=exporter.keras_saved_model,
            scratch=os.path.dirname(directory),
            private=_private(exporter, export_path),
          )
      _refuse_failed(results, name)
      artifacts.append(
        Artifact(
          path=os.path.join(export_path, name).rstrip(os.sep),
          size=_size(path),
          parameters=_parameters(published.every("variables")),
          trainable=_parameters(published.every("trainable_variables")),
          results=results,
          remarks=_remarks(published) + _of_averages(exporter),
          api=published.api,
          image_size=published.image_size,
          sample=next(_accepted(published), None),
          samples=_named_samples(published.served),
          stream=published.stream,
        )
      )
  return Export(artifacts=artifacts, seconds=stages.seconds, ignored=ignored)


def _export_remote(
  exporter: Exporter, export_path: str, *, overwrite: bool, **kwargs
) -> Export:
  with remote.reworded(export_path):
    staging.refuse_existing(export_path, overwrite=overwrite)
  with staging.scratch("remote") as scratch:
    local = os.path.join(scratch, "saved_model")
    done = export(exporter, export_path=local, **kwargs)
    with kwargs["stages"]("copy", export_path), remote.reworded(export_path):
      remote.copy(local, export_path)
  return dataclasses.replace(
    done,
    artifacts=[
      dataclasses.replace(a, path=a.path.replace(local, export_path, 1))
      for a in done.artifacts
    ],
  )


def _initial_values(exporter: Exporter) -> contextlib.AbstractContextManager:
  if isinstance(exporter, CheckpointExporter):
    return checkpoints.uninitialized()
  return contextlib.nullcontext([])


def _restore(
  exporter: CheckpointExporter,
  build: Build,
  without_value: Sequence[tf.Variable],
) -> Sequence[str]:
  """Restores what is published; returns the names of unneeded tensors.

  Args:
    exporter: It names the checkpoint.
    build: What it has built.
    without_value: Variables that were created without a value.
  """
  restored, ignored = set(), []
  for items in build.restores:
    match = checkpoints.restore(exporter.opened, items)
    restored |= {variable.ref() for variable, _ in match.pairs}
    ignored.append(set(match.ignored))
  empty = {variable.ref() for variable in without_value}
  for published in build.published.values():
    refs = {variable.ref() for variable in published.every("variables")}
    refs |= empty & {variable.ref() for variable in _tracked(published)}
    forgotten = sorted(variable_name(r.deref()) for r in refs - restored)
    if forgotten:
      raise ExportError(
        f"'{forgotten[0]}' is published, but nothing restores it. Name its "
        "layer in Build.restores. If the checkpoint does not have it, give it "
        "a value, tf.Variable(value), and name it in `trackables` instead of "
        "`variables`."
      )
  return sorted(set.intersection(*ignored)) if ignored else ()


def _tracked(published: Published) -> Iterator[tf.Variable]:
  """Yields the variables in the trackables of a model and its sub-objects."""
  for callable_ in published.callables().values():
    root = tf.train.Checkpoint(**callable_.trackables)
    for trackable in tf.train.TrackableView(root).descendants():
      if isinstance(trackable, tf.Variable):
        yield trackable


def _adjusted(published: Published, exporter: Exporter) -> Published:
  """Applies the fields that all exporters have."""
  defaults = exporter.hyperparameter_defaults
  if defaults and exporter.keras_saved_model:
    raise ExportError(
      "A Keras SavedModel keeps the trained hyperparameters; leave out "
      "hyperparameter_defaults or keras_saved_model."
    )
  published = overrides.with_defaults(published, defaults)
  if not exporter.trainable:
    return published
  return overrides.with_trainable(published, exporter.trainable)


def _save(
  write: Callable[[Published, str], None], published: Published, path: str
) -> None:
  with explained("save the model"):
    try:
      with fixed_ids.fixed(lambda: published.every("variables")):
        write(published, path)
    except (OSError, tf.errors.OpError) as e:
      reason = getattr(e, "strerror", None) or first_line(e)
      raise ExportError(
        f"Cannot write the model: {reason}. Free some space or choose another "
        "export path; nothing was left behind."
      ) from e


def _private(exporter: Exporter, export_path: str) -> list[str]:
  """Returns the recipe's local paths, which the artifact must not contain."""
  local = [p.path for p in paths.declared(exporter) if os.sep in p.path]
  return [export_path, *local]


def _refuse_failed(results: Sequence[checks.Result], name: str) -> None:
  failed = [result for result in results if result.status == checks.FAILED]
  blocked = sum(result.status == checks.BLOCKED for result in results)
  if failed or blocked:
    lines = "".join(f"\n  {result}" for result in failed)
    if blocked:
      lines += f"\n  (checks that need these to pass first: {blocked})"
    what = f"'{name}'" if name else "The model"
    raise ExportError(f"{what} failed its checks; nothing was written:{lines}")


def _remarks(published: Published) -> list[str]:
  """Returns the remarks on a model and its sub-objects, each once."""
  every = [r for c in published.callables().values() for r in c.remarks]
  return [*dict.fromkeys(every)]


def _of_averages(exporter: Exporter) -> list[str]:
  """Returns a remark if averages were restored in place of weights."""
  if not isinstance(exporter, CheckpointExporter):
    return []
  if not exporter.opened.averages:
    return []
  return [
    "Each weight is the average that the training kept of it, or the weight "
    "itself where the checkpoint has no average."
  ]


def _accepted(published: Published) -> Iterator[Any]:
  """Yields the samples that the signature takes."""
  for sample in published.samples if published.inputs else ():
    if reusable.accepts(published.inputs[0], reference.tensors(sample)):
      yield sample


def _named_samples(published: Published) -> list[dict[str, Any]] | None:
  """Returns the same by the names that the signature has for the tensors."""
  specs = tf.nest.flatten(published.inputs[0]) if published.inputs else []
  if not all(isinstance(spec, tf.TensorSpec) for spec in specs):
    return None
  return [
    {
      spec.name: array
      for spec, array in zip(specs, tf.nest.flatten(sample), strict=True)
    }
    for sample in _accepted(published)
  ]


def _parameters(variables: Sequence[tf.Variable]) -> int:
  return sum(variable.shape.num_elements() for variable in variables)


def _size(path: str) -> int:
  return sum(
    os.path.getsize(os.path.join(path, file)) for file in files.listed(path)
  )
