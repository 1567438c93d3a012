"""Verifies a `.tflite` or `.onnx` from someone else before it is run.

The order is signature, digest, file. Only then does a fresh process, which has
the companion's runtime alone, call it.
"""

from collections.abc import Mapping, Sequence
import os

from exporters.companions import inspection
from exporters.companions import runtime
from exporters.errors import ExportError
from exporters.release import statement as statement_lib
from exporters.release.digests import file_digest
from exporters.release.verify import Verified
from exporters.release.verify import signed

# How many inputs or outputs are told of.
_TOLD = 5


def verify(
  path: str,
  *,
  provenance: str | None = None,
  public_key: str | None = None,
  runs: bool = True,
) -> Verified:
  """Verifies a companion.

  Args:
    path: A `.tflite` or a `.onnx`.
    provenance: The provenance of the release that it came with.
    public_key: The publisher's key (PEM), for the signatures beside the files.
    runs: Whether to call it.

  Raises:
    ExportError: Something is wrong with it.
  """
  if not os.path.isfile(path):
    raise ExportError(f"There is no companion at '{path}'.")
  steps = signed([path, provenance], public_key)
  digest = file_digest(path)
  if provenance:
    _refuse_unrecorded(path, digest, provenance)
    steps.append("the companion matches the provenance")
  found = inspection.inspect(path)
  operators = ", ".join(f"{c} {n}" for n, c in sorted(found.operators.items()))
  steps.append(f"all operators belong to its runtime: {operators}")
  if runs:
    trial = runtime.attempt(os.path.abspath(path))
    steps.append(
      f"it runs: {_shapes(trial.inputs)} to {_shapes(trial.outputs)} in "
      f"{trial.seconds * 1000:.3g} ms"
    )
    if file_digest(path) != digest:
      raise ExportError(f"'{path}' changed while it was being verified.")
  files = {os.path.basename(path): digest}
  return Verified(digest=digest, files=files, steps=steps, results=[])


def _refuse_unrecorded(path: str, digest: str, provenance: str) -> None:
  statement = statement_lib.read(provenance)
  if digest not in statement_lib.digests(statement["subject"]).values():
    raise ExportError(
      f"'{path}' is not among the files of '{provenance}': its sha256 is "
      f"{digest}. Download it again. If that does not help, do not use it."
    )


def _shapes(shapes: Mapping[str, Sequence[int]]) -> str:
  told = [f"{name!a} {[*shape]}" for name, shape in sorted(shapes.items())]
  more = [f"{len(told) - _TOLD} more"] if len(told) > _TOLD else []
  return ", ".join(told[:_TOLD] + more)
