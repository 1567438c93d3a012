"""Releases that tests look at, and what they look with."""

from collections.abc import Mapping, Sequence
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

from tests import command

MULTIPLY = "configs/low_level/multiply.gin"
DIGITS = "configs/resnet/digits_resnet.gin"
MINILM = "configs/bert/all_minilm_l6_v2.gin"
MINILM_PREPROCESS = "configs/bert/all_minilm_l6_v2_preprocess.gin"

# No part of a repository that is cloned.
_NOT_CLONED = (".*", "__pycache__", "quickstart")


def release(
  gin_file: str,
  release_dir: pathlib.Path,
  *flags: str,
  bindings: Sequence[str] = (),
  check: bool = True,
) -> subprocess.CompletedProcess:
  """Runs `python -m scripts.release` without checks of the model."""
  return command.run(
    "scripts.release",
    f"--gin_file={gin_file}",
    f"--release_dir={release_dir}",
    "--checks=none",
    *(f"--gin_bindings={binding}" for binding in bindings),
    *flags,
    check=check,
  )


def clone(folder: pathlib.Path) -> pathlib.Path:
  """Copies the repository."""
  target = folder / "a clone"
  shutil.copytree(
    command.ROOT, target, ignore=shutil.ignore_patterns(*_NOT_CLONED)
  )
  return target


def release_elsewhere(
  root: pathlib.Path,
  gin_files: Sequence[str],
  release_dir: pathlib.Path,
  bindings: Sequence[str] = (),
) -> None:
  """Releases in another clone, as another user, on one core."""
  for gin_file in gin_files:
    subprocess.run(
      [
        *("taskset", "--cpu-list", str(min(os.sched_getaffinity(0)))),
        *(sys.executable, "-m", "scripts.release", "--checks=none"),
        *(f"--gin_file={gin_file}", f"--release_dir={release_dir}"),
        *(f"--gin_bindings={binding}" for binding in bindings),
      ],
      cwd=root,
      env={
        "PATH": os.environ["PATH"],
        "HOME": str(root.parent),
        "USER": "somebody",
        "PYTHONHASHSEED": "12345",
        "TZ": "Asia/Tokyo",
        "LC_ALL": "C",
      },
      check=True,
      capture_output=True,
    )


def digests(release_dir: pathlib.Path) -> Mapping[str, str]:
  """Returns sha256 of all files that have to be the same every time."""
  return {
    str(path.relative_to(release_dir)): hashlib.sha256(
      path.read_bytes()
    ).hexdigest()
    for path in sorted(release_dir.rglob("*"))
    if path.is_file()
    and not path.name.startswith("1.provenance")
    and not path.name.endswith(".report.html")
  }
