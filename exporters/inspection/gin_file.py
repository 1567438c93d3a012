"""Writes the gin file that would export a checkpoint."""

from __future__ import annotations

from official.nlp.configs import encoders

from exporters.inspection.identity import Identity
from exporters.text import encoder_types

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

  What the checkpoint does not tell is left to be set by flags.

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
  if identity.architecture == "albert":
    vocabulary, file = ("SP_MODEL_FILE", "30k-clean.model")
  required = []
  if identity.vocab_file is None:
    required.append(f"{vocabulary} = '/path/to/{file}'")
  if identity.do_lower_case is None:
    required.append("DO_LOWER_CASE = True")
  lines = [
    f"# {identity.architecture}, as found in a {identity.kind}.",
    "#",
    "#   python -m exporters.bert \\",
    "#     --gin_file=this_file.gin \\",
    *(f'#     --gin_bindings="{binding}" \\' for binding in required),
    "#     --export_path=/tmp/model",
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
    "bert.BertExporter.do_lower_case = %DO_LOWER_CASE",
    f"bert.BertExporter.with_mlm = {with_mlm}",
    "",
  ]
  for name, value in identity.sizes.items():
    if _is_safe(name, value):
      note = "  # The usual value; the file does not tell."
      lines.append(
        f"encoders.{config.__name__}.{names.get(name, name)} = {value!r}"
        + note * (name in identity.guessed)
      )
  return "\n".join(lines) + "\n"


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
