"""Checkpoints by names: TF1, Hugging Face, PyTorch, SavedModels."""

import hashlib
import json
import pathlib
import re
import shutil

import ml_dtypes
import numpy as np
from official.nlp.configs import encoders
import pytest
import safetensors.numpy
import tensorflow as tf

from exporters import bert
from exporters import checkpoints
from exporters.errors import ExportError
from exporters.inspection import identity as identity_lib
from exporters.saved_model import files
from exporters.saved_model import reusable
from tests import checkpoint_files
from tests import closeness
from tests import command
from tests import numpy_bert
from tests import small_bert
from tests import wheels


def config(kind: str) -> encoders.EncoderConfig:
  """Returns Model Garden's configuration of the model in `numpy_bert`."""
  if kind == "albert":
    sizes = small_bert.SIZES | {"embedding_width": numpy_bert.NARROW}
    fields = encoders.AlbertEncoderConfig(**sizes)
    return encoders.EncoderConfig(type="albert", albert=fields)
  if kind == "mobilebert":
    fields = encoders.MobileBertEncoderConfig(
      word_vocab_size=numpy_bert.VOCABULARY,
      word_embed_size=numpy_bert.NARROW,
      max_sequence_length=numpy_bert.POSITIONS,
      num_blocks=numpy_bert.LAYERS,
      hidden_size=numpy_bert.WIDTH,
      num_attention_heads=numpy_bert.HEADS,
      intermediate_size=numpy_bert.INNER,
      hidden_activation="relu",
      intra_bottleneck_size=numpy_bert.NARROW,
      key_query_shared_bottleneck=True,
      num_feedforward_networks=4,
      normalization_type="no_norm",
      classifier_activation=False,
    )
    return encoders.EncoderConfig(type="mobilebert", mobilebert=fields)
  narrow = {"embedding_size": numpy_bert.NARROW} if kind == "electra" else {}
  return small_bert.config(**narrow)


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> pathlib.Path:
  """Folders of all architectures, a vocabulary, and TF1's of some."""
  root = tmp_path_factory.mktemp("checkpoints")
  small_bert.write_vocabulary(root / "vocab.txt")
  for kind, sizes in numpy_bert.CONFIGS.items():
    tensors = numpy_bert.tensors(kind)
    checkpoint_files.hugging_face(root / kind, kind, sizes, tensors)
  checkpoint_files.tf1(root / "bert_model.ckpt", numpy_bert.tensors("bert"))
  checkpoint_files.tf1(
    root / "albert_model.ckpt",
    numpy_bert.tensors("albert"),
    checkpoint_files.ALBERT_RENAMES,
  )
  return root


def built(directory: pathlib.Path, checkpoint, kind: str, *, with_mlm=False):
  """Builds an exporter's model and restores it from `checkpoint`."""
  exporter = bert.BertExporter(
    checkpoint=str(checkpoint),
    encoder=config(kind),
    vocab_file=str(directory / "vocab.txt"),
    do_lower_case=True,
    with_mlm=with_mlm,
  )
  build = exporter.build()
  for items in build.restores:
    checkpoints.restore(exporter.opened, items)
  return build.published[""]


def restored(path) -> dict[str, np.ndarray]:
  """Restores a fresh small BERT; returns its variables."""
  model = small_bert.encoder()
  checkpoint = checkpoints.open_checkpoint(str(path))
  checkpoints.restore(checkpoint, {"encoder": model, "model": model})
  return {variable.name: variable.numpy() for variable in model.variables}


def assert_same(got, want):
  assert got.keys() == want.keys()
  for name, value in want.items():
    np.testing.assert_array_equal(got[name], value, err_msg=name)


class TestHuggingFace:
  """Outputs agree with NumPy's, from the same file."""

  @pytest.mark.parametrize("kind", ["bert", "albert", "electra", "distilbert"])
  def test_outputs(self, directory, kind):
    with_mlm = kind != "electra"  # Whose discriminator has another head.
    published = built(
      directory, directory / kind, kind, with_mlm=with_mlm
    ).sub_objects
    published = published or {"": built(directory, directory / kind, kind)}
    (model,) = published.values()
    inputs = small_bert.inputs(positions=with_mlm)
    got = model.function(inputs, training=False)
    ids, mask, types, *positions = (x.numpy() for x in inputs.values())
    want = numpy_bert.outputs(
      kind, numpy_bert.tensors(kind), ids, mask, types, *positions
    )
    for name, value in want.items():
      closeness.assert_close(got[name], value)

  @pytest.mark.parametrize("form", ["hugging_face", "tf1"])
  def test_mobilebert(self, directory, tmp_path, form):
    tensors = numpy_bert.mobilebert_tensors()
    path = tmp_path / "mobilebert"
    if form == "tf1":
      checkpoint_files.tf1(path, tensors, checkpoint_files.MOBILEBERT_RENAMES)
    else:
      sizes = numpy_bert.MOBILEBERT_CONFIG
      checkpoint_files.hugging_face(path, "mobilebert", sizes, tensors)
    model = built(directory, path, "mobilebert")
    inputs = small_bert.inputs()
    inputs["input_mask"] = tf.ones_like(inputs["input_mask"])
    ids, _, types = (x.numpy() for x in inputs.values())
    want = numpy_bert.mobilebert(tensors, ids, types)
    got = model.function(inputs, training=False)
    closeness.assert_close(got["sequence_output"], want)
    closeness.assert_close(got["pooled_output"], want[:, 0])

  def test_another_architecture_than_the_gin_file_says(self, directory):
    with pytest.raises(
      ExportError, match="type: 'bert' in the gin file, 'albert'"
    ):
      built(directory, directory / "albert", "bert")

  def test_bias_under_the_decoders_name(self, directory, tmp_path):
    tensors = numpy_bert.tensors("bert")
    bias = tensors.pop("cls.predictions.bias")
    tensors["cls.predictions.decoder.bias"] = bias
    folder = tmp_path / "bert"
    checkpoint_files.hugging_face(
      folder, "bert", numpy_bert.CONFIGS["bert"], tensors
    )
    mlm = built(directory, folder, "bert", with_mlm=True).sub_objects["mlm"]
    (got,) = (v for v in mlm.variables if "output_bias" in v.name)
    np.testing.assert_array_equal(got, bias)

  def test_without_a_pooler(self, tmp_path):
    tensors = numpy_bert.tensors("bert")
    kept = {n: value for n, value in tensors.items() if "pooler" not in n}
    checkpoint_files.hugging_face(
      tmp_path / "bert", "bert", numpy_bert.CONFIGS["bert"], kept
    )
    with pytest.raises(ExportError, match="saved without a pooler"):
      restored(tmp_path / "bert")


@pytest.fixture(scope="module")
def want(directory):
  return restored(directory / "bert")


@pytest.fixture(scope="module")
def model(want):
  model = small_bert.encoder()
  for variable in model.variables:
    variable.assign(want[variable.name])
  return model


class TestWaysIn:
  """The same weights in other files give the same variables."""

  def test_tf1(self, directory, want):
    assert_same(restored(directory / "bert_model.ckpt"), want)

  def test_tf1_file_of_it(self, directory, want):
    assert_same(restored(directory / "bert_model.ckpt.index"), want)

  def test_tf1_albert(self, directory):
    tf1 = built(
      directory, directory / "albert_model.ckpt", "albert", with_mlm=True
    )
    hugging_face = built(
      directory, directory / "albert", "albert", with_mlm=True
    )
    for a, b in zip(
      tf1.sub_objects["mlm"].variables,
      hugging_face.sub_objects["mlm"].variables,
      strict=True,
    ):
      np.testing.assert_array_equal(a, b, err_msg=a.name)

  def test_tf1_of_another_depth(self, directory):
    model = small_bert.encoder(num_layers=1)
    checkpoint = checkpoints.open_checkpoint(str(directory / "bert_model.ckpt"))
    with pytest.raises(ExportError) as error:
      checkpoints.restore(checkpoint, {"encoder": model, "model": model})
    lines = str(error.value).split("\n  ")[1:]
    assert len(lines) == 16
    assert all("+ encoder/layer_1/" in line for line in lines)

  @pytest.mark.parametrize("suffix", ["h5", "weights.h5"])
  def test_keras(self, model, want, tmp_path, suffix):
    model.save_weights(tmp_path / f"encoder.{suffix}")
    assert_same(restored(tmp_path / f"encoder.{suffix}"), want)

  def test_weights_h5_of_another_width(self, tmp_path):
    path = tmp_path / "encoder.weights.h5"
    small_bert.encoder(intermediate_size=64).save_weights(path)
    with pytest.raises(ExportError, match="model has another size"):
      restored(path)

  @pytest.mark.parametrize("write", ["torch_zip", "torch_legacy"])
  def test_pytorch(self, directory, want, tmp_path, write):
    shutil.copy(directory / "bert/config.json", tmp_path)
    # As PyTorch keeps a transposed tensor: the same numbers, other strides.
    tensors = {
      name: np.asfortranarray(value) if "query" in name else value
      for name, value in numpy_bert.tensors("bert").items()
    }
    tensors["bert.embeddings.position_ids"] = np.arange(32)
    path = tmp_path / "pytorch_model.bin"
    getattr(checkpoint_files, write)(path, tensors)
    assert_same(restored(path), want)

  @pytest.mark.parametrize("write", ["torch_zip", "safetensors"])
  @pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
  def test_half_precision(self, directory, want, tmp_path, write, dtype):
    shutil.copy(directory / "bert/config.json", tmp_path)
    tensors = numpy_bert.tensors("bert")
    half = {name: value.astype(dtype) for name, value in tensors.items()}
    if write == "torch_zip":
      checkpoint_files.torch_zip(tmp_path / "pytorch_model.bin", half)
    else:
      safetensors.numpy.save_file(half, tmp_path / "model.safetensors")
    rounded = {
      name: value.astype(dtype).astype(np.float32)
      for name, value in want.items()
    }
    assert_same(restored(tmp_path), rounded)

  @pytest.fixture
  def shards(self, directory, tmp_path):
    """A folder with the tensors in two files and an index."""
    shutil.copy(directory / "bert/config.json", tmp_path)
    tensors = numpy_bert.tensors("bert")
    names = sorted(tensors)
    files = {}
    for i, part in enumerate((names[::2], names[1::2]), start=1):
      file = f"model-{i:05}-of-00002.safetensors"
      files |= dict.fromkeys(part, file)
      safetensors.numpy.save_file(
        {n: tensors[n] for n in part}, tmp_path / file
      )
    (tmp_path / "model.safetensors.index.json").write_text(
      json.dumps({"metadata": {}, "weight_map": files})
    )
    return tmp_path

  def test_shards(self, want, shards):
    assert_same(restored(shards), want)

  def test_a_shard_is_missing(self, shards):
    (shards / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ExportError, match="lacks 'model-00002-of-00002"):
      restored(shards)

  def test_an_index_that_leaves_the_folder(self, shards):
    index = {"weight_map": {"x": "../model.safetensors"}}
    path = shards / "model.safetensors.index.json"
    path.write_text(json.dumps(index))
    with pytest.raises(ExportError, match="by file names"):
      restored(shards)

  def test_saved_model_that_was_fine_tuned(self, directory, want, tmp_path):
    published = built(
      directory, directory / "bert_model.ckpt", "bert", with_mlm=True
    )
    reusable.write(published, str(tmp_path / "first"))
    assert_same(restored(tmp_path / "first"), want)
    loaded = tf.saved_model.load(str(tmp_path / "first"))
    for variable in loaded.trainable_variables:
      variable.assign_add(tf.ones_like(variable))
    model = tf.Module()
    model.fine_tuned = loaded
    model.head = tf.Variable(tf.zeros([16, 3]), name="classifier/kernel")
    tf.saved_model.save(model, str(tmp_path / "second"))
    tuned = {name: value + 1 for name, value in want.items()}
    assert_same(restored(tmp_path / "second"), tuned)

  def test_saved_model_of_model_gardens_own_exporter(
    self, directory, model, want, tmp_path
  ):
    """The only form in which the BERT experts were published."""
    garden = wheels.module("official.nlp.tools.export_tfhub_lib")
    garden.export_model(
      str(tmp_path / "garden"),
      encoder_config=small_bert.config(),
      model_checkpoint_path=tf.train.Checkpoint(encoder=model).save(
        str(tmp_path / "ckpt")
      ),
      with_mlm=False,
      vocab_file=str(directory / "vocab.txt"),
      do_lower_case=True,
    )
    assert_same(restored(tmp_path / "garden"), want)

  def test_five_ways_to_the_same_bytes(self, directory, model, tmp_path):
    tf.train.Checkpoint(encoder=model).write(str(tmp_path / "object_based"))
    model.save_weights(tmp_path / "encoder.h5")
    for name in ("gelu", "gelu_new"):
      config = numpy_bert.CONFIGS["bert"] | {"hidden_act": name}
      tensors = numpy_bert.tensors("bert")
      checkpoint_files.hugging_face(tmp_path / name, "bert", config, tensors)
    ways = {
      "tf1": directory / "bert_model.ckpt",
      "object_based": tmp_path / "object_based",
      "h5": tmp_path / "encoder.h5",
      "hugging_face": tmp_path / "gelu_new",
      "saved_model": tmp_path / "exported/tf1",
      "exact_gelu": tmp_path / "gelu",
      "exact_gelu again": tmp_path / "exported/exact_gelu",
    }
    digests = {}
    for name, checkpoint in ways.items():
      path = tmp_path / "exported" / name
      bindings = {
        "CHECKPOINT": str(checkpoint),
        "VOCAB_FILE": str(directory / "vocab.txt"),
      }
      command.export(
        "bert",
        small_bert.GIN_FILE,
        path,
        "--checks=none",
        bindings=[f"{key} = '{value}'" for key, value in bindings.items()],
      )
      digests[name] = {
        file: hashlib.sha256((path / file).read_bytes()).hexdigest()
        for file in files.listed(str(path))
      }
    exact = digests.pop("exact_gelu")
    # A graph tells which GELU it has.
    assert digests.pop("exact_gelu again") == exact
    want = digests["tf1"]
    assert all(got == want for got in digests.values())
    # With the exact GELU the graph is another, and nothing else.
    differing = {file for file in want if exact[file] != want[file]}
    assert differing == {"saved_model.pb", "fingerprint.pb"}

  def test_what_was_looked_for(self, tmp_path):
    with pytest.raises(ExportError) as error:
      restored(tmp_path / "model")
    for file in (
      ".index",
      ".weights.h5",
      "saved_model.pb",
      "pytorch_model.bin",
      "model.safetensors.index.json",
    ):
      assert file in str(error.value)

  def test_a_file_of_another_kind(self, tmp_path):
    (tmp_path / "notes.txt").write_text("not a checkpoint")
    with pytest.raises(ExportError, match="not a checkpoint, but a text file"):
      restored(tmp_path / "notes.txt")


class TestIdentified:
  """What `scripts.inspect` says of files that people hold."""

  @pytest.mark.parametrize(
    ("name", "architecture", "heads"),
    [
      ("bert", "bert", ["masked language model", "pooler"]),
      ("bert_model.ckpt", "bert", ["masked language model", "pooler"]),
      ("albert", "albert", ["masked language model", "pooler"]),
      ("albert_model.ckpt", "albert", ["masked language model", "pooler"]),
      ("electra", "electra", []),
      ("distilbert", "distilbert", ["masked language model"]),
    ],
  )
  def test_sizes_by_names_and_shapes(
    self, directory, name, architecture, heads
  ):
    identity = identity_lib.identify(str(directory / name))
    assert identity.architecture == architecture
    assert identity.heads == heads
    tensors = numpy_bert.tensors(architecture)
    assert identity.parameters == sum(t.size for t in tensors.values())
    sizes = identity.sizes
    assert sizes["vocab_size"] == numpy_bert.VOCABULARY
    assert sizes["hidden_size"] == numpy_bert.WIDTH
    assert sizes["intermediate_size"] == numpy_bert.INNER
    assert sizes["max_position_embeddings"] == numpy_bert.POSITIONS
    narrow = (
      numpy_bert.NARROW if architecture in ("albert", "electra") else None
    )
    assert sizes.get("embedding_size") == narrow
    # TF1's files tell nothing of the heads, nor how often ALBERT repeats.
    unsaid = ["num_attention_heads"] * name.endswith(".ckpt")
    if name == "albert_model.ckpt":
      unsaid.insert(0, "num_layers")
    if name == "distilbert":
      unsaid.append("type_vocab_size")
    assert identity.guessed == unsaid
    if "num_layers" not in unsaid:
      assert sizes["num_layers"] == numpy_bert.LAYERS

  def test_training_is_told_apart(self, tmp_path):
    pretrainer = small_bert.pretrainer()
    optimizer = tf.keras.optimizers.Adam()
    optimizer.build(pretrainer.trainable_variables)
    prefix = tf.train.Checkpoint(
      optimizer=optimizer, **pretrainer.checkpoint_items
    ).save(str(tmp_path / "ckpt"))
    identity = identity_lib.identify(prefix)
    assert identity.architecture == "bert"
    assert identity.sizes["num_attention_heads"] == 2
    assert identity.guessed == []
    # As in `TestObjectBased`: moments of 48 variables, two more, the counter.
    assert identity.training == 2 * 48 + 2 + 1
    # Its items leave out the last layer of the next sentence head.
    assert identity.parameters == pretrainer.count_params() - (16 * 2 + 2)

  def test_the_gin_file_exports_it(self, directory, tmp_path):
    folder = tmp_path / "bert"
    shutil.copytree(directory / "bert", folder)
    small_bert.write_vocabulary(folder / "vocab.txt")
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    leaf = tmp_path / "leaf.gin"
    leaf.write_text(command.run("scripts.inspect", "--gin", str(folder)).stdout)
    exported = tmp_path / "exported"
    command.export("bert", str(leaf), exported, "--checks=none")
    loaded = tf.saved_model.load(str(exported))
    inputs = small_bert.inputs(positions=True)
    ids, mask, types, positions = (x.numpy() for x in inputs.values())
    want = numpy_bert.outputs(
      "bert", numpy_bert.tensors("bert"), ids, mask, types, positions
    )
    closeness.assert_close(loaded.mlm(inputs)["mlm_logits"], want["mlm_logits"])

  def test_an_image_model_has_a_gin_file_of_as_many_parameters(self):
    path = "tests/testdata/digits_resnet"
    assert identity_lib.identify(path).architecture == "resnet"
    shown = command.run("scripts.inspect", "--gin", path).stdout
    assert "\ninclude 'configs/resnet/digits_resnet.gin'\n" in shown
    assert f"\nCHECKPOINT = '{path}'\n" in shown

  def test_for_a_person(self, directory):
    shown = command.run("scripts.inspect", str(directory / "bert_model.ckpt"))
    for line in (
      r"kind +TF1 name-based checkpoint",
      r"num_attention_heads +1 \(assumed: the file does not say\)",
      r"layer_0/ \.\.\. layer_1/ \(2 alike\)",
      r"word_embeddings +40x16 float32",
      r"bert.BertExporter.with_mlm = True",
    ):
      assert re.search(line, shown.stdout), line
