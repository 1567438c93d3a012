"""Writes the gin file that would export a checkpoint."""

from __future__ import annotations

from official.nlp.configs import encoders

from exporters.inspection.identity import Identity
from exporters.text import encoder_types

# The file to include, and the configuration's class.
_LEAVES = {
  "bert": ("configs/bert/bert_base.gin", encoders.BertEncoderConfig),
  "albert": ("configs/albert/albert_base.gin", encoders.AlbertEncoderConfig),
  "mobilebert": (
    "configs/mobilebert/mobilebert_base.gin",
    encoders.MobileBertEncoderConfig,
  ),
}
_LEAVES |= dict.fromkeys(("electra", "distilbert"), _LEAVES["bert"])


def written(identity: Identity) -> str | None:
  """Returns the gin file that would export it; None for other than text."""
  if identity.architecture not in _LEAVES or not identity.sizes:
    return None
  include, config = _LEAVES[identity.architecture]
  names = encoder_types.field_names(config())
  with_mlm = "masked language model" in identity.heads
  vocabulary, file = ("VOCAB_FILE", "vocab.txt")
  if identity.architecture == "albert":
    vocabulary, file = ("SP_MODEL_FILE", "30k-clean.model")
  unsaid = []
  if identity.vocab_file is None:
    unsaid.append(f"{vocabulary} = '/path/to/{file}'")
  if identity.do_lower_case is None:
    unsaid.append("DO_LOWER_CASE = True")
  lines = [
    f"# {identity.architecture}, as found in a {identity.kind}.",
    "#",
    "#   python -m exporters.bert \\",
    "#     --gin_file=this_file.gin \\",
    *(f'#     --gin_bindings="{binding}" \\' for binding in unsaid),
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
      note = "  # Customary; the file does not tell."
      lines.append(
        f"encoders.{config.__name__}.{names.get(name, name)} = {value!r}"
        + note * (name in identity.guessed)
      )
  return "\n".join(lines) + "\n"


def _is_safe(name: str, value: object) -> bool:
  """Whether a line of gin can say it and nothing else, whoever wrote it."""
  return (
    name != "type"
    and str(name).isidentifier()
    and isinstance(value, (bool, int, float, str))
    and str(value).isprintable()
  )


def _or_required(value: str | bool | None) -> str:
  return "%gin.REQUIRED" if value is None else repr(value)
