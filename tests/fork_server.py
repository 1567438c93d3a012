"""Runs commands in forks of a process that has TensorFlow imported.

An export's own import takes as long as the export of a small model. A fork has
what `python -m` would have imported, and nothing that another command left: no
TensorFlow runtime, no flags, no module of this repository. Its checks have a
process that is forked too; see `forked_consumers`.
"""

from collections.abc import Callable, Mapping, Sequence
import importlib
import json
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
import traceback

from tests import forked_consumers

# What most commands import; none of it starts TensorFlow's threads.
_IMPORTED = (
  "gin",
  "official.nlp.configs.encoders",
  "official.nlp.modeling.models",
  "rich.console",
  "rich.progress",
)


class ForkServer:
  """A process that is asked for one fork after another."""

  def __init__(self, environment: Mapping[str, str], cwd: pathlib.Path):
    self._process = subprocess.Popen(
      [sys.executable, "-m", __name__],
      cwd=cwd,
      env=environment,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )

  def run(
    self,
    module: str,
    arguments: Sequence[str],
    *,
    cwd: pathlib.Path,
    environment: Mapping[str, str],
  ) -> subprocess.CompletedProcess:
    """Returns what `python -m module arguments` did."""
    with tempfile.TemporaryDirectory() as folder:
      job = {
        "module": module,
        "arguments": list(arguments),
        "cwd": str(cwd),
        "environment": dict(environment),
        "cores": sorted(os.sched_getaffinity(0)),
        "outputs": [f"{folder}/stdout", f"{folder}/stderr"],
      }
      self._process.stdin.write(json.dumps(job) + "\n")
      self._process.stdin.flush()
      code = int(self._process.stdout.readline())
      stdout, stderr = (pathlib.Path(p).read_text() for p in job["outputs"])
    return subprocess.CompletedProcess(
      [module, *arguments], code, stdout, stderr
    )


def main() -> None:
  for name in _IMPORTED:
    importlib.import_module(name)
  consumers = forked_consumers.ForkedConsumers()
  forked_consumers.forget_exporters()
  for line in sys.stdin:
    job = json.loads(line)
    with consumers.forked() as fork:
      child = os.fork()
      if not child:
        _become(lambda fork=fork: consumers.use(fork), **job)
      fork.hand_over()
      _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
  consumers.stop()


def _become(
  prepare: Callable[[], None],
  *,
  module: str,
  arguments: Sequence[str],
  cwd: str,
  environment: Mapping[str, str],
  cores: Sequence[int],
  outputs: Sequence[str],
) -> None:
  """Goes on as `python -m module arguments`, and ends."""
  code = 1
  try:
    for number, path in enumerate(outputs, start=1):
      file = os.open(path, os.O_WRONLY | os.O_CREAT)
      os.dup2(file, number)
      os.close(file)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.sched_setaffinity(0, cores)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    added = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [cwd, *added, *(p for p in sys.path[1:] if p not in added)]
    sys.argv[:] = [module, *arguments]
    prepare()
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    code = 0
  except SystemExit as e:
    if isinstance(e.code, str):
      print(e.code, file=sys.stderr)
    code = e.code if isinstance(e.code, int) else int(e.code is not None)
  except BaseException:  # noqa: BLE001 - as the interpreter's own end.
    traceback.print_exc()
  finally:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
  main()
