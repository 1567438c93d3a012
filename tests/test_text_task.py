"""Fine-tuned text models, against NumPy and against Model Garden's own code."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
from official.nlp.modeling import models
from official.nlp.tasks import question_answering
from official.nlp.tasks import sentence_prediction
from official.nlp.tasks import tagging
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
    texts = ["Ångström naïve東京!", "", "a [SEP] B\u0301b İx [MASK]🙂"]
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

  def test_pieces_of_a_sentencepiece_model(self, tmp_path):
    folder, _ = albert(tmp_path, SPANS)
    model, done = export(
      tmp_path,
      SPANS,
      folder,
      artifacts=["from_text"],
      default_seq_length=24,
      level=checks.BASIC,
    )
    assert [r for r in done.artifacts[0].remarks if "can't tell where" in r]
    got = model(
      {"question": tf.constant(["Hello"]), "context": tf.constant(["world"])}
    )
    # Its offsets are not those of the text.
    assert "answer" not in got
    assert got["probability"][0] > 0

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
