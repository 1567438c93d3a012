"""Text checkpoints as people hold them: wrapped, with slots, without a type."""

from collections.abc import Mapping
import json
import pathlib
import re

import h5py
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from exporters import checkpoints
from exporters.errors import ExportError
from exporters.inspection import identity as identity_lib
from tests import checkpoint_files
from tests import numpy_bert
from tests import small_bert
from tests import test_checkpoint_kinds

_BERT = numpy_bert.CONFIGS["bert"]


def published(checkpoint, kind="bert", **items):
  """Restores the encoder of `kind`; returns what it computes, by name."""
  folder = pathlib.Path(checkpoint).parent
  vocabulary = folder / "vocabulary/vocab.txt"
  vocabulary.parent.mkdir(exist_ok=True)
  small_bert.write_vocabulary(vocabulary)
  model = test_checkpoint_kinds.built(
    vocabulary.parent, checkpoint, kind, **items
  )
  if model.sub_objects:
    model = model.sub_objects["mlm"]
  return model.function(inputs(bool(model.parent)), training=False)


def inputs(positions: bool):
  return small_bert.inputs(positions=positions)


def want(kind: str, tensors, *, positions: bool = False):
  arrays = [x.numpy() for x in inputs(positions).values()]
  return numpy_bert.outputs(kind, tensors, *arrays)


def assert_computes(got, wanted):
  for name, value in wanted.items():
    error = np.abs(got[name] - value).max()
    assert error <= 1e-5 * np.abs(value).max(), name


def folder_of(path, tensors, config: Mapping | None = None) -> pathlib.Path:
  path.mkdir()
  if config is not None:
    (path / "config.json").write_text(json.dumps(dict(config)))
  safetensors.numpy.save_file(dict(tensors), path / "model.safetensors")
  return path


def renamed(tensors, old: str, new: str):
  return {re.sub(old, new, name): value for name, value in tensors.items()}


def refusal(path) -> str:
  with pytest.raises(ExportError) as error:
    published(path)
  return str(error.value)


_TYPED = {"model_type": "bert"} | _BERT


class TestWrappers:
  """What wrapped a model while it was trained stands before its names."""

  @pytest.mark.parametrize(
    "wrapper",
    ["module.", "model.", "_orig_mod.", "student.", "module._orig_mod."],
  )
  @pytest.mark.parametrize("form", ["hugging_face", "tf1"])
  def test_around_all(self, tmp_path, wrapper, form):
    tensors = numpy_bert.tensors("bert")
    wrapped = renamed(tensors, "^", wrapper)
    path = tmp_path / "wrapped"
    if form == "tf1":
      checkpoint_files.tf1(path, wrapped)
    else:
      folder_of(path, wrapped, _TYPED | {"hidden_act": "gelu_new"})
    got = published(path, with_mlm=True)
    # Both are computed with the tanh GELU: the weights are what is compared.
    plain = tmp_path / "plain"
    config = _TYPED | {"hidden_act": "gelu_new"}
    wanted = published(folder_of(plain, tensors, config), with_mlm=True)
    np.testing.assert_array_equal(got["mlm_logits"], wanted["mlm_logits"])

  @pytest.mark.parametrize(
    ("encoder", "head"),
    [
      ("bert.bert.", "bert.cls."),
      ("encoder.", "cls."),
      ("encoder.bert.", "cls."),
      ("0.auto_model.", "cls."),
      ("model.encoder.", "model.cls."),
      ("", "cls."),
    ],
  )
  def test_around_the_encoder(self, tmp_path, encoder, head):
    tensors = numpy_bert.tensors("bert")
    wrapped = renamed(renamed(tensors, "^cls[.]", head), "^bert[.]", encoder)
    folder_of(tmp_path / "wrapped", wrapped, _TYPED)
    got = published(tmp_path / "wrapped", with_mlm=True)
    assert_computes(got, want("bert", tensors, positions=True))

  @pytest.mark.parametrize("kind", ["albert", "electra", "distilbert"])
  def test_around_others(self, tmp_path, kind):
    tensors = numpy_bert.tensors(kind)
    config = {"model_type": kind} | numpy_bert.CONFIGS[kind]
    wrapped = renamed(tensors, "^", "module.")
    folder_of(tmp_path / "wrapped", wrapped, config)
    assert_computes(published(tmp_path / "wrapped", kind), want(kind, tensors))

  def test_the_encoder_without_a_wrapper_is_the_model(self, tmp_path):
    tensors = numpy_bert.tensors("bert")
    teacher = {n: v + 1 for n, v in renamed(tensors, "^", "teacher.").items()}
    folder_of(tmp_path / "both", tensors | teacher, _TYPED)
    assert_computes(published(tmp_path / "both"), want("bert", tensors))

  def test_a_wrapped_electra_beside_its_generator(self, tmp_path):
    tensors = numpy_bert.tensors("electra")
    config = {"model_type": "electra"} | numpy_bert.CONFIGS["electra"]
    others = renamed(tensors, "^electra", "generator")
    both = renamed(tensors | others, "^", "module.")
    folder_of(tmp_path / "both", both, config)
    got = published(tmp_path / "both", "electra")
    assert_computes(got, want("electra", tensors))

  def test_two_encoders_are_not_chosen_between(self, tmp_path):
    tensors = numpy_bert.tensors("bert")
    both = {
      name: value
      for wrapper in ("student.", "teacher.")
      for name, value in renamed(tensors, "^", wrapper).items()
    }
    folder_of(tmp_path / "both", both, _TYPED)
    message = refusal(tmp_path / "both")
    assert "below 'student.bert.' and 'teacher.bert.'" in message

  def test_once_more_without_a_wrapper(self, tmp_path):
    tensors = numpy_bert.tensors("bert")
    name = "bert.pooler.dense.bias"
    wrapped = renamed(tensors, "^", "module.") | {name: tensors[name] + 1}
    folder_of(tmp_path / "both", wrapped, _TYPED)
    assert "'pooler.dense.bias' twice" in refusal(tmp_path / "both")


class TestSlots:
  """A known tensor's name and more is an optimizer's."""

  _SUFFIXES = (
    "BERTAdam",
    "BERTAdam_1",
    "accum",
    "AdamWeightDecayOptimizer_1",
    "LAMB/beta",
    "Momentum",
  )

  @pytest.fixture(scope="class")
  def prefix(self, tmp_path_factory):
    tensors = numpy_bert.tensors("bert")
    slots = {
      f"{name}/{suffix}": value * 0
      for name, value in checkpoint_files.tf1_names(tensors).items()
      for suffix in self._SUFFIXES
    }
    path = tmp_path_factory.mktemp("slots") / "model.ckpt"
    checkpoint_files.save_tf1(path, checkpoint_files.tf1_names(tensors) | slots)
    return path

  def test_restored_without(self, prefix):
    checkpoint = checkpoints.open_checkpoint(str(prefix))
    model = small_bert.encoder()
    match = checkpoints.restore(checkpoint, {"encoder": model})
    tensors = numpy_bert.tensors("bert")
    # 39 are the encoder's, 5 the head's; and the slots of all.
    assert len(match.pairs) == 39
    assert len(match.ignored) == 5 + len(tensors) * len(self._SUFFIXES)

  def test_counted_without(self, prefix):
    identity = identity_lib.identify(str(prefix))
    tensors = numpy_bert.tensors("bert")
    assert identity.parameters == sum(t.size for t in tensors.values())
    assert identity.training == len(tensors) * len(self._SUFFIXES)

  def test_more_layers_are_no_slots(self, tmp_path):
    tensors = numpy_bert.tensors("bert")
    more = renamed(tensors, r"layer\.1\.", "layer.2.")
    names = checkpoint_files.tf1_names(tensors | more)
    checkpoint_files.save_tf1(tmp_path / "model.ckpt", names)
    checkpoint = checkpoints.open_checkpoint(str(tmp_path / "model.ckpt"))
    with pytest.raises(ExportError, match=r"\+ encoder/layer_2/"):
      checkpoints.restore(checkpoint, {"encoder": small_bert.encoder()})

  def test_an_optimizer_of_another_name(self, tmp_path):
    """In a TF2 checkpoint, where its attribute can have any."""
    model = small_bert.encoder()
    for i, optimizer in enumerate(
      (tf.keras.optimizers.Adam(), tf.keras.optimizers.legacy.Adam())
    ):
      optimizer.apply_gradients(
        [(tf.zeros_like(v), v) for v in model.trainable_variables]
      )
      path = str(tmp_path / f"ckpt{i}")
      tf.train.Checkpoint(encoder=model, opt=optimizer).write(path)
      identity = identity_lib.identify(path)
      assert identity.parameters == model.count_params()


class TestConfig:
  """`config.json` of before `transformers` named the architecture in it."""

  @pytest.mark.parametrize("kind", numpy_bert.CONFIGS)
  @pytest.mark.parametrize("form", ["{}ForMaskedLM", "{}Model", "TF{}Model"])
  def test_architectures(self, tmp_path, kind, form):
    names = {"distilbert": "DistilBert"}
    name = form.format(names.get(kind, kind.capitalize()))
    tensors = numpy_bert.tensors(kind)
    config = {"architectures": [name]} | numpy_bert.CONFIGS[kind]
    folder_of(tmp_path / "old", tensors, config)
    assert_computes(published(tmp_path / "old", kind), want(kind, tensors))

  @pytest.mark.parametrize("kind", ["bert", "albert", "distilbert"])
  @pytest.mark.parametrize("wrapper", ["", "module."])
  def test_keys_alone(self, tmp_path, kind, wrapper):
    tensors = numpy_bert.tensors(kind)
    wrapped = renamed(tensors, "^", wrapper)
    folder_of(tmp_path / "old", wrapped, numpy_bert.CONFIGS[kind])
    assert_computes(published(tmp_path / "old", kind), want(kind, tensors))

  def test_the_older_name_of_the_file(self, tmp_path):
    tensors = numpy_bert.tensors("bert")
    folder_of(tmp_path / "old", {})
    (tmp_path / "old/model.safetensors").unlink()
    (tmp_path / "old/bert_config.json").write_text(json.dumps(_BERT))
    checkpoint_files.torch_zip(tmp_path / "old/pytorch_model.bin", tensors)
    assert_computes(published(tmp_path / "old"), want("bert", tensors))
    files = checkpoints.open_checkpoint(str(tmp_path / "old")).files
    assert files[0].endswith("/bert_config.json")

  def test_names_of_another_architecture(self, tmp_path):
    """RoBERTa's keys are BERT's, but it counts positions otherwise."""
    tensors = renamed(numpy_bert.tensors("bert"), "^bert", "roberta")
    folder_of(tmp_path / "roberta", tensors, _BERT)
    message = refusal(tmp_path / "roberta")
    assert "begin with 'roberta.'" in message
    assert 'add "model_type": "bert"' in message

  @pytest.mark.parametrize(
    ("config", "said"),
    [
      ({"architectures": ["RobertaForMaskedLM"]}, "says architectures = "),
      ({"architectures": ["BertGenerationEncoder"]}, "says architectures = "),
      ({"architectures": "BertModel"}, "says architectures = 'BertModel'"),
      ({"architectures": []}, r"says architectures = \[\]"),
      ({"model_type": None}, "says model_type = None"),
      ({"model_type": ["bert"]}, r"says model_type = \['bert'\]"),
      ({}, "has no model_type"),
    ],
  )
  def test_others_are_refused(self, tmp_path, config, said):
    folder_of(tmp_path / "other", numpy_bert.tensors("bert"), config)
    message = refusal(tmp_path / "other")
    assert re.search(f"{said}.*supported are albert, bert, ", message)


class TestLone:
  """Weights without the file that says what they are."""

  @pytest.mark.parametrize(
    "name", ["model.safetensors", "pytorch_model.bin", "my.pt", "tf_model.h5"]
  )
  def test_says_what_is_missing(self, tmp_path, name):
    (tmp_path / "lone").mkdir()
    # By its name, or by its bytes where the name could be anyone's.
    (tmp_path / "lone" / name).write_bytes(b"x")
    if name == "my.pt":
      checkpoint_files.torch_zip(
        tmp_path / "lone" / name, numpy_bert.tensors("bert")
      )
    message = refusal(tmp_path / "lone" / name)
    assert f"'{tmp_path}/lone' lie there without their config.json" in message
    assert "save_pretrained" in message
    if name != "my.pt":
      assert refusal(tmp_path / "lone") == message

  def test_a_name_alone_tells_nothing(self, tmp_path):
    (tmp_path / "my.pt").write_bytes(b"x")
    message = refusal(tmp_path / "my.pt")
    assert "'my.pt' is not a checkpoint, but a text file" in message.replace(
      f"{tmp_path}/", ""
    )

  def test_any_name_beside_a_config(self, tmp_path):
    tensors = numpy_bert.tensors("bert")
    folder = folder_of(tmp_path / "folder", tensors, _TYPED)
    (folder / "model.safetensors").rename(folder / "best.safetensors")
    path = folder / "best.safetensors"
    assert_computes(published(path), want("bert", tensors))

  def test_beside_tensorflows_checkpoint(self, tmp_path):
    """A config.json without its weights does not hide a checkpoint."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(_TYPED))
    checkpoint_files.tf1(folder / "bert_model.ckpt", numpy_bert.tensors("bert"))
    found = checkpoints.open_checkpoint(str(folder))
    assert found.kind == "TF1 name-based checkpoint"
    folder_of(tmp_path / "other", numpy_bert.tensors("bert"), _TYPED)
    (tmp_path / "other/model.safetensors").rename(folder / "model.safetensors")
    found = checkpoints.open_checkpoint(str(folder))
    assert found.kind == "Hugging Face folder"


@pytest.mark.parametrize("name", ["run.keras", "run.h5", "run.safetensors"])
def test_a_folder_by_the_name_of_a_file(tmp_path, name):
  (tmp_path / name).mkdir()
  checkpoint_files.tf1(
    tmp_path / name / "bert_model.ckpt", numpy_bert.tensors("bert")
  )
  found = checkpoints.open_checkpoint(str(tmp_path / name))
  assert found.kind == "TF1 name-based checkpoint"


class TestTfModelH5:
  """`tf_model.h5`, as `transformers` lays it out."""

  @pytest.mark.parametrize(
    ("kind", "heads"),
    [
      ("bert", {"cls": "mlm___cls"}),
      ("albert", {}),
      ("electra", {}),
      ("distilbert", {}),
    ],
  )
  @pytest.mark.parametrize("scope", ["tf_model/", "my_model_1/", ""])
  def test_outputs(self, tmp_path, kind, heads, scope):
    tensors = numpy_bert.tensors(kind)
    folder = tmp_path / "folder"
    folder.mkdir()
    config = {"model_type": kind} | numpy_bert.CONFIGS[kind]
    (folder / "config.json").write_text(json.dumps(config))
    _write_tf_model_h5(folder / "tf_model.h5", tensors, scope, heads)
    with_mlm = kind != "electra"
    got = published(folder, kind, with_mlm=with_mlm)
    assert_computes(got, want(kind, tensors, positions=with_mlm))
    assert checkpoints.open_checkpoint(str(folder)).files == [
      f"{folder}/config.json",
      f"{folder}/tf_model.h5",
    ]

  @pytest.mark.parametrize("content", [b"", b"no HDF5", None])
  def test_damaged(self, tmp_path, content):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(_TYPED))
    path = folder / "tf_model.h5"
    _write_tf_model_h5(path, numpy_bert.tensors("bert"), "tf_model/", {})
    path.write_bytes(path.read_bytes()[:3000] if content is None else content)
    message = refusal(folder)
    assert f"'{path}': as a Keras .h5 file it is truncated" in message

  def test_that_links_to_another_file(self, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(_TYPED))
    path = folder / "tf_model.h5"
    _write_tf_model_h5(path, numpy_bert.tensors("bert"), "tf_model/", {})
    path.rename(folder / "other.h5")
    with h5py.File(path, "w") as file, h5py.File(folder / "other.h5") as other:
      file.attrs["layer_names"] = other.attrs["layer_names"]
      file["bert"] = h5py.ExternalLink("other.h5", "/bert")
    assert "'bert' is a link" in refusal(folder)


def _write_tf_model_h5(path, tensors, scope: str, heads) -> None:
  """Writes tensors as a TensorFlow model of `transformers` names them.

  By its rules: https://github.com/huggingface/transformers, in
  `modeling_tf_pytorch_utils.py`.
  """
  groups: dict[str, dict[str, np.ndarray]] = {}
  for name, value in tensors.items():
    *parts, parameter = name.split(".")
    norm = re.search("LayerNorm|layer_norm", name)
    if norm:
      parameter = {"weight": "gamma", "bias": "beta"}[parameter]
    elif parts[-1] in ("position_embeddings", "token_type_embeddings"):
      parameter = "embeddings"
    elif parameter == "weight" and parts[-1] != "word_embeddings":
      parameter, value = "kernel", value.T
    parts[0] = heads.get(parts[0], parts[0])
    joined = "/".join([*parts, parameter])
    joined = re.sub(r"(layers?|groups)/(\d+)", r"\1_._\2", joined)
    groups.setdefault(parts[0], {})[f"{scope}{joined}:0"] = value
  with h5py.File(path, "w") as file:
    file.attrs["layer_names"] = [name.encode() for name in groups]
    file.attrs["backend"] = b"tensorflow"
    for layer, weights in groups.items():
      group = file.create_group(layer)
      group.attrs["weight_names"] = [name.encode() for name in weights]
      for name, value in weights.items():
        group.create_dataset(name, data=value)
