"""All that `scripts.inspect` says of a file or folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import os
from typing import Any

import tensorflow as tf

from exporters.bounds import special_files
from exporters.checkpoints import file_kinds
from exporters.errors import ExportError
from exporters.inspection import commands
from exporters.inspection import gin_file
from exporters.inspection import graph_file
from exporters.inspection import identity as identity_lib
from exporters.inspection import keras_files
from exporters.inspection import parameters
from exporters.inspection.identity import Identity
from exporters.text import sentencepiece_model
from exporters.text import tokenizer_files
from exporters.text import vocabulary

Fact = tuple[str, str]

_WEIGHTS_ALONE = (
  "It holds weights alone, not the model. If no leaf below configs/ builds "
  "that, write a function that builds it and calls model.load_weights, and "
  "export it by keras_model.KerasModelExporter.model_function. If "
  "load_weights refuses what Keras 3 wrote, give each layer its own by "
  "set_weights."
)
_OF_TENSORFLOW = (
  "No exporter here builds a model of these tensors. If you can build it with "
  "tf_keras, write a function that does, and that gives it the tensors by "
  "their names (tf.train.load_checkpoint reads them). Export it by "
  "keras_model.KerasModelExporter.model_function."
)
# The major versions of tf_keras, and of files that don't say.
_KERAS_2 = ("1", "2", "")
_WEIGHTS = (".safetensors", ".bin", ".index", ".h5", ".keras", ".pb", ".pt")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
  """What was found.

  Attributes:
    path: The path that the user gave.
    facts: Names and values, to be shown in this order.
    tensors: Shape and type by name.
    identity: Of the checkpoint in it; None if it is not one that can be told.
    gin: The text of a gin file that exports it, if one is known to fit.
    command: The command that exports it without a gin file of its own.
    advice: How to go on otherwise.
  """

  path: str
  facts: Sequence[Fact]
  tensors: Mapping[str, str] = dataclasses.field(default_factory=dict)
  identity: Identity | None = None
  gin: str | None = None
  command: str | None = None
  advice: str = ""


def read(path: str) -> Report:
  """Finds out what is at a path.

  Raises:
    ExportError: There is nothing, nothing that is known, or it is damaged.
  """
  path = path.rstrip("/") or path
  special_files.refuse(path)
  graph = graph_file.read(path)
  if graph:
    return _of_graph(path, graph)
  keras = keras_files.read(path)
  if keras:
    return _of_keras(path, keras)
  try:
    return _of_checkpoint(path)
  except ExportError:
    kind = file_kinds.kind_of(path)
    if kind:
      return Report(path=path, facts=[("kind", kind.name)], advice=kind.advice)
    tokenizer = None if _has_weights(path) else _of_tokenizer(path)
    if not tokenizer:
      raise
    return tokenizer


def _has_weights(path: str) -> bool:
  if not tf.io.gfile.isdir(path):
    return True
  return any(n.endswith(_WEIGHTS) for n in tf.io.gfile.listdir(path))


def _of_tokenizer(path: str) -> Report | None:
  """Returns what is known of a folder with a tokenizer and nothing else."""
  exporter = "bert_preprocessor.BertPreprocessorExporter"
  pieces = sentencepiece_model.beside(path)
  files = tokenizer_files.TokenizerFiles(path, wordpiece=not pieces)
  if files.vocabulary or tf.io.gfile.exists(vocabulary.located(path)):
    kind, gin = "WordPiece", "configs/bert/bert_preprocess_base.gin"
    bindings = [f"VOCAB_FILE = {path!r}"]
  elif pieces:
    kind, gin = "SentencePiece", "configs/albert/albert_preprocess_base.gin"
    bindings = [f"SP_MODEL_FILE = {pieces[0]!r}"]
  else:
    return None
  said = {
    values["do_lower_case"]
    for values in files.declared.values()
    if "do_lower_case" in values
  }
  lower = said.pop() if len(said) == 1 else None
  facts = [("kind", f"{kind} tokenizer, without weights")]
  if lower is None:
    facts.append(("do_lower_case", "not said: set it as in the training"))
  else:
    facts.append(("do_lower_case", str(lower)))
  bindings.append(f"{exporter}.do_lower_case = {lower is not False}")
  return Report(
    path=path,
    facts=facts,
    command=commands.command_line(
      "exporters.bert_preprocessor", gin, *bindings
    ),
  )


def _of_checkpoint(path: str) -> Report:
  identity = identity_lib.identify(path)
  offered = _offer(identity)
  if not offered and identity.kind.startswith("Keras"):
    offered = {"advice": _WEIGHTS_ALONE}
  elif not offered and identity.kind.startswith("TF"):
    offered = {"advice": _OF_TENSORFLOW}
  return Report(
    path=path,
    facts=[*_known(identity), *_sizes_of(identity)],
    tensors=_shapes(identity),
    identity=identity,
    **offered,
  )


def _of_graph(path: str, graph: graph_file.Graph) -> Report:
  identity = _identity(
    os.path.join(path, "variables", "variables") if graph.is_tf1 else path
  )
  counted = [v for v in graph.variables if parameters.is_parameter(v[2])]
  number = parameters.count(shape for _, shape, _ in counted)
  facts = [("kind", graph.kind), ("TensorFlow", graph.version or "unknown")]
  if set(graph.tags) != {"serve"}:
    facts.append(("tags", "; ".join(graph.tags)))
  if identity and identity.architecture != identity_lib.UNKNOWN:
    facts += [*_known(identity)][1:]
  for name, (inputs, outputs) in graph.signatures.items():
    facts.append((f"signature {name}", ", ".join(inputs) or "no inputs"))
    facts.append(("  gives", ", ".join(outputs)))
  if graph.keras:
    facts += _keras_facts(graph.keras.classes, graph.keras.custom, ())
  dtypes = sorted({dtype for _, _, dtype in counted})
  facts += [
    ("parameters", f"{number:,}"),
    ("dtype", ", ".join(dtypes) or "none"),
  ]
  report = Report(
    path=path,
    facts=facts,
    tensors={n: _shape(s, d) for n, s, d in graph.variables},
    identity=identity,
    advice=f"As it is, `python -m scripts.check {path}` tries it as a consumer "
    "would.",
  )
  if graph.is_keras:
    return dataclasses.replace(report, command=_keras_command(path))
  offered = _offer(identity) if identity else {}
  if graph.is_tf1 and not offered:
    return dataclasses.replace(
      report,
      advice="Its weights are a TF1 checkpoint; its name is "
      f"'{path}/variables/variables'.",
    )
  return dataclasses.replace(report, **offered)


def _of_keras(path: str, keras: keras_files.KerasFile) -> Report:
  weights = parameters.of_checkpoint(keras.weights)
  major = keras.version.partition(".")[0]
  facts = [("kind", f"Keras {keras.version} model (.{keras.form})")]
  config = keras.config
  own: Sequence[str] = ()
  if config:
    own = config.custom
    if major in _KERAS_2:
      own = [*own, *config.functions]
    facts.append(("model", f"{config.class_name} of {config.layers} layers"))
    facts += [("input", text) for text in config.inputs]
    facts += [("output", text) for text in config.outputs]
    facts += _keras_facts(config.classes, own, config.with_code)
  facts += [
    (
      "parameters",
      f"{parameters.count(t.shape for t in weights.values()):,}",
    ),
    ("dtype", ", ".join(sorted({t.dtype for t in weights.values()})) or "none"),
  ]
  report = Report(
    path=path,
    facts=facts,
    tensors={n: _shape(t.shape, t.dtype) for n, t in weights.items()},
  )
  if major not in _KERAS_2:
    return dataclasses.replace(
      report,
      advice="Exporters take models of Keras 2 (tf_keras). Build the same "
      "model with tf_keras and give it the weights "
      "(new.set_weights(old.get_weights())), or publish what Keras 3 exports "
      "itself (model.export).",
    )
  code = config.with_code if config else ()
  more = ["keras_model.KerasModelExporter.safe_mode = False"] if code else []
  if own:
    text = gin_file.of_classes(path, own, *more)
    return dataclasses.replace(report, gin=text)
  return dataclasses.replace(report, command=_keras_command(path, *more))


def _keras_facts(
  classes: str, own: Sequence[str], code: Sequence[str]
) -> Iterator[Fact]:
  if classes:
    yield "classes", classes
  if own:
    yield "of its own", ", ".join(own)
  if code:
    yield (
      "code",
      f"in {', '.join(code)}: it runs when the model is loaded; take it only "
      "from people you trust",
    )


def _keras_command(path: str, *more: str) -> str:
  return commands.command_line(
    "exporters.keras_model", gin_file.KERAS, f"MODEL_FILE = {path!r}", *more
  )


def _identity(path: str) -> Identity | None:
  """Returns the identity of a SavedModel's weights, if they can be read."""
  try:
    return identity_lib.identify(path)
  except ExportError:
    return None


def _offer(identity: Identity) -> dict[str, Any]:
  """Returns the fields of a report that say how to export a checkpoint."""
  text = gin_file.of_task(identity)
  if text:
    return {"gin": text}
  try:
    text = gin_file.of_training(identity)
  except ExportError as e:
    return {"advice": f"What its params.yaml says is not exported: {e.message}"}
  if text:
    return {"gin": text}
  reason = gin_file.misfit(identity)
  if reason:
    return {"advice": f"No gin file is known to fit: {reason}"}
  text = gin_file.written(identity)
  return {"gin": text} if text else {}


def _known(identity: Identity) -> Iterator[Fact]:
  yield "kind", identity.kind
  yield "architecture", identity.architecture
  for name, value in identity.sizes.items():
    note = " (assumed: the file does not say)"
    yield name, f"{value}{note * (name in identity.guessed)}"
  yield "heads", ", ".join(identity.heads) or "none"


def _sizes_of(identity: Identity) -> Iterator[Fact]:
  yield "parameters", f"{identity.parameters:,}"
  yield "dtype", ", ".join(identity.dtypes)
  yield "tensors", str(len(identity.tensors))
  if identity.training:
    yield "for training only", str(identity.training)


def _shapes(identity: Identity) -> dict[str, str]:
  return {n: _shape(t.shape, t.dtype) for n, t in identity.tensors.items()}


def _shape(shape: tuple[int, ...], dtype: str) -> str:
  return f"{'x'.join(map(str, shape)) or 'scalar'} {dtype}"
