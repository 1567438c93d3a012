"""The exporter behind Model Garden's own command for models that are served.

Model Garden's modules, in `official.nlp.serving.serving_modules`, say what each
signature takes and computes. Here they are traced on top of the model as a
callable of its own, `.from_ids`, which consumers can train further.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import copy
import dataclasses
import inspect
from typing import Any

import numpy as np
from official.core import export_base
from official.core import task_factory
from official.modeling import hyperparams
from official.modeling.hyperparams import base_config
from official.nlp.serving import serving_modules
from official.nlp.tasks import masked_lm
from official.nlp.tasks import question_answering
from official.nlp.tasks import sentence_prediction
from official.nlp.tasks import tagging
from official.nlp.tasks import translation
import tensorflow as tf
from typing_extensions import override

from exporters import base
from exporters import checks
from exporters.checkpoints import yaml_file
from exporters.errors import ExportError
from exporters.errors import did_you_mean
from exporters.overlay import arguments
from exporters.overlay import garden_exporters
from exporters.saved_model import reusable
from exporters.text import sample_text

SERVING_MODULES = {
  sentence_prediction.SentencePredictionTask: (
    serving_modules.SentencePrediction
  ),
  masked_lm.MaskedLMTask: serving_modules.MaskedLM,
  question_answering.QuestionAnsweringTask: serving_modules.QuestionAnswering,
  tagging.TaggingTask: serving_modules.Tagging,
  translation.TranslationTask: serving_modules.Translation,
}
# Whose `serve` can be a signature.
_WITH_SERVE = tuple(
  module
  for module in SERVING_MODULES.values()
  if module is not serving_modules.Translation
)
_FROM_IDS = "from_ids"
_SERVE = "serve"
_EXAMPLES = "serve_examples"
_TEXT_EXAMPLES = "serve_text_examples"
_POSITIONS = "masked_lm_positions"
_OF_ALL_CONFIGS = {
  field.name for field in dataclasses.fields(base_config.Config)
}
# The features of an example, and the arguments of `serve`, by either name.
_OLD_NAMES = {
  "input_ids": "input_word_ids",
  "segment_ids": "input_type_ids",
}


def lookup_export_module(task: Any) -> type[export_base.ExportModule]:
  """Returns the class of the module that serves a task's model.

  Raises:
    ExportError: There is none.
  """
  found = SERVING_MODULES.get(type(task))
  if found is None:
    known = ", ".join(sorted(task.__name__ for task in SERVING_MODULES))
    raise ExportError(
      f"A {type(task).__name__} can't be served by Model Garden's modules; "
      f"these can: {known}."
    )
  return found


def create_export_module(
  *,
  task_name: str,
  config_file: str | None,
  serving_params: Mapping[str, Any] | None,
) -> export_base.ExportModule:
  """Builds a task's model, with weights drawn at random, and what serves it.

  Args:
    task_name: The beginning or another part of the name of a configuration's
      class, such as "SentencePrediction".
    config_file: The YAML of an experiment.
    serving_params: The fields of the module's `Params` to set.

  Raises:
    ExportError: There is no such task, or it can't be served, or it has no such
      parameter.
  """
  config_class, task_class = _registered(task_name)

  task_field = dataclasses.field(default_factory=config_class)
  experiment: Any = dataclasses.make_dataclass(
    "Experiment",
    [("task", config_class, task_field)],
    bases=(base_config.Config,),
  )()
  if config_file:
    _note_unknown(config_file, experiment.task)
    experiment = hyperparams.override_params_dict(
      experiment, config_file, is_strict=False
    )
  experiment.task.validation_data = None
  task = task_class(experiment.task)
  module_class = lookup_export_module(task)
  params = dict(serving_params or {})
  fields = {field.name for field in dataclasses.fields(module_class.Params)}
  for name in sorted(params.keys() - fields):
    raise ExportError(
      f"serving_params sets '{name}', which {module_class.__name__} does not "
      f"have.{did_you_mean(name, fields)} It has "
      f"{', '.join(sorted(fields - _OF_ALL_CONFIGS))}."
    )
  model = task.build_model()
  if not model.built and model.inputs:
    # So that all of its variables have to be in the checkpoint.
    model({one.name: tf.zeros([1, 1], one.dtype) for one in model.inputs})
  return module_class(params=module_class.Params(**params), model=model)


def _registered(task_name: str) -> tuple[type, type]:
  """Returns the first registered pair of a configuration and its task."""
  known = task_factory._REGISTERED_TASK_CLS
  for config_class, task_class in known.items():
    if task_name in config_class.__name__:
      return config_class, task_class
  served = [c.__name__ for c, t in known.items() if t in SERVING_MODULES]
  names = [name.removesuffix("Config") for name in served]
  raise ExportError(
    f"There is no task '{task_name}'.{did_you_mean(task_name, names)} Those "
    f"that can be served are {', '.join(sorted(names))}."
  )


def _note_unknown(config_file: str, task: Any) -> None:
  """Prints which fields of a model a file sets that it does not have."""
  content = yaml_file.read(config_file, "configuration")
  known = task.as_dict().get("model", {})
  stated: Any = content if isinstance(content, dict) else {}
  for name in ("task", "model"):
    stated = stated.get(name)
    stated = stated if isinstance(stated, dict) else {}
  for name in sorted(stated.keys() - known.keys()):
    arguments.note(
      f"'{config_file}' sets task.model.{name}, which this task does not have."
      f"{did_you_mean(name, known)}"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuiltServingExporter(base.Exporter):
  """Publishes what a module of Model Garden's serves, with the weights it has.

  Attributes:
    module: The module.
    signatures: Model Garden's own traces, by the names of its functions; with
      that of `serve`, which the others call, if it can be traced alone.
    names: What each is called in the SavedModel.
  """

  module: export_base.ExportModule
  signatures: Mapping[str, object]
  names: Mapping[str, str]

  @override
  def build(self) -> base.Build:
    return base.Build(published={"": self._published()})

  def _published(self) -> base.Published:
    by_name = {name: key for key, name in self.names.items()}
    default = by_name.pop(reusable.SERVING_DEFAULT, None)
    if default is None:
      raise ExportError(
        f"None of the signatures {', '.join(sorted(by_name))} is called "
        f"'{reusable.SERVING_DEFAULT}', which a SavedModel must have."
      )
    core = self._core()
    served = {
      name: self._served(key, core, signature=True)
      for name, key in sorted(by_name.items())
    }
    root = self._served(default, core, signature=False)
    return dataclasses.replace(root, sub_objects={**root.sub_objects, **served})

  def _core(self) -> base.Published | None:
    """Returns the model itself; None where its module calls it otherwise."""
    module, model = self.module, self.module.model
    if module.inference_step != getattr(model, "call", None):
      return None
    if isinstance(module, serving_modules.Translation):
      # Without targets, it would look for them: that can't be trained.
      names = ["inputs", "targets"]
      specs = {n: tf.TensorSpec([None, None], tf.int32, n) for n in names}
    else:
      specs = {
        one.name: tf.TensorSpec([None, *one.shape[1:]], one.dtype, one.name)
        for one in tf.nest.flatten(getattr(model, "inputs", None) or [])
      }
    if not specs:
      return None

    def function(inputs, training):
      return model(inputs, training=training)

    return base.Published(
      function=function,
      reference=function,
      inputs=[specs],
      # Of a model that returns a list: one for questions.
      outputs=("start_logits", "end_logits")
      if isinstance(getattr(model, "output", None), list)
      else ("logits", "default"),
      variables=model.variables,
      # A masked language model serves only what one of its heads computes.
      trainable_variables=model.trainable_variables
      if isinstance(module, serving_modules.MaskedLM)
      else self._served_variables(),
      samples=self._ids(list(specs)),
    )

  def _served_variables(self) -> list[tf.Variable]:
    """Returns the trainable variables on which what is served depends.

    A tagger, for instance, has an encoder's pooler, which it does not use.
    """
    if _SERVE not in self.signatures:
      return self.module.model.trainable_variables
    graph = self.signatures[_SERVE].graph  # type: ignore[attr-defined]
    inside = {id(one): inner for one, inner in graph.captures}
    pending, seen = list(graph.outputs), set()
    while pending:
      tensor = pending.pop()
      if id(tensor) not in seen:
        seen.add(id(tensor))
        pending += tensor.op.inputs
    return [
      variable
      for variable in self.module.model.trainable_variables
      if id(inside.get(id(variable.handle))) in seen
    ]

  def _served(
    self, key: str, core: base.Published | None, *, signature: bool
  ) -> base.Published:
    """Returns what one function of the module computes."""
    module, model = self.module, self.module.model
    traced: Any = self.signatures[key]
    specs, call = _inputs(traced, getattr(module, key))
    corrected = _CORRECTED.get((type(module), key))
    compute = corrected or (
      lambda module, **given: getattr(module, key)(**given)
    )

    def function(inputs, training, from_ids=None):
      # A copy, since its functions keep what they were traced with.
      served = copy.copy(module)
      if from_ids:
        served.inference_step = lambda inputs: from_ids(inputs, training)
      return compute(served, **call(inputs))

    def reference(inputs, training):
      if training:
        return function(inputs, training, from_ids=core and core.function)
      return compute(module, **call(inputs))

    def function_without_training(inputs):
      return function(inputs, False)

    def reference_without_training(inputs):
      return reference(inputs, False)

    outputs = traced.structured_outputs
    built_on = core if _SERVE in self.signatures else None
    differentiable = built_on or not core
    return base.Published(
      function=function if built_on else function_without_training,
      reference=reference if built_on else reference_without_training,
      training=built_on is not None,
      inputs=[specs],
      outputs=("default",) if isinstance(outputs, dict) else ("output_0",),
      # What looks for a translation can't be trained; `.from_ids` can.
      variables=model.variables if differentiable else (),
      trainable_variables=self._served_variables() if differentiable else (),
      trackables=_resources(module),
      sub_objects={_FROM_IDS: core} if core else {},
      built_on=_FROM_IDS if built_on else None,
      signature=signature,
      samples=self._samples(key, specs),
    )

  def _samples(self, key: str, specs: Any) -> list[Any]:
    """Returns inputs of a function to check it with."""
    params = self.module.params
    if key == _EXAMPLES:
      return [
        np.array([_example(row) for row in _rows(ids)], object)
        for ids in self._ids(
          [*_OLD_NAMES.values(), *_OLD_NAMES, "input_mask", _POSITIONS],
          length=params.parse_sequence_length,
        )
      ]
    if key == _TEXT_EXAMPLES:
      return [
        np.array(
          [
            _example(dict.fromkeys(params.text_fields, text.encode()))
            for text in texts
          ],
          object,
        )
        for texts in sample_text.SENTENCES
      ]
    if isinstance(specs, dict):
      return self._ids(list(specs))
    batches = [list(texts) for texts in sample_text.SENTENCES]
    if specs.dtype != tf.string:
      return [ids[specs.name] for ids in self._ids([specs.name])]
    if specs.shape[0] is not None:
      batches = [
        (batch * specs.shape[0])[: specs.shape[0]] for batch in batches
      ]
    return [np.array(batch) for batch in batches]

  def _ids(
    self, names: Sequence[str], *, length: int | None = None
  ) -> list[dict[str, np.ndarray]]:
    """Returns padded inputs of batch 1 and 3, by their names."""
    # A model for translation has no other tables.
    rows = _rows_of(self.module.model, "word_embedding", default=0) or _rows_of(
      self.module.model, "embedding", default=2
    )
    places = _rows_of(self.module.model, "position_embedding", default=24)
    most = getattr(self.module.params, "max_predictions_per_seq", None) or 4
    rng = np.random.default_rng(0)
    found = []
    for batch, wanted in ((1, 16), (3, 24)):
      size = [batch, length or min(wanted, places)]
      mask = np.arange(size[1]) < rng.integers(
        size[1] // 2, size[1], [batch, 1], endpoint=True
      )
      values = {
        "input_word_ids": rng.integers(1, max(rows, 2), size) * mask,
        "input_mask": mask,
        "input_type_ids": (np.arange(size[1]) >= size[1] // 3) * mask,
        _POSITIONS: rng.integers(size[1] // 2, size=[batch, most]),
      }
      values["inputs"] = values["targets"] = values["input_word_ids"]
      found.append(
        {
          name: values[_OLD_NAMES.get(name, name)].astype(np.int32)
          for name in names
        }
      )
    return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class RestoredServingExporter(BuiltServingExporter, base.CheckpointExporter):
  """The same, with the weights of a checkpoint.

  Attributes:
    items: What the checkpoint is restored into, by its names there.
  """

  items: Mapping[str, object]

  @override
  def build(self) -> base.Build:
    return base.Build(restores=[self.items], published={"": self._published()})


def export(
  module: export_base.ExportModule,
  names: Mapping[str, str],
  *,
  checkpoint_path: str | None,
  items: Mapping[str, Any],
  export_path: str,
  level: str = checks.NONE,
) -> None:
  """Exports what a module serves.

  Args:
    module: The module.
    names: What each of its functions is called as a signature.
    checkpoint_path: A checkpoint of any kind. None: the weights that the model
      has.
    items: What a checkpoint is restored into, by its names there.
    export_path: Where the SavedModel appears.
    level: Which checks a fresh process makes.

  Raises:
    ValueError: The module does not have one of the functions.
    ExportError: The model can't be exported.
  """
  _refuse_incomplete(module, names)
  existing = {variable.ref() for variable in module.model.variables}
  keys = dict.fromkeys(names)
  if isinstance(module, _WITH_SERVE):
    keys |= dict.fromkeys([_SERVE])
  signatures = module.get_inference_signatures({key: key for key in keys})
  fields: dict[str, Any] = {
    "module": module,
    "signatures": signatures,
    "names": dict(names),
  }
  exporter: base.Exporter = BuiltServingExporter(**fields)
  if checkpoint_path:
    restored = RestoredServingExporter(
      **fields, items=dict(items), checkpoint=checkpoint_path
    )
    if not _restore_early(restored, existing):
      exporter = restored
  for key in names:
    if (type(module), key) in _CORRECTED:
      arguments.note(_NOTES[type(module), key])
  garden_exporters.export(exporter, export_path, level)


def _restore_early(
  exporter: RestoredServingExporter, existing: set[Any]
) -> bool:
  """Restores a model from a checkpoint of it that was written half built.

  Keras creates the variables of some heads at the first call. A model that was
  saved before has them only now, with values of its own, which stay.

  Args:
    exporter: It names the checkpoint.
    existing: References to the variables that were there before the first call.

  Returns:
    Whether it did. If not, the checkpoint has to hold all variables.
  """
  match = exporter.opened.match(exporter.items)
  variables = exporter.module.model.variables
  late = {v.ref() for v in variables} - existing
  if not late or {v.ref() for v, _ in match.pairs} != existing:
    return False
  rest = match.mismatch
  if len(rest.missing) != len(late) or rest.unexpected or rest.shapes:
    return False
  for variable, read in match.pairs:
    variable.assign(read())
  arguments.note(
    f"the checkpoint lacks {len(late)} variables, such as '{rest.missing[0]}', "
    "which keep the values that they have."
  )
  return True


def _refuse_incomplete(
  module: export_base.ExportModule, names: Mapping[str, str]
) -> None:
  """Raises `ExportError` if a parameter is missing that a function needs."""
  needed = {
    _EXAMPLES: ("parse_sequence_length", "max_predictions_per_seq"),
    _TEXT_EXAMPLES: ("parse_sequence_length", "text_fields"),
  }
  for key in names:
    for name in needed.get(key, ()):
      if getattr(module.params, name, True) is None:
        raise ExportError(
          f"The function {key} needs {name}. Set it in serving_params."
        )


def _inputs(
  traced: Any, function: Any
) -> tuple[Any, Callable[[Any], dict[str, Any]]]:
  """Returns the specs of a function's inputs, and what makes arguments of them.

  Args:
    traced: Model Garden's trace of it.
    function: What was traced.
  """
  args, kwargs = traced.structured_input_signature
  parameters = list(inspect.signature(function.python_function).parameters)
  parameters = [name for name in parameters if name != "self"]
  specs = dict(zip(parameters, args, strict=False)) | kwargs
  specs = {n: s for n, s in specs.items() if isinstance(s, tf.TensorSpec)}
  if len(specs) == 1:
    ((parameter, spec),) = specs.items()
    return spec, lambda inputs: {parameter: inputs}
  by_name = {spec.name: parameter for parameter, spec in specs.items()}
  return {spec.name: spec for spec in specs.values()}, lambda inputs: {
    by_name[name]: value for name, value in inputs.items()
  }


def _resources(module: export_base.ExportModule) -> dict[str, Any]:
  """Returns tables, models of tokenizers and files, apart from the layers."""
  found = [
    trackable
    for name, child in _children(module).items()
    if name != "model"
    for trackable in tf.train.TrackableView(child).descendants()
    if isinstance(
      trackable,
      (tf.saved_model.experimental.TrackableResource, tf.saved_model.Asset),
    )
  ]
  return {"resources": found} if found else {}


def _children(trackable: Any) -> dict[str, Any]:
  return tf.train.TrackableView(trackable).children(trackable)


def _rows_of(model: Any, table: str, *, default: int) -> int:
  """Returns the rows of the embedding table with this in its name."""
  shapes = [v.shape for v in model.variables if table in v.name]
  return min((shape[0] for shape in shapes if shape.rank == 2), default=default)


def _rows(arrays: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
  batch = len(next(iter(arrays.values())))
  return [{name: a[i] for name, a in arrays.items()} for i in range(batch)]


def _example(features: Mapping[str, Any]) -> bytes:
  """Returns a serialized example of bytes or of numbers."""

  def feature(value):
    if isinstance(value, bytes):
      return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=value))

  found = {name: feature(value) for name, value in features.items()}
  example = tf.train.Example(features=tf.train.Features(feature=found))
  return example.SerializeToString(deterministic=True)


def _examples_of_masked_lm(
  module: serving_modules.MaskedLM, inputs: tf.Tensor
) -> dict[str, tf.Tensor]:
  """Serves examples, with the segments that they have.

  Model Garden's `serve_examples` gives the ids of words for them.
  """
  lengths = {
    module.input_word_ids_field: module.params.parse_sequence_length,
    "input_mask": module.params.parse_sequence_length,
    module.input_type_ids_field: module.params.parse_sequence_length,
    _POSITIONS: module.params.max_predictions_per_seq,
  }
  features = tf.io.parse_example(
    inputs,
    {
      name: tf.io.FixedLenFeature([length], tf.int64)
      for name, length in lengths.items()
    },
  )
  ids, mask, types, positions = (
    tf.cast(features[name], tf.int32) for name in lengths
  )
  return module.serve(
    input_word_ids=ids,
    input_mask=mask,
    input_type_ids=types,
    masked_lm_positions=positions,
  )


# What takes the place of a function of Model Garden's, and what it says.
_CORRECTED = {
  (serving_modules.MaskedLM, _EXAMPLES): _examples_of_masked_lm,
}
_NOTES = {
  (serving_modules.MaskedLM, _EXAMPLES): (
    "serve_examples takes the segments from the examples; Model Garden's takes "
    "the ids of the words for them."
  ),
}
