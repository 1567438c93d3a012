"""Releases that tests look at, and what they look with."""

from collections.abc import Iterator, Mapping, Sequence
import contextlib
import functools
import hashlib
import http.server
import os
import pathlib
import shutil
import subprocess
import sys
import threading

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
  """Runs `python -m scripts.release` without checks, on all cores."""
  with command.all_cores():
    return command.run(
      "scripts.release",
      f"--gin_file={gin_file}",
      f"--release_dir={release_dir}",
      "--draft",
      "--checks=none",
      *(f"--gin_bindings={binding}" for binding in bindings),
      *flags,
      check=check,
    )


def make_key(folder: pathlib.Path, name: str) -> pathlib.Path:
  """Makes NAME.pem, and NAME.pub beside it, as the documentation says."""
  key = folder / f"{name}.pem"
  for arguments in (
    ("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key),
    ("ec", "-in", key, "-pubout", "-out", folder / f"{name}.pub"),
  ):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
  return key


def clone(folder: pathlib.Path) -> pathlib.Path:
  """Copies the repository."""
  target = folder / "a clone"
  shutil.copytree(
    command.ROOT, target, ignore=shutil.ignore_patterns(*_NOT_CLONED)
  )
  return target


def run_elsewhere(root: pathlib.Path, module: str, *args: str) -> str:
  """Runs a command in another clone, as another user, on one core."""
  done = subprocess.run(
    [
      *("taskset", "--cpu-list", str(min(os.sched_getaffinity(0)))),
      *(sys.executable, "-m", module, *args),
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
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  return done.stdout


def run_snippets(
  release_dir: pathlib.Path,
  scratch: pathlib.Path,
  handles: Sequence[str],
  text: str = "page",
) -> str:
  """Runs the snippets of pages in one fresh process; returns what it prints.

  Args:
    release_dir: Where the models were released.
    scratch: An empty folder.
    handles: Their handles.
    text: "page" for their pages, "card" for their cards on Kaggle.
  """
  program = str(command.ROOT / "tests/consumer_of_pages.py")
  arguments = [str(release_dir), str(scratch), text, *handles]
  done = subprocess.run(
    [sys.executable, "-I", program, *arguments],
    cwd="/",
    env=command.environment(),
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  return done.stdout


@contextlib.contextmanager
def served(folder: pathlib.Path) -> Iterator[str]:
  """Serves a folder from loopback, as a host of archives does."""

  class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *unused_args):
      pass

  handler = functools.partial(Handler, directory=str(folder))
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
      yield f"http://127.0.0.1:{server.server_port}"
    finally:
      server.shutdown()
      thread.join()


def digests(release_dir: pathlib.Path) -> Mapping[str, str]:
  """Returns sha256 of all files that have to be the same every time."""
  return {
    str(path.relative_to(release_dir)): hashlib.sha256(
      path.read_bytes()
    ).hexdigest()
    for path in sorted(release_dir.rglob("*"))
    if path.is_file()
    and not path.name.startswith("1.provenance")
    and not path.name.endswith((".report.html", ".sig"))
  }
