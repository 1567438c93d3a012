r"""Exports a text model for a task: classifier, regressor, tagger or answerer.

  python -m exporters.text_task \
    --gin_file=configs/text_task/sentence_prediction.gin \
    --gin_bindings="CHECKPOINT = '/path/to/classifier'" \
    --gin_bindings="DO_LOWER_CASE = True" \
    --export_path=/tmp/classifier

The checkpoint is that of a training with Model Garden (`sentence_prediction`,
`tagging`, `question_answering`), or a Hugging Face folder of a class such as
`BertForSequenceClassification`. The weights say how many classes there are; the
files beside them, or a labels file, say what these are called. A pretrainer of
Model Garden, or a `BertForMaskedLM`, finds masked words.

  model = hub.load("/tmp/classifier/from_ids")
  logits = model(dict(
    input_word_ids=...,  # Shape [batch, seq_length], dtype=int32
    input_mask=...,      # Shape [batch, seq_length], dtype=int32
    input_type_ids=...,  # Shape [batch, seq_length], dtype=int32
  ))                     # Shape, dtype=float32:
                         #   a text or a pair: [batch, classes]
                         #   tagging: [batch, seq_length, classes]
                         #   masked words: [batch, seq_length, vocab_size]
                         #   question answering: a dict of `start_logits` and
                         #   `end_logits`, [batch, seq_length]

By default there is a second artifact, which takes text. Consumers import
`tensorflow_text` before they load it:

  answer = hub.load("/tmp/classifier/from_text")
  answer(["a text", "another"])  # Of a classifier, a dict of `logits`,
                                 # `probabilities` and `label`, the name of the
                                 # likeliest class
  answer(dict(text=..., text_pair=...))    # Of a classifier of pairs
  answer(dict(question=..., context=...))  # `answer`, its `probability` and
                                           # that of none, `answer_start`,
                                           # `answer_limit`, and the logits
  answer(["Rome is the [MASK] of Italy."])  # Of a masked language model, the
                                            # likeliest `tokens` for each mask,
                                            # [batch, masks, words], their `ids`
                                            # and `probabilities`

A tagger also says where each token of the text starts and ends, in bytes, and a
masked language model where each mask does.
`answer.from_ids` is the first artifact again, on the same variables; its
`.encoder` is the encoder, without `pooled_output` if the task does not use it.
`.labels` is a file with the classes' names; `.vocab_file` (or `.sp_model_file`)
and `.do_lower_case` say how text becomes ids.
"""

if __name__ == "__main__":
  # The command starts here; the gin file imports this module by its name.
  from exporters.command_line import export_command

  export_command.run()

import abc
from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any, ClassVar

from official.nlp.modeling import layers
import tensorflow as tf
import tf_keras
from typing_extensions import override

from exporters import base
from exporters.checkpoints import trained_task
from exporters.checkpoints.saved_models import SavedModel
from exporters.checkpoints.trained_task import Dropout
from exporters.errors import ExportError
from exporters.saved_model.variables import each_once
from exporters.text import task_facts
from exporters.text import task_heads
from exporters.text import task_texts
from exporters.text.answers import Answers
from exporters.text.answers import Classes
from exporters.text.answers import Words
from exporters.text.encoder_exporter import EncoderExporter
from exporters.text.encoder_exporter import Tokens
from exporters.text.encoders import Encoder
from exporters.text.spans import Spans
from exporters.text.spans import WindowSpans
from exporters.text.task_facts import TaskFacts
from exporters.text.task_heads import Head
from exporters.text.task_texts import Texts

FROM_IDS = "from_ids"
FROM_TEXT = "from_text"
# The rate of Model Garden's heads, unless a training sets another.
_RATE = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextTaskExporter(EncoderExporter, abc.ABC):
  """Publishes an encoder with the head of a task.

  Attributes:
    artifacts: "from_ids", which takes an encoder's inputs, "from_text", which
      takes strings, or both. One alone is written to the export path itself,
      both to folders below it.
    default_seq_length: How many tokens strings are cut and padded to, unless a
      call sets another `seq_length`. If it is the most that the encoder takes,
      a call can't. For question answering it is 384, and only the context is
      cut, or searched in windows: see `doc_stride`.
  """

  task: ClassVar[str]
  has_masks: ClassVar[bool] = False
  artifacts: Sequence[str] = (FROM_IDS, FROM_TEXT)
  default_seq_length: int = 128

  @abc.abstractmethod
  def head(self, encoder: Encoder, facts: TaskFacts) -> Head:
    """Builds the head; nothing is restored yet."""

  @abc.abstractmethod
  def answers(self, facts: TaskFacts, texts: Texts) -> Answers:
    """Returns what answers with more than logits."""

  @property
  def text_names(self) -> Sequence[str]:
    """The names of the strings that are the input, in their order."""
    return ("inputs",)

  def facts(self) -> TaskFacts:
    """Returns what is known about the task."""
    return task_facts.read(self.opened, self.task)

  @override
  def build(self) -> base.Build:
    self.refuse_mistakes()
    facts = self.facts()
    whole = self.built_encoder()
    tokens = self.tokens()
    remarks = tokens.remarks(whole.vocab_size)
    # Otherwise AutoGraph rewrites the code of all layers, which takes time.
    head = tf.autograph.experimental.do_not_convert(self.head)(whole, facts)
    encoder = whole
    if head.features != "pooled_output":
      encoder = whole.without_pooler()
    from_ids = self._from_ids(encoder, whole, head, facts, tokens, remarks)
    published = {}
    for name in self.artifacts:
      published[name] = from_ids
      if name == FROM_TEXT:
        texts = Texts(
          tokens.source,
          encoder,
          names=self.text_names,
          seq_length=self.default_seq_length,
          has_masks=self.has_masks,
        )
        published[name] = self._from_text(from_ids, head, facts, texts)
    if len(published) == 1:
      published = {"": published[self.artifacts[0]]}
    return base.Build(
      restores=[self._restored(encoder, whole, head)],
      published=published,
    )

  def _from_text(
    self,
    from_ids: base.Published,
    head: Head,
    facts: TaskFacts,
    texts: Texts,
  ) -> base.Published:
    answers = self.answers(facts, texts)
    default = self.default_seq_length

    def function(
      inputs, training, from_ids=from_ids.function, seq_length=default
    ):
      return answers.of(
        inputs, seq_length, lambda packed: from_ids(packed, training)
      )

    def reference(inputs, training, seq_length=default):
      return answers.of_python(
        inputs,
        seq_length,
        lambda packed: head.by_model_garden(packed, training),
      )

    lengths = {}
    if texts.is_open:
      lengths["seq_length"] = base.Hyperparameter(default=default)
    return dataclasses.replace(
      from_ids,
      function=function,
      inputs=[texts.specs()],
      outputs=("default",),
      hyperparameters={**from_ids.hyperparameters, **lengths},
      trackables={"tokenizer": texts.tokenizer, **answers.trackables()},
      sub_objects={FROM_IDS: from_ids},
      built_on=FROM_IDS,
      samples=answers.samples(),
      reference=reference,
      remarks=[*from_ids.remarks, *answers.remarks()],
    )

  @override
  def refuse_mistakes(self) -> None:
    super().refuse_mistakes()
    known = {FROM_IDS, FROM_TEXT}
    if not self.artifacts or not set(self.artifacts) <= known:
      raise ExportError(
        f"artifacts = {list(self.artifacts)} must name '{FROM_IDS}' or "
        f"'{FROM_TEXT}', or both."
      )
    if self.default_seq_length < 3:
      raise ExportError(
        f"default_seq_length = {self.default_seq_length} leaves no room for a "
        "token between the first and the last one, which are special. Set it "
        "to 3 or more."
      )

  def _restored(
    self, encoder: Encoder, whole: Encoder, head: Head
  ) -> Mapping[str, Any]:
    """Returns the task model, without a pooler that the checkpoint lacks."""
    if self._has_pooler or encoder.model is whole.model:
      return {"model": head.whole}
    features = encoder.model.output[head.features]
    return {"model": tf_keras.Model(encoder.model.input, head.model(features))}

  @property
  def _has_pooler(self) -> bool:
    return any("pooler" in name for name in self.opened.tensors)

  def _from_ids(
    self,
    encoder: Encoder,
    whole: Encoder,
    head: Head,
    facts: TaskFacts,
    tokens: Tokens,
    remarks: list[str],
  ) -> base.Published:
    def core(inputs, training):
      return encoder(inputs, training)

    def core_reference(inputs, training):
      outputs = whole.model(inputs, training=training)
      return encoder.published_outputs(outputs)

    def function(inputs, training, encoder=encoder):
      return head(encoder(inputs, training), training)

    rates = encoder.hyperparameters()
    model = encoder.model
    labels = {"labels": facts.labels.asset()} if facts.labels else {}
    if not facts.labels and facts.classes > 1 and self.task_has_labels:
      remarks.append(
        "The classes have no names: neither the checkpoint's folder nor a "
        "labels_file gives them any."
      )
    return base.Published(
      function=function,
      inputs=encoder.input_specs(),
      outputs=("logits", "default"),
      hyperparameters=rates | head.hyperparameters(),
      variables=each_once([*model.variables, *head.model.variables]),
      trainable_variables=each_once(
        [*encoder.trainable_variables, *head.model.trainable_variables]
      ),
      constants={"do_lower_case": self.do_lower_case},
      assets=tokens.assets() | labels,
      sub_objects={
        "encoder": base.Published(
          function=core,
          inputs=encoder.input_specs(),
          hyperparameters=rates,
          variables=model.variables,
          trainable_variables=encoder.trainable_variables,
          samples=encoder.samples(),
          reference=core_reference,
        )
      },
      built_on="encoder",
      samples=encoder.samples(),
      reference=head.by_model_garden,
      remarks=remarks,
    )

  @property
  def task_has_labels(self) -> bool:
    """Whether the logits are of classes."""
    return True


@dataclasses.dataclass(frozen=True, kw_only=True)
class SentencePredictionExporter(TextTaskExporter):
  """Publishes a classifier or a regressor of texts or of pairs of texts.

  Attributes:
    labels_file: A file with the names of the classes, one on each line, in the
      order of the logits. None: as the files beside the checkpoint say.
    problem_type: 'single_label_classification', 'multi_label_classification' or
      'regression'. None: as the files beside the checkpoint say, else
      regression for one logit and a single label for several.
    pairs: Whether it was trained on pairs of texts.
    head_activation: What follows the head's inner dense layer. None: as the
      files beside the checkpoint say, else 'tanh', as in Model Garden.
  """

  task = trained_task.SENTENCE_PREDICTION
  labels_file: base.FilePath | None = None
  problem_type: str | None = None
  pairs: bool = False
  head_activation: str | None = None

  @override
  def facts(self) -> TaskFacts:
    known = trained_task.PROBLEM_TYPES
    if self.problem_type not in (None, *known):
      raise ExportError(
        f"problem_type = '{self.problem_type}' must be one of "
        f"{', '.join(map(repr, known))}."
      )
    return task_facts.read(
      self.opened,
      self.task,
      problem_type=self.problem_type,
      labels_file=self.labels_file,
    )

  @override
  def head(self, encoder: Encoder, facts: TaskFacts) -> Head:
    inner = self.opened.shape_of("sentence_prediction/pooler_dense/bias")
    default = Dropout(before=0.0 if inner else _RATE, inside=_RATE)
    return task_heads.sentence_prediction(
      encoder,
      classes=facts.classes,
      dropout=facts.dropout or default,
      inner_activation=self._activation(facts) if inner else None,
    )

  @override
  def answers(self, facts: TaskFacts, texts: Texts) -> Answers:
    return Classes(facts=facts, texts=texts)

  @property
  @override
  def text_names(self) -> Sequence[str]:
    return task_texts.PAIR if self.pairs else ("inputs",)

  def _activation(self, facts: TaskFacts) -> str:
    stated = self.head_activation
    if stated and facts.activation not in (None, stated):
      raise ExportError(
        f"head_activation = '{stated}' in the gin file, but a model of this "
        f"architecture has '{facts.activation}'. Leave head_activation out."
      )
    if not stated and isinstance(self.opened, SavedModel):
      raise ExportError(
        f"The SavedModel '{self.checkpoint}' does not say what follows the "
        "inner dense layer of its head. Set head_activation: 'relu' for a "
        "DistilBERT, 'exporters>exact_gelu' for an ELECTRA, 'tanh' for what "
        "Model Garden trained."
      )
    return stated or facts.activation or "tanh"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaggingExporter(TextTaskExporter):
  """Publishes a tagger, which classifies each token.

  Attributes:
    labels_file: A file with the names of the classes, one on each line, in the
      order of the logits. None: as the files beside the checkpoint say.
  """

  task = trained_task.TAGGING
  labels_file: base.FilePath | None = None

  @override
  def facts(self) -> TaskFacts:
    return task_facts.read(self.opened, self.task, labels_file=self.labels_file)

  @override
  def head(self, encoder: Encoder, facts: TaskFacts) -> Head:
    return task_heads.tagging(
      encoder,
      classes=facts.classes,
      dropout=facts.dropout or Dropout(before=_RATE),
    )

  @override
  def answers(self, facts: TaskFacts, texts: Texts) -> Answers:
    return Classes(facts=facts, texts=texts, of_tokens=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuestionAnsweringExporter(TextTaskExporter):
  """Publishes what finds the answer to a question in a text.

  Attributes:
    max_answer_length: The most tokens of an answer.
    doc_stride: Of the windows in which a context is searched that is too long,
      how many tokens after the one before each begins. Model Garden's training
      has 128. None: only the beginning of the context is searched.
  """

  task = trained_task.QUESTION_ANSWERING
  max_answer_length: int = 30
  doc_stride: int | None = None
  default_seq_length: int = 384

  @override
  def refuse_mistakes(self) -> None:
    super().refuse_mistakes()
    if self.doc_stride is not None and self.doc_stride < 1:
      raise ExportError(
        f"doc_stride = {self.doc_stride} is not a number of tokens from 1. Set "
        "it to that of the training, such as 128."
      )

  @override
  def head(self, encoder: Encoder, facts: TaskFacts) -> Head:
    return task_heads.question_answering(
      encoder, dropout=facts.dropout or Dropout()
    )

  @override
  def answers(self, facts: TaskFacts, texts: Texts) -> Answers:
    most = self.max_answer_length
    if self.doc_stride is None:
      return Spans(texts=texts, max_answer_length=most)
    return WindowSpans(
      texts=texts, max_answer_length=most, doc_stride=self.doc_stride
    )

  @property
  @override
  def text_names(self) -> Sequence[str]:
    return task_texts.QUESTION

  @property
  @override
  def task_has_labels(self) -> bool:
    return False


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskedWordsExporter(TextTaskExporter):
  """Publishes a masked language model, which finds words that a text lacks.

  Attributes:
    words_per_mask: How many words it gives for each mask.
  """

  task = trained_task.MASKED_WORDS
  has_masks = True
  words_per_mask: int = 5

  @override
  def head(self, encoder: Encoder, facts: TaskFacts) -> Head:
    if not 0 < self.words_per_mask <= facts.classes:
      raise ExportError(
        f"words_per_mask = {self.words_per_mask} must be between 1 and the "
        f"number of tokens, {facts.classes}."
      )
    is_wide = self.opened.shape_of("cls/predictions/extra_output_weights")
    layer = layers.MobileBertMaskedLM if is_wide else layers.MaskedLM
    return task_heads.masked_words(encoder, layer)

  @override
  def answers(self, facts: TaskFacts, texts: Texts) -> Answers:
    return Words(
      texts=texts,
      words_per_mask=self.words_per_mask,
      strings=texts.source.strings(),
    )

  @override
  def _restored(
    self, encoder: Encoder, whole: Encoder, head: Head
  ) -> Mapping[str, Any]:
    if self.opened.parts and "encoder" not in self.opened.parts:
      return {"model": head.whole}
    model = whole.model if self._has_pooler else encoder.model
    return {"encoder": model, "masked_lm": head.whole.masked_lm}

  @property
  @override
  def task_has_labels(self) -> bool:
    return False
