"""What every exporter promises, on a small instance of each."""

import dataclasses
import filecmp
import os
import pathlib
import shutil

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
import tensorflow_hub as hub
import tensorflow_text  # noqa: F401 - preprocessors' operations.

from exporters import checks
from scripts.small_instances import INSTANCES
from scripts.small_instances import Instance
from scripts.small_instances import Kind
from tests import command
from tests.applicability import not_applicable

# Of scale: how far an image model may be from its reference, traced. Kernels
# round differently on different processors: 1.5e-6 was seen of ViT.
_SAME = 5e-6

# The sizes of images that a model of a fixed size takes, by the exporter.
_FIXED_SIZES = {
  "exporters.maxvit": 32,
  "exporters.spinenet": 128,
  "exporters.vit": 32,
}


@dataclasses.dataclass(frozen=True)
class Exported:
  instance: Instance
  path: pathlib.Path
  bindings: list[str]
  stdout: str


@pytest.fixture(scope="module", params=list(INSTANCES))
def exported(request, tmp_path_factory) -> Exported:
  """The small instance, exported by its command with all checks."""
  return _exported_once(request.param, tmp_path_factory)


@pytest.fixture(
  scope="module",
  params=[
    name
    for name, instance in INSTANCES.items()
    if instance.kind is Kind.IMAGE_CLASSIFIER
  ],
)
def classifier(request, tmp_path_factory) -> Exported:
  """The same of those that classify images."""
  return _exported_once(request.param, tmp_path_factory)


_EXPORTED: dict[str, Exported] = {}


def _exported_once(name: str, tmp_path_factory) -> Exported:
  if name not in _EXPORTED:
    instance = INSTANCES[name]
    bindings = instance.write_inputs(tmp_path_factory.mktemp("inputs"))
    path = tmp_path_factory.mktemp("exported") / "model"
    _EXPORTED[name] = export(instance, path, bindings)
  return _EXPORTED[name]


def export(
  instance: Instance, path: pathlib.Path, bindings: list[str]
) -> Exported:
  """Exports an instance by its command with all checks."""
  done = _run(instance, path, bindings)
  return Exported(instance, path, bindings, done.stdout)


def _run(instance, path, bindings, *flags, **kwargs):
  return command.run(
    instance.module,
    f"--gin_file={command.ROOT / instance.leaf}",
    f"--export_path={path}",
    *(f"--gin_bindings={binding}" for binding in bindings),
    "--verbose",
    *flags,
    **kwargs,
  )


def test_every_check_passes_or_says_why_not(exported):
  shown = " ".join(exported.stdout.split())
  without = not_applicable(exported.instance)
  for check in without:
    assert f" {check}: " in shown.split("largest difference")[0]
  made = len(checks.CHECKS) - len(without)
  assert f"{made} passed" in shown


def test_bytes_do_not_depend_on_place_time_or_checks(exported, tmp_path):
  """From a copy of the inputs elsewhere, run elsewhere."""
  (tmp_path / "copy").mkdir()
  (tmp_path / "cwd").mkdir()
  bindings = []
  for binding in exported.bindings:
    name, equals, value = binding.partition(" = ")
    if os.sep in value:
      source = pathlib.Path(value.strip("'"))
      for file in source.parent.glob(f"{source.name}*"):
        shutil.copy(file, tmp_path / "copy")
      value = f"'{tmp_path / 'copy' / source.name}'"
    bindings.append(f"{name}{equals}{value}")
  again = tmp_path / "deeper/down/model"
  _run(
    exported.instance, again, bindings, "--checks=none", cwd=tmp_path / "cwd"
  )
  files = _files(exported.path)
  assert files == _files(again)
  _, different, failed = filecmp.cmpfiles(
    exported.path, again, files, shallow=False
  )
  assert (different, failed) == ([], [])


def test_holds_what_tf_hub_allows_and_nothing_else(exported):
  for file in _files(exported.path):
    assert (
      file in ("saved_model.pb", "fingerprint.pb")
      or file.startswith("assets/")
      or file.startswith("variables/variables.")
    )


def test_each_combination_of_arguments_is_traced_once(exported):
  """A trace that no consumer can call would be one that was made again."""
  content = (exported.path / "saved_model.pb").read_bytes()
  (graph,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
  functions = graph.graph_def.library.function
  traces = {
    function.signature.name
    for function in functions
    if function.signature.name.startswith("__inference_call_")
  }
  # A layer may have a function of its own, which the trace calls.
  compiled = {
    node.attr["f"].func.name
    for function in functions
    for node in function.node_def
    if node.attr["_XlaMustCompile"].b
  }
  traces -= compiled
  assert traces
  assert traces <= graph.object_graph_def.concrete_functions.keys()


def _assert_trainable(found: int, exported) -> None:
  stated = exported.instance.trainable
  assert found == stated, (
    f"Instance.trainable = {stated} in scripts/small_instances, counted by "
    f"hand, but the model has {found} trainable variables"
  )


def test_has_the_reusable_interface(exported):
  model = hub.load(str(exported.path))
  assert callable(model)
  _assert_trainable(len(model.trainable_variables), exported)
  trained = {v.ref() for v in model.trainable_variables}
  assert trained <= {v.ref() for v in model.variables}
  for loss in model.regularization_losses:
    assert loss().shape == []


def test_is_a_keras_layer(exported):
  layer = hub.KerasLayer(str(exported.path), trainable=True)
  _assert_trainable(len(layer.trainable_weights), exported)
  layer.trainable = False
  assert not layer.trainable_weights


def test_has_one_signature_of_named_tensors(exported):
  """And one for each callable that is a signature too."""
  model = hub.load(str(exported.path))
  further = exported.instance.signatures
  assert sorted(model.signatures) == sorted(["serving_default", *further])
  for signature in model.signatures.values():
    outputs = signature.structured_outputs
    assert isinstance(outputs, dict)
    for name, spec in outputs.items():
      # A name of the API, not one that a tracer made up.
      assert not name.startswith("output_")
      assert isinstance(spec, tf.TensorSpec)
  for name in further:
    assert callable(getattr(model, name))


def test_classifies_images_of_the_sizes_that_it_allows(classifier):
  (figure,) = command.differences(classifier.stdout)
  assert figure <= _SAME
  classify = hub.load(str(classifier.path))
  signature = classify.signatures["serving_default"]
  (spec,) = signature.structured_input_signature[1].values()
  size = _FIXED_SIZES.get(classifier.instance.module)
  assert spec.shape.as_list() == [None, size, size, 3]
  side = size or 32
  assert classify(tf.zeros([2, side, side, 3])).shape == [2, 7]


def _files(path: pathlib.Path) -> list[str]:
  return sorted(
    str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()
  )
