"""Writes the gin file that exports a checkpoint, where one fits it.

One fits if the model that it builds has the checkpoint's tensors.
"""

from __future__ import annotations

from collections.abc import Sequence

import gin
from official.nlp.configs import encoders

from exporters import base
from exporters import checkpoints
from exporters import recipe
from exporters.checkpoints import trained_task
from exporters.checkpoints.mismatch import Mismatch
from exporters.errors import ExportError
from exporters.errors import explained
from exporters.errors import printable
from exporters.inspection import commands
from exporters.inspection import training_file
from exporters.inspection.identity import Identity
from exporters.text import encoder_types
from exporters.text import encoders as encoders_lib
from exporters.text import task_facts

KERAS = "configs/keras_model/keras_model.gin"
# By architecture, the gin file to include, and the configuration's class.
_BASES = {
  "bert": ("configs/bert/bert_base.gin", encoders.BertEncoderConfig),
  "albert": ("configs/albert/albert_base.gin", encoders.AlbertEncoderConfig),
  "mobilebert": (
    "configs/mobilebert/mobilebert_base.gin",
    encoders.MobileBertEncoderConfig,
  ),
}
_BASES |= dict.fromkeys(("electra", "distilbert"), _BASES["bert"])


def written(identity: Identity) -> str | None:
  """Returns the text of a gin file that exports a checkpoint.

  What the checkpoint does not tell is left to be set by flags. Whether it fits,
  `misfit` tells.

  Args:
    identity: What the checkpoint is.

  Returns:
    The text; None if the checkpoint is not a text encoder that is known here.
  """
  if identity.architecture not in _BASES or not identity.sizes:
    return None
  include, config = _BASES[identity.architecture]
  names = encoder_types.field_names(config())
  with_mlm = "masked language model" in identity.heads
  vocabulary, file = ("VOCAB_FILE", "vocab.txt")
  wordpiece = identity.vocab_file is not None
  if identity.architecture == "albert" and not wordpiece:
    vocabulary, file = ("SP_MODEL_FILE", "30k-clean.model")
  required = []
  if identity.vocab_file is None:
    required.append(f"{vocabulary} = '/path/to/{file}'")
  if identity.do_lower_case is None:
    required.append("DO_LOWER_CASE = True")
  lines = [
    f"# {identity.architecture}, as found in a {identity.kind}.",
    "#",
    commands.as_comment("exporters.bert", "this_file.gin", *required),
    "#",
    f"# Parameters: {identity.parameters:,}.",
    "",
    "from __gin__ import dynamic_registration",
    "",
    f"include '{include}'",
    "",
    "from exporters import bert",
    "from official.nlp.configs import encoders",
    "",
    f"CHECKPOINT = {identity.path!r}",
    f"{vocabulary} = {_or_required(identity.vocab_file)}",
    f"DO_LOWER_CASE = {_or_required(identity.do_lower_case)}",
    "",
    *(
      # The included file asks for a SentencePiece model.
      (
        "bert.BertExporter.sp_model_file = None",
        "bert.BertExporter.vocab_file = %VOCAB_FILE",
      )
      if identity.architecture == "albert" and wordpiece
      else ()
    ),
    "bert.BertExporter.do_lower_case = %DO_LOWER_CASE",
    f"bert.BertExporter.with_mlm = {with_mlm}",
    "",
  ]
  for name, value in identity.sizes.items():
    if _is_safe(name, value):
      note = "  # Assumed: the file does not say."
      lines.append(
        f"encoders.{config.__name__}.{names.get(name, name)} = {value!r}"
        + note * (name in identity.guessed)
      )
  return "\n".join(lines) + "\n"


def of_task(identity: Identity) -> str | None:
  """Returns the text of a gin file that exports a fine-tuned model.

  Args:
    identity: What the checkpoint is.

  Returns:
    The text; None if no task is known, or the model is not exported as it is.
  """
  task = task_facts.task_of(identity.checkpoint)
  if task is None:
    return None
  if task == trained_task.MASKED_WORDS and not misfit(identity):
    # Most people want its encoder, if it has all of that.
    return None
  name = task.replace(" ", "_")
  leaf = f"configs/text_task/{name}.gin"
  lower = identity.do_lower_case
  bindings = [f"CHECKPOINT = {identity.path!r}"]
  if lower is not None:
    bindings.append(f"DO_LOWER_CASE = {lower}")
  most = identity.sizes.get("max_position_embeddings")
  default = 384 if task == trained_task.QUESTION_ANSWERING else 128
  imports = []
  if isinstance(most, int) and most < default:
    imports = [
      "from __gin__ import dynamic_registration",
      "from exporters import text_task",
    ]
    exporter = name.title().replace("_", "")
    bindings.append(f"text_task.{exporter}Exporter.default_seq_length = {most}")
  asked = [] if lower is not None else ["DO_LOWER_CASE = True"]
  if not _fits(leaf, [*imports, *bindings, *asked]):
    return None
  lines = commands.as_comment("exporters.text_task", "this_file.gin", *asked)
  before = f"{imports[0]}\n\n" if imports else ""
  after = f"{imports[1]}\n\n" if imports else ""
  required = "" if asked == [] else "DO_LOWER_CASE = %gin.REQUIRED\n"
  return (
    f"# A {identity.architecture} for {task}, as found in a {identity.kind}."
    f"\n#\n{lines}\n\n{before}include '{leaf}'\n\n{after}"
    + "".join(f"{binding}\n" for binding in bindings)
    + required
  )


def of_training(identity: Identity) -> str | None:
  """Returns the text of a gin file as `params.yaml` beside a checkpoint has it.

  Args:
    identity: What the checkpoint is.

  Returns:
    The text; None if no such file is there, or no exporter of its experiment.

  Raises:
    ExportError: The file is damaged, or the model that it describes can't be
      exported or has not the checkpoint's tensors.
  """
  text = training_file.written(identity.checkpoint)
  if not text:
    return None
  _, mismatch = _built(training_file.BASE, text.splitlines())
  if mismatch:
    raise ExportError(mismatch.likely_cause())
  return text


def of_classes(path: str, names: Sequence[str], *bindings: str) -> str:
  """Returns the text of a gin file that exports a Keras model of own classes.

  Where their module is, no model says.

  Args:
    path: The model's file.
    names: The names of its classes and functions that are not Keras's, as they
      must be registered.
    *bindings: What else to bind.
  """
  lines = commands.as_comment("exporters.keras_model", "this_file.gin")
  shown = ", ".join(map(printable, names))
  registered = "".join(f"#   {printable(_registration(n))}\n" for n in names)
  bound = "".join(f"{b}\n" for b in (f"MODEL_FILE = {path!r}", *bindings))
  return (
    "# A Keras model with classes or functions of its own: "
    f"{shown}.\n#\n{lines}\n#\n"
    "# In place of MODULE goes the module that defines them. It must register\n"
    f"# each by its name in the file:\n#\n{registered}\n"
    "from __gin__ import dynamic_registration\n\n"
    f"include '{KERAS}'\n\nfrom exporters import keras_model\nimport MODULE\n\n"
    f"{bound}"
  )


def _registration(name: str) -> str:
  """Returns the Python that registers a class or function by a name."""
  package, _, short = name.rpartition(">")
  if package and short.isidentifier():
    return (
      f"@tf_keras.utils.register_keras_serializable({package!r})  # {short}"
    )
  value = name if name.isidentifier() else "FUNCTION"
  return f"tf_keras.utils.get_custom_objects()[{name!r}] = {value}"


def of_leaf(leaf: str, identity: Identity) -> str | None:
  """Returns the text of a gin file that includes a leaf, if that fits.

  Args:
    leaf: The path of the leaf, below the repository's root.
    identity: What the checkpoint is.
  """
  binding = f"CHECKPOINT = {identity.path!r}"
  exporter = _fits(leaf, [binding])
  if not exporter:
    return None
  lines = commands.as_comment(type(exporter).__module__, leaf, binding)
  return (
    f"# The checkpoint has the tensors of {leaf}.\n#\n{lines}\n\n"
    f"include '{leaf}'\n\n{binding}\n"
  )


def _fits(leaf: str, bindings: Sequence[str]) -> base.CheckpointExporter | None:
  """Returns a leaf's exporter if its model has the checkpoint's tensors."""
  try:
    exporter, mismatch = _built(leaf, bindings)
  except ExportError:
    return None
  return None if mismatch else exporter


def _built(
  leaf: str, bindings: Sequence[str]
) -> tuple[base.CheckpointExporter, Mismatch | None]:
  """Returns a leaf's exporter, and how its model differs from its checkpoint.

  Raises:
    ExportError: It restores nothing, or its model can't be built.
  """
  gin.clear_config()
  try:
    exporter = recipe.load([leaf], bindings).exporter
    if not isinstance(exporter, base.CheckpointExporter):
      raise ExportError(f"'{leaf}' restores nothing.")
    with explained("build the model"), checkpoints.uninitialized():
      restores = exporter.build().restores
    found = (exporter.opened.match(items).mismatch for items in restores)
    return exporter, next((mismatch for mismatch in found if mismatch), None)
  finally:
    gin.clear_config()


def misfit(identity: Identity) -> str | None:
  """Returns why the encoder of these sizes has not the checkpoint's tensors.

  None if it has them, or if the checkpoint is not such an encoder's.
  """
  if identity.architecture not in _BASES or not identity.sizes:
    return None
  _, kind = _BASES[identity.architecture]
  config = kind()
  names = encoder_types.field_names(config)
  for name, value in identity.sizes.items():
    if _is_safe(name, value):
      setattr(config, names.get(name, name), value)
  type_ = (
    "bert" if kind is encoders.BertEncoderConfig else identity.architecture
  )
  one = encoders.EncoderConfig(type=type_, **{type_: config})
  try:
    with explained("build the encoder"), checkpoints.uninitialized():
      model = encoders_lib.build(one, {}).model
      mismatch = identity.checkpoint.match(
        {"encoder": model, "model": model}
      ).mismatch
  except ExportError as e:
    return e.message
  return mismatch.likely_cause() if mismatch else None


def _is_safe(name: str, value: object) -> bool:
  """Tells whether a line of gin will bind this, even if the file is hostile."""
  return (
    name != "type"
    and str(name).isidentifier()
    and isinstance(value, (bool, int, float, str))
    and str(value).isprintable()
  )


def _or_required(value: str | bool | None) -> str:
  return "%gin.REQUIRED" if value is None else repr(value)
