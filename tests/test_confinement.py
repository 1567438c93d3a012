"""What a confined process can write and reach: its folder, and nothing else."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys

import psutil
import pytest

from exporters.bounds import confinement
from exporters.bounds import groups
from tests import command


def attempt(program: str, folder: pathlib.Path, **kwargs) -> str:
  """Returns what a confined Python program prints, or the error it ends by."""
  confined = confinement.command(
    [sys.executable, "-c", program], str(folder), **kwargs
  )
  done = subprocess.run(confined, capture_output=True, text=True, check=False)
  return done.stdout or done.stderr.splitlines()[-1]


@pytest.fixture
def folders(tmp_path) -> tuple[pathlib.Path, pathlib.Path]:
  """The one where it may write, with a file beside it."""
  (tmp_path / "own").mkdir()
  (tmp_path / "own/file").write_text("own")
  (tmp_path / "other").mkdir()
  (tmp_path / "other/file").write_text("kept")
  return tmp_path / "own", tmp_path / "other"


def test_this_system_withholds_all():
  assert confinement._remarks() == []


@pytest.mark.parametrize(
  "program",
  [
    "open('{0}/new', 'w').write('x')",
    "open('{0}/file', 'a').write('x')",
    "import os; os.truncate('{0}/file', 1)",
    "import os; os.remove('{0}/file')",
    "import os; os.mkdir('{0}/folder')",
    "import os; os.rename('{0}/file', '{0}/renamed')",
    "import os; os.symlink('/', '{0}/link')",
    "import os; os.mkfifo('{0}/pipe')",
    "import os; os.link('{0}/file', '{0}/hard')",
    "import socket; socket.socket(socket.AF_UNIX).bind('{0}/socket')",
    # Neither does a program that it starts.
    "import subprocess; subprocess.run(['touch', '{0}/new'], check=True)",
  ],
)
def test_writes_in_its_folder_alone(folders, program):
  own, other = folders
  assert "Error" in attempt(program.format(other), own)
  assert [f.name for f in other.iterdir()] == ["file"]
  assert (other / "file").read_text() == "kept"
  program = f"{program.format(own)}\nprint('done')"
  assert attempt(program, own).endswith("done\n")


def test_no_link_leads_out_of_its_folder(folders):
  own, other = folders
  (own / "way").symlink_to(other)
  said = attempt(f"open('{own}/way/file', 'w')", own)
  assert said.startswith("PermissionError")
  said = attempt(f"import os; os.rename('{other}/file', '{own}/stolen')", own)
  assert said.startswith(("PermissionError", "OSError"))


def test_reads_and_is_who_it_was(folders):
  own, other = folders
  program = f"import os; print(open('{other}/file').read(), os.getuid())"
  assert attempt(program, own) == f"kept {os.getuid()}\n"


@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM"])
@pytest.mark.parametrize("network", [False, True])
def test_has_no_network_unless_it_needs_it(tmp_path, kind, network):
  with socket.socket(socket.AF_INET, getattr(socket, kind)) as server:
    server.bind(("127.0.0.1", 0))
    if kind == "SOCK_STREAM":
      server.listen()
    program = (
      f"import socket; s = socket.socket(socket.AF_INET, socket.{kind})\n"
      f"s.connect(('127.0.0.1', {server.getsockname()[1]})); s.send(b'x')\n"
      "print('sent')"
    )
    said = attempt(program, tmp_path, network=network)
  if network:
    assert said == "sent\n"
  else:
    assert "unreachable" in said


def test_a_process_that_leaves_its_group_ends_with_it():
  program = "import os, time; os.fork() or os.setsid(); time.sleep(60)"
  with subprocess.Popen(
    [sys.executable, "-c", program], process_group=0
  ) as process:
    left: list[psutil.Process] = []
    while not left or os.getpgid(left[0].pid) == process.pid:
      with contextlib.suppress(psutil.Error):
        left = psutil.Process(process.pid).children()
    groups.kill(process.pid)
  psutil.wait_procs(left, timeout=10)
  (one,) = left
  assert not one.is_running() or one.status() == psutil.STATUS_ZOMBIE


def test_inspect_says_the_same_confined(tmp_path):
  (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n")
  confined, other = (
    command.run("scripts.inspect", str(tmp_path), fresh=fresh).stdout
    for fresh in (True, False)
  )
  assert "WordPiece" in confined
  assert confined == other


def test_inspect_is_stopped_at_its_limit(tmp_path):
  (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n")
  done = command.run(
    "scripts.inspect",
    "--memory_limit=0.05",
    str(tmp_path),
    check=False,
    fresh=True,
  )
  assert done.returncode == 1
  assert "--memory_limit allows more" in done.stderr
  assert "Traceback" not in done.stderr
