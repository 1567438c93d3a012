"""Every type of encoder that Model Garden builds: published, or refused."""

import dataclasses

from official.modeling import tf_utils
from official.modeling.hyperparams import base_config
from official.nlp.configs import electra
from official.nlp.configs import encoders as encoder_configs
from official.nlp.modeling import models
import pytest
import sentencepiece
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras

from exporters import base
from exporters import bert
from exporters import checks
from exporters.errors import ExportError
from exporters.life_cycle import exporting
from exporters.text import encoders
from scripts.small_instances import encoders as small_encoders
from scripts.small_instances import sentencepiece_model as small_sentencepiece
from tests import closeness
from tests import small_bert

# Whether each has `.mlm`. The one least like a BERT gets all checks.
THOROUGH = {"mobilebert": True}
REST = {
  name: name == "albert"
  for name in (
    "albert",
    "bert",
    "bert_v2",
    "bigbird",
    "fnet",
    "funnel",
    "kernel",
    "query_bert",
    "reuse",
    "roformer",
    "sparse_mixer",
    "teams",
  )
}
PUBLISHED = (*THOROUGH, *REST)
# Those that do not take any length, with the lengths that they take.
SEQ_LENGTHS = {"fnet": [32], "sparse_mixer": [32], "bigbird": [1024]}
# How many Dropout layers each rate sets: the embeddings' and those of each
# transformer layer, where Model Garden passes the rate on.
RATES = {
  "albert": {"dropout_rate": 2, "attention_dropout_rate": 2},
  "mobilebert": {"dropout_rate": 2, "attention_dropout_rate": 1},
  "bigbird": {"dropout_rate": 3},
  "kernel": {"dropout_rate": 3},
  "reuse": {"dropout_rate": 3, "attention_dropout_rate": 1},
  "roformer": {"dropout_rate": 3, "attention_dropout_rate": 1},
  "fnet": {"dropout_rate": 1, "attention_dropout_rate": 1},
  "sparse_mixer": {"dropout_rate": 2, "attention_dropout_rate": 1},
}
RATES_OF_BERT = {"dropout_rate": 2, "attention_dropout_rate": 2}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family(base.CheckpointExporter):
  """Several small encoders from one checkpoint, in one export.

  Attributes:
    types: Their names, and whether each has `.mlm`.
    vocab_file: That of all.
  """

  types: dict[str, bool]
  vocab_file: str

  def build(self) -> base.Build:
    published, restores = {}, []
    for name, with_mlm in self.types.items():
      one = bert.BertExporter(
        checkpoint=self.checkpoint,
        encoder=small_encoders.config(name),
        do_lower_case=True,
        vocab_file=self.vocab_file,
        with_mlm=with_mlm,
      ).build()
      published[name] = one.published[""]
      restores += [_prefixed(name, restored) for restored in one.restores]
    return base.Build(published=published, restores=restores)


def _prefixed(name, items):
  return {f"{name}.{key}": item for key, item in items.items()}


def _source(name, with_mlm):
  """Returns a model with random weights, and its items in a checkpoint."""
  encoder = small_encoders.encoder(name)
  if not with_mlm:
    return encoder, {"encoder": encoder}
  pretrainer = models.BertPretrainerV2(
    encoder, mlm_activation=tf_utils.get_activation("gelu")
  )
  pretrainer(small_bert.inputs(positions=True))
  small_bert.randomize(pretrainer, seed=2)
  return pretrainer, pretrainer.checkpoint_items


def _export(folder, types, level):
  sources, items = {}, {}
  for name, with_mlm in types.items():
    sources[name], own = _source(name, with_mlm)
    items |= _prefixed(name, own)
  family = Family(
    checkpoint=tf.train.Checkpoint(**items).write(str(folder / "ckpt")),
    types=types,
    vocab_file=str(small_bert.write_vocabulary(folder / "vocab.txt")),
  )
  done = exporting.export(
    family, export_path=str(folder / "models"), level=level
  )
  artifacts = zip(types, done.artifacts, strict=True)
  return {name: (sources[name], artifact) for name, artifact in artifacts}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
  """The source and the artifact of each type, which has passed its checks."""
  return _export(
    tmp_path_factory.mktemp("thorough"), THOROUGH, checks.ALL
  ) | _export(tmp_path_factory.mktemp("rest"), REST, checks.BASIC)


@pytest.mark.parametrize("name", PUBLISHED)
class TestPublished:
  def test_outputs_are_those_of_the_sources_trace(
    self, exported, name, tmp_path
  ):
    """Of the artifact, and of what a consumer makes of it by saving it."""
    source, artifact = exported[name]
    model = hub.load(artifact.path)
    traced = tf.function(
      lambda inputs: source(inputs, training=False), autograph=False
    )
    with_mlm = (THOROUGH | REST)[name]
    called = model.mlm if with_mlm else model
    lengths = SEQ_LENGTHS.get(name, [7, 32])
    for batch, seq_length in zip(
      (1, 3), (lengths[0], lengths[-1]), strict=True
    ):
      inputs = small_bert.inputs(batch, seq_length, positions=with_mlm)
      want, got = traced(inputs), called(inputs)
      for output in ("pooled_output", "sequence_output", "mlm_logits"):
        if output in want:
          closeness.assert_close(got[output], want[output])
      assert len(got["encoder_outputs"]) == small_encoders.layers(name)
      for got_layer, want_layer in zip(
        reversed(got["encoder_outputs"]),
        reversed(want["encoder_outputs"]),
        strict=False,
      ):
        closeness.assert_close(got_layer, want_layer)
    tf.saved_model.save(model, str(tmp_path / "again"))
    again = tf.saved_model.load(str(tmp_path / "again"))
    inputs.pop("masked_lm_positions", None)
    closeness.assert_close(
      again(inputs)["sequence_output"], want["sequence_output"]
    )

  def test_checks_that_concern_an_encoder_were_made(self, exported, name):
    _, artifact = exported[name]
    passed = {r.check for r in artifact.results if r.status == checks.PASSED}
    wanted = {
      "same numbers as the reference",
      "gradients",
      "dropout",
      "signature",
    }
    if name in THOROUGH:
      wanted |= {"saved again", "two replicas", "a training step"}
    assert wanted <= passed

  def test_lengths_stand_in_the_signature(self, exported, name):
    _, artifact = exported[name]
    model = tf.saved_model.load(artifact.path)
    _, specs = model.signatures["serving_default"].structured_input_signature
    longest = SEQ_LENGTHS.get(name, [None])[0]
    assert {spec.shape[1] for spec in specs.values()} == {longest}


@pytest.mark.parametrize("name", small_encoders.TYPES)
def test_rates_set_the_layers_that_have_them(name):
  encoder = encoders.build(small_encoders.config(name), {})
  offered = encoder.hyperparameters()
  counts = {key: len(value.layers) for key, value in offered.items()}
  assert counts == RATES.get(name, RATES_OF_BERT)


def test_bigbird_takes_its_maximum_and_the_halves_that_run():
  config = small_encoders.config("bigbird", max_position_embeddings=4096)
  encoder = encoders.build(config, {})
  assert encoder.seq_lengths == (4096, 2048, 1024)
  lengths = [spec["input_mask"].shape[1] for spec in encoder.input_specs()]
  assert lengths == [4096, 2048, 1024]
  samples = [x["input_mask"].shape for x in encoder.samples()]
  assert samples == [(1, 4096), (3, 1024)]


def test_electras_discriminator_is_an_encoder(tmp_path):
  """From the checkpoint that Model Garden's ELECTRA training writes."""
  config = small_encoders.config("bert")
  pretrainer = models.ElectraPretrainer(
    generator_network=encoder_configs.build_encoder(config),
    discriminator_network=small_encoders.encoder("bert"),
    vocab_size=40,
    num_classes=2,
    num_token_predictions=2,
  )
  assert electra.ElectraPretrainerConfig().discriminator_encoder.type == "bert"
  items = tf.train.Checkpoint(**pretrainer.checkpoint_items)
  exporter = bert.BertExporter(
    checkpoint=items.write(str(tmp_path / "ckpt")),
    encoder=config,
    do_lower_case=True,
    vocab_file=str(small_bert.write_vocabulary(tmp_path / "vocab.txt")),
  )
  path = str(tmp_path / "model")
  exporting.export(exporter, export_path=path, level=checks.NONE)
  inputs = small_bert.inputs()
  closeness.assert_close(
    hub.load(path)(inputs)["pooled_output"],
    pretrainer.discriminator_network(inputs)["pooled_output"],
  )


def test_albert_brings_its_sentencepiece_model(tmp_path):
  file = small_sentencepiece.write(tmp_path / "sp.model")
  pieces = sentencepiece.SentencePieceProcessor(model_file=str(file))
  config = small_encoders.config("albert", vocab_size=len(pieces))
  encoder = encoder_configs.build_encoder(config)
  exporter = bert.BertExporter(
    checkpoint=tf.train.Checkpoint(encoder=encoder).write(str(tmp_path / "c")),
    encoder=config,
    do_lower_case=True,
    sp_model_file=str(file),
  )
  path = str(tmp_path / "model")
  exporting.export(exporter, export_path=path, level=checks.NONE)
  asset = hub.load(path).sp_model_file.asset_path.numpy()
  with open(asset, "rb") as f:
    assert f.read() == file.read_bytes()
  other = dataclasses.replace(exporter, encoder=small_encoders.config("albert"))
  with pytest.raises(ExportError, match=f"{len(pieces)} pieces, .* for 40"):
    other.build()


@dataclasses.dataclass
class _WithoutSizes(base_config.Config):
  num_layers: int = 1


base_config.bind(_WithoutSizes)(tf_keras.Sequential)


@pytest.mark.parametrize(
  ("config", "reason"),
  [
    (encoder_configs.EncoderConfig(type="xlnet"), "no pooled output"),
    (encoder_configs.EncoderConfig(type="any"), "needs a configuration there"),
    (
      encoder_configs.EncoderConfig(type="any", any=_WithoutSizes()),
      "no vocab_size",
    ),
    (small_encoders.config("query_bert", embedding_size=None), "set it"),
    (small_encoders.config("funnel", pool_stride=2), "shorter than the text"),
    (small_encoders.config("bert_v2", output_range=1), "leaves tokens out"),
    (
      small_encoders.config("sparse_mixer", examples_per_group=2.0),
      "depend on the others in its batch",
    ),
    (
      small_encoders.config("bigbird", max_position_embeddings=100),
      "no length up to 100",
    ),
  ],
  ids=lambda value: value.type if hasattr(value, "type") else "",
)
def test_refuses_what_breaks_an_encoders_promises(config, reason):
  with pytest.raises(ExportError, match=reason):
    encoders.build(config, {})


@pytest.mark.parametrize(
  ("name", "field", "reason"),
  [
    ("teams", "with_mlm", "does not expose its embedding table"),
    ("albert", "copy_pooler_dense_to_encoder", "has no pooler that could be"),
  ],
)
def test_refuses_heads_that_a_type_cannot_have(tmp_path, name, field, reason):
  encoder = small_encoders.encoder(name)
  exporter = bert.BertExporter(
    checkpoint=tf.train.Checkpoint(encoder=encoder).write(str(tmp_path / "c")),
    encoder=small_encoders.config(name),
    do_lower_case=True,
    vocab_file=str(small_bert.write_vocabulary(tmp_path / "vocab.txt")),
    **{field: True},
  )
  with pytest.raises(ExportError, match=reason):
    exporter.build()
