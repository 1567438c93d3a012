"""Fine-tuned text models, against NumPy and against Model Garden's own code."""

import json
import re
import shutil
import subprocess
import sys
import unicodedata

import numpy as np
from official.nlp.data import squad_lib
from official.nlp.modeling import models
from official.nlp.tasks import question_answering
from official.nlp.tasks import sentence_prediction
from official.nlp.tasks import tagging
from official.nlp.tools import tokenization
import pytest
import safetensors.numpy
import sentencepiece
import tensorflow as tf
import tensorflow_hub as hub
import yaml

from exporters import checks
from exporters import text_task
from exporters.errors import ExportError
from exporters.life_cycle import exporting
from exporters.text import sentencepiece_source
from exporters.text import wordpiece_source
from scripts.small_instances import encoders
from scripts.small_instances import sentencepiece_model
from tests import checkpoint_files
from tests import closeness
from tests import numpy_tasks
from tests import small_bert
from tests.numpy_tasks import SENTENCES
from tests.numpy_tasks import SPANS
from tests.numpy_tasks import TOKENS
from tests.numpy_tasks import WORDS

_EXPORTERS = {
  SENTENCES: text_task.SentencePredictionExporter,
  TOKENS: text_task.TaggingExporter,
  SPANS: text_task.QuestionAnsweringExporter,
  WORDS: text_task.MaskedWordsExporter,
}
_QUOTES = ("``", "''")
_LABELS = {"0": "yes", "1": "no", "2": "perhaps"}
_VOCABULARY = [
  *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
  *(f"word{i}" for i in range(35)),
]


def written(tmp_path, kind, task, *, tensors=None, **config):
  """Writes a Hugging Face folder of a fine-tuned model; returns its path."""
  folder = tmp_path / f"{kind}{task}"
  checkpoint_files.hugging_face(
    folder,
    kind,
    numpy_tasks.config(kind, task, **config),
    numpy_tasks.tensors(kind, task) if tensors is None else tensors,
  )
  (folder / "vocab.txt").write_text("".join(f"{t}\n" for t in _VOCABULARY))
  return folder


def albert(tmp_path, task):
  """Writes the folder of an ALBERT; returns its path and its pieces."""
  model_file = sentencepiece_model.write(tmp_path / "30k-clean.model")
  pieces = sentencepiece.SentencePieceProcessor(model_file=str(model_file))
  folder = written(tmp_path, "albert", task)
  (folder / "vocab.txt").unlink()
  shutil.copy(model_file, folder / "spiece.model")
  config = json.loads((folder / "config.json").read_text())
  config["vocab_size"] = len(pieces)
  (folder / "config.json").write_text(json.dumps(config))
  weights = numpy_tasks.tensors("albert", task)
  rng = np.random.default_rng(0)
  for name, shape in (
    ("albert.embeddings.word_embeddings.weight", [len(pieces), 8]),
    ("predictions.bias", [len(pieces)]),
  ):
    if name in weights:
      weights[name] = rng.normal(size=shape).astype(np.float32)
  safetensors.numpy.save_file(weights, folder / "model.safetensors")
  return folder, pieces


def export(tmp_path, task, checkpoint, *, level=checks.NONE, **fields):
  exporter = _EXPORTERS[task](
    checkpoint=str(checkpoint),
    **{"do_lower_case": True, "artifacts": ["from_ids"]} | fields,
  )
  path = tmp_path / "exported"
  done = exporting.export(exporter, export_path=str(path), level=level)
  return hub.load(str(path)), done


def inputs(*, padding=True):
  found = small_bert.inputs()
  if not padding:
    found["input_mask"] = tf.ones_like(found["input_mask"])
  return found


def joined(logits):
  """Returns a result as one array, as `numpy_tasks.logits` does."""
  if isinstance(logits, dict):
    return np.stack([logits["start_logits"], logits["end_logits"]], axis=-1)
  return logits.numpy()


_TEXTS = ["word1 word2, word30", "word3", ""]


def packed(*segments, seq_length=24):
  """Returns an encoder's inputs of words of the vocabulary, by hand."""
  ids, types = [2], [0]
  for i, segment in enumerate(segments):
    pieces = [
      _VOCABULARY.index(word) if word in _VOCABULARY else 1
      for word in segment.replace(",", " ,").split()
    ]
    ids += [*pieces, 3]
    types += [i] * (len(pieces) + 1)
  rest = [0] * (seq_length - len(ids))
  return np.array([ids + rest, [1] * len(ids) + rest, types + rest])


def by_numpy(task, weights, *texts):
  """Returns the logits for texts, or for pairs of texts."""
  rows = [packed(*segments) for segments in zip(*texts, strict=True)]
  ids, mask, types = np.stack(rows, axis=1)
  return numpy_tasks.logits("bert", task, weights, ids, mask, types)


def by_rest(signature, instances):
  """Calls a signature with the strings that TF Serving reads from JSON.

  Args:
    signature: The signature.
    instances: The rows of a request: the value of the only input, or those of
      several by their names.
  """
  rows = json.loads(json.dumps({"instances": instances}))["instances"]
  names = list(signature.structured_input_signature[1])
  if len(names) == 1:
    rows = [{names[0]: row} for row in rows]
  return signature(
    **{name: tf.constant([row[name] for row in rows]) for name in names}
  )


def placed_pieces(pieces, text, *, strip=True):
  """Returns the ids of pieces, and the bytes of a text from which they are.

  By Python's own Unicode and SentencePiece's own offsets; without the space
  before a word.

  Args:
    pieces: The SentencePiece processor.
    text: It is lower-cased.
    strip: Whether it loses its diacritics.
  """
  # The letters that are left, and where each comes from.
  found = []
  for at, character in enumerate(text):
    if character.isspace():
      if found and found[-1][0] != " ":
        found.append((" ", at, at + 1))
      continue
    if found and text[at - 1 : at + 1] in _QUOTES and found[-1][0] in "`'":
      found[-1] = ('"', at - 1, at + 1)
      continue
    made = unicodedata.normalize("NFKD", character) if strip else character
    left = [one for one in made if not (strip and unicodedata.combining(one))]
    found += [(one, at, at + 1) for one in "".join(left).lower()]
    if not left and found:
      found[-1] = (*found[-1][:2], at + 1)  # A mark belongs to its letter.
  if found and found[-1][0] == " ":
    del found[-1]
  normalized = "".join(letter for letter, *_ in found)
  made = pieces.encode(normalized, out_type="offset_mapping")
  placed = []
  for id_, (begin, end) in zip(made["ids"], made["offsets"], strict=True):
    if normalized[begin:end].startswith(" "):
      begin += 1
    if begin == end and pieces.IdToPiece(id_) != "▁":
      end += 1  # One of several that SentencePiece makes of a letter.
    start = found[begin][1] if begin < len(found) else len(text)
    limit = found[end - 1][2] if begin < end else start
    placed.append((id_, len(text[:start].encode()), len(text[:limit].encode())))
  return placed


def softmax(x):
  exponents = np.exp(x - x.max(-1, keepdims=True))
  return exponents / exponents.sum(-1, keepdims=True)


class TestHuggingFace:
  """Folders of `transformers`, against NumPy."""

  @pytest.mark.parametrize("task", numpy_tasks.TASKS)
  @pytest.mark.parametrize("kind", numpy_tasks.CLASSES)
  def test_logits_are_those_of_numpy(self, kind, task, tmp_path):
    model, _ = export(tmp_path, task, written(tmp_path, kind, task))
    given = inputs(padding=kind != "mobilebert")
    ids, mask, types = (
      given[n].numpy()
      for n in ("input_word_ids", "input_mask", "input_type_ids")
    )
    weights = numpy_tasks.tensors(kind, task)
    want = numpy_tasks.logits(kind, task, weights, ids, mask, types)
    closeness.assert_close(joined(model(given)), want)

  def test_a_pooler_that_the_task_does_not_use_is_left_out(self, tmp_path):
    """Older versions of `transformers` saved one."""
    weights = numpy_tasks.tensors("bert", SENTENCES)
    weights |= numpy_tasks.tensors("bert", TOKENS)
    folder = written(tmp_path, "bert", TOKENS, tensors=weights)
    model, _ = export(tmp_path, TOKENS, folder)
    assert sorted(model.encoder(inputs())) == [
      "encoder_outputs",
      "sequence_output",
    ]
    assert not [v.name for v in model.variables if "pooler" in v.name]

  def test_rates_are_those_of_the_folder(self, tmp_path):
    folder = written(tmp_path, "bert", SENTENCES, classifier_dropout=0.3)
    exporter = text_task.SentencePredictionExporter(
      checkpoint=str(folder), do_lower_case=True, artifacts=["from_ids"]
    )
    rates = exporter.build().published[""].hyperparameters
    assert {name: rate.default for name, rate in rates.items()} == {
      "dropout_rate": 0.1,
      "attention_dropout_rate": 0.1,
      "head_dropout_rate": 0.3,
    }

  def test_labels_are_those_of_the_folder(self, tmp_path):
    folder = written(tmp_path, "bert", SENTENCES, id2label=_LABELS)
    model, done = export(tmp_path, SENTENCES, folder)
    labels = tf.io.gfile.GFile(model.labels.asset_path.numpy()).read()
    assert labels.split("\n") == ["yes", "no", "perhaps", ""]
    assert not done.artifacts[0].remarks

  def test_a_start_and_an_end_have_no_labels(self, tmp_path):
    names = {"0": "start", "1": "end"}
    folder = written(tmp_path, "bert", SPANS, id2label=names)
    model, _ = export(tmp_path, SPANS, folder)
    assert not hasattr(model, "labels")

  def test_labels_of_a_file(self, tmp_path):
    (tmp_path / "mine.txt").write_text("a\nb\nc\n")
    generic = {str(i): f"LABEL_{i}" for i in range(3)}
    folder = written(tmp_path, "bert", TOKENS, id2label=generic)
    model, _ = export(
      tmp_path, TOKENS, folder, labels_file=str(tmp_path / "mine.txt")
    )
    labels = tf.io.gfile.GFile(model.labels.asset_path.numpy()).read()
    assert labels == "a\nb\nc\n"

  def test_says_if_nothing_names_the_classes(self, tmp_path):
    _, done = export(tmp_path, SENTENCES, written(tmp_path, "bert", SENTENCES))
    (remark,) = done.artifacts[0].remarks
    assert remark.startswith("The classes have no names")

  def test_exported_again(self, tmp_path):
    folder = written(tmp_path, "bert", SENTENCES, id2label=_LABELS)
    model, done = export(tmp_path, SENTENCES, folder)
    (tmp_path / "again").mkdir()
    again, _ = export(
      tmp_path / "again",
      SENTENCES,
      done.artifacts[0].path,
      encoder=small_bert.config(),
    )
    np.testing.assert_array_equal(again(inputs()), model(inputs()))


class TestTf1:
  """Checkpoints of google-research/bert, against NumPy."""

  @pytest.mark.parametrize(
    ("task", "head", "scope"),
    [
      (SENTENCES, "classifier", ""),
      (SPANS, "qa_outputs", "cls/squad/"),
    ],
  )
  def test_logits_are_those_of_numpy(self, task, head, scope, tmp_path):
    weights = numpy_tasks.tensors("bert", task)
    plain = {n: v for n, v in weights.items() if not n.startswith(head)}
    # It always has a pooler.
    plain |= {
      name: value
      for name, value in numpy_tasks.tensors("bert", SENTENCES).items()
      if "pooler" in name
    }
    found = checkpoint_files.tf1_names(plain)
    found[f"{scope}output_weights"] = weights[f"{head}.weight"]
    found[f"{scope}output_bias"] = weights[f"{head}.bias"]
    checkpoint_files.save_tf1(tmp_path / "model.ckpt-10", found)
    (tmp_path / "vocab.txt").write_text("\n".join(_VOCABULARY))
    model, _ = export(
      tmp_path,
      task,
      tmp_path / "model.ckpt-10",
      encoder=small_bert.config(hidden_activation="exporters>exact_gelu"),
    )
    given = inputs()
    ids, mask, types = (
      given[n].numpy()
      for n in ("input_word_ids", "input_mask", "input_type_ids")
    )
    want = numpy_tasks.logits("bert", task, weights, ids, mask, types)
    closeness.assert_close(joined(model(given)), want)


class TestModelGarden:
  """Checkpoints of Model Garden's own tasks."""

  @staticmethod
  def sentence_prediction(pooler):
    return sentence_prediction.SentencePredictionTask(
      sentence_prediction.SentencePredictionConfig(
        model=sentence_prediction.ModelConfig(
          num_classes=3,
          use_encoder_pooler=pooler,
          encoder=small_bert.config(),
        )
      )
    )

  @staticmethod
  def tagging():
    return tagging.TaggingTask(
      tagging.TaggingConfig(
        model=tagging.ModelConfig(
          encoder=small_bert.config(), head_dropout=0.2
        ),
        class_names=["yes", "no", "perhaps"],
      )
    )

  @staticmethod
  def question_answering():
    return question_answering.QuestionAnsweringTask(
      question_answering.QuestionAnsweringConfig(
        model=question_answering.ModelConfig(encoder=small_bert.config()),
        validation_data=None,
      )
    )

  def written(self, tmp_path, task):
    """Writes what a training leaves; returns the model and the folder."""
    model = task.build_model()
    small_bert.randomize(model, seed=3)
    folder = tmp_path / "training"
    folder.mkdir()
    tf.train.Checkpoint(
      model=model, global_step=tf.Variable(10, dtype=tf.int64)
    ).save(str(folder / "ckpt"))
    small_bert.write_vocabulary(folder / "vocab.txt")
    content = {"task": task.task_config.as_dict()}
    (folder / "params.yaml").write_text(yaml.safe_dump(content))
    return model, folder

  @pytest.mark.parametrize("pooler", [True, False])
  def test_sentence_prediction(self, pooler, tmp_path):
    task = self.sentence_prediction(pooler)
    trained, folder = self.written(tmp_path, task)
    model, _ = export(tmp_path, SENTENCES, folder)
    closeness.assert_close(model(inputs()), trained(inputs()))
    # By hand: the encoder's 37, its pooler or that of the head, the logits.
    assert len(model.trainable_variables) == 5 + 2 * 16 + 2 + 2
    assert len(model.encoder.trainable_variables) == 5 + 2 * 16 + 2 * pooler
    assert ("pooled_output" in model.encoder(inputs())) == pooler

  def test_tagging(self, tmp_path):
    trained, folder = self.written(tmp_path, self.tagging())
    model, _ = export(tmp_path, TOKENS, folder)
    closeness.assert_close(model(inputs()), trained(inputs())["logits"])
    labels = tf.io.gfile.GFile(model.labels.asset_path.numpy()).read()
    assert labels == "yes\nno\nperhaps\n"

  def test_of_an_encoder_that_keeps_its_pooler(self, tmp_path):
    """Model Garden's second BERT is not a functional model."""
    encoder = encoders.config("bert_v2")
    task = tagging.TaggingTask(
      tagging.TaggingConfig(
        model=tagging.ModelConfig(encoder=encoder), class_names=["yes", "no"]
      )
    )
    trained, folder = self.written(tmp_path, task)
    model, _ = export(tmp_path, TOKENS, folder)
    closeness.assert_close(model(inputs()), trained(inputs())["logits"])
    assert "pooled_output" not in model.encoder(inputs())
    for callable_ in (model, model.encoder):
      names = [v.name for v in callable_.trainable_variables]
      assert names
      assert not [name for name in names if "pooler" in name]

  def test_question_answering(self, tmp_path):
    trained, folder = self.written(tmp_path, self.question_answering())
    model, _ = export(tmp_path, SPANS, folder)
    start, end = trained(inputs())
    got = model(inputs())
    closeness.assert_close(got["start_logits"], start)
    closeness.assert_close(got["end_logits"], end)

  @pytest.mark.parametrize("parts", ["items", "model", "both"])
  def test_masked_words(self, parts, tmp_path):
    """With a next sentence head, as far as its checkpoint names the others."""
    pretrainer = small_bert.pretrainer()
    if parts == "model":
      pretrainer = models.BertPretrainerV2(
        pretrainer.encoder_network, customized_masked_lm=pretrainer.masked_lm
      )
    held = {} if parts == "model" else pretrainer.checkpoint_items
    held |= {} if parts == "items" else {"model": pretrainer}
    prefix = tf.train.Checkpoint(**held).write(str(tmp_path / "ckpt"))
    small_bert.write_vocabulary(tmp_path / "vocab.txt")
    model, done = export(
      tmp_path,
      WORDS,
      prefix,
      encoder=small_bert.config(),
      artifacts=["from_text"],
      default_seq_length=16,
      level=checks.BASIC,
    )
    given = inputs()
    positions = np.tile(np.arange(8, dtype=np.int32), [2, 1])
    want = pretrainer(given | {"masked_lm_positions": positions})["mlm_logits"]
    closeness.assert_close(model.from_ids(given), want)
    assert "pooled_output" not in model.from_ids.encoder(given)
    # By hand: the encoder without its pooler, and the head.
    assert len(model.trainable_variables) == 5 + 2 * 16 + 5
    got = model(tf.constant(["hello [MASK]!"]))
    assert got["start"][0, 0] == 6
    (remark,) = done.artifacts[0].remarks
    assert "one token of the vocabulary" in remark

  def test_a_regressor_has_one_logit(self, tmp_path):
    task = sentence_prediction.SentencePredictionTask(
      sentence_prediction.SentencePredictionConfig(
        model=sentence_prediction.ModelConfig(
          num_classes=1, encoder=small_bert.config()
        )
      )
    )
    trained, folder = self.written(tmp_path, task)
    model, done = export(tmp_path, SENTENCES, folder)
    assert model(inputs()).shape == [2, 1]
    closeness.assert_close(model(inputs()), trained(inputs()))
    assert not done.artifacts[0].remarks

  def test_the_trainings_file_must_be_of_this_task(self, tmp_path):
    _, folder = self.written(tmp_path, self.tagging())
    with pytest.raises(
      ExportError, match=r"params.yaml' is of a model for tag"
    ):
      export(tmp_path, SENTENCES, folder)

  @pytest.mark.parametrize(
    ("task", "match"),
    [
      (SPANS, "the checkpoint is of another task, with the same layers"),
      (SENTENCES, "has no head for sentence prediction; it is of the encoder"),
    ],
  )
  def test_the_weights_must_be_of_this_task(self, task, match, tmp_path):
    _, folder = self.written(tmp_path, self.tagging())
    (folder / "params.yaml").unlink()
    with pytest.raises(ExportError, match=match):
      export(tmp_path, task, folder, encoder=small_bert.config())


class TestMistakes:
  """What a folder states contradicts the gin file or the weights."""

  def refused(self, tmp_path, task, folder, match, **fields):
    with pytest.raises(ExportError, match=match):
      export(tmp_path, task, folder, **fields)

  def test_another_task(self, tmp_path):
    self.refused(
      tmp_path,
      SENTENCES,
      written(tmp_path, "bert", TOKENS),
      r"config.json' is of a model for tagging \(BertForTokenClassification\), "
      "not for sentence prediction. Export it with text_task.TaggingExporter",
    )

  def test_an_encoder_alone(self, tmp_path):
    weights = numpy_tasks.tensors("bert", SENTENCES)
    weights = {n: v for n, v in weights.items() if "classifier" not in n}
    folder = written(
      tmp_path, "bert", SENTENCES, tensors=weights, architectures=["BertModel"]
    )
    self.refused(
      tmp_path,
      SENTENCES,
      folder,
      "has no head for sentence prediction; it is a BertModel. Use the",
    )

  @pytest.mark.parametrize(
    ("config", "match"),
    [
      ({"num_labels": 4}, "there are 4 classes, but the head in .* 3 logits"),
      ({"id2label": {"0": "a", "1": "b"}}, "there are 2 classes, but"),
      ({"num_labels": 3, "id2label": {"0": "a"}}, "names 1 classes, but"),
      ({"id2label": {"1": "a", "2": "b"}}, "does not give each class from 0"),
      ({"id2label": ["a", "b", "c"]}, "does not give each class from 0"),
      ({"num_labels": "3"}, "num_labels = '3', which is not a number"),
      ({"problem_type": "ranking"}, "problem_type = 'ranking'; known are"),
      (
        {"classifier_dropout": 2},
        "classifier_dropout = 2, which is not a rate",
      ),
    ],
  )
  def test_a_config_that_cannot_be_right(self, config, match, tmp_path):
    folder = written(tmp_path, "bert", SENTENCES, **config)
    self.refused(tmp_path, SENTENCES, folder, match)

  def test_a_generic_name_for_some_other_number_of_classes(self, tmp_path):
    """As `transformers` once wrote beside num_labels."""
    generic = {"0": "LABEL_0", "1": "LABEL_1"}
    folder = written(
      tmp_path, "bert", SENTENCES, num_labels=3, id2label=generic
    )
    model, _ = export(tmp_path, SENTENCES, folder)
    assert model(inputs()).shape == [2, 3]

  def test_other_names_than_the_folders(self, tmp_path):
    (tmp_path / "mine.txt").write_text("yes\nmaybe\nperhaps\n")
    self.refused(
      tmp_path,
      SENTENCES,
      written(tmp_path, "bert", SENTENCES, id2label=_LABELS),
      "differently: class 1 is 'maybe' and 'no'",
      labels_file=str(tmp_path / "mine.txt"),
    )

  def test_too_few_names(self, tmp_path):
    (tmp_path / "mine.txt").write_text("yes\nno\n")
    self.refused(
      tmp_path,
      SENTENCES,
      written(tmp_path, "bert", SENTENCES),
      "names 2 classes, but the model has 3 logits",
      labels_file=str(tmp_path / "mine.txt"),
    )

  def test_another_problem_than_the_folders(self, tmp_path):
    self.refused(
      tmp_path,
      SENTENCES,
      written(
        tmp_path, "bert", SENTENCES, problem_type="multi_label_classification"
      ),
      "problem_type: 'regression' in the gin file, 'multi_label_class",
      problem_type="regression",
    )

  def test_an_unknown_problem(self, tmp_path):
    self.refused(
      tmp_path,
      SENTENCES,
      written(tmp_path, "bert", SENTENCES),
      "problem_type = 'ranking' must be one of 'regression'",
      problem_type="ranking",
    )

  def test_an_activation_that_nothing_states(self, tmp_path):
    folder = written(tmp_path, "distilbert", SENTENCES)
    self.refused(
      tmp_path,
      SENTENCES,
      folder,
      "head_activation = 'tanh' in the gin file, but .* has 'relu'",
      head_activation="tanh",
    )
    _, done = export(tmp_path, SENTENCES, folder)
    (tmp_path / "again").mkdir()
    self.refused(
      tmp_path / "again",
      SENTENCES,
      done.artifacts[0].path,
      "does not say what follows the inner dense layer",
      encoder=small_bert.config(hidden_activation="exporters>exact_gelu"),
    )

  def test_a_damaged_training_file(self, tmp_path):
    _, folder = TestModelGarden().written(tmp_path, TestModelGarden.tagging())
    content = {"task": {"class_names": [1, 2, 3]}}
    (folder / "params.yaml").write_text(json.dumps(content))
    self.refused(
      tmp_path,
      TOKENS,
      folder,
      r"says task.class_names = \[1, 2, 3\], which can't be right",
      encoder=small_bert.config(),
    )


class TestFromText:
  """Strings in, answers out."""

  def exported(self, tmp_path, task, config=None, **fields):
    folder = written(tmp_path, "bert", task, **(config or {}))
    model, _ = export(
      tmp_path,
      task,
      folder,
      artifacts=["from_text"],
      default_seq_length=24,
      **fields,
    )
    return model, numpy_tasks.tensors("bert", task)

  def test_a_text(self, tmp_path):
    model, weights = self.exported(tmp_path, SENTENCES, {"id2label": _LABELS})
    serve = model.signatures["serving_default"]
    got = serve(inputs=tf.constant(_TEXTS))
    want = by_numpy(SENTENCES, weights, _TEXTS)
    closeness.assert_close(got["logits"], want)
    closeness.assert_close(got["probabilities"], softmax(want))
    assert list(got["label"].numpy()) == [
      list(_LABELS.values())[i].encode() for i in want.argmax(-1)
    ]
    rest = by_rest(serve, _TEXTS)
    assert rest["label"].numpy().tolist() == got["label"].numpy().tolist()
    longer = model(tf.constant(_TEXTS), seq_length=30)
    closeness.assert_close(longer["logits"], want)

  def test_a_text_that_is_cut(self, tmp_path):
    model, weights = self.exported(tmp_path, SENTENCES)
    got = model(tf.constant([" ".join(["word1"] * 40)]))
    want = by_numpy(SENTENCES, weights, [" ".join(["word1"] * 22)])
    closeness.assert_close(got["logits"], want)

  def test_a_pair(self, tmp_path):
    model, weights = self.exported(tmp_path, SENTENCES, pairs=True)
    others = ["word9", "word7 word8", "word2"]
    got = model.signatures["serving_default"](
      text=tf.constant(_TEXTS), text_pair=tf.constant(others)
    )
    want = by_numpy(SENTENCES, weights, _TEXTS, others)
    closeness.assert_close(got["logits"], want)
    assert "label" not in got

  def test_several_labels_at_once(self, tmp_path):
    config = {
      "problem_type": "multi_label_classification",
      "id2label": _LABELS,
    }
    model, weights = self.exported(tmp_path, SENTENCES, config)
    got = model(tf.constant(_TEXTS))
    want = by_numpy(SENTENCES, weights, _TEXTS)
    closeness.assert_close(got["probabilities"], 1 / (1 + np.exp(-want)))
    assert "label" not in got

  def test_a_regression_has_no_probabilities(self, tmp_path):
    model, weights = self.exported(
      tmp_path, SENTENCES, problem_type="regression"
    )
    got = model(tf.constant(_TEXTS))
    assert sorted(got) == ["logits"]
    closeness.assert_close(got["logits"], by_numpy(SENTENCES, weights, _TEXTS))

  def test_each_token(self, tmp_path):
    model, weights = self.exported(tmp_path, TOKENS, {"id2label": _LABELS})
    got = model(tf.constant(["word1  WÖRD,word2"]))
    mask = np.arange(24) < 6
    want = by_numpy(TOKENS, weights, ["word1 word , word2"])
    closeness.assert_close(got["logits"][0][mask], want[0][mask])
    closeness.assert_close(
      got["probabilities"][0][mask], softmax(want)[0][mask]
    )
    names = [v.encode() for v in _LABELS.values()]
    assert list(got["label"][0][mask].numpy()) == [
      names[i] for i in want[0].argmax(-1)[mask]
    ]
    # In bytes; nothing for [CLS], [SEP] and padding.
    assert got["start"][0].numpy().tolist() == [-1, 0, 7, 12, 13] + [-1] * 19
    assert got["limit"][0].numpy().tolist() == [-1, 5, 12, 13, 18] + [-1] * 19

  def test_offsets_are_bytes_of_the_text_itself(self, tmp_path):
    """Not of what becomes of it before its words are looked up."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = [*_VOCABULARY[:5], "angstrom", "naive", "東", "京", "!"]
    # A syllable in two tokens.
    tokens += ["\u1112\u1161", "##\u11ab"]
    tokens += [*letters, *(f"##{letter}" for letter in letters)]
    folder = tmp_path / "vocabulary"
    folder.mkdir()
    small_bert.write_vocabulary(folder / "vocab.txt", tokens)
    (folder / "tokenizer_config.json").write_text(
      json.dumps({"tokenizer_class": "BertTokenizer"})
    )
    source = wordpiece_source.read(
      vocab_file=str(folder), stated={"do_lower_case": True}
    )
    tokenizer = source.tokenizer()
    texts = ["Ångström naïve東京!", "", "a [SEP] B\u0301b İx [MASK]🙂", "한 a"]
    ids, starts, limits = tokenizer.tokenize_with_source_offsets(
      tf.constant(texts)
    )
    assert ids.to_list() == (
      tokenizer.tokenize(tf.constant(texts)).merge_dims(1, 2).to_list()
    )
    found = [
      [text.encode()[i:j].decode() for i, j in zip(*offsets, strict=True)]
      for text, *offsets in zip(
        texts, starts.to_list(), limits.to_list(), strict=True
      )
    ]
    assert found == [
      ["Ångström", "naïve", "東", "京", "!"],
      [],
      ["a", "[SEP]", "B\u0301", "b", "İ", "x", "[MASK]", "🙂"],
      ["한", "한", "a"],
    ]

  def test_an_answer(self, tmp_path):
    model, weights = self.exported(tmp_path, SPANS, max_answer_length=3)
    questions = ["word3 word4", "word1"]
    contexts = ["Wörd5 word6, WORD7 word8 word9", ""]
    got = model.signatures["serving_default"](
      question=tf.constant(questions), context=tf.constant(contexts)
    )
    plain = ["word5 word6, word7 word8 word9", ""]
    want = by_numpy(SPANS, weights, questions, plain)
    closeness.assert_close(got["start_logits"], want[:, :, 0])
    closeness.assert_close(got["end_logits"], want[:, :, 1])
    # [CLS], two words and [SEP] come first; six tokens of the context.
    starts, ends = softmax(want[0][[0, *range(4, 10)]].T)
    spans = {
      (i, j): starts[i] * ends[j]
      for i in range(1, 7)
      for j in range(i, min(i + 3, 7))
    }
    first, last = max(spans, key=lambda span: spans[span])
    closeness.assert_close(got["probability"][0], spans[first, last])
    closeness.assert_close(got["null_probability"][0], starts[0] * ends[0])
    words = [(0, 6), (7, 12), (12, 13), (14, 19), (20, 25), (26, 31)]
    start, limit = words[first - 1][0], words[last - 1][1]
    assert got["answer_start"][0] == start
    assert got["answer_limit"][0] == limit
    assert got["answer"][0] == contexts[0].encode()[start:limit]
    rest = by_rest(
      model.signatures["serving_default"],
      [
        {"question": question, "context": context}
        for question, context in zip(questions, contexts, strict=True)
      ],
    )
    assert rest["answer"].numpy().tolist() == got["answer"].numpy().tolist()
    assert got["answer"][1] == b""
    assert got["probability"][1] == 0

  def test_tensorflows_own_command_calls_it(self, tmp_path):
    self.exported(tmp_path, SPANS)
    program = (
      "import tensorflow_text\n"
      "from tensorflow.python.tools import saved_model_cli\n"
      "saved_model_cli.main()\n"
    )
    done = subprocess.run(
      [
        *(sys.executable, "-c", program, "run"),
        *("--dir", str(tmp_path / "exported"), "--tag_set", "serve"),
        *("--signature_def", "serving_default"),
        *("--input_exprs", 'question=["word3"];context=["word5 word5"]'),
      ],
      capture_output=True,
      check=True,
      text=True,
    )
    assert "Result for output key answer:" in done.stdout
    assert re.search(r"\[b'word5( word5)?'\]", done.stdout)

  def test_masked_words(self, tmp_path):
    model, weights = self.exported(tmp_path, WORDS, words_per_mask=3)
    texts = ["Wörd5 [MASK] word6, [MASK]", "word1[MASK]", "word2 [mask]", ""]
    got = model.signatures["serving_default"](inputs=tf.constant(texts))
    plain = ["word5 [MASK] word6, [MASK]", "word1 [MASK]", "", ""]
    want = softmax(by_numpy(WORDS, weights, plain))
    # After [CLS].
    masks = [(0, 2), (0, 5), (1, 2)]
    best = np.array([want[mask].argsort()[::-1][:3] for mask in masks])
    likely = np.array(
      [want[mask][ids] for mask, ids in zip(masks, best, strict=True)]
    )
    found = [(0, 0), (0, 1), (1, 0)]
    for mask, ids, shares in zip(found, best, likely, strict=True):
      np.testing.assert_array_equal(got["ids"][mask], ids)
      closeness.assert_close(got["probabilities"][mask], shares)
      assert list(got["tokens"][mask].numpy()) == [
        _VOCABULARY[i].encode() for i in ids
      ]
    rest = by_rest(model.signatures["serving_default"], texts)
    np.testing.assert_array_equal(rest["ids"], got["ids"])
    # No mask: "[mask]" is three words to this tokenizer.
    assert got["ids"].shape == [4, 2, 3]
    for row, column in [(1, 1), (2, 0), (2, 1), (3, 0), (3, 1)]:
      assert set(got["ids"][row, column].numpy()) == {-1}
      assert set(got["tokens"][row, column].numpy()) == {b""}
      assert got["start"][row, column] == got["limit"][row, column] == -1
    spans = [
      texts[row].encode()[got["start"][row, i] : got["limit"][row, i]]
      for row, i in found
    ]
    assert spans == [b"[MASK]"] * 3
    assert got["start"][0, 0] == len("Wörd5 ".encode())

  def test_a_mask_that_is_cut_off(self, tmp_path):
    model, _ = self.exported(tmp_path, WORDS)
    words = " ".join(["word1"] * 21)
    got = model(tf.constant([f"{words} [MASK] [MASK]", "word2"]))
    assert got["ids"].shape == [2, 1, 5]
    assert got["start"][0, 0] == len(words) + 1
    assert model(tf.constant(["word2"]))["ids"].shape == [1, 0, 5]

  def test_of_a_long_context_the_end_is_cut(self, tmp_path):
    model, weights = self.exported(tmp_path, SPANS)
    got = model(
      {
        "question": tf.constant(["word3 word4"]),
        "context": tf.constant([" ".join(["word5"] * 40)]),
      }
    )
    cut = " ".join(["word5"] * 19)
    want = by_numpy(SPANS, weights, ["word3 word4"], [cut])
    closeness.assert_close(got["start_logits"], want[:, :, 0])

  def test_a_long_context_in_windows(self, tmp_path):
    """Of Model Garden's code, by the rule of `transformers`."""
    model, weights = self.exported(
      tmp_path, SPANS, max_answer_length=3, doc_stride=5
    )
    rng = np.random.default_rng(0)
    contexts = [
      " ".join(f"word{i}" for i in rng.integers(35, size=size))
      for size in (60, 19, 20, 3)
    ]
    questions = ["word3 word4", "word3 word4", "word1 word2", "word1"]
    got = model(
      {"question": tf.constant(questions), "context": tf.constant(contexts)}
    )
    small_bert.write_vocabulary(tmp_path / "vocab.txt", _VOCABULARY)
    tokenizer = tokenization.FullTokenizer(str(tmp_path / "vocab.txt"))
    counts = []
    for row, (question, context) in enumerate(
      zip(questions, contexts, strict=True)
    ):
      features = []
      squad_lib.convert_examples_to_features(
        [squad_lib.SquadExample(str(row), question, context.split())],
        tokenizer,
        max_seq_length=24,
        doc_stride=5,
        max_query_length=64,
        is_training=False,
        output_fn=lambda feature, is_padding: (
          is_padding or features.append(feature)  # noqa: B023 - called at once.
        ),
        batch_size=1,
      )
      counts.append(len(features))
      logits = numpy_tasks.logits(
        "bert",
        SPANS,
        weights,
        *(
          np.array([getattr(feature, name) for feature in features])
          for name in ("input_ids", "input_mask", "segment_ids")
        ),
      )
      found, nulls = [], []
      for window, (feature, of_window) in enumerate(
        zip(features, logits, strict=True)
      ):
        words = feature.token_to_orig_map
        starts, ends = softmax(of_window[[0, *words]].T)
        nulls.append(starts[0] * ends[0])
        found += [
          (s * e, words[i], words[j], window)
          for i, s in zip(words, starts[1:], strict=True)
          for j, e in zip(words, ends[1:], strict=True)
          if i <= j < i + 3
        ]
      probability, first, last, window = max(found)
      closeness.assert_close(got["probability"][row], probability)
      closeness.assert_close(got["null_probability"][row], min(nulls))
      closeness.assert_close(got["start_logits"][row], logits[window, :, 0])
      closeness.assert_close(got["end_logits"][row], logits[window, :, 1])
      answer = " ".join(context.split()[first : last + 1])
      assert got["answer"][row] == answer.encode()
      start = len(" ".join([*context.split()[:first], ""]))
      assert got["answer_start"][row] == start
      assert got["answer_limit"][row] == start + len(answer)
    # Room for 19 words; after the first window, 5 more by each.
    assert counts == [10, 1, 2, 1]

  def test_windows_pass_the_checks(self, tmp_path):
    folder, _ = albert(tmp_path, SPANS)
    model, done = export(
      tmp_path,
      SPANS,
      folder,
      artifacts=["from_text"],
      default_seq_length=16,
      doc_stride=8,
      level=checks.BASIC,
    )
    (remark,) = done.artifacts[0].remarks
    assert "each begins 8 tokens after the one before" in remark
    # The question fills the sequence; and a batch of none.
    got = model(
      {
        "question": tf.constant(["a quick brown fox jumps over a lazy dog"]),
        "context": tf.constant(["hello world"]),
      }
    )
    assert got["answer"][0] == b""
    assert got["probability"][0] == 0
    none = tf.zeros([0], tf.string)
    got = model({"question": none, "context": none})
    assert got["answer"].shape == got["null_probability"].shape == [0]

  def test_a_stride_that_does_not_move(self, tmp_path):
    with pytest.raises(ExportError, match="doc_stride = 0 is not a number of"):
      export(tmp_path, SPANS, written(tmp_path, "bert", SPANS), doc_stride=0)

  def test_text_that_is_split_in_another_way(self, tmp_path):
    folder = written(tmp_path, "bert", SENTENCES)
    (folder / "tokenizer_config.json").write_text(
      json.dumps({"tokenizer_class": "BertJapaneseTokenizer"})
    )
    with pytest.raises(ExportError, match=r"artifacts = \['from_ids'\]"):
      export(
        tmp_path,
        SENTENCES,
        folder,
        artifacts=["from_text"],
        default_seq_length=24,
      )

  @pytest.mark.parametrize("strip", [True, False])
  def test_offsets_of_sentencepieces_are_bytes_of_the_text_itself(
    self, strip, tmp_path
  ):
    folder, pieces = albert(tmp_path, SPANS)
    (folder / "tokenizer_config.json").write_text(
      json.dumps({"keep_accents": not strip})
    )
    source = sentencepiece_source.read(
      sp_model_file=str(folder), stated={"do_lower_case": True}
    )
    tokenizer = source.tokenizer()
    texts = [
      "Hello  world",
      " \u2003Ångström\u00a0 nai\u0308ve 東京!  ",
      "a ``quick'' ''' fox",
      "한국어 Ｈéllo ㍿ world½ …",
      "İx 🙂 e\u0301\u0323e \x01 ς Σ",
      "",
      " ",
    ]
    ids, starts, limits = tokenizer.tokenize_with_source_offsets(
      tf.constant(texts)
    )
    whole = tokenizer.tokenize(tf.constant(texts))
    assert ids.to_list() == whole.to_list()
    for text, *got in zip(
      texts, ids.to_list(), starts.to_list(), limits.to_list(), strict=True
    ):
      want = placed_pieces(pieces, text, strip=strip)
      assert [*zip(*got, strict=True)] == want, text
    # Tokens that are kept whole, and bytes that are no letters.
    awkward = tf.constant(["a [MASK] b[SEP]", "a\0 b", b"a\xff b"])
    _, *offsets = tokenizer.tokenize_with_source_offsets(awkward)
    found = [
      [text[i:j] for i, j in zip(*both, strict=True) if i < j]
      for text, *both in zip(
        tokenizer.source(awkward).numpy(),
        *(ragged.to_list() for ragged in offsets),
        strict=True,
      )
    ]
    assert found == [
      [b"a", b"[MASK]", b"b", b"[SEP]"],
      [b"a", "\ufdd0".encode(), b"b"],
      [b"a", b"b"],
    ]

  def test_an_answer_in_sentencepieces(self, tmp_path):
    folder, pieces = albert(tmp_path, SPANS)
    model, done = export(
      tmp_path,
      SPANS,
      folder,
      artifacts=["from_text"],
      default_seq_length=32,
      max_answer_length=4,
      level=checks.BASIC,
    )
    (remark,) = done.artifacts[0].remarks
    assert "only the beginning is searched" in remark
    question = "Où?"
    contexts = [
      "Hello  world, naïve cafés",
      "  Ångström et Ｊalapeño…",
      "東京 ½ ``fox'' 🙂 dog",
      "",
    ]
    got = model(
      {
        "question": tf.constant([question] * len(contexts)),
        "context": tf.constant(contexts),
      }
    )
    weights = safetensors.numpy.load_file(folder / "model.safetensors")
    start_id, end_id = (pieces.PieceToId(p) for p in ("[CLS]", "[SEP]"))
    asked = [id_ for id_, *_ in placed_pieces(pieces, question)]
    for i, context in enumerate(contexts):
      placed = placed_pieces(pieces, context)
      first = [start_id, *asked, end_id]
      ids = [*first, *(id_ for id_, *_ in placed), end_id]
      rest = [0] * (32 - len(ids))
      row = [
        ids + rest,
        [1] * len(ids) + rest,
        [0] * len(first) + [1] * (len(placed) + 1) + rest,
      ]
      (want,) = numpy_tasks.logits(
        "albert", SPANS, weights, *np.array(row)[:, np.newaxis]
      )
      closeness.assert_close(got["start_logits"][i], want[:, 0])
      closeness.assert_close(got["end_logits"][i], want[:, 1])
      starts, ends = softmax(
        want[[0, *range(len(first), len(first) + len(placed))]].T
      )
      spans = {
        (first, last): starts[first + 1] * ends[last + 1]
        for first in range(len(placed))
        for last in range(first, min(first + 4, len(placed)))
      }
      if not spans:
        assert got["answer"][i] == b""
        continue
      first, last = max(spans, key=lambda span: spans[span])
      closeness.assert_close(got["probability"][i], spans[first, last])
      start, limit = placed[first][1], placed[last][2]
      assert got["answer_start"][i] == start
      assert got["answer_limit"][i] == limit
      assert got["answer"][i] == context.encode()[start:limit]

  def test_masked_pieces_of_a_sentencepiece_model(self, tmp_path):
    folder, pieces = albert(tmp_path, WORDS)
    model, _ = export(
      tmp_path,
      WORDS,
      folder,
      artifacts=["from_text"],
      default_seq_length=24,
      level=checks.BASIC,
    )
    text = "Ｈéllo [MASK] world [MASK]"
    got = model(tf.constant([text]))
    assert got["ids"].shape == [1, 2, 5]
    for ids, tokens in zip(got["ids"][0], got["tokens"][0], strict=True):
      assert [pieces.IdToPiece(int(i)).encode() for i in ids] == list(
        tokens.numpy()
      )
    before = text.encode().index(b"[MASK]")
    assert got["start"][0].numpy().tolist() == [before, before + 13]

  def test_a_model_of_masked_words_is_not_another(self, tmp_path):
    folder = written(tmp_path, "bert", WORDS)
    with pytest.raises(
      ExportError, match=r"of a model for masked words \(BertForMaskedLM\), not"
    ):
      export(tmp_path, TOKENS, folder)
    with pytest.raises(ExportError, match="words_per_mask = 41 must be"):
      export(tmp_path, WORDS, folder, words_per_mask=41)

  def test_both_artifacts(self, tmp_path):
    folder = written(tmp_path, "bert", SENTENCES)
    exporter = text_task.SentencePredictionExporter(
      checkpoint=str(folder), do_lower_case=True, default_seq_length=24
    )
    published = exporter.build().published
    assert sorted(published) == ["from_ids", "from_text"]
    assert published["from_text"].sub_objects == {
      "from_ids": published["from_ids"]
    }

  def test_the_most_tokens_leave_nothing_to_set(self, tmp_path):
    folder = written(tmp_path, "bert", SENTENCES)
    exporter = text_task.SentencePredictionExporter(
      checkpoint=str(folder), do_lower_case=True, default_seq_length=32
    )
    published = exporter.build().published
    assert "seq_length" not in published["from_text"].hyperparameters

  @pytest.mark.parametrize(
    ("fields", "match"),
    [
      ({"artifacts": "from_text"}, r"Write \['from_text'\], with square"),
      ({"artifacts": []}, "must name 'from_ids' or 'from_text', or both"),
      ({"artifacts": ["logits"]}, "must name 'from_ids' or 'from_text'"),
      ({"default_seq_length": 2}, "leaves no room for a token"),
      ({"default_seq_length": 33}, "more than the model takes: 32, by max_p"),
    ],
  )
  def test_refuses(self, fields, match, tmp_path):
    folder = written(tmp_path, "bert", SENTENCES)
    with pytest.raises(ExportError, match=match):
      export(
        tmp_path, SENTENCES, folder, **{"artifacts": ["from_text"]} | fields
      )
