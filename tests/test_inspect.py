"""What `scripts.inspect` says of files: what they are, what exports them."""

import importlib
import io
import json
import os
import pathlib
import pickle
import re
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile

import gin
import h5py
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
import tf_keras
from tf_keras.protobuf import saved_metadata_pb2
from tf_keras.src import activations
from tf_keras.src import constraints
from tf_keras.src import initializers
from tf_keras.src import regularizers
from tf_keras.src.layers import serialization

from exporters import checks
from exporters import keras_model
from exporters import recipe
from exporters.checkpoints import file_kinds
from exporters.errors import ExportError
from exporters.inspection import gin_file
from exporters.inspection import identity as identity_lib
from exporters.inspection import keras_config
from exporters.inspection import report
from exporters.life_cycle import exporting
from scripts import inspect
from scripts.attacks import checkpoints as attacks
from tests import checkpoint_files
from tests import command
from tests import numpy_bert
from tests import numpy_tasks
from tests import test_tokenizer_files

# By hand: a Dense layer of 4 on 8 numbers, one of 2 on these 4.
_PARAMETERS = "46"
_KERAS_3 = """
import keras
import numpy as np
i = keras.Input((8,), name="numbers")
x = keras.layers.Dropout(0.5)(keras.layers.Dense(4)(i))
model = keras.Model(i, keras.layers.Dense(2, "softmax", name="scores")(x))
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(np.zeros((4, 8)), np.zeros(4), verbose=0)
model.export("{0}/keras_3", verbose=False)
model.save("{0}/keras_3.keras")
model.save("{0}/keras_3.h5")
"""


@pytest.mark.parametrize(
  "names",
  [
    ["1\u00b2", "\u00b2"],
    ["layer_" + "9" * 5000],
    ["encoder/layer_" + "9" * 5000 + "/attention"],
    ["a." * 2000 + "b"],
    ["encoder/layer_1/" * 2000],
    ["a.b", "a/b"],
    ["block:100:kernel", "[red]x[", "tail\\"],
  ],
)
def test_any_names_of_tensors_are_told_as_they_are(names, tmp_path, capsys):
  tensors = {name: np.ones([2], np.float32) for name in names}
  safetensors.numpy.save_file(tensors, tmp_path / "model.safetensors")
  (tmp_path / "config.json").write_text(json.dumps(attacks.CONFIG))
  found = report.read(str(tmp_path))
  inspect._print(found, found.gin)
  assert dict(found.facts)["parameters"] == str(2 * len(names))
  shown = capsys.readouterr().out
  assert shown.count("2 float32") == len(names) or len(names[0]) > 80
  if "tail\\" in names:
    assert all(f" {name}  2 float32" in shown for name in names)


@pytest.mark.parametrize("value", [5, 2.5, [1, 2], h5py.Empty("f")])
@pytest.mark.parametrize(
  "name", ["keras_version", "model_config", "training_config"]
)
def test_attributes_of_other_types_are_no_defect(name, value, tmp_path):
  model = tf_keras.Sequential([tf_keras.Input((3,)), tf_keras.layers.Dense(2)])
  model.save(tmp_path / "model.h5")
  with h5py.File(tmp_path / "model.h5", "r+") as file:
    file.attrs[name] = value
  if name == "keras_version":
    assert report.read(str(tmp_path / "model.h5")).facts
  else:
    with pytest.raises(ExportError, match="its JSON is not a text"):
      report.read(str(tmp_path / "model.h5"))


@pytest.mark.parametrize("said", ["[]", "5", '"x"', '{"model_config": []}'])
def test_metadata_of_another_form_are_none(said, folder, tmp_path):
  path = shutil.copytree(folder / "keras_2", tmp_path / "model")
  file = path / "keras_metadata.pb"
  metadata = saved_metadata_pb2.SavedMetadata.FromString(file.read_bytes())
  for node in metadata.nodes:
    node.metadata = said
  file.write_bytes(metadata.SerializeToString())
  assert dict(report.read(str(path)).facts)["parameters"] == _PARAMETERS


def test_a_layer_of_many_outputs_takes_no_time_by_the_square():
  layers = [
    {"class_name": "Dropout", "config": {"name": f"d{i}"}} for i in range(5000)
  ]
  ends = [[layer["config"]["name"], 0, 0] for layer in layers]
  config = {"layers": layers, "output_layers": ends}
  started = time.process_time()
  found = keras_config.read({"class_name": "Functional", "config": config})
  assert len(found.outputs) == 5000
  assert time.process_time() - started < 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """One model as Keras 2 and Keras 3 write it, trained for a step."""
  path = tmp_path_factory.mktemp("inspect")
  environment = {k: v for k, v in os.environ.items() if "KERAS" not in k}
  subprocess.run(
    [sys.executable, "-c", _KERAS_3.format(path)],
    env=environment,
    check=True,
    capture_output=True,
  )
  inputs = tf_keras.Input((8,), name="numbers")
  hidden = tf_keras.layers.Dense(4)(inputs)
  scores = tf_keras.layers.Dense(2, "softmax", name="scores")(hidden)
  model = tf_keras.Model(inputs, scores)
  model.compile("adam", "sparse_categorical_crossentropy")
  model.fit(np.zeros((4, 8)), np.zeros(4), verbose=0)
  model.save(path / "keras_2", save_format="tf")
  model.save(path / "keras_2.keras")
  model.save(path / "keras_2.h5")
  return path


def facts(path) -> dict[str, str]:
  return dict(report.read(str(path)).facts)


@pytest.mark.parametrize(
  ("name", "kind"),
  [
    ("keras_2", r"Keras SavedModel \(Keras 2\)"),
    ("keras_2.keras", r"Keras 2\S+ model \(\.keras\)"),
    ("keras_2.h5", r"Keras 2\S+ model \(\.h5\)"),
    ("keras_3", "SavedModel that Keras 3 exported"),
    ("keras_3.keras", r"Keras 3\S+ model \(\.keras\)"),
    ("keras_3.h5", r"Keras 3\S+ model \(\.h5\)"),
  ],
)
def test_a_keras_model(folder, name, kind):
  found = report.read(str(folder / name))
  said = dict(found.facts)
  assert re.fullmatch(kind, said["kind"])
  assert said["parameters"] == _PARAMETERS
  assert said["dtype"] == "float32"
  inputs = said.get("input") or said["signature serving_default"]
  assert inputs == "numbers [?, 8] float32"
  if "output" in said:
    assert said["output"] == "scores [..., 2] (Dense)"
  if name != "keras_3":
    assert said["classes"] == "2 (softmax)"
  assert found.gin is None
  if name.startswith("keras_3"):
    assert found.command is None
    assert "model.export" in found.advice or "scripts.check" in found.advice
  else:
    assert f"MODEL_FILE = '{folder / name}'" in found.command


def test_the_command_exports_it(folder, tmp_path):
  shown = command.run("scripts.inspect", str(folder / "keras_2.keras")).stdout
  _, _, commands = shown.partition("python -m ")
  module, *arguments = re.sub(r'\\\n|"', " ", commands).split()
  # As a shell splits it, without its quotes.
  text = re.sub(r"\\\n", " ", commands).strip()
  arguments = re.findall(r'--\w+=(?:"[^"]*"|\S+)', text)
  arguments = [a.replace('"', "") for a in arguments[:-1]]
  path = tmp_path / "model"
  command.run(module, *arguments, f"--export_path={path}", "--checks=none")
  assert tf.saved_model.load(str(path))(tf.zeros([1, 8])).shape == [1, 2]


@pytest.fixture
def halves(tmp_path, monkeypatch):
  """A module with a layer of its own."""
  (tmp_path / "halves.py").write_text(
    "import tf_keras\n\n"
    "@tf_keras.utils.register_keras_serializable()\n"
    "class Half(tf_keras.layers.Layer):\n"
    "  def call(self, numbers):\n"
    "    return numbers / 2\n"
  )
  monkeypatch.syspath_prepend(tmp_path)
  yield importlib.import_module("halves")
  # A release would ask where it comes from.
  del sys.modules["halves"]


@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_own_classes_of_a_keras_model(suffix, halves, tmp_path):
  """The gin file asks for the module that defines them."""
  numbers = tf_keras.Input((8,), name="numbers")
  halved = halves.Half()(numbers)
  path = str(tmp_path / f"model.{suffix}")
  tf_keras.Model(numbers, tf_keras.layers.Dense(2)(halved)).save(path)
  found = report.read(path)
  assert found.command is None
  assert "classes or functions of its own: Custom>Half." in found.gin
  assert "@tf_keras.utils.register_keras_serializable('Custom')" in found.gin
  file = tmp_path / "this_file.gin"
  file.write_text(found.gin)
  with pytest.raises(ExportError, match="needs the module 'MODULE'"):
    recipe.load([str(file)], [])
  gin.clear_config()
  file.write_text(found.gin.replace("import MODULE", "import halves"))
  exporter = recipe.load([str(file)], []).exporter
  exported = str(tmp_path / "exported")
  exporting.export(exporter, export_path=exported, level=checks.NONE)
  loaded = tf.saved_model.load(exported)
  # The numbers are halved, then the sum of products.
  kernel, _ = loaded.variables
  given = np.arange(8, dtype=np.float32)[None]
  np.testing.assert_allclose(loaded(given), given / 2 @ kernel, rtol=1e-5)


def test_own_classes_and_functions_that_were_never_registered(tmp_path):
  """Each is looked for by its bare name, that of a lambda of old too."""

  class Half(tf_keras.layers.Layer):
    def call(self, numbers):
      return numbers / 2

  def triple(x):
    return 3 * x

  dense = tf_keras.layers.Dense(
    2,
    activation=triple,
    kernel_initializer="he_normal",
    bias_regularizer="l2",
    kernel_constraint="non_neg",
  )
  numbers = tf_keras.Input((8,), name="numbers")
  model = tf_keras.Model(numbers, dense(Half()(numbers)))
  path = str(tmp_path / "model.h5")
  model.save(path)
  with h5py.File(path, "r+") as file:
    config = json.loads(file.attrs["model_config"])
    config["config"]["layers"][2]["config"]["activation"] = "<lambda>"
    file.attrs["model_config"] = json.dumps(config)
  found = report.read(path)
  assert dict(found.facts)["of its own"] == "Half, <lambda>"
  lines = re.findall(r"#   (tf_keras.utils.get_custom.*)", found.gin)
  assert lines == [
    "tf_keras.utils.get_custom_objects()['Half'] = Half",
    "tf_keras.utils.get_custom_objects()['<lambda>'] = FUNCTION",
  ]
  for line in lines:
    exec(line, {"tf_keras": tf_keras, "Half": Half, "FUNCTION": triple})
  try:
    exporter = keras_model.KerasModelExporter(model_file=path)
    published = exporter.build().published[""]
  finally:
    known = tf_keras.utils.get_custom_objects()
    del known["Half"], known["<lambda>"]
  assert published.reference is not None
  given = np.arange(8, dtype=np.float32)[None]
  got = published.reference(given, training=False)
  np.testing.assert_allclose(got, model(given), rtol=1e-6)


def test_no_class_that_tf_keras_loads_is_a_models_own():
  """Of all that it knows, with the functions that its layers may have."""
  serialization.populate_deserializable_objects()
  fields = {
    "activation": vars(tf_keras.activations),
    "kernel_initializer": vars(tf_keras.initializers),
    "kernel_constraint": vars(tf_keras.constraints),
    "kernel_regularizer": vars(tf_keras.regularizers),
  }
  others = {"deserialize", "serialize", "get"}
  layers = [
    {"class_name": name, "config": {"name": name}}
    for name in serialization.LOCAL.ALL_OBJECTS
  ] + [
    {"class_name": "Dense", "config": {"name": name, field: value}}
    for field, names in fields.items()
    for name, value in (
      (name, form)
      for name, found in names.items()
      if callable(found) and name not in others
      for form in (name, {"class_name": name, "config": {}})
    )
  ]
  config = {"class_name": "Functional", "config": {"layers": layers}}
  found = keras_config.read(config)
  assert (found.custom, found.functions) == ([], [])


@pytest.mark.parametrize("objects", [False, True])
def test_tensors_of_nobody_knows_what(objects, tmp_path):
  """The report ends with how to go on."""
  kernel = np.ones([3, 2], np.float32)
  path = str(tmp_path / "ckpt")
  if objects:
    module = tf.Module()
    module.tower = tf.Variable(kernel)
    tf.train.Checkpoint(model=module).write(path)
  else:
    checkpoint_files.save_tf1(tmp_path / "ckpt", {"tower/left/kernel": kernel})
  found = report.read(path)
  assert found.advice.startswith("No exporter here builds a model of these")


@pytest.mark.parametrize(
  "field", ["activation", "a_initializer", "a_regularizer", "a_constraint"]
)
def test_any_name_may_stand_where_a_function_does(field):
  """Every name in Keras's modules, and strings that nobody would choose."""
  names = ["", " ", "a>b", "x" * 100_000, "\0", "é", "builtins>eval"]
  for module in (activations, initializers, regularizers, constraints):
    names += vars(module)
  for name in names:
    for value in (name, {"class_name": name}, {"registered_name": name}):
      layer = {"class_name": "Dense", "config": {field: value}}
      found = keras_config.read({"config": {"layers": [layer]}})
      assert set(found.functions) <= {name}


@pytest.mark.parametrize("kind", ["Keras SavedModel", "SavedModel", "TF1"])
def test_tensors_whose_file_is_missing(kind, tmp_path):
  """As of a download that is not complete."""
  prefix = tmp_path / "variables/variables"
  if kind == "TF1":
    (tmp_path / "variables").mkdir()
    tensors = {"a": np.ones([2], np.float32)}
    checkpoint_files.save_tf1(prefix, tensors)
    path = str(prefix)
  elif kind == "SavedModel":
    module = tf.Module()
    module.weight = tf.Variable([1.0, 2.0])
    tf.saved_model.save(module, path := str(tmp_path))
  else:
    inputs = tf_keras.Input((3,))
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(2)(inputs))
    model.save(path := str(tmp_path))
    exporter = keras_model.KerasModelExporter(model_file=path)
  missing = f"{prefix}.data-00000-of-00001"
  pathlib.Path(missing).unlink()
  with pytest.raises(ExportError, match=f"lacks its file '{missing}'"):
    report.read(path)
  if kind == "Keras SavedModel":
    with pytest.raises(ExportError, match=f"lacks its file '{missing}'"):
      exporter.build()


def test_a_keras_3_export_has_no_gin_file(folder):
  """A leaf of a text preprocessor has 0 parameters too."""
  shown = command.run("scripts.inspect", str(folder / "keras_3")).stdout
  assert "include" not in shown
  assert "scripts.check" in shown
  done = command.run(
    "scripts.inspect", "--gin", str(folder / "keras_3"), check=False
  )
  assert done.returncode == 1
  assert "No gin file is known to fit" in done.stderr


def test_code_in_a_model_is_named_and_not_run(tmp_path):
  ran = tmp_path / "ran"
  inputs = tf_keras.Input((2,))
  outputs = tf_keras.layers.Lambda(
    lambda x, p=str(ran): (__import__("os").makedirs(p, exist_ok=True), x)[1],
    name="mine",
  )(inputs)
  model = tf_keras.Model(inputs, outputs)
  ran.rmdir()
  for name in ("model.keras", "model.h5"):
    model.save(tmp_path / name)
    found = report.read(str(tmp_path / name))
    assert dict(found.facts)["code"].startswith("in mine: it runs when")
    assert "safe_mode = False" in found.command
  assert not ran.exists()


class _Touch:
  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return os.mkdir, (self.path,)


def test_a_pickle_is_not_run(tmp_path):
  path = tmp_path / "model.pkl"
  path.write_bytes(pickle.dumps(_Touch(str(tmp_path / "ran"))))
  assert facts(path) == {"kind": "a Python pickle"}
  assert not (tmp_path / "ran").exists()


@pytest.fixture(scope="module")
def tf1(tmp_path_factory):
  """A TF1 model, trained by Adam: its SavedModel, and its graph, frozen."""
  path = tmp_path_factory.mktemp("tf1")
  v1 = tf.compat.v1
  with tf.Graph().as_default() as graph, v1.Session() as session:
    x = v1.placeholder(tf.float32, [None, 8], name="x")
    kernel = v1.get_variable("dense/kernel", [8, 4])
    bias = v1.get_variable("dense/bias", [4])
    y = tf.add(tf.matmul(x, kernel), bias, name="y")
    step = v1.train.get_or_create_global_step()
    v1.train.AdamOptimizer().minimize(tf.reduce_sum(y), global_step=step)
    session.run(v1.global_variables_initializer())
    builder = v1.saved_model.Builder(str(path / "saved_model"))
    builder.add_meta_graph_and_variables(
      session,
      ["serve", "gpu"],
      {
        "predict": v1.saved_model.build_signature_def(
          {"x": v1.saved_model.build_tensor_info(x)},
          {"y": v1.saved_model.build_tensor_info(y)},
          "predict",
        )
      },
    )
    builder.save()
    frozen = v1.graph_util.convert_variables_to_constants(
      session, graph.as_graph_def(), ["y"]
    )
    v1.train.Saver().save(session, str(path / "model.ckpt"))
  (path / "frozen.pb").write_bytes(frozen.SerializeToString())
  return path


def test_a_tf1_saved_model(tf1):
  found = report.read(str(tf1 / "saved_model"))
  said = dict(found.facts)
  assert said["kind"] == "TF1 SavedModel"
  assert set(said["tags"].split(", ")) == {"serve", "gpu"}
  assert said["signature predict"] == "x [?, 8] float32"
  assert said["  gives"] == "y [?, 4] float32"
  # By hand, without Adam's two moments of each.
  assert said["parameters"] == "36"
  assert f"'{tf1}/saved_model/variables/variables'" in found.advice
  weights = identity_lib.identify(f"{tf1}/saved_model/variables/variables")
  assert weights.kind.startswith("TF1")
  assert weights.parameters == 36


_ONNX = b"\x08\x08\x12\x07pytorch\x3a\x04\x0a\x02\x0a\x00\x42\x02\x10\x11"


def _zipped(**members) -> bytes:
  content = io.BytesIO()
  with zipfile.ZipFile(content, "w") as archive:
    for name, text in members.items():
      archive.writestr(name.replace("__", "/"), text)
  return content.getvalue()


def _tarred(mode) -> bytes:
  content = io.BytesIO()
  with tarfile.open(fileobj=content, mode=mode) as archive:
    archive.addfile(tarfile.TarInfo("model/saved_model.pb"))
  return content.getvalue()


@pytest.mark.parametrize(
  ("content", "kind"),
  [
    (_ONNX, "an ONNX model"),
    (b"\x1c\x00\x00\x00TFL3" + bytes(20), "a TFLite model"),
    (b"GGUF\x03\x00\x00\x00", "a GGUF file of llama.cpp"),
    (_zipped(a="", b=""), "a zip archive"),
    (b"PK\x03\x04" + bytes(60), "a zip archive that is truncated or damaged"),
    (_zipped(model__data__pkl=""), "a zip archive"),
    (
      _zipped(**{"model__data.pkl": "", "model__constants.pkl": ""}),
      "a TorchScript model",
    ),
    (_zipped(**{"model__data.pkl": ""}), "a PyTorch file"),
    (_zipped(**{"a.npy": ""}), "a NumPy .npz archive"),
    (_tarred("w"), "a tar archive"),
    (_tarred("w:gz"), "a tar.gz archive"),
    (pickle.dumps({}), "a Python pickle"),
    (b"\x93NUMPY\x01\x00", "a NumPy array"),
    (b"", "an empty file"),
    (b"<html></html>", "a web page"),
    (b'{"format": "layers-model"}', "a TensorFlow.js model"),
    (b'{"model_type": "bert"}', "the description of a Hugging Face model"),
    ("Füße\n".encode(), "a text file"),
  ],
)
def test_other_formats_are_named(tmp_path, content, kind):
  path = tmp_path / "model.bin"
  path.write_bytes(content)
  assert facts(path) == {"kind": kind}


def test_what_tf1_writes_is_named(tf1):
  assert facts(tf1 / "frozen.pb") == {"kind": "a frozen graph"}
  kinds = {
    "model.ckpt.index": "the index of a TensorFlow checkpoint",
    "model.ckpt.meta": "the graph of a TF1 checkpoint (.meta)",
    "checkpoint": "the list of a folder's checkpoints",
    "saved_model/saved_model.pb": "the graph of a SavedModel",
  }
  for name, kind in kinds.items():
    assert file_kinds.kind_of(str(tf1 / name)).name == kind
  # An exporter takes them by these names too.
  assert facts(tf1 / "model.ckpt.index")["kind"].startswith("TF1")


def test_what_nothing_tells(tmp_path):
  # As the weights of a TensorFlow.js or a Core ML model.
  path = tmp_path / "weights.bin"
  path.write_bytes(bytes(range(256)))
  assert file_kinds.kind_of(str(path)) is None
  with pytest.raises(ExportError, match="not a checkpoint of a known kind"):
    report.read(str(path))


def test_a_head_that_shares_the_embeddings_is_not_counted_twice(tmp_path):
  tensors = numpy_bert.tensors("bert")
  name = "bert.embeddings.word_embeddings.weight"
  tensors["cls.predictions.decoder.weight"] = tensors[name]
  config = numpy_bert.CONFIGS["bert"]
  checkpoint_files.hugging_face(tmp_path / "bert", "bert", config, tensors)
  found = identity_lib.identify(str(tmp_path / "bert"))
  once = numpy_bert.tensors("bert").values()
  assert found.parameters == sum(tensor.size for tensor in once)


def test_as_many_parameters_are_not_enough(tmp_path):
  """The digits' ResNet has 312,506, in tensors of other shapes."""
  path = str(tmp_path / "ckpt")
  variable = tf.Variable(tf.zeros([312_506]), name="residual_block/kernel")
  tf.train.Checkpoint(backbone=variable).write(path)
  found = identity_lib.identify(path)
  assert found.parameters == 312_506
  assert gin_file.of_leaf("configs/resnet/digits_resnet.gin", found) is None
  shown = command.run("scripts.inspect", path).stdout
  assert "include" not in shown


def test_an_encoder_that_misses_a_part_gets_the_reason(tmp_path):
  tensors = {
    name: tensor
    for name, tensor in numpy_bert.tensors("bert").items()
    if "pooler" not in name
  }
  checkpoint_files.tf1(tmp_path / "bert_model.ckpt", tensors)
  found = report.read(str(tmp_path / "bert_model.ckpt"))
  assert found.gin is None
  assert "saved without a pooler" in found.advice


def test_a_vocabulary_in_tokenizer_json_alone(tmp_path):
  folder = tmp_path / "folder"
  checkpoint_files.hugging_face(
    folder, "bert", numpy_bert.CONFIGS["bert"], numpy_bert.tensors("bert")
  )
  content = test_tokenizer_files.tokenizer_json()
  test_tokenizer_files.write(folder, "tokenizer.json", content)
  leaf = gin_file.written(identity_lib.identify(str(folder)))
  assert f"VOCAB_FILE = '{folder}'\n" in leaf


@pytest.mark.parametrize("task", numpy_tasks.TASKS)
def test_a_fine_tuned_folder_gets_the_gin_file_of_its_task(task, tmp_path):
  folder = tmp_path / "bert"
  checkpoint_files.hugging_face(
    folder,
    "bert",
    numpy_tasks.config("bert", task),
    numpy_tasks.tensors("bert", task),
  )
  tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
  tokens += [f"word{i}" for i in range(35)]
  (folder / "vocab.txt").write_text("\n".join(tokens))
  gin_file = tmp_path / "its.gin"
  gin_file.write_text(report.read(str(folder)).gin)
  assert "DO_LOWER_CASE = %gin.REQUIRED" in gin_file.read_text()
  command.run(
    "exporters.text_task",
    f"--gin_file={gin_file}",
    "--gin_bindings=DO_LOWER_CASE = True",
    f"--export_path={tmp_path / 'model'}",
    "--checks=none",
  )
