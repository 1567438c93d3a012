"""What a consumer would try on a SavedModel, tried before it is published.

Run as a program, this file reads jobs from its standard input, one JSON object
a line, and writes each job's results to a file. It is started by its path with
`python -I`, away from this repository, and refuses to import `official` and
`exporters`: so what passes here needs neither. Hence it imports nothing of
this repository, and TensorFlow only when it runs.

A check is a function of a `Subject` that returns a `Finding`, a figure beside
the bound that it must not exceed. A check that has nothing to look at raises
`NotApplicable` with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
import dataclasses
import functools
import json
import os
import re
import sys
import time
from typing import Any

ALL, BASIC, NONE = "all", "basic", "none"
LEVELS = (ALL, BASIC, NONE)

PASSED, FAILED = "passed", "failed"
NOT_APPLICABLE, BLOCKED = "not applicable", "blocked"

# The check whose figure a summary shows.
SAME_NUMBERS = "same numbers as the source"

# Of the largest absolute value of an output.
TOLERANCE = 1e-6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
  """What became of one check.

  Attributes:
    check: Its name.
    status: PASSED, FAILED, NOT_APPLICABLE or BLOCKED.
    figure: What was measured, None where nothing was.
    bound: What the figure must not exceed.
    detail: What the figure counts or where it was found; or why not measured.
    seconds: How long it took.
  """

  check: str
  status: str
  figure: float | None = None
  bound: float | None = None
  detail: str = ""
  seconds: float = 0.0

  def __str__(self) -> str:
    text = f"{self.check}: {self.status}"
    if self.figure is not None:
      text += f", {self.figure:.3g} (at most {self.bound:.3g})"
    return f"{text}; {self.detail}" if self.detail else text


@dataclasses.dataclass(frozen=True)
class Finding:
  """A figure, the bound that it must not exceed, and what it is."""

  figure: float
  bound: float
  detail: str = ""


class NotApplicable(Exception):
  """The subject has nothing that the check could look at."""


@dataclasses.dataclass(frozen=True)
class Check:
  """A named function of a `Subject`; `needs` names a check to pass before."""

  name: str
  function: Callable[[Subject], Finding]
  level: str
  needs: str | None


CHECKS: list[Check] = []


def check(name: str, *, level: str = ALL, needs: str | None = "loads"):
  def register(function):
    CHECKS.append(Check(name, function, level, needs))
    return function

  return register


def run(subject: Subject, level: str) -> Iterator[Result]:
  """Makes the checks of a level, in order, and yields their results."""
  results: dict[str, Result] = {}
  for entry in CHECKS:
    if level == BASIC and entry.level != BASIC:
      continue
    before = results.get(entry.needs)
    if before is None or before.status == PASSED:
      result = _run_one(entry, subject)
    elif before.status == NOT_APPLICABLE:
      result = dataclasses.replace(before, check=entry.name, seconds=0.0)
    else:
      result = Result(
        check=entry.name,
        status=BLOCKED,
        detail=f"it needs '{entry.needs}' to pass first",
      )
    results[entry.name] = result
    yield result


def _run_one(entry: Check, subject: Subject) -> Result:
  started = time.monotonic()
  try:
    finding = entry.function(subject)
    # Not `figure > bound`: NaN fails.
    status = PASSED if finding.figure <= finding.bound else FAILED
    measured = dataclasses.asdict(finding)
  except NotApplicable as e:
    status, measured = NOT_APPLICABLE, {"detail": str(e)}
  except Exception as e:  # noqa: BLE001 - what a consumer would see.
    message = str(e).strip().partition("\n")[0]
    status = FAILED
    measured = {"detail": f"{type(e).__name__}: {message[:500]}"}
  return Result(
    check=entry.name,
    status=status,
    seconds=time.monotonic() - started,
    **measured,
  )


# ---------------------------------------------------------------------------
# The subject: a SavedModel, and what its source says of it.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subject:
  """A SavedModel to check, with what is known of its source.

  Attributes:
    path: The SavedModel's directory.
    scratch: A directory for what a check writes.
    callables: What the source says of each callable, by attribute path; the
      key "" for the model itself. See `checker.describe`.
    private: Strings that must not stand in the model, such as local paths.
    arrays: The arrays to which `callables` refers.
  """

  path: str
  scratch: str
  callables: Mapping[str, Mapping[str, Any]]
  private: Sequence[str]
  arrays: Sequence[Any]

  @functools.cached_property
  def model(self):
    import tensorflow_hub as hub

    return hub.load(self.path)

  @functools.cached_property
  def proto(self):
    from tensorflow.core.protobuf import saved_model_pb2

    with open(os.path.join(self.path, "saved_model.pb"), "rb") as f:
      return saved_model_pb2.SavedModel.FromString(f.read())

  def find(self, name: str, model: Any = None) -> Any:
    """Returns the loaded callable at an attribute path."""
    found = self.model if model is None else model
    for attribute in filter(None, name.split(".")):
      found = getattr(found, attribute)
    return found

  def cases(self, name: str) -> list[tuple[list[Any], Any]]:
    """Returns a callable's sample arguments, each with the source's outputs."""
    return [
      (
        [decode(argument, self.arrays) for argument in case["arguments"]],
        decode(case["outputs"], self.arrays),
      )
      for case in self.callables[name]["cases"]
    ]

  def hyperparameters(self, name: str, attribute: str) -> dict[str, float]:
    """Returns those that set a layer's `attribute`, with their defaults."""
    return {
      key: value["default"]
      for key, value in self.callables[name]["hyperparameters"].items()
      if value["attribute"] == attribute
    }

  def training(self, name: str) -> dict[str, bool]:
    """Returns the keyword that a call in training mode takes, if any."""
    return {"training": True} if self.callables[name]["training"] else {}

  def trained(self) -> list[str]:
    """Returns the callables that have variables to train."""
    names = [
      name
      for name, callable_ in self.callables.items()
      if callable_["trainable"] and callable_["cases"]
    ]
    if not names:
      raise NotApplicable("no callable has variables to train")
    return names


def encode(nest: Any, arrays: list[Any]) -> Any:
  """Appends a nest's arrays to `arrays`; returns its structure for JSON."""
  import numpy as np
  import tensorflow as tf

  if isinstance(nest, Mapping):
    return {"dict": {key: encode(nest[key], arrays) for key in sorted(nest)}}
  if isinstance(nest, (list, tuple)):
    return {"list": [encode(element, arrays) for element in nest]}
  if isinstance(nest, tf.RaggedTensor):
    parts = [nest.flat_values, *nest.nested_row_splits]
    return {"ragged": [encode(part, arrays) for part in parts]}
  array = np.asarray(nest)
  # Strings without pickle: bytes of a fixed length.
  arrays.append(array.astype("S") if array.dtype == object else array)
  return {"array": len(arrays) - 1}


def decode(structure: Any, arrays: Sequence[Any]) -> Any:
  """The reverse of `encode`; arrays become tensors."""
  import tensorflow as tf

  if "dict" in structure:
    return {k: decode(v, arrays) for k, v in structure["dict"].items()}
  if "list" in structure:
    return [decode(element, arrays) for element in structure["list"]]
  if "ragged" in structure:
    values, *splits = (decode(part, arrays) for part in structure["ragged"])
    return tf.RaggedTensor.from_nested_row_splits(values, splits)
  return tf.constant(arrays[structure["array"]])


def flatten(nest: Any, prefix: str = "") -> dict[str, Any]:
  """Returns the tensors of a nest by a path of keys; ragged ones by part."""
  import tensorflow as tf

  if isinstance(nest, Mapping):
    items = list(nest.items())
  elif isinstance(nest, (list, tuple)):
    items = list(enumerate(nest))
  elif isinstance(nest, tf.RaggedTensor):
    items = [("values", nest.flat_values)]
    items += [(f"splits_{i}", s) for i, s in enumerate(nest.nested_row_splits)]
  else:
    return {prefix: nest}
  flat = {}
  for key, value in items:
    flat |= flatten(value, f"{prefix}_{key}" if prefix else str(key))
  return flat


def difference(got: Any, want: Any) -> tuple[float, str]:
  """Returns the largest difference of two nests, of the outputs' scale.

  The scale of an output is its largest absolute value. Names, shapes or dtypes
  that differ make it infinite, and so do strings or integers.
  """
  got, want = flatten(got), flatten(want)
  if got.keys() != want.keys():
    return float("inf"), f"outputs {sorted(got)}, not {sorted(want)}"
  worst, where = 0.0, ""
  for name in want:
    error = _difference(got[name], want[name])
    if not error <= worst:  # NaN is worse than anything.
      worst, where = error, f"in {name or 'the output'}"
  return worst, where


def _difference(got: Any, want: Any) -> float:
  import numpy as np

  got, want = np.asarray(got), np.asarray(want)
  if got.shape != want.shape or got.dtype != want.dtype:
    return float("inf")
  if not got.size:
    return 0.0
  if got.dtype.kind != "f":
    return 0.0 if np.array_equal(got, want) else float("inf")
  scale = max(float(np.max(np.abs(want))), np.finfo(np.float32).tiny)
  return float(np.max(np.abs(got - want))) / scale


def _worst(differences: Iterator[tuple[str, tuple[float, str]]]) -> Finding:
  """Returns the largest of several differences, each with its place."""
  worst, place, count = 0.0, "", 0
  for name, (error, where) in differences:
    count += 1
    if not error <= worst:
      worst, place = error, f"{name or 'the model'}: {where}"
  return Finding(worst, TOLERANCE, place or f"{count} calls")


# ---------------------------------------------------------------------------
# Checks of the files.

# What graphs of this repository's models are made of. Nothing here reads or
# writes a file, runs Python, prints, or reaches the network.
ALLOWED_OPERATIONS = frozenset(
  """
  Abs Add AddN AddV2 All Any ArgMax Assert AssignAddVariableOp
  AssignSubVariableOp AssignVariableOp AvgPool BatchMatMulV2 BiasAdd
  BroadcastArgs BroadcastTo Bucketize Cast Ceil ClipByValue Concat ConcatV2
  Const Conv2D Cos Cumsum DepthwiseConv2dNative DivNoNan Einsum Elu Equal Erf
  Erfc Exp ExpandDims Fill Floor FloorDiv FloorMod FusedBatchNormV3 Gather
  GatherNd GatherV2 Greater GreaterEqual Identity IdentityN If L2Loss
  LeakyRelu Less LessEqual Log LogSoftmax LogicalAnd LogicalNot LogicalOr
  MatMul Max MaxPool Maximum Mean Min Minimum Mul Neg NoOp NotEqual OneHot
  OnesLike Pack Pad PadV2 PartitionedCall Placeholder PlaceholderWithDefault
  Pow Prod RaggedBincount RaggedCross RaggedGather RaggedRange
  RaggedTensorToSparse RaggedTensorToTensor RandomStandardNormal RandomUniform
  RandomUniformInt Range Rank ReadVariableOp RealDiv Relu Relu6 Reshape
  ResizeBilinear ResourceGather ReverseV2 Round Rsqrt ScatterNd Select
  SelectV2 Selu Shape Sigmoid Sign Sin Size Slice Softmax Softplus Sqrt Square
  SquaredDifference Squeeze StatefulPartitionedCall StatelessIf StatelessWhile
  StopGradient StridedSlice Sub Sum Tanh TensorListFromTensor
  TensorListGetItem TensorListReserve TensorListSetItem TensorListStack
  TensorScatterUpdate Tile TopKV2 Transpose Unique Unpack UnsortedSegmentSum
  VarHandleOp VarIsInitializedOp Where While ZerosLike
  CaseFoldUTF8 NormalizeUTF8 NormalizeUTF8WithOffsetsMap RegexSplitWithOffsets
  SentencepieceOp SentencepieceTokenizeOp SentencepieceTokenizeWithOffsetsOp
  StaticRegexReplace StringLower StringStrip TFText>RoundRobinTrim
  UnicodeScriptTokenizeWithOffsets WordpieceTokenizeWithOffsets
  """.split()
)
# Tables are filled from assets.
_TABLE_OPERATIONS = frozenset(
  """
  HashTableV2 InitializeTableFromTextFileV2 LookupTableFindV2
  LookupTableSizeV2
  """.split()
)
# Only where TensorFlow itself saves and restores the variables.
_SAVER_OPERATIONS = frozenset(
  """
  DisableCopyOnRead MergeV2Checkpoints RestoreV2 SaveV2 ShardedFilename
  StaticRegexFullMatch StringJoin
  """.split()
)
_SAVER_FUNCTIONS = ("__inference__traced_save", "__inference__traced_restore")


@check("operations", level=BASIC, needs=None)
def _operations(subject: Subject) -> Finding:
  graph = subject.proto.meta_graphs[0].graph_def
  allowed = ALLOWED_OPERATIONS | _TABLE_OPERATIONS
  refused = {n.op for n in graph.node} - allowed - _SAVER_OPERATIONS
  for function in graph.library.function:
    operations = {node.op for node in function.node_def}
    if function.signature.name.startswith(_SAVER_FUNCTIONS):
      operations -= _SAVER_OPERATIONS
    refused |= operations - allowed
  return Finding(
    len(refused), 0, " ".join(sorted(refused)) or "outside the list"
  )


@check("no local path", level=BASIC, needs=None)
def _no_local_path(subject: Subject) -> Finding:
  # As a whole word: "bert" may well be the name of a machine.
  patterns = {
    text: re.compile(rb"(?<![\w-])" + re.escape(text.encode()))
    for text in subject.private
  }
  found = set()
  for folder, _, names in os.walk(subject.path):
    for name in names:
      path = os.path.join(folder, name)
      relative = os.path.relpath(path, subject.path)
      # A vocabulary may hold any word; weights hold none.
      if relative.startswith(("assets" + os.sep, "variables" + os.sep)):
        continue
      with open(path, "rb") as f:
        content = f.read()
      found |= {
        f"{text!r} in {relative}"
        for text, pattern in patterns.items()
        if pattern.search(content)
      }
  return Finding(len(found), 0, "; ".join(sorted(found)))


@check("no weight in the graph", level=BASIC, needs=None)
def _no_weight_in_the_graph(subject: Subject) -> Finding:
  graph = subject.proto.meta_graphs[0].graph_def
  nodes = list(graph.node)
  for function in graph.library.function:
    nodes += function.node_def
  largest = max(
    (n.attr["value"].tensor.ByteSize() for n in nodes if n.op == "Const"),
    default=0,
  )
  return Finding(largest, 65536, "bytes of the largest constant")


# ---------------------------------------------------------------------------
# Checks of the loaded model; one load serves them.


@check("loads", level=BASIC, needs=None)
def _loads(subject: Subject) -> Finding:
  missing = [
    name for name in subject.callables if not callable(subject.find(name))
  ]
  return Finding(len(missing), 0, " ".join(missing) or "not callable")


@check("interface", level=BASIC)
def _interface(subject: Subject) -> Finding:
  import inspect

  wrong = []
  for name, want in subject.callables.items():
    loaded = subject.find(name)
    arguments = inspect.getfullargspec(loaded.__call__).args
    expected = ["inputs"] if want["takes_inputs"] else []
    expected += ["training"] if want["training"] else []
    expected += list(want["hyperparameters"])
    if arguments != expected:
      wrong.append(f"{name}({arguments})")
    for attribute in ("variables", "trainable", "regularization_losses"):
      key = "trainable_variables" if attribute == "trainable" else attribute
      if len(getattr(loaded, key)) != len(want[attribute]):
        wrong.append(f"{name}.{key}")
    names = [v.name.partition(":")[0] for v in loaded.trainable_variables]
    if names != want["trainable"]:
      wrong.append(f"{name}: names of trainable variables")
  return Finding(len(wrong), 0, "; ".join(wrong) or "deviations")


@check(SAME_NUMBERS, level=BASIC)
def _same_numbers(subject: Subject) -> Finding:
  return _worst(
    (name, difference(subject.find(name)(*arguments), want))
    for name in subject.callables
    for arguments, want in subject.cases(name)
  )


@check("signature", level=BASIC)
def _signature(subject: Subject) -> Finding:
  cases = [case for case in subject.cases("") if case[0]]
  if not cases or not subject.model.signatures:
    raise NotApplicable("the model takes no input")
  signature = subject.model.signatures["serving_default"]
  names = subject.callables[""]["outputs"]

  def differences():
    for (inputs,), want in cases:
      keywords = inputs
      if not isinstance(inputs, Mapping):
        (key,) = signature.structured_input_signature[1]
        keywords = {key: inputs}
      if not isinstance(want, Mapping):
        want = dict.fromkeys(names, want)
      yield "serving_default", difference(signature(**keywords), flatten(want))

  return _worst(differences())


@check("repeats itself", level=BASIC)
def _repeats(subject: Subject) -> Finding:
  return _worst(
    (
      name,
      difference(
        subject.find(name)(*arguments), subject.find(name)(*arguments)
      ),
    )
    for name in subject.callables
    for arguments, _ in subject.cases(name)[:1]
  )


@check("dropout", level=BASIC)
def _dropout(subject: Subject) -> Finding:
  """Two calls differ in training, as far as the source has dropout."""
  names = [n for n in subject.callables if subject.hyperparameters(n, "rate")]
  if not names:
    raise NotApplicable("the source has no dropout")
  fixed = []
  for name in names:
    arguments, _ = subject.cases(name)[0]
    loaded = subject.find(name)
    off = dict.fromkeys(subject.hyperparameters(name, "rate"), 0.0)
    default = [loaded(*arguments, training=True) for _ in range(2)]
    random = difference(*default)[0] > TOLERANCE
    drops = any(subject.hyperparameters(name, "rate").values())
    if random != drops:
      fixed.append(name or "the model")
    silent = [loaded(*arguments, training=True, **off) for _ in range(2)]
    if difference(*silent)[0] > TOLERANCE:
      fixed.append(f"{name or 'the model'} with {off}")
  return Finding(len(fixed), 0, "; ".join(fixed) or "calls out of order")


def _loss(outputs: Any):
  """Returns a scalar that every floating output takes part in."""
  import tensorflow as tf

  return tf.add_n(
    [
      tf.reduce_sum(tf.cast(t, tf.float32) ** 2) / 2.0 + tf.reduce_sum(t)
      for t in flatten(outputs).values()
      if t.dtype.is_floating
    ]
  )


def _without_gradient(variables: Sequence[Any], gradients: Sequence[Any]):
  """Returns the names of variables whose gradient is absent or not finite."""
  import tensorflow as tf

  return [
    variable.name
    for variable, gradient in zip(variables, gradients, strict=True)
    if gradient is None
    or not bool(
      tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(gradient)))
    )
  ]


def _gradients(subject: Subject, take: Callable[..., Any]):
  bad, count = [], 0
  for name in subject.trained():
    loaded = subject.find(name)
    arguments, _ = subject.cases(name)[0]
    variables = list(loaded.trainable_variables)
    gradients = take(loaded, arguments, subject.training(name))
    bad += [
      f"{name} {v}".strip() for v in _without_gradient(variables, gradients)
    ]
    count += len(variables)
  detail = "; ".join(bad[:5]) or f"of {count} variables without a gradient"
  return Finding(len(bad), 0, detail)


@check("gradients", level=BASIC)
def _eager_gradients(subject: Subject) -> Finding:
  import tensorflow as tf

  def take(loaded, arguments, keywords):
    with tf.GradientTape() as tape:
      loss = _loss(loaded(*arguments, **keywords))
    return tape.gradient(loss, list(loaded.trainable_variables))

  return _gradients(subject, take)


@check("gradients in a tf.function", needs="gradients")
def _graph_gradients(subject: Subject) -> Finding:
  import tensorflow as tf

  def take(loaded, arguments, keywords):
    @tf.function
    def step():
      with tf.GradientTape() as tape:
        loss = _loss(loaded(*arguments, **keywords))
      return tape.gradient(loss, list(loaded.trainable_variables))

    return step()

  return _gradients(subject, take)


@check("gradients of a persistent tape", needs="gradients")
def _persistent_gradients(subject: Subject) -> Finding:
  import tensorflow as tf

  def take(loaded, arguments, keywords):
    with tf.GradientTape(persistent=True) as tape:
      loss = _loss(loaded(*arguments, **keywords))
    variables = list(loaded.trainable_variables)
    tape.gradient(loss, variables[-1:])
    return tape.gradient(loss, variables)

  return _gradients(subject, take)


@check("hyperparameters")
def _hyperparameters(subject: Subject) -> Finding:
  """Each override is accepted as number and tensor, in training or not."""
  import tensorflow as tf

  bad, count = [], 0
  for name, want in subject.callables.items():
    for key, value in want["hyperparameters"].items():
      arguments, outputs = subject.cases(name)[0]
      loaded = subject.find(name)
      dtype = tf.int32 if isinstance(value["default"], int) else tf.float32
      for override in (
        value["default"],
        tf.constant(value["default"], dtype),
      ):
        count += 1
        got = loaded(*arguments, **{key: override})
        if not difference(got, outputs)[0] <= TOLERANCE:
          bad.append(f"{name}({key}={override})")
  if not count:
    raise NotApplicable("the model has no hyperparameters")
  return Finding(len(bad), 0, "; ".join(bad) or f"of {count} calls differ")


@check("regularization losses")
def _regularization_losses(subject: Subject) -> Finding:
  import tensorflow as tf

  if not any(w["regularization_losses"] for w in subject.callables.values()):
    raise NotApplicable("the source has no regularization losses")

  def differences():
    for name, want in subject.callables.items():
      losses = [loss() for loss in subject.find(name).regularization_losses]
      values = [tf.constant(v) for v in want["regularization_losses"]]
      yield name, difference(losses, values)

  return _worst(differences())


# ---------------------------------------------------------------------------
# Checks that load the model for themselves.


@check("hub.KerasLayer", level=BASIC)
def _keras_layer(subject: Subject) -> Finding:
  import tensorflow as tf
  import tensorflow_hub as hub

  want = subject.callables[""]
  if not want["takes_inputs"]:
    raise NotApplicable("the model takes no input")
  wrong = []
  # What is loaded already is a callable to it: no second load.
  layer = hub.KerasLayer(subject.model, trainable=True)
  frozen = hub.KerasLayer(subject.model, trainable=False)
  for arguments, outputs in subject.cases(""):
    if not difference(frozen(*arguments), outputs)[0] <= TOLERANCE:
      wrong.append("outputs")
  if len(layer.trainable_weights) != len(want["trainable"]):
    wrong.append(f"{len(layer.trainable_weights)} trainable weights")
  if frozen.trainable_weights or any(float(loss) for loss in frozen.losses):
    wrong.append("trains while frozen")
  if want["trainable"]:
    values = [tf.constant(v) for v in want["regularization_losses"]]
    if not difference(list(layer.losses), values)[0] <= TOLERANCE:
      wrong.append("losses")
  return Finding(len(wrong), 0, "; ".join(wrong) or "deviations")


@check("a training step", needs="gradients")
def _training_step(subject: Subject) -> Finding:
  import tensorflow as tf
  import tensorflow_hub as hub

  if not subject.callables[""]["trainable"]:
    raise NotApplicable("the model has no variables to train")
  layer = hub.KerasLayer(subject.path, trainable=True)
  arguments, _ = subject.cases("")[0]
  with tf.GradientTape() as tape:
    before = _loss(layer(*arguments))
  weights = layer.trainable_weights
  gradients = tape.gradient(before, weights)
  # In the gradient's direction, by a step that moves no weight far.
  size = tf.linalg.global_norm(gradients)
  for weight, gradient in zip(weights, gradients, strict=True):
    weight.assign_sub(1e-3 * tf.convert_to_tensor(gradient) / size)
  after = _loss(layer(*arguments))
  return Finding(
    float(after - before), -1e-12, "change of a loss by one step down"
  )


@check("saved again")
def _saved_again(subject: Subject) -> Finding:
  """Load, save, delete the first, load: the same numbers."""
  import shutil

  import tensorflow as tf
  import tensorflow_hub as hub

  copy = os.path.join(subject.scratch, "copy")
  again = os.path.join(subject.scratch, "again")
  # Links: the copy is deleted, not changed.
  shutil.copytree(subject.path, copy, copy_function=os.link)
  try:
    loaded = hub.load(copy)
    tf.saved_model.save(loaded, again, signatures=loaded.signatures)
    del loaded
    shutil.rmtree(copy)
    loaded = hub.load(again)
    return _worst(
      (name, difference(subject.find(name, loaded)(*arguments), want))
      for name in subject.callables
      for arguments, want in subject.cases(name)[:1]
    )
  finally:
    shutil.rmtree(copy, ignore_errors=True)
    shutil.rmtree(again, ignore_errors=True)


@check("keras.layers.TFSMLayer")
def _tfsm_layer(subject: Subject) -> Finding:
  import keras

  cases = [case for case in subject.cases("") if case[0]]
  if not cases:
    raise NotApplicable("the model takes no input")
  if _takes_strings(cases):
    raise NotApplicable("Keras 3 has no tensors of strings")
  layer = keras.layers.TFSMLayer(subject.path)
  return _worst(
    ("serve", difference(layer(*arguments), want)) for arguments, want in cases
  )


@check("Dataset.map")
def _dataset_map(subject: Subject) -> Finding:
  import tensorflow as tf

  cases = [case for case in subject.cases("") if case[0]]
  if not cases or not _takes_strings(cases):
    raise NotApplicable("the model is no preprocessor")

  def differences():
    for (inputs,), want in cases:
      dataset = tf.data.Dataset.from_tensors(inputs).map(subject.model)
      yield "", difference(next(iter(dataset)), want)

  return _worst(differences())


def _takes_strings(cases: Sequence[Any]) -> bool:
  (inputs, *_), _ = cases[0]
  return any(t.dtype.name == "string" for t in flatten(inputs).values())


@check("two replicas", needs="gradients")
def _two_replicas(subject: Subject) -> Finding:
  import tensorflow as tf
  import tensorflow_hub as hub

  strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
  if not subject.callables[""]["trainable"]:
    raise NotApplicable("the model has no variables to train")
  with strategy.scope():
    loaded = hub.load(subject.path)
  arguments, _ = subject.cases("")[0]

  @tf.function
  def replica_step():
    with tf.GradientTape() as tape:
      loss = _loss(loaded(*arguments))
    gradients = tape.gradient(loss, list(loaded.trainable_variables))
    return [tf.convert_to_tensor(gradient) for gradient in gradients]

  gradients = strategy.run(replica_step)
  bad = [
    variable.name
    for variable, value in zip(
      loaded.trainable_variables, gradients, strict=True
    )
    if len(strategy.experimental_local_results(value)) != 2
  ]
  return Finding(len(bad), 0, "; ".join(bad) or "variables without a gradient")


# ---------------------------------------------------------------------------


class _Refused:
  """Finds nothing, and says so, for what a consumer does not have."""

  NAMES = ("official", "exporters")

  def find_spec(self, name, path=None, target=None):
    if name.partition(".")[0] in self.NAMES:
      raise ModuleNotFoundError(f"a consumer has no {name}", name=name)
    return


def main() -> None:
  sys.meta_path.insert(0, _Refused())
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
  # While the export goes on, the imports that every job needs.
  import numpy as np
  import tensorflow as tf
  import tensorflow_hub  # noqa: F401

  # A second CPU device, for a strategy with two replicas.
  (cpu,) = tf.config.list_physical_devices("CPU")
  tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
  )
  for line in sys.stdin:
    job = json.loads(line)
    if job["needs_text"]:
      import tensorflow_text  # noqa: F401
    with np.load(job["arrays"], allow_pickle=False) as arrays:
      subject = Subject(
        path=job["path"],
        scratch=job["scratch"],
        callables=job["callables"],
        private=job["private"],
        arrays=[arrays[f"arr_{i}"] for i in range(len(arrays.files))],
      )
    results = [dataclasses.asdict(r) for r in run(subject, job["level"])]
    with open(job["results"], "w") as f:
      json.dump(results, f)
    print("done", flush=True)


if __name__ == "__main__":
  main()
