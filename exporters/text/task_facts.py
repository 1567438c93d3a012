"""What is known about the task of a fine-tuned text model, from all places.

The weights say how many classes there are; files beside them say what these are
called and which task it is. What contradicts the gin file or the weights is
refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
import reprlib
from typing import Any

from exporters.checkpoints import Checkpoint
from exporters.checkpoints import trained_task
from exporters.checkpoints.trained_task import Dropout
from exporters.checkpoints.trained_task import TrainedTask
from exporters.errors import ExportError
from exporters.saved_model import labels as labels_lib
from exporters.text import encoder_file
from exporters.text import facts

# By task: the bias of a head's last layer, as Model Garden names it, and what
# exports such a model.
_BIASES = {
  trained_task.SENTENCE_PREDICTION: "sentence_prediction/logits/bias",
  trained_task.TAGGING: "predictions/transform/logits/bias",
  trained_task.QUESTION_ANSWERING: "predictions/transform/logits/bias",
  trained_task.MASKED_WORDS: "cls/predictions/output_bias/bias",
}
_EXPORTERS = {
  trained_task.SENTENCE_PREDICTION: "text_task.SentencePredictionExporter",
  trained_task.TAGGING: "text_task.TaggingExporter",
  trained_task.QUESTION_ANSWERING: "text_task.QuestionAnsweringExporter",
  trained_task.MASKED_WORDS: "text_task.MaskedWordsExporter",
}
# What the trainings of Model Garden state only for one task.
_OWN_KEYS = {
  trained_task.SENTENCE_PREDICTION: "metric_type",
  trained_task.TAGGING: "class_names",
  trained_task.QUESTION_ANSWERING: "n_best_size",
  trained_task.MASKED_WORDS: "scale_losses",
}
# Their logits are not of classes.
_WITHOUT_CLASSES = (trained_task.QUESTION_ANSWERING, trained_task.MASKED_WORDS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskFacts:
  """What is known about a task.

  Attributes:
    classes: The number of logits.
    labels: Their names. None: not known.
    problem_type: One of `trained_task.PROBLEM_TYPES`.
    dropout: The head's rates. None: no file says them.
    activation: What follows the head's inner dense layer. None: no file says.
  """

  classes: int
  labels: labels_lib.Labels | None
  problem_type: str
  dropout: Dropout | None
  activation: str | None


def read(
  checkpoint: Checkpoint,
  task: str,
  *,
  problem_type: str | None = None,
  labels_file: str | None = None,
) -> TaskFacts:
  """Brings together what is known.

  Args:
    checkpoint: The checkpoint.
    task: The task that the gin file's exporter is for.
    problem_type: What the gin file says.
    labels_file: A file with the names of the classes.

  Raises:
    ExportError: A file is damaged, or it is of another task or contradicts the
      weights or the gin file; or the checkpoint has no head for this task.
  """
  stated = _stated(checkpoint)
  _refuse_another(stated, task)
  classes = _classes(checkpoint, task, stated)
  # Folders count and name two classes even if nobody has classified anything.
  for said in () if task == trained_task.MASKED_WORDS else stated:
    if said.num_labels not in (None, classes):
      raise ExportError(
        f"'{said.path}' says that there are {said.num_labels} classes, but the "
        f"head in '{checkpoint.path}' has {classes} logits. Use the file of "
        "this training, or fix it."
      )
    if said.labels and len(said.labels) != classes:
      raise ExportError(
        f"'{said.path}' names {len(said.labels)} classes, but the head in "
        f"'{checkpoint.path}' has {classes} logits. Use the file of this "
        "training, or fix it."
      )
  known = facts.agreed(
    {facts.GIN: _without_none(problem_type=problem_type)}
    | {
      f"'{said.path}'": _without_none(
        labels=said.labels, problem_type=said.problem_type
      )
      for said in stated
      # A start and an end are not classes, whatever a folder calls them.
      if task not in _WITHOUT_CLASSES
    }
  )
  default = (
    trained_task.REGRESSION if classes == 1 else trained_task.SINGLE_LABEL
  )
  return TaskFacts(
    classes=classes,
    labels=_labels(labels_file, known.get("labels"), classes, stated),
    problem_type=known.get("problem_type", default),
    dropout=next((s.dropout[task] for s in stated if task in s.dropout), None),
    activation=next((s.activation for s in stated if s.activation), None),
  )


def task_of(checkpoint: Checkpoint) -> str | None:
  """Returns the task that a checkpoint was trained for, if anything says it.

  Raises:
    ExportError: A file beside it is damaged.
  """
  stated = _stated(checkpoint)
  task = next((said.task for said in stated if said.task), None)
  if task is None and not any(said.stated for said in stated):
    task = trained_task.SENTENCE_PREDICTION
  shape = checkpoint.shape_of(_BIASES[task]) if task else None
  return task if shape else None


def _stated(checkpoint: Checkpoint) -> list[TrainedTask]:
  """Returns what the checkpoint and the files beside it say."""
  experiments = encoder_file.experiments_beside(checkpoint)
  found = [_of_experiment(path, said) for path, said in experiments.items()]
  return [checkpoint.task, *found] if checkpoint.task else found


def _without_none(**values: Any) -> dict[str, Any]:
  return {name: v for name, v in values.items() if v is not None}


def _of_experiment(path: str, task: Mapping[str, Any]) -> TrainedTask:
  """Returns what the YAML of a training with Model Garden says."""
  model = task.get("model")
  model = model if isinstance(model, Mapping) else {}
  found = [name for name, key in _OWN_KEYS.items() if key in task]
  classes, rate = model.get("num_classes"), model.get("head_dropout")
  names = task.get("class_names")
  for key, value, is_fit in (
    ("task.model.num_classes", classes, type(classes) is int),
    ("task.model.head_dropout", rate, type(rate) in (int, float)),
    (
      "task.class_names",
      names,
      isinstance(names, list)
      and all(
        isinstance(n, str) and n.strip() and n.isprintable() for n in names
      ),
    ),
  ):
    if value is not None and not is_fit:
      raise ExportError(
        f"'{path}' says {key} = {reprlib.repr(value)}, which can't be right. "
        "Fix the file, or copy it again from the training's folder."
      )
  return TrainedTask(
    path=path,
    task=found[0] if len(found) == 1 else None,
    labels=tuple(names) if names else None,
    # 0 where the training is not of a classifier.
    num_labels=classes or None,
    dropout={}
    if rate is None
    else {trained_task.TAGGING: Dropout(before=float(rate))},
  )


def _refuse_another(stated: Sequence[TrainedTask], task: str) -> None:
  for said in stated:
    if said.task not in (None, task):
      raise ExportError(
        f"'{said.path}' is of a model for {said.task}"
        f"{f' ({said.stated})' if said.stated else ''}, not for {task}. Export "
        f"it with {_EXPORTERS[said.task]}."
      )


def _classes(
  checkpoint: Checkpoint, task: str, stated: Sequence[TrainedTask]
) -> int:
  """Returns the number of logits that the head's weights give."""
  shape = checkpoint.shape_of(_BIASES[task])
  if shape is not None and len(shape) == 1:
    return shape[0]
  named = next((said.stated for said in stated if said.stated), "")
  what = f"a {named}" if named else "of the encoder alone or of another task"
  raise ExportError(
    f"The checkpoint '{checkpoint.path}' ({checkpoint.kind}) has no head for "
    f"{task}; it is {what}. Use the checkpoint of the fine-tuned model, or "
    "export the encoder with exporters.bert."
  )


def _labels(
  labels_file: str | None,
  names: tuple[str, ...] | None,
  classes: int,
  stated: Sequence[TrainedTask],
) -> labels_lib.Labels | None:
  where = next((said.path for said in stated if said.labels), "")
  found = labels_file and labels_lib.read_labels(labels_file)
  if found:
    found.require_size(classes)
    if names and names != found.names:
      raise ExportError(
        f"The labels file '{labels_file}' and '{where}' name the classes "
        f"differently: {_first_difference(found.names, names)}. Leave "
        "labels_file out, or fix the one that is wrong."
      )
    return found
  if not names:
    return None
  return labels_lib.Labels(path=where, names=names, background=False)


def _first_difference(ours: Sequence[str], theirs: Sequence[str]) -> str:
  return next(
    f"class {i} is {a!r} and {b!r}"
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True))
    if a != b
  )
