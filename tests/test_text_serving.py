"""What Model Garden's command serves, against Model Garden's own exporter."""

import filecmp
import io
import re

import numpy as np
from official.core import export_base
from official.nlp.configs import bert
from official.nlp.serving import export_savedmodel
from official.nlp.serving import export_savedmodel_util
from official.nlp.serving import serving_modules
from official.nlp.tasks import masked_lm
from official.nlp.tasks import question_answering
from official.nlp.tasks import sentence_prediction
from official.nlp.tasks import tagging
from official.nlp.tasks import translation
import pytest
import sentencepiece
import tensorflow as tf
import tensorflow_hub as hub
import yaml

from exporters import checks
from exporters.errors import ExportError
from tests import closeness
from tests import command
from tests import small_bert
from tests import wheels

_THEIRS = wheels.module("official.core.export_base")

_LENGTH = 8
_EXAMPLES = {"serve": "serving_default", "serve_examples": "of_examples"}


def _sentence_prediction(folder, **params):
  task = sentence_prediction.SentencePredictionTask(
    sentence_prediction.SentencePredictionConfig(
      model=sentence_prediction.ModelConfig(
        encoder=small_bert.config(), num_classes=3
      )
    )
  )
  vocabulary = small_bert.write_vocabulary(folder / "vocab.txt")
  params = {
    "parse_sequence_length": _LENGTH,
    "text_fields": ["one", "other"],
    "vocab_file": str(vocabulary),
    "inputs_only": False,
  } | params
  return task, serving_modules.SentencePrediction.Params(**params)


def _of_ids_alone(folder):
  return _sentence_prediction(folder, inputs_only=True)


def _tagging(folder):
  del folder
  task = tagging.TaggingTask(
    tagging.TaggingConfig(
      model=tagging.ModelConfig(encoder=small_bert.config()),
      class_names=["yes", "no", "perhaps"],
    )
  )
  return task, serving_modules.Tagging.Params(
    parse_sequence_length=_LENGTH,
    use_v2_feature_names=False,
    output_encoder_outputs=True,
  )


def _question_answering(folder):
  del folder
  task = question_answering.QuestionAnsweringTask(
    question_answering.QuestionAnsweringConfig(
      model=question_answering.ModelConfig(encoder=small_bert.config()),
      validation_data=None,
    )
  )
  return task, serving_modules.QuestionAnswering.Params(
    parse_sequence_length=_LENGTH
  )


def _masked_lm(folder):
  del folder
  head = bert.ClsHeadConfig(inner_dim=16, num_classes=2, name="next_sentence")
  task = masked_lm.MaskedLMTask(
    masked_lm.MaskedLMConfig(
      model=bert.PretrainerConfig(encoder=small_bert.config(), cls_heads=[head])
    )
  )
  return task, serving_modules.MaskedLM.Params(
    parse_sequence_length=_LENGTH, max_predictions_per_seq=3
  )


def _translation(folder):
  model = io.BytesIO()
  sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(["abc ede fg", "bbcd ef a g", "gef cd ba"]),
    model_writer=model,
    vocab_size=13,
    model_type="bpe",
    num_threads=1,
    minloglevel=2,
    **{"bos_id": -1, "pad_id": 0, "eos_id": 1, "unk_id": 2},
  )
  file = folder / "pieces.model"
  file.write_bytes(model.getvalue())
  part = translation.EncDecoder(
    num_layers=1, num_attention_heads=2, intermediate_size=16
  )
  task = translation.TranslationTask(
    translation.TranslationConfig(
      model=translation.ModelConfig(
        encoder=part, decoder=part, embedding_width=16, decode_max_length=12
      ),
      sentencepiece_model_path=str(file),
    )
  )
  return task, serving_modules.Translation.Params(
    sentencepiece_model_path=str(file)
  )


def _modules(task, params):
  """Returns two of the same, with other weights each."""
  module_class = export_savedmodel.lookup_export_module(task)
  found = []
  for _ in range(2):
    module = module_class(params=params, model=task.build_model())
    if isinstance(module, serving_modules.Translation):
      module.serve_text(tf.constant(["abc"]))
    elif isinstance(module, serving_modules.MaskedLM):
      module.model(small_bert.inputs(positions=True))
    found.append(module)
  small_bert.randomize(found[0].model, seed=3)
  if isinstance(found[0], serving_modules.Translation):
    # Otherwise all translations are empty.
    rng = np.random.default_rng(1)
    for variable in found[0].model.variables:
      noise = rng.normal(scale=0.5, size=variable.shape)
      variable.assign(noise + ("gamma" in variable.name))
  return found


def _example(**features):
  def feature(value):
    if isinstance(value, bytes):
      return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=value))

  found = {name: feature(value) for name, value in features.items()}
  return tf.train.Example(
    features=tf.train.Features(feature=found)
  ).SerializeToString()


def _inputs(signature):
  """Returns inputs for a signature, by their names."""
  ids = small_bert.inputs(positions=True)
  ids |= {
    "input_ids": ids["input_word_ids"],
    "segment_ids": ids["input_type_ids"],
  }
  names = signature.structured_input_signature[1]
  if "examples" not in names:
    ids["text"] = tf.constant(["abc g", "gef"])
    return {name: ids[name] for name in names}
  rows = [{n: v[i].numpy() for n, v in ids.items()} for i in range(2)]
  texts = [{"one": b"hello, world7!", "other": b"Naive"}] * 2
  return {
    "examples": tf.constant(
      [_example(**a, **b) for a, b in zip(rows, texts, strict=True)]
    )
  }


def _specs(signature):
  return {
    name: (spec.dtype, spec.shape.as_list())
    for name, spec in signature.structured_input_signature[1].items()
  }


@pytest.mark.parametrize(
  ("make", "names"),
  [
    (
      _sentence_prediction,
      _EXAMPLES | {"serve_text_examples": "of_texts"},
    ),
    (_of_ids_alone, {"serve_text_examples": "serving_default", "serve": "ids"}),
    (_tagging, _EXAMPLES),
    (_question_answering, _EXAMPLES),
    (_masked_lm, _EXAMPLES),
    (_translation, {"serve_text": "serving_default"}),
  ],
)
def test_signatures_are_model_gardens(make, names, tmp_path):
  task, params = make(tmp_path)
  trained, fresh = _modules(task, params)
  prefix = tf.train.Checkpoint(model=trained.model).write(str(tmp_path / "c"))
  theirs = tf.saved_model.load(
    _THEIRS.export(trained, names, str(tmp_path / "theirs"))
  )
  path = export_savedmodel_util.export(
    fresh, names, str(tmp_path / "ours"), prefix, level=checks.BASIC
  )
  assert re.fullmatch(r".*/ours/\d{10}", path)
  ours = hub.load(path)
  assert ours.signatures.keys() == theirs.signatures.keys()
  for name, theirs_of_name in theirs.signatures.items():
    signature = ours.signatures[name]
    assert _specs(signature) == _specs(theirs_of_name)
    inputs = _inputs(signature)
    got, want = signature(**inputs), theirs_of_name(**inputs)
    assert got.keys() == want.keys()
    if make is _masked_lm and name == "of_examples":
      # Model Garden's reads the words' ids as those of segments.
      ids = small_bert.inputs(positions=True)
      right = theirs.signatures["serving_default"](**ids)
      assert not np.allclose(want["classification"], right["classification"])
      want = right
    for output, value in want.items():
      if value.dtype == tf.string:
        assert got[output].numpy().tolist() == value.numpy().tolist()
        assert any(value.numpy())
        continue
      closeness.assert_close(got[output], value)


def test_arguments_may_be_left_out(tmp_path):
  """By Model Garden's function for all modules, which is overlaid."""
  trained, _ = _modules(*_of_ids_alone(tmp_path))
  names = {"serve": "serving_default"}
  ours, theirs = (
    tf.saved_model.load(
      module.export(trained, names, str(tmp_path / name))
    ).signatures["serving_default"]
    for name, module in (("ours", export_base), ("theirs", _THEIRS))
  )
  inputs = _inputs(theirs)
  got, want = ours(**inputs), theirs(**inputs)
  assert got.keys() == want.keys()
  for name, values in want.items():
    closeness.assert_close(got[name], values)


def test_what_is_served_can_be_trained(tmp_path):
  task, params = _sentence_prediction(tmp_path)
  trained, fresh = _modules(task, params)
  prefix = tf.train.Checkpoint(model=trained.model).write(str(tmp_path / "c"))
  path = export_savedmodel_util.export(
    fresh,
    {"serve_text_examples": "serving_default", "serve": "ids"},
    str(tmp_path / "ours"),
    prefix,
    timestamped=False,
  )
  model = hub.load(path)
  inputs = small_bert.inputs()
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(model.from_ids(inputs, training=True) ** 2)
  # By hand: the encoder's 37, the head's dense layer and the logits.
  assert len(model.from_ids.trainable_variables) == 5 + 2 * 16 + 2 + 2
  gradients = tape.gradient(loss, model.from_ids.trainable_variables)
  assert all(g is not None for g in gradients)
  closeness.assert_close(model.from_ids(inputs), model.ids(inputs)["outputs"])


class TestCommand:
  """`python -m official.nlp.serving.export_savedmodel`."""

  def run(self, folder, *flags, **kwargs):
    return command.run(
      "official.nlp.serving.export_savedmodel",
      f"--export_savedmodel_dir={folder / 'served'}",
      *flags,
      **kwargs,
    )

  @pytest.fixture
  def trained(self, tmp_path):
    """A model, with its checkpoint and its YAML as a training leaves them."""
    task, _ = _sentence_prediction(tmp_path)
    model = task.build_model()
    small_bert.randomize(model, seed=3)
    (tmp_path / "training").mkdir()
    tf.train.Checkpoint(model=model).save(str(tmp_path / "training/ckpt"))
    content = {"task": task.task_config.as_dict(), "trainer": {"steps": 3}}
    content["task"]["model"]["num_clases"] = 3
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    return model

  def test_exports_the_same_bytes_each_time(self, trained, tmp_path):
    done = [
      self.run(
        tmp_path / name,
        f"--config_file={tmp_path / 'params.yaml'}",
        f"--checkpoint_path={tmp_path / 'training'}",
        "--function_keys=serve,serve_examples",
        f"--serving_params=inputs_only=false,parse_sequence_length={_LENGTH}",
        f"--checks={level}",
      )
      for name, level in (("one", "basic"), ("other", "none"))
    ]
    assert "Did you mean 'num_classes'?" in done[0].stderr
    path, other = (one.stdout.splitlines()[-1] for one in done)
    signatures = hub.load(path).signatures
    assert signatures.keys() == {"serving_default", "serve_examples"}
    inputs = small_bert.inputs()
    closeness.assert_close(
      signatures["serving_default"](**inputs)["outputs"], trained(inputs)
    )
    for file in (
      "saved_model.pb",
      "fingerprint.pb",
      "variables/variables.data-00000-of-00001",
      "variables/variables.index",
    ):
      assert filecmp.cmp(f"{path}/{file}", f"{other}/{file}", shallow=False)

  @pytest.mark.parametrize(
    ("flags", "reason"),
    [
      ([], "Set --checkpoint_path; see --help."),
      (["--convert_tpu"], "which is not public. Leave it out"),
    ],
  )
  def test_refuses(self, flags, reason, tmp_path):
    done = self.run(tmp_path, *flags, check=False)
    assert done.returncode == 1
    assert reason in done.stderr.splitlines()[-1]


class TestMistakes:
  """Each is one error that says how to go on."""

  def test_another_task(self):
    with pytest.raises(
      ExportError, match="no task 'Taging'. Did you mean 'Tagging'.*MaskedLM"
    ):
      export_savedmodel.create_export_module(
        task_name="Taging", config_file=None, serving_params=None
      )

  def test_a_task_that_is_not_served(self):
    with pytest.raises(ExportError, match="can't be served by Model Garden's"):
      export_savedmodel.lookup_export_module(object())

  def test_another_parameter(self):
    with pytest.raises(
      ExportError, match="sets 'input_only', .* mean 'inputs_only'"
    ):
      export_savedmodel.create_export_module(
        task_name="SentencePrediction",
        config_file=None,
        serving_params={"input_only": True},
      )

  @pytest.mark.parametrize(
    ("names", "params", "error", "match"),
    [
      (["serve", "x"], {}, ValueError, "must contain a single element"),
      (["served"], {}, ValueError, "Invalid function key"),
      ({"serve": "ids"}, {}, ExportError, "is called 'serving_default'"),
      (
        ["serve_examples"],
        {"parse_sequence_length": None},
        ExportError,
        "serve_examples needs parse_sequence_length",
      ),
    ],
  )
  def test_functions(self, names, params, error, match, tmp_path):
    task, params = _sentence_prediction(tmp_path, **params)
    _, module = _modules(task, params)
    with pytest.raises(error, match=match):
      export_savedmodel_util.export(module, names, str(tmp_path / "served"))
    assert not (tmp_path / "served").exists()

  def test_a_checkpoint_of_another_model(self, tmp_path):
    task, params = _question_answering(tmp_path)
    _, module = _modules(task, params)
    prefix = tf.train.Checkpoint(model=small_bert.encoder()).write(
      str(tmp_path / "c")
    )
    with pytest.raises(ExportError, match="does not fit this model"):
      export_savedmodel_util.export(
        module, ["serve"], str(tmp_path / "served"), prefix
      )
