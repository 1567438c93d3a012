"""Architectures from files: `bert_config.json` and Model Garden's YAML."""

import json

import gin
import pytest
import tensorflow as tf
import yaml

from exporters import bert
from exporters import recipe
from exporters.errors import ExportError
from exporters.text import encoder_file
from exporters.text import encoders
from scripts.small_instances import encoders as small_encoders
from tests import checkpoint_files
from tests import numpy_bert
from tests import small_bert

# As google-research/bert publishes it, with the sizes of small_bert.
JSON = {
  "attention_probs_dropout_prob": 0.1,
  "directionality": "bidi",
  "hidden_act": "gelu",
  "hidden_dropout_prob": 0.1,
  "hidden_size": 16,
  "initializer_range": 0.02,
  "intermediate_size": 32,
  "max_position_embeddings": 32,
  "num_attention_heads": 2,
  "num_hidden_layers": 2,
  "pooler_fc_size": 768,
  "type_vocab_size": 2,
  "vocab_size": 40,
}


def written(folder, name, content) -> str:
  path = folder / name
  dump = json.dumps if name.endswith(".json") else yaml.safe_dump
  path.write_text(dump(content))
  return str(path)


def experiment(name: str) -> dict:
  """Returns what a training of Model Garden writes of its model."""
  fields = small_encoders.FIELDS[name]
  return {"task": {"model": {"encoder": {"type": name, name: dict(fields)}}}}


def test_json_describes_a_bert(tmp_path):
  file = encoder_file.read_encoder_file(written(tmp_path, "b.json", JSON))
  config = file.config()
  assert config.type == "bert"
  assert config.bert == small_bert.config().bert


def test_json_of_an_albert_is_told_by_its_groups(tmp_path):
  content = JSON | {
    "num_hidden_groups": 1,
    "embedding_size": 8,
    "hidden_act": "gelu_new",
  }
  path = written(tmp_path, "albert_config.json", content)
  config = encoder_file.read_encoder_file(path).config()
  assert config.type == "albert"
  assert config.albert.embedding_width == 8
  assert config.albert.hidden_activation == "gelu"


# What google-research publishes beside MobileBERT has these.
_MOBILEBERT = JSON | {
  "embedding_size": 8,
  "intra_bottleneck_size": 8,
  "key_query_shared_bottleneck": True,
  "normalization_type": "no_norm",
  "num_feedforward_networks": 2,
  "trigram_input": True,
  "use_bottleneck": True,
  "use_bottleneck_attention": False,
}


def test_json_of_a_mobilebert_is_told_by_its_bottleneck(tmp_path):
  path = written(tmp_path, "bert_config.json", _MOBILEBERT)
  config = encoder_file.read_encoder_file(path).config()
  assert config.type == "mobilebert"
  assert config.mobilebert.word_embed_size == 8
  assert config.mobilebert.normalization_type == "no_norm"
  assert config.mobilebert.num_feedforward_networks == 2


@pytest.mark.parametrize(
  "changes",
  [
    {"normalization_type": "layer_norm"},
    {"num_feedforward_networks": 4},
    {"key_query_shared_bottleneck": False},
  ],
)
def test_what_changes_no_shape_is_compared_too(tmp_path, changes):
  ((name, value),) = changes.items()
  content = _MOBILEBERT | {"num_hidden_layers": 1, "hidden_act": "relu"}
  path = written(tmp_path, "bert_config.json", content | changes)
  file = encoder_file.read_encoder_file(path)
  config = small_encoders.config("mobilebert", hidden_activation="relu")
  with pytest.raises(ExportError, match=f"{name}: .* the gin file, {value!r}"):
    encoders.build(config, {"it": file.declared})


def test_a_width_that_needs_no_projection_contradicts_nothing(tmp_path):
  path = written(tmp_path, "b.json", JSON | {"embedding_size": 16})
  file = encoder_file.read_encoder_file(path)
  encoders.build(small_bert.config(), {"it": file.declared})


def test_yaml_without_a_type_is_of_model_gardens_usual_one(tmp_path):
  content = {"bert": {"hidden_size": 32}}
  file = encoder_file.read_encoder_file(written(tmp_path, "e.yaml", content))
  assert file.config().type == "bert"
  assert file.config().bert.hidden_size == 32


@pytest.mark.parametrize("name", ["albert", "mobilebert", "bigbird", "fnet"])
def test_yaml_describes_any_type(tmp_path, name):
  path = written(tmp_path, "params.yaml", experiment(name))
  config = encoder_file.read_encoder_file(path).config()
  assert config.as_dict() == small_encoders.config(name).as_dict()


def test_yaml_may_be_the_encoder_alone(tmp_path):
  content = experiment("albert")["task"]["model"]["encoder"]
  path = written(tmp_path, "encoder.yaml", content)
  config = encoder_file.read_encoder_file(path).config()
  assert config.as_dict() == small_encoders.config("albert").as_dict()


@pytest.mark.parametrize(
  ("name", "content", "line"),
  [
    (
      "b.json",
      JSON | {"num_hidden_layers": 4},
      "num_layers: 2 in the gin file, 4",
    ),
    (
      "p.yaml",
      {"type": "bert", "bert": {"num_layers": 3}},
      "num_layers: 2 in the gin file, 3",
    ),
    (
      "p.yaml",
      {"type": "albert", "albert": {}},
      "type: 'bert' in the gin file, 'albert'",
    ),
    (
      "b.json",
      JSON | {"hidden_act": "relu"},
      "hidden_activation: 'gelu' in the gin file, 'relu'",
    ),
  ],
)
def test_contradiction_names_both_values_and_the_file(
  tmp_path, name, content, line
):
  path = written(tmp_path, name, content)
  file = encoder_file.read_encoder_file(path)
  with pytest.raises(ExportError) as error:
    encoders.build(small_bert.config(), {f"'{path}'": file.declared})
  assert f"{line} in '{path}'" in str(error.value)


def test_agreement_across_names(tmp_path):
  """The YAML's `num_blocks` is the leaf's; a JSON calls it otherwise."""
  content = {
    "num_hidden_layers": 1,
    "vocab_size": 40,
    "hidden_dropout_prob": 0.1,
    "max_position_embeddings": 32,
  }
  file = encoder_file.read_encoder_file(written(tmp_path, "m.json", content))
  config = small_encoders.config("mobilebert")
  encoder = encoders.build(config, {"the file": file.declared})
  assert encoder.num_layers == 1


@pytest.fixture(scope="module")
def user_files(tmp_path_factory):
  folder = tmp_path_factory.mktemp("user")
  encoder = tf.train.Checkpoint(encoder=small_bert.encoder())
  return {
    "CHECKPOINT": encoder.write(str(folder / "ckpt")),
    "VOCAB_FILE": str(small_bert.write_vocabulary(folder / "vocab.txt")),
  }


def test_gin_names_the_file_and_a_contradiction_is_refused(
  user_files, tmp_path
):
  path = written(tmp_path, "bert_config.json", JSON | {"hidden_size": 32})
  files = user_files | {"ENCODER_FILE": path}
  gin.clear_config()
  exporter = recipe.load(
    [small_bert.GIN_FILE], [f"{k} = '{v}'" for k, v in files.items()]
  ).exporter
  gin.clear_config()
  with pytest.raises(ExportError, match="hidden_size: 16 in the gin file, 32"):
    exporter.build()


def test_the_file_may_stand_in_for_the_gin_files_architecture(
  user_files, tmp_path
):
  exporter = bert.BertExporter(
    checkpoint=user_files["CHECKPOINT"],
    vocab_file=user_files["VOCAB_FILE"],
    encoder_file=written(tmp_path, "bert_config.json", JSON),
    do_lower_case=True,
  )
  published = exporter.build().published[""]
  # By hand: embeddings 5, layers 16 each, pooler 2.
  assert len(published.variables) == 5 + 2 * 16 + 2


def test_a_hugging_face_folder_describes_itself(tmp_path):
  folder = tmp_path / "folder"
  checkpoint_files.hugging_face(
    folder, "bert", numpy_bert.CONFIGS["bert"], numpy_bert.tensors("bert")
  )
  small_bert.write_vocabulary(folder / "vocab.txt")
  exporter = bert.BertExporter(checkpoint=str(folder), do_lower_case=True)
  published = exporter.build().published[""]
  assert len(published.variables) == 5 + 2 * 16 + 2


def test_something_must_say_what_the_architecture_is(user_files):
  exporter = bert.BertExporter(
    checkpoint=user_files["CHECKPOINT"], do_lower_case=True
  )
  with pytest.raises(ExportError, match="Set encoder or encoder_file"):
    exporter.build()


@pytest.mark.parametrize(
  ("name", "text", "reason"),
  [
    ("b.json", None, "does not exist"),
    ("b.json", "{", "Cannot parse the encoder file"),
    ("p.yaml", "a: [", "Cannot parse the encoder file"),
    ("b.json", "[" * 100_000, "Cannot parse the encoder file"),
    ("b.json", "[]", "describes no encoder"),
    ("p.yaml", "task: {model: {backbone: {type: resnet}}}", "describes no"),
    ("p.yaml", "type: gpt", "Model Garden has albert, any, bert"),
    ("p.yaml", "{type: bert, bert: {n_layers: 2}}", "sets n_layers, which"),
    ("p.yaml", "bert: [1, 2]", "where the fields of the encoder belong"),
    ("p.yaml", "type: [bert]", "Model Garden has albert, any, bert"),
    (
      "b.json",
      '{"num_hidden_layers": "2"}',
      "layers = '2', which is not a size",
    ),
    ("b.json", '{"num_hidden_layers": null}', "None, which is not a size"),
    ("b.json", '{"num_hidden_layers": 2, "hidden_act": {}}', "is not a name"),
    ("b.json", '{"num_hidden_layers": 2, "inner_group_num": 2}', "with 1"),
  ],
)
def test_refuses_what_describes_no_encoder(tmp_path, name, text, reason):
  if text is not None:
    (tmp_path / name).write_text(text)
  with pytest.raises(ExportError, match=reason):
    encoder_file.read_encoder_file(str(tmp_path / name))


def test_yaml_of_type_any_needs_the_class_from_the_gin_file(tmp_path):
  content = {"type": "any", "any": {"num_layers": 1, "vocab_size": 40}}
  path = written(tmp_path, "teams.yaml", content)
  file = encoder_file.read_encoder_file(path)
  with pytest.raises(ExportError, match="Name it in the gin file"):
    file.config()
  encoder = encoders.build(
    small_encoders.config("teams"), {"it": file.declared}
  )
  assert encoder.type == "any"


@pytest.mark.parametrize(
  ("text", "said"),
  [
    ("a: [" * 10_000, "brackets are nested too deep"),
    ("- " * 400 + "x", "aliases stand for too much"),
    ("a: !!bool x", "KeyError: 'x'"),
    ("a: !!int x", "invalid literal"),
    ("a: &a [*a]", "an alias within what the alias stands for"),
    (
      "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10 if i else 'x')}]\n"
        for i in range(9)
      ),
      "aliases stand for too much",
    ),
  ],
)
def test_yaml_that_is_made_to_do_harm(tmp_path, text, said):
  path = tmp_path / "params.yaml"
  path.write_text(text)
  with pytest.raises(ExportError, match=said):
    encoder_file.read_encoder_file(str(path))


def test_yaml_with_a_few_aliases_and_tuples(tmp_path):
  path = tmp_path / "params.yaml"
  path.write_text(
    "sizes: &sizes {hidden_size: 8}\nshape: !!python/tuple [1, 2]\n"
    "task: {model: {encoder: {type: bert, bert: {<<: *sizes}}}}",
  )
  assert encoder_file.read_encoder_file(str(path)).values == {"hidden_size": 8}
