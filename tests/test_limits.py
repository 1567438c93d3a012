"""A model from a stranger takes no more time and memory than it may."""

import contextlib
import pathlib
import signal
import subprocess
import sys
import time

import psutil
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from exporters.bounds import limits
from exporters.checks import memory
from exporters.errors import ExportError
from exporters.life_cycle import consumer
from tests import command


class Hostile(tf.Module):
  """A model whose call never ends, or holds more and more."""

  def __init__(self, kind: str):
    super().__init__()
    self.kind = kind
    self.weight = tf.Variable(1.0)

  @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32)])
  def __call__(self, inputs):
    if self.kind == "endless":
      (result,) = tf.while_loop(
        lambda x: tf.reduce_sum(x) * 0.0 < 1.0, lambda x: (x + 1.0,), [inputs]
      )
    else:
      # Values that the operation before depends on, so none is left out.
      side = tf.cast(40_000 + tf.shape(inputs)[0], tf.int32)
      large = tf.random.normal([side, side]) + tf.random.normal([side, 1])
      result = inputs * tf.reduce_mean(tf.matmul(large, large))
    return result * self.weight


@pytest.fixture(scope="module", params=["endless", "large"])
def hostile(request, tmp_path_factory) -> pathlib.Path:
  path = tmp_path_factory.mktemp(request.param) / "model"
  tf.saved_model.save(Hostile(request.param), str(path))
  return path


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_everything_at_once(times, tmp_path):
  """Ctrl-C reaches the process that a person started; twice is once more."""
  path = tmp_path / "model"
  tf.saved_model.save(Hostile("endless"), str(path))
  # A shell has what it starts in the background ignore the signal.
  process = subprocess.Popen(
    [
      *("env", "--default-signal=INT"),
      *(sys.executable, "-m", "scripts.check", str(path)),
    ],
    cwd=command.ROOT,
    env=command.environment(),
    stderr=subprocess.PIPE,
    text=True,
  )
  _until(lambda: consumer.PROGRAM[-1] in _command_lines(process.pid))
  started = psutil.Process(process.pid).children(recursive=True)
  for _ in range(times):
    process.send_signal(signal.SIGINT)
  _, said = process.communicate(timeout=30)
  assert process.returncode == 1
  assert said.splitlines()[-1] == "error: interrupted"
  assert said.count("error: ") == 1
  _, alive = psutil.wait_procs(started, timeout=10)
  assert not alive


def _command_lines(pid: int) -> list[str]:
  found = []
  for child in psutil.Process(pid).children(recursive=True):
    with contextlib.suppress(psutil.Error):
      found += child.cmdline()
  return found


def _until(done) -> None:
  ends = time.monotonic() + 120
  while not done():
    assert time.monotonic() < ends
    time.sleep(0.05)


def test_a_strangers_model_is_stopped(hostile):
  kind = hostile.parent.name.rstrip("0123456789")
  flag = "memory" if kind == "large" else "time"
  limit = ["--memory_limit=3"] if kind == "large" else ["--time_limit=20"]
  started = time.monotonic()
  done = command.run(
    "scripts.check", *limit, str(hostile), check=False, fresh=True
  )
  assert done.returncode == 1
  assert f"--{flag}_limit allows more" in done.stderr
  assert "Traceback" not in done.stderr
  assert time.monotonic() - started < 120
  # Nothing of it goes on.
  running = subprocess.run(
    ["pgrep", "-f", str(hostile)], capture_output=True, check=False
  )
  assert not running.stdout


def test_functions_that_call_functions_are_counted_first(tmp_path):
  """Ten calls of ten calls, and so on: 10 ** 30 nodes, once expanded."""
  proto = saved_model_pb2.SavedModel(saved_model_schema_version=1)
  library = proto.meta_graphs.add().graph_def.library
  for level in range(30):
    function = library.function.add()
    function.signature.name = f"level_{level}"
    for i in range(10):
      node = function.node_def.add(name=f"n{i}", op="PartitionedCall")
      node.attr["f"].func.name = f"level_{level - 1}" if level else "other"
  (tmp_path / "saved_model.pb").write_bytes(proto.SerializeToString())
  _, graph = memory.sizes(str(tmp_path))
  assert 1e30 < graph < 1e34
  started = time.monotonic()
  done = command.run("scripts.check", str(tmp_path), check=False)
  assert done.returncode == 1
  assert "need about 3e+25 GB of memory" in done.stderr
  assert time.monotonic() - started < 60


def test_functions_that_call_each_other_are_counted_once(tmp_path):
  proto = saved_model_pb2.SavedModel(saved_model_schema_version=1)
  library = proto.meta_graphs.add().graph_def.library
  for name, other in (("one", "two"), ("two", "one")):
    function = library.function.add()
    function.signature.name = name
    for i in range(2):
      node = function.node_def.add(name=f"n{i}", op="PartitionedCall")
      node.attr["f"].func.name = other
  content = proto.SerializeToString()
  (tmp_path / "saved_model.pb").write_bytes(content)
  assert memory.sizes(str(tmp_path)) == (0, len(content))


def run(program: str) -> subprocess.Popen:
  return subprocess.Popen([sys.executable, "-c", program], process_group=0)


@pytest.mark.parametrize(
  ("limit", "program", "said"),
  [
    (
      limits.Limits(seconds=0.5),
      "import time; time.sleep(60)",
      "ran for more than 0.5 s",
    ),
    (
      limits.Limits(memory=200 << 20),
      "import time; b = b'x' * (400 << 20); time.sleep(60)",
      "came close to the limit of 0.2 GB",
    ),
    (
      # Two children, each within the limit.
      limits.Limits(memory=300 << 20),
      "import os, time; os.fork(); b = b'x' * (200 << 20); time.sleep(60)",
      "came close to the limit of 0.3 GB",
    ),
    (
      limits.Limits(disk=10 << 20),
      "import time\nfor _ in range(30):\n"
      "  open('/dev/shm/../null', 'wb').write(b'x' * (1 << 20))\n"
      "time.sleep(60)",
      "wrote more than 0.0 GB",
    ),
    (
      # Nor does it help to leave the group.
      limits.Limits(processes=4),
      "import os, time\nfor _ in range(3): os.fork()\n"
      "os.setpgid(0, 0) if os.getpid() != os.getpgid(0) else 0\n"
      "time.sleep(60)",
      "were more than 4 at once",
    ),
  ],
)
def test_a_group_of_processes_is_killed(limit, program, said):
  with run(program) as process:
    with pytest.raises(ExportError, match=said) as e:
      fail_with(process, limit)
    assert "died" in str(e.value.__cause__)


def fail_with(process: subprocess.Popen, limit: limits.Limits) -> None:
  """Fails when a process ends, as the checker does."""
  with limits.enforced(limit, process.pid):
    process.wait()
    raise ExportError("The process died.")


def test_what_stays_within_its_limits_goes_on():
  limit = limits.Limits(seconds=60, memory=1 << 30)
  # What two processes share counts once.
  program = "import os; b = b'x' * (600 << 20); os.fork(); print(len(b))"
  with run(program) as process, limits.enforced(limit, process.pid):
    assert not process.wait()


def test_a_checker_that_hangs_ends_the_export(tmp_path):
  arguments = [
    "--gin_file=configs/low_level/multiply.gin",
    f"--export_path={tmp_path / 'made'}",
    "--time_limit=2",
  ]
  with subprocess.Popen(
    [sys.executable, "-m", "exporters.low_level", *arguments],
    cwd=command.ROOT,
    env=command.environment(),
    stderr=subprocess.PIPE,
    text=True,
  ) as process:
    hung = _checker_of(process.pid)
    hung.suspend()
    _, told = process.communicate(timeout=120)
  assert process.returncode == 1
  assert "ran for more than 2 s. --time_limit allows more." in told
  assert "Traceback" not in told
  assert list(tmp_path.iterdir()) == []
  assert not hung.is_running()


def _checker_of(pid: int) -> psutil.Process:
  """Returns the process that checks, as soon as a command has started it."""
  while True:
    for child in psutil.Process(pid).children():
      with contextlib.suppress(psutil.NoSuchProcess):
        if child.cmdline()[-1:] == [consumer.PROGRAM[-1]]:
          return child


def test_another_error_stays_as_it_is():
  with run("pass") as process, pytest.raises(ExportError, match="^The process"):
    fail_with(process, limits.Limits(seconds=60))
