"""What a file says about the task that the weights beside it were trained for.

A Hugging Face folder's `config.json` names the class of the model, its labels
and its rates; the YAML of a training with Model Garden has the same under other
names.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses

SENTENCE_PREDICTION = "sentence prediction"
TAGGING = "tagging"
QUESTION_ANSWERING = "question answering"
MASKED_WORDS = "masked words"

REGRESSION = "regression"
SINGLE_LABEL = "single_label_classification"
MULTI_LABEL = "multi_label_classification"
PROBLEM_TYPES = (REGRESSION, SINGLE_LABEL, MULTI_LABEL)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dropout:
  """The dropout rates of a head.

  Attributes:
    before: The rate for what comes from the encoder.
    inside: The rate between a head's inner dense layer and its logits; of a
      head without one, right after `before`.
  """

  before: float = 0.0
  inside: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedTask:
  """What one file says.

  Attributes:
    path: The file, for messages.
    task: One of the names above. None: it does not say, or it is another one.
    stated: What the file calls the task, for messages; "" if it does not.
    labels: The classes' names, in the order of the logits. None: it has none.
    num_labels: How many logits there are. None: it does not say.
    problem_type: One of `PROBLEM_TYPES`. None: it does not say.
    dropout: The rates by task. Empty: it does not say.
    activation: What follows a head's inner dense layer, by the name that Model
      Garden has for it. None: it does not say.
  """

  path: str
  task: str | None
  stated: str = ""
  labels: tuple[str, ...] | None = None
  num_labels: int | None = None
  problem_type: str | None = None
  dropout: Mapping[str, Dropout] = dataclasses.field(default_factory=dict)
  activation: str | None = None
