r"""Verifies an archive or a companion from someone else before it is loaded.

  python -m scripts.verify 1.tar.gz
  python -m scripts.verify 1.tar.gz --provenance=1.provenance.json \
    --public_key=publisher.pub

It takes a `.tar.gz` or a `.tar`, packed by `scripts.release` or by the command
in TF Hub's documentation. First it inspects the members, their sizes and the
operations of the graph; given a provenance, it compares the digests; given a
key, it verifies the signatures beside the files. Only an archive that passes is
loaded, in a fresh process that tries what a consumer would. The exit code is 0
if all is well.

  python -m scripts.verify model.tflite

does as much for a companion, a `.tflite` or a `.onnx`: it is parsed, and
refused if it needs another file, or operators that its runtime does not have.
Then a fresh process calls it with made-up inputs, for five minutes at most.

  python -m scripts.verify /tmp/release/small_berts.garden.json

verifies every archive of a garden against the provenance beside it.
"""

import dataclasses

from absl import flags

from exporters.bounds import confinement
from exporters.bounds import limits
from exporters.command_line import program
from exporters.errors import ExportError
from exporters.errors import printable

_PROVENANCE = flags.DEFINE(
  program.PathParser(),
  "provenance",
  None,
  "The provenance that came with the archive.",
)
_PUBLIC_KEY = flags.DEFINE(
  program.PathParser(), "public_key", None, "The publisher's public key (PEM)."
)
_CHECKS = program.define_checks()
_LIMITS = program.define_limits()


def main(path: str) -> None:
  """Verifies one archive or companion, or a garden's."""
  if confinement.repeated("scripts.verify", lambda: _limits(path)):
    return
  program.prepare_tensorflow()
  from exporters.companions import kinds
  from exporters.gardens import recorded
  from exporters.release import verify

  if path.endswith(recorded.SUFFIX):
    _verify_garden(path)
    return
  beside = {"provenance": _PROVENANCE.value, "public_key": _PUBLIC_KEY.value}
  if path.endswith(kinds.SUFFIXES):
    from exporters.release import verify_companion

    runs = _CHECKS.value != "none"
    done = verify_companion.verify(path, runs=runs, **beside)
  else:
    done = verify.verify(path, level=_CHECKS.value, limit=_LIMITS(), **beside)
  print(f"sha256  {done.digest}")
  for step in done.steps:
    print(f"ok      {printable(step)}")
  for result in done.results:
    print(f"        {printable(str(result))}")
  print(f"'{path}' is in order.")


def _limits(path: str) -> limits.Limits:
  """Returns the limits for all; each model of a garden has its own time."""
  limit = _LIMITS()
  if path.endswith(".garden.json"):
    return dataclasses.replace(limit, seconds=None)
  return limit


def _verify_model(model) -> None:
  """Verifies a model of a garden, a `whole.Model`, and its companions."""
  from exporters.release import verify
  from exporters.release import verify_companion

  beside = {"provenance": model.provenance, "public_key": _PUBLIC_KEY.value}
  done = verify.verify(
    model.archive, level=_CHECKS.value, limit=_LIMITS(), **beside
  )
  if done.digest != model.sha256:
    raise ExportError(f"sha256 {done.digest}, the record has another")
  for companion, sha256 in model.companions.items():
    runs = _CHECKS.value != "none"
    found = verify_companion.verify(companion, runs=runs, **beside)
    if found.digest != sha256:
      raise ExportError(f"'{companion}' differs from the record")


def _verify_garden(path: str) -> None:
  """Verifies each archive of a garden; raises `ExportError` for all at once."""
  from exporters.gardens import whole

  models, failed = whole.models(path), 0
  for model in models:
    try:
      with limits.clock(_LIMITS().seconds):
        _verify_model(model)
      print(f"ok      {printable(model.handle)}  {model.sha256}", flush=True)
    except (ExportError, OSError) as e:
      failed += 1
      name = printable(model.handle)
      print(f"failed  {name}: {program.message(e)}", flush=True)
  if failed:
    raise ExportError(f"{failed} of {len(models)} models are not in order.")
  if len(models) == 1:
    print(f"The model of '{path}' is in order.")
  else:
    print(f"All {len(models)} models of '{path}' are in order.")


if __name__ == "__main__":
  program.run(main, modules=[], arguments=["ARCHIVE_OR_COMPANION_OR_GARDEN"])
