"""Writes the digests that the releases of small models are expected to have.

  python -m scripts.expected_digests

A test compares them, so that a change of bytes shows the day it is made. Run
this, read the diff, and commit it with the reason: releasing the same version
again gives other bytes from then on.
"""

from collections.abc import Mapping
import json
import pathlib
import subprocess
import sys
import tempfile

from exporters.command_line import program

_ROOT = pathlib.Path(__file__).parents[1]
EXPECTED = _ROOT / "tests/testdata/expected_digests.json"
LEAVES = ("low_level/multiply", "resnet/digits_resnet")


def main() -> None:
  """Releases the models, and writes their digests."""
  with tempfile.TemporaryDirectory() as folder:
    release_dir = pathlib.Path(folder) / "release"
    for leaf in LEAVES:
      subprocess.run(
        [
          *(sys.executable, "-m", "scripts.release", "--draft"),
          "--checks=none",
          f"--gin_file=configs/{leaf}.gin",
          f"--release_dir={release_dir}",
        ],
        cwd=_ROOT,
        check=True,
      )
    text = json.dumps(promised(release_dir), indent=2)
  EXPECTED.write_text(text + "\n")


def promised(release_dir: pathlib.Path) -> Mapping[str, str]:
  """Returns sha256 by file, as the provenances below a folder record it."""
  found = {}
  for path in sorted(release_dir.rglob("*.provenance.json")):
    statement = json.loads(path.read_text())
    byproducts = statement["predicate"]["runDetails"]["byproducts"]
    for resource in (*statement["subject"], *byproducts):
      if "digest" in resource:
        found[resource["name"]] = resource["digest"]["sha256"]
  return dict(sorted(found.items()))


if __name__ == "__main__":
  program.run(main, modules=[])
