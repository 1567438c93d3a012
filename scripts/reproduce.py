r"""Makes a release again from its provenance, and compares every digest.

  python -m scripts.reproduce \
    /tmp/release/example/all_minilm_l6_v2/1.provenance.json \
    --gin_bindings="CHECKPOINT = '/path/to/all-MiniLM-L6-v2'"

The provenance records the digests of the files that the release was made from;
yours are compared with these first. The exit code is 0 if all bytes are the
same. A recipe can run any code, so read a stranger's first. (`scripts.verify`
runs none.)

  python -m scripts.reproduce /tmp/release/small_berts.garden.json \
    --folder=/path/to/checkpoints

does so for every model of a garden.
"""

import os

from absl import flags

from exporters.command_line import program
from exporters.command_line import progress
from exporters.errors import ExportError

_GIN_BINDINGS = flags.DEFINE_multi_string(
  "gin_bindings",
  None,
  "Where you have a file that the recipe names by its digest, such as "
  "\"CHECKPOINT = '/path/to/checkpoint'\".",
)
_FOLDER = flags.DEFINE(
  program.PathParser(),
  "folder",
  "",
  "Of a garden: where the checkpoints and vocabularies are.",
)


def main(path: str) -> None:
  """Reproduces one release, or those of a garden."""
  from exporters.gardens import recorded

  if path.endswith(recorded.SUFFIX):
    _reproduce_garden(path)
    return
  with progress.Progress() as shown:
    program.prepare_tensorflow()
    from exporters.life_cycle import exporting
    from exporters.release import reproduce

    done = reproduce.reproduce(
      path, _GIN_BINDINGS.value or (), exporting.Stages(shown.announce)
    )
  for file in done.same:
    print(f"same       {file}")
  for file, what in done.different.items():
    print(f"different  {file}: {what}")
  for note in done.notes:
    print(f"note       {note}")
  if done.different:
    count = len(done.same) + len(done.different)
    raise ExportError(f"{len(done.different)} of {count} files differ.")
  print(f"All {len(done.same)} files are the same, byte for byte.")


def _reproduce_garden(path: str) -> None:
  """Reproduces each model of a garden; raises `ExportError` for all at once."""
  from exporters.gardens import whole

  models = whole.models(path)
  failed = []

  def told(model, done) -> None:
    different = done.result.different if done.error is None else {}
    if done.error is None and not different:
      count = len(done.result.same)
      print(f"same       {model.handle} ({count} files)", flush=True)
      return
    failed.append(model.handle)
    why = done.error or "; ".join(f"{f}: {w}" for f, w in different.items())
    print(f"different  {model.handle}: {why}", flush=True)

  cores = len(os.sched_getaffinity(0))
  whole.reproduce(models, _FOLDER.value, told, at_once=cores)
  if failed:
    raise ExportError(f"{len(failed)} of {len(models)} models differ.")
  which = f"All {len(models)} models are"
  if len(models) == 1:
    which = "The model is"
  print(f"{which} the same, byte for byte.")


if __name__ == "__main__":
  program.run(main, modules=[], arguments=["PROVENANCE_OR_GARDEN"])
