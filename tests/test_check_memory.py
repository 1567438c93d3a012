"""How checks are run follows from the memory that there is."""

import contextlib
import pathlib

import pytest
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2

from exporters import checks
from exporters import low_level
from exporters.bounds import free_memory
from exporters.checks import memory
from exporters.errors import ExportError
from exporters.life_cycle import checker
from exporters.saved_model import reusable
from tests import command

_BERT_BASE = (442_000_000, 1_470_000)


@pytest.mark.parametrize("level", [checks.BASIC, checks.ALL])
def test_a_slower_plan_takes_less(level):
  known = memory.plans(*_BERT_BASE, level)
  taken = [plan.bytes for plan in known]
  assert taken == sorted(taken, reverse=True)
  for plan in known:
    assert memory.choose(known, cores=2, free=plan.bytes) == plan
  assert memory.choose(known, cores=2, free=taken[-1] - 1) is None
  assert memory.choose(known, cores=2, free=None) == known[0]
  assert memory.choose(known, cores=1, free=None) == known[1]


def test_estimates_are_above_what_was_measured_and_not_far():
  """BERT-base, one process after another: 2306 MiB."""
  measured = 2306 * 2**20
  least = memory.plans(*_BERT_BASE, checks.ALL)[-1].bytes
  assert measured < least < 1.2 * measured


@pytest.fixture
def machine(tmp_path, monkeypatch):
  """Returns a function that writes files of the machine and of cgroups."""
  monkeypatch.setattr(free_memory, "_PROC", tmp_path / "proc")
  monkeypatch.setattr(free_memory, "_CGROUPS", tmp_path / "cgroup")

  def write(files):
    for name, text in files.items():
      path = pathlib.Path(tmp_path / name)
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_text(text)

  return write


_MEMINFO = "MemTotal: 9 kB\nMemAvailable: 5000 kB\nSwapFree: 1000 kB\n"


def test_what_the_machine_has_left(machine):
  machine({"proc/meminfo": _MEMINFO})
  assert free_memory.available() == 6000 * 1024


def test_nobody_knows_elsewhere(machine):
  assert free_memory.available() is None


def test_the_limit_of_a_cgroup_around(machine):
  """Its own cgroup has none, but the one around has."""
  machine(
    {
      "proc/meminfo": _MEMINFO,
      "proc/self/cgroup": "0::/user/job\n",
      "cgroup/user/memory.max": "3000000\n",
      "cgroup/user/memory.current": "2000000\n",
      "cgroup/user/memory.stat": "anon 1\ninactive_file 500000\n",
      "cgroup/user/job/memory.max": "max\n",
      "cgroup/user/job/memory.current": "1000000\n",
      "cgroup/user/job/memory.stat": "inactive_file 0\n",
    }
  )
  assert free_memory.available() == 1_500_000


def test_the_limit_of_a_cgroup_of_the_first_kind(machine):
  """In a container, the path is the host's."""
  machine(
    {
      "proc/meminfo": _MEMINFO,
      "proc/self/cgroup": "5:cpu,cpuacct:/a\n4:memory:/docker/1\n0::/\n",
      "cgroup/memory/memory.limit_in_bytes": "4000000\n",
      "cgroup/memory/memory.usage_in_bytes": "1000000\n",
      "cgroup/memory/memory.stat": (
        "inactive_file 1\ntotal_inactive_file 200000\n"
      ),
    }
  )
  assert free_memory.available() == 3_200_000


@pytest.fixture
def multiply(tmp_path):
  published = (
    low_level.LowLevelExporter(factor=2.0, l2=0.001).build().published[""]
  )
  path = str(tmp_path / "model")
  reusable.write(published, path)
  return published, path


def test_what_does_not_fit_is_said_before_it_is_tried(
  multiply, tmp_path, monkeypatch
):
  published, path = multiply
  monkeypatch.setattr(free_memory, "available", lambda: 100_000_000)
  with (
    checker.Checker(checks.ALL) as processes,
    pytest.raises(ExportError, match=r"need about 0\.6 GB .* 0\.1 GB are"),
  ):
    processes.check(published, path, scratch=str(tmp_path), private=[])
  assert not (tmp_path / "results.json").exists()


def test_one_process_that_keeps_nothing_finds_the_same(
  multiply, tmp_path, monkeypatch
):
  published, path = multiply
  found = []
  with contextlib.ExitStack() as stack:
    with command.all_cores():
      processes = stack.enter_context(checker.Checker(checks.ALL))
    for plan in memory.plans(0, 0, checks.ALL):
      monkeypatch.setattr(
        memory, "choose", lambda *_, plan=plan, **unused: plan
      )
      results = processes.check(
        published, path, scratch=str(tmp_path), private=[]
      )
      found.append([(r.check, r.status) for r in results])
  assert len(found) == 3
  assert found[0] == found[1] == found[2]
  assert checks.FAILED not in dict(found[0]).values()


def _calls(nodes, name: str, times: int) -> None:
  for i in range(times):
    call = nodes.add(name=f"{name}_{i}", op="PartitionedCall")
    call.attr["f"].func.name = name


@pytest.fixture
def nested() -> saved_model_pb2.SavedModel:
  """A graph that calls `a` twice, which calls `b` three times."""
  proto = saved_model_pb2.SavedModel()
  graph = proto.meta_graphs.add().graph_def
  _calls(graph.node, "a", 2)
  for name, filling in (("a", 10_000), ("b", 1_000)):
    function = graph.library.function.add()
    function.signature.name = name
    function.signature.description = "x" * filling
  _calls(graph.library.function[0].node_def, "b", 3)
  return proto


def _sizes(proto: saved_model_pb2.SavedModel, folder: pathlib.Path):
  (folder / "saved_model.pb").write_bytes(proto.SerializeToString())
  return memory.sizes(str(folder))


def test_a_function_counts_for_each_call(nested, tmp_path):
  """In the file once; in memory, two of `a` and six of `b`."""
  (tmp_path / "variables").mkdir()
  for name, size in (("data-00000-of-00002", 5), ("data-00001-of-00002", 7)):
    (tmp_path / f"variables/variables.{name}").write_bytes(b"x" * size)
  (tmp_path / "variables/variables.index").write_bytes(b"x" * 100)
  a, b = nested.meta_graphs[0].graph_def.library.function
  want = nested.ByteSize() + a.ByteSize() + 5 * b.ByteSize()
  assert _sizes(nested, tmp_path) == (12, want)


def test_a_function_that_is_not_there_counts_for_nothing(nested, tmp_path):
  del nested.meta_graphs[0].graph_def.library.function[1:]
  a = nested.meta_graphs[0].graph_def.library.function[0]
  assert _sizes(nested, tmp_path) == (0, nested.ByteSize() + a.ByteSize())


def test_a_function_that_calls_itself_counts_once(nested, tmp_path):
  a = nested.meta_graphs[0].graph_def.library.function[0]
  _calls(a.node_def, "a", 2)
  assert _sizes(nested, tmp_path) == (0, nested.ByteSize())


@pytest.mark.parametrize(
  ("value", "least"), [(1.0, 4_000_000), (b"a", 1_000_000)]
)
def test_a_constant_that_is_repeated_counts_in_full(
  value, least, nested, tmp_path
):
  assert _sizes(nested, tmp_path)[0] == 0
  node = nested.meta_graphs[0].graph_def.node.add(name="many", op="Const")
  node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
  node.attr["value"].tensor.tensor_shape.dim.add(size=1_000_000)
  # Less what the node itself takes in the file.
  assert _sizes(nested, tmp_path)[0] > 0.99 * least
  node.attr["value"].tensor.dtype = types_pb2.DT_INVALID
  assert _sizes(nested, tmp_path)[0] == 0


@pytest.mark.parametrize("content", [b"", b"\xff\xff"])
def test_a_graph_that_is_damaged_counts_as_it_is(content, tmp_path):
  (tmp_path / "saved_model.pb").write_bytes(content)
  assert memory.sizes(str(tmp_path)) == (0, len(content))


def test_an_estimate_is_a_line():
  """By hand, of what stands in the module's table."""
  plans = memory.plans(1_000_000, 2_000_000, checks.BASIC)
  assert plans == [
    memory.Plan(processes=2, keeps=True, bytes=590_000_000 + 804_000_000),
    memory.Plan(processes=1, keeps=True, bytes=500_000_000 + 742_700_000),
  ]
