"""Parsers of other people's files: one error, soon, whatever is in the file."""

import functools
import pathlib
import random

import pytest
import tensorflow as tf

from exporters.checkpoints import tensorflow_index
from scripts import fuzz
from scripts.fuzz import mutations
from scripts.fuzz import table
from scripts.fuzz import worker

FOUND = pathlib.Path(__file__).with_name("testdata") / "fuzz"
TARGETS = fuzz.all_targets()
# Of each target, so that all take seconds.
MUTATIONS = 50
# What any file may hold.
ANYWHERE = [
  b"",
  b"\0" * 1000,
  b"\xff" * 1000,
  b"[" * 100_000,
  b'{"a":' * 50_000,
  b"- " * 5_000,
  b"1" * 10_000,
  b'"\\ud800"',
]


@functools.cache
def seeds_of(name) -> list[bytes]:
  return [*TARGETS[name].seeds()]


@pytest.fixture
def watched(tmp_path):
  """Returns what executes a target, and what it wrote down."""

  def execute(name, contents) -> list[str]:
    watched = worker.Watched(TARGETS[name], tmp_path)
    for content in contents:
      watched(content)
    return [
      path.read_text() for path in (tmp_path / worker.DEFECTS).glob("*.txt")
    ]

  return execute


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_end_in_a_value_or_one_error(name, watched):
  target = TARGETS[name]
  seeds = seeds_of(name)
  found = [
    p.read_bytes() for p in sorted((FOUND / worker.slug(name)).glob("*"))
  ]
  rng = random.Random(0)
  changed = (
    target.mutate(rng.choice(seeds), rng, seeds) for _ in range(MUTATIONS)
  )
  assert not watched(name, [*seeds, *found, *ANYWHERE, *changed])


def test_every_file_that_was_found_belongs_to_a_target():
  folders = {folder.name for folder in FOUND.iterdir()}
  assert folders <= set(map(worker.slug, TARGETS))


# Of bytes, of JSON, of a protocol buffer.
@pytest.mark.parametrize("name", ["page", "provenance", "object graph"])
def test_changes_are_the_same_each_time(name):
  target = TARGETS[name]
  seeds = seeds_of(name)
  first, second = (
    [target.mutate(seeds[0], random.Random(i), seeds) for i in range(20)]
    for _ in range(2)
  )
  assert first == second
  assert len({*first}) > 10


def test_what_reaches_other_lines_is_kept(tmp_path):
  watched = worker.Watched(TARGETS["page"], tmp_path)
  worker.guided_by_lines(watched, seeds_of("page"), seconds=1.0, seed=0)
  corpus = [path.read_bytes() for path in (tmp_path / worker.CORPUS).iterdir()]
  assert set(corpus) - set(seeds_of("page"))
  by_seeds, by_corpus, of_all = worker.coverage(
    tmp_path.parent, {tmp_path.name: TARGETS["page"]}
  )[tmp_path.name]
  assert 0 < by_seeds < by_corpus <= of_all


def test_what_is_no_export_error_is_a_defect(watched, monkeypatch, tmp_path):
  def fail(content, folder):
    if content == b"deep":
      raise RecursionError("too deep")
    if content == b"slow":
      monkeypatch.setattr(fuzz, "MOST_SECONDS", -1.0)

  monkeypatch.setitem(
    TARGETS,
    "x",
    fuzz.Target(
      read=fail, seeds=list, mutate=mutations.of_bytes, parts=("json",)
    ),
  )
  assert not watched("x", [b"good"])
  (said,) = watched("x", [b"deep"])
  assert "RecursionError\ntoo deep" in said
  assert len(watched("x", [b"slow"])) == 2


@pytest.fixture
def index(tmp_path) -> bytes:
  tf.train.Checkpoint(v=tf.Variable(1.0)).write(str(tmp_path / "ckpt"))
  return (tmp_path / "ckpt.index").read_bytes()


def test_an_index_is_written_as_tensorflow_writes_it(index):
  block = table.first_block(index)
  tensorflow_index.refuse_damaged(index)
  tensorflow_index.refuse_damaged(table.around(block))
  # Its last entry is left out, and the numbers that follow the entries.
  assert table.around(block)[: len(block)] == index[: len(block)]
