"""Checkpoints: what is opened, what is restored, and what is said if not."""

import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from exporters import checkpoints
from exporters.errors import ExportError
from tests import small_bert


@pytest.fixture(scope="module")
def encoder():
  return small_bert.encoder()


@pytest.fixture(scope="module")
def pretrainer():
  return small_bert.pretrainer()


def restored(path, **items):
  """Restores a fresh encoder from `path`; returns it with the match."""
  fresh = small_bert.encoder()
  small_bert.randomize(fresh, seed=9)
  items = items or {"encoder": fresh, "model": fresh}
  match = checkpoints.restore(checkpoints.open_checkpoint(str(path)), items)
  return fresh, match


def assert_same_weights(got, want):
  assert [v.name for v in got.variables] == [v.name for v in want.variables]
  for g, w in zip(got.variables, want.variables, strict=True):
    np.testing.assert_array_equal(g, w, err_msg=w.name)


class TestObjectBased:
  """TF2 checkpoints, in the ways that training writes them."""

  @pytest.mark.parametrize("name", ["encoder", "model"])
  @pytest.mark.parametrize("way", ["save", "write"])
  def test_either_name_either_way(self, encoder, tmp_path, name, way):
    checkpoint = tf.train.Checkpoint(**{name: encoder})
    prefix = getattr(checkpoint, way)(str(tmp_path / "ckpt"))
    assert_same_weights(restored(prefix)[0], encoder)

  @pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
  def test_a_file_of_it_will_do(self, encoder, tmp_path, suffix):
    prefix = tf.train.Checkpoint(encoder=encoder).write(str(tmp_path / "ckpt"))
    assert_same_weights(restored(prefix + suffix)[0], encoder)

  def test_weights_saved_by_keras(self, encoder, tmp_path):
    encoder.save_weights(tmp_path / "weights", save_format="tf")
    assert_same_weights(restored(tmp_path / "weights")[0], encoder)

  def test_optimizer_and_heads_are_only_counted(self, pretrainer, tmp_path):
    optimizer = tf.keras.optimizers.Adam()
    optimizer.build(pretrainer.trainable_variables)
    prefix = tf.train.Checkpoint(
      optimizer=optimizer, **pretrainer.checkpoint_items
    ).save(str(tmp_path / "ckpt"))
    got, match = restored(prefix)
    assert_same_weights(got, pretrainer.encoder_network)
    # By hand: two moments for each of 39 + 5 + 4 variables, the step and the
    # rate; 5 of masked_lm, 2 of next_sentence.pooler_dense; save_counter.
    assert len(match.ignored) == 2 * 48 + 2 + 5 + 2 + 1

  def test_directory_means_the_newest(self, encoder, tmp_path):
    checkpoint = tf.train.Checkpoint(encoder=encoder)
    manager = tf.train.CheckpointManager(checkpoint, tmp_path, max_to_keep=None)
    old = encoder.variables[0].numpy()
    manager.save(checkpoint_number=9)
    encoder.variables[0].assign(old + 1)
    manager.save(checkpoint_number=10)
    assert_same_weights(restored(tmp_path)[0], encoder)
    # A copy of the folder without the file that says which one is newest.
    (tmp_path / "checkpoint").unlink()
    assert_same_weights(restored(tmp_path)[0], encoder)
    encoder.variables[0].assign(old)

  def test_remote_file_system(self, encoder, tmp_path):
    prefix = "ram://checkpoints/remote/ckpt"
    tf.train.Checkpoint(encoder=encoder).write(prefix)
    assert_same_weights(restored(prefix)[0], encoder)


class TestHuggingFace:
  """Folders of config.json and model.safetensors."""

  @pytest.fixture
  def folder(self, encoder, tmp_path):
    """The encoder's weights under the names of `transformers.BertModel`."""
    return write_hugging_face(encoder, tmp_path / "hf")

  def test_all_weights(self, encoder, folder):
    assert_same_weights(restored(folder)[0], encoder)

  def test_prefix_of_models_with_heads_and_tf1_spelling(self, encoder, folder):
    def rename(name):
      name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
      return "bert." + name.replace("LayerNorm.bias", "LayerNorm.beta")

    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    renamed = {rename(name): value for name, value in tensors.items()}
    renamed["cls.seq_relationship.weight"] = np.zeros([2, 16], np.float32)
    safetensors.numpy.save_file(renamed, folder / "model.safetensors")
    got, match = restored(folder)
    assert_same_weights(got, encoder)
    assert len(match.ignored) == 1

  def test_remote_file_system(self, encoder, folder):
    remote = "ram://checkpoints/hf"
    tf.io.gfile.makedirs(remote)
    for file in folder.iterdir():
      tf.io.gfile.copy(str(file), f"{remote}/{file.name}")
    assert_same_weights(restored(remote)[0], encoder)

  def test_half_precision(self, encoder, folder):
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    half = {name: value.astype(np.float16) for name, value in tensors.items()}
    safetensors.numpy.save_file(half, folder / "model.safetensors")
    got = restored(folder)[0]
    for g, w in zip(got.variables, encoder.variables, strict=True):
      np.testing.assert_array_equal(g, w.numpy().astype(np.float16))

  def test_truncated(self, folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ExportError, match="truncated or damaged"):
      restored(folder)

  def test_more_layers_than_the_model(self, folder):
    path = folder / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    name = "encoder.layer.2.output.dense.bias"
    safetensors.numpy.save_file(tensors | {name: np.zeros(16)}, path)
    with pytest.raises(ExportError, match=f"\\+ {name}"):
      restored(folder)

  @pytest.mark.parametrize(
    ("key", "value"),
    [
      ("model_type", "roberta"),
      ("layer_norm_eps", 1e-5),
      ("position_embedding_type", "relative_key"),
      ("hidden_act", "mish"),
    ],
  )
  def test_refuses_what_it_cannot_compute(self, folder, key, value):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(ExportError, match=f"{key} = {value!r}"):
      restored(folder)

  @pytest.mark.parametrize(
    ("modules", "message"),
    [
      ([{"type": "sentence_transformers.models.Dense"}], "a Dense module"),
      (
        [{"type": "sentence_transformers.models.Pooling", "path": "pool"}],
        "pooling_mode_max_tokens",
      ),
    ],
  )
  def test_refuses_other_pooling(self, folder, modules, message):
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "pool").mkdir()
    (folder / "pool/config.json").write_text(
      json.dumps(
        {"word_embedding_dimension": 16, "pooling_mode_max_tokens": True}
      )
    )
    checkpoint = checkpoints.open_checkpoint(str(folder))
    with pytest.raises(ExportError, match=message):
      _ = checkpoint.sentence_embedding

  def test_first_token_pooling(self, folder):
    (folder / "modules.json").write_text(
      json.dumps([{"type": "x.Transformer"}, {"type": "x.Pooling", "path": ""}])
    )
    (folder / "pooling").mkdir()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
      json.dumps(config | {"pooling_mode_cls_token": True})
    )
    embed = checkpoints.open_checkpoint(str(folder)).sentence_embedding
    sequence = tf.reshape(tf.range(12.0), [1, 3, 4])
    np.testing.assert_array_equal(
      embed(sequence, tf.ones([1, 3], tf.int32)), [[0.0, 1.0, 2.0, 3.0]]
    )

  @pytest.mark.parametrize("name", ["Transformer", "BERT"])
  def test_the_encoder_in_a_folder_below(self, encoder, folder, tmp_path, name):
    """As sentence-transformers wrote it, with a config.json of its own."""
    root = tmp_path / "sentence_encoder"
    root.mkdir()
    folder.rename(root / f"0_{name}")
    (root / "1_Pooling").mkdir()
    (root / "1_Pooling/config.json").write_text(
      '{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}'
    )
    (root / f"0_{name}/vocab.txt").write_text("[PAD]\n")
    modules = [
      {"type": f"sentence_transformers.models.{kind}", "path": path}
      for kind, path in ((name, f"0_{name}"), ("Pooling", "1_Pooling"))
    ]
    (root / "modules.json").write_text(json.dumps(modules))
    for content in (None, '{"__version__": "0.2.0"}'):
      if content:
        (root / "config.json").write_text(content)
      assert_same_weights(restored(root)[0], encoder)
    checkpoint = checkpoints.open_checkpoint(str(root))
    assert checkpoint.sentence_embedding.pooling == "mean"
    assert "hidden_activation" in checkpoint.declared
    assert checkpoint.vocab_file == str(root / f"0_{name}/vocab.txt")
    files = [os.path.relpath(file, root) for file in checkpoint.files]
    assert files == [
      f"0_{name}/config.json",
      f"0_{name}/model.safetensors",
      f"0_{name}/vocab.txt",
      "modules.json",
      "1_Pooling/config.json",
    ]

  def test_a_folder_below_that_is_not_there(self, tmp_path):
    modules = [{"type": "x.Transformer", "path": "0_Transformer"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ExportError, match="0_Transformer"):
      restored(tmp_path)


class TestRefused:
  """One error that names the file or the variables, and the likely cause."""

  def refusal(self, path, **items) -> str:
    with pytest.raises(ExportError) as error:
      restored(path, **items)
    return str(error.value)

  def test_another_width(self, tmp_path):
    wide = small_bert.encoder(hidden_size=32)
    prefix = tf.train.Checkpoint(encoder=wide).write(str(tmp_path / "ckpt"))
    message = self.refusal(prefix)
    assert (
      "! embeddings/layer_norm/beta: checkpoint (32,), model (16,)" in message
    )
    assert "model has another size" in message

  @pytest.mark.parametrize(("layers", "sign"), [(3, "+"), (1, "-")])
  def test_another_depth(self, tmp_path, layers, sign):
    other = small_bert.encoder(num_layers=layers)
    prefix = tf.train.Checkpoint(encoder=other).write(str(tmp_path / "ckpt"))
    message = self.refusal(prefix)
    layer = max(layers, 2) - 1
    assert (
      f"  {sign} transformer/layer_{layer}/self_attention/query/kernel"
    ) in message
    # Nothing but the one layer's 16 variables, in order, and no values.
    lines = [line for line in message.split("\n") if line.startswith("  ")]
    assert len(lines) == 16
    assert lines == sorted(lines)
    assert "differ in the number of layers" in message

  def test_encoder_alone_for_mlm(self, encoder, pretrainer, tmp_path):
    prefix = tf.train.Checkpoint(encoder=encoder).write(str(tmp_path / "ckpt"))
    message = self.refusal(
      prefix,
      encoder=pretrainer.encoder_network,
      masked_lm=pretrainer.masked_lm,
    )
    assert "  - bert/cls/predictions/transform/dense/kernel" in message
    assert "`with_mlm = False`" in message

  def test_optimizer_alone(self, tmp_path):
    optimizer = tf.train.Checkpoint(iterations=tf.Variable(1))
    prefix = tf.train.Checkpoint(optimizer=optimizer).write(
      str(tmp_path / "ckpt")
    )
    message = self.refusal(prefix)
    assert "Perhaps it holds only an optimizer's state" in message
    assert "... and 19 more" in message

  @pytest.mark.parametrize("value", [np.nan, np.inf])
  def test_not_finite(self, tmp_path, value):
    broken = small_bert.encoder()
    variable = broken.variables[-1]
    variable.assign([value] + [0.0] * 15)
    prefix = tf.train.Checkpoint(encoder=broken).write(str(tmp_path / "ckpt"))
    message = self.refusal(prefix)
    assert "NaN or infinite" in message
    assert "\n  pooler_transform/bias\n" in message

  def test_truncated_shard(self, encoder, tmp_path):
    prefix = tf.train.Checkpoint(encoder=encoder).write(str(tmp_path / "ckpt"))
    shard = pathlib.Path(f"{prefix}.data-00000-of-00001")
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    assert "truncated or damaged" in self.refusal(prefix)

  def test_absent_shard(self, encoder, tmp_path):
    prefix = tf.train.Checkpoint(encoder=encoder).write(str(tmp_path / "ckpt"))
    pathlib.Path(f"{prefix}.data-00000-of-00001").unlink()
    assert f"lacks its file '{prefix}.data-00000-of-00001'" in self.refusal(
      prefix
    )

  def test_absent_index(self, encoder, tmp_path):
    prefix = tf.train.Checkpoint(encoder=encoder).write(str(tmp_path / "ckpt"))
    pathlib.Path(f"{prefix}.index").unlink()
    assert f"lacks its file '{prefix}.index'" in self.refusal(prefix)

  def test_garbage_in_place_of_the_index(self, tmp_path):
    (tmp_path / "ckpt.index").write_bytes(b"no checkpoint" * 99)
    assert "truncated or damaged" in self.refusal(tmp_path / "ckpt")

  def test_nothing_there(self, tmp_path):
    message = self.refusal(tmp_path / "nothing")
    assert "no checkpoint at" in message
    assert "config.json" in message

  def test_nothing_in_the_directory(self, tmp_path):
    assert "no checkpoint in" in self.refusal(tmp_path)

  def test_tf1_checkpoint_of_something_else(self, tmp_path):
    tf.raw_ops.SaveV2(
      prefix=str(tmp_path / "bert.ckpt"),
      tensor_names=["bert/embeddings/word_embeddings"],
      shape_and_slices=[""],
      tensors=[tf.zeros([40, 16])],
    )
    message = self.refusal(tmp_path / "bert.ckpt")
    assert "TF1 name-based checkpoint" in message
    assert "  - position_embedding/embeddings\n" in message
    assert "word_embeddings" not in message

  def test_folder_without_weights(self, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert "no model.safetensors" in self.refusal(tmp_path)

  def test_config_that_is_not_json(self, tmp_path):
    (tmp_path / "config.json").write_text("{")
    assert "config.json' as JSON" in self.refusal(tmp_path)


def test_nothing_is_restored_unless_all_is(tmp_path):
  wide = small_bert.encoder(intermediate_size=64)
  prefix = tf.train.Checkpoint(encoder=wide).write(str(tmp_path / "ckpt"))
  model = small_bert.encoder()
  before = [variable.numpy() for variable in model.variables]
  with pytest.raises(ExportError):
    checkpoints.restore(checkpoints.open_checkpoint(prefix), {"encoder": model})
  for variable, value in zip(model.variables, before, strict=True):
    np.testing.assert_array_equal(variable, value)


def test_a_copy_in_another_place_is_the_same(encoder, tmp_path):
  (tmp_path / "a").mkdir()
  checkpoint = tf.train.Checkpoint(encoder=encoder)
  checkpoint.save(str(tmp_path / "a/ckpt"))
  shutil.move(tmp_path / "a", tmp_path / "b")
  assert_same_weights(restored(tmp_path / "b")[0], encoder)


def write_hugging_face(encoder, folder: pathlib.Path) -> pathlib.Path:
  """Writes an encoder as `transformers` does, mapped by hand.

  Keras keeps a kernel as [inputs, outputs], PyTorch as [outputs, inputs].
  """
  weights = {v.name.removesuffix(":0"): v.numpy() for v in encoder.variables}
  tensors = {
    "embeddings.word_embeddings.weight": weights["word_embeddings/embeddings"],
    "embeddings.position_embeddings.weight": weights[
      "position_embedding/embeddings"
    ],
    "embeddings.token_type_embeddings.weight": weights[
      "type_embeddings/embeddings"
    ],
    "embeddings.LayerNorm.weight": weights["embeddings/layer_norm/gamma"],
    "embeddings.LayerNorm.bias": weights["embeddings/layer_norm/beta"],
    "pooler.dense.weight": weights["pooler_transform/kernel"].T,
    "pooler.dense.bias": weights["pooler_transform/bias"],
  }
  for i in range(2):
    garden = f"transformer/layer_{i}"
    theirs = f"encoder.layer.{i}"
    for part in ("query", "key", "value"):
      kernel = weights[f"{garden}/self_attention/{part}/kernel"]
      bias = weights[f"{garden}/self_attention/{part}/bias"]
      name = f"{theirs}.attention.self.{part}"
      tensors[f"{name}.weight"] = kernel.reshape([16, 16]).T
      tensors[f"{name}.bias"] = bias.reshape([16])
    output = f"{garden}/self_attention/attention_output"
    name = f"{theirs}.attention.output.dense"
    tensors[f"{name}.weight"] = weights[f"{output}/kernel"].reshape([16, 16]).T
    tensors[f"{name}.bias"] = weights[f"{output}/bias"]
    for layer, name in (
      ("intermediate", "intermediate.dense"),
      ("output", "output.dense"),
    ):
      tensors[f"{theirs}.{name}.weight"] = weights[f"{garden}/{layer}/kernel"].T
      tensors[f"{theirs}.{name}.bias"] = weights[f"{garden}/{layer}/bias"]
    for layer, name in (
      ("self_attention_layer_norm", "attention.output.LayerNorm"),
      ("output_layer_norm", "output.LayerNorm"),
    ):
      tensors[f"{theirs}.{name}.weight"] = weights[f"{garden}/{layer}/gamma"]
      tensors[f"{theirs}.{name}.bias"] = weights[f"{garden}/{layer}/beta"]
  folder.mkdir()
  safetensors.numpy.save_file(
    {name: np.ascontiguousarray(value) for name, value in tensors.items()},
    folder / "model.safetensors",
  )
  (folder / "config.json").write_text(
    json.dumps({"model_type": "bert", "hidden_act": "gelu_new"})
  )
  return folder
