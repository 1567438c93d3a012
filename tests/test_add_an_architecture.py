"""docs/add_an_architecture.md, followed to the letter.

Each example is written into a copy of the repository, which then passes the
contract, and is released. An example that the repository has kept must stand in
it as the page shows it.
"""

import dataclasses
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from tests import documentation

PAGE = (documentation.ROOT / "docs/add_an_architecture.md").read_text()
INSTANCES = pathlib.Path("scripts/small_instances/__init__.py")
_COPIED = ("configs", "exporters", "official", "scripts", "tests")
_BLOCK = re.compile(
  r"^(?P<where>[^\n]*):\n\n```\w*\n(?P<text>.*?)^```$", re.M | re.S
)


@dataclasses.dataclass(frozen=True)
class Example:
  """What a section of the page tells its reader to write.

  Attributes:
    files: Contents by path.
    above: What goes above the table of small instances.
    entry: What goes into it.
    commands: The blocks of commands.
  """

  files: dict[str, str]
  above: str
  entry: str
  commands: list[str]

  @property
  def name(self) -> str:
    return re.match(r'(?:  #.*\n)*  "(\w+)"', self.entry).group(1)


def _example(section: str) -> Example:
  files, above, entry = {}, "", ""
  for match in _BLOCK.finditer(section):
    where, text = match["where"], match["text"]
    if where == "In `INSTANCES`":
      entry = text
    elif where.startswith("Above `INSTANCES`"):
      above = text
    elif path := re.fullmatch(r"`([\w/.]+)`", where):
      files[path[1]] = text
  return Example(
    files, above, entry, re.findall(r"```bash\n(.*?)```", section, re.S)
  )


EXAMPLES = {
  example.name: example
  for example in (
    _example(section)
    for section in re.split(r"^## ", PAGE, flags=re.M)
    if "In `INSTANCES`" in section
  )
}
KEPT = [
  name
  for name, example in EXAMPLES.items()
  if any((documentation.ROOT / path).exists() for path in example.files)
]


def test_there_are_three():
  assert len(EXAMPLES) == 3
  templates = {"exporters/mobilenet.py", "exporters/bert.py"}
  assert all(template in PAGE for template in (*templates, "low_level.py"))


def test_what_is_kept_is_as_shown():
  for example in (EXAMPLES[name] for name in KEPT):
    _refuse_other_text(example)


def _refuse_other_text(example: Example) -> None:
  for path, text in example.files.items():
    assert (documentation.ROOT / path).read_text() == text
  instances = (documentation.ROOT / INSTANCES).read_text()
  assert example.entry in instances
  assert example.above in instances


# The contract has the kept examples already. MobileDet's commands are those of
# the other two.
@pytest.mark.parametrize("name", sorted(EXAMPLES.keys() - {"mobiledet"}))
def test_an_example_passes_the_contract_and_is_released(name, tmp_path):
  example, root = EXAMPLES[name], tmp_path / "copy"
  _copy(root)
  for path, text in example.files.items():
    (root / path).parent.mkdir(exist_ok=True)
    (root / path).write_text(text)
  instances = (root / INSTANCES).read_text()
  if name not in KEPT:
    before, table, after = instances.partition("INSTANCES = {\n")
    above = f"{example.above}\n\n" if example.above else ""
    (root / INSTANCES).write_text(
      before + above + table + example.entry + after
    )
  release = None
  for block in example.commands:
    if block.startswith("bash scripts/test.sh"):
      if name in KEPT:
        continue
      # Without the set-up, and the style of the whole repository.
      _run(
        [
          sys.executable,
          "-m",
          "pytest",
          "-q",
          "-k",
          # The contract proper: that bytes are the same is the base's promise.
          f"{name} and not bytes",
          "tests/test_contract.py",
          "tests/test_configs.py",
        ],
        root,
      )
      _run([sys.executable, "-m", "ruff", "check", "--quiet", "."], root)
    elif "scripts.release" in block:
      release = block
    else:
      _run(["bash", "-ec", _here(block, tmp_path)], root)
  # What it is released from is what the small instance was exported from.
  exported = shlex.split((tmp_path / f"{name}.sh").read_text())
  bindings = [a for a in exported if a.startswith("--gin_bindings")]
  leaf = re.search(r"--gin_file=\S+", release).group()
  target = f"--release_dir={tmp_path / 'release'}"
  _run(
    [
      *(sys.executable, "-m", "scripts.release", "--draft", "--checks=none"),
      *(leaf, *bindings, target),
    ],
    root,
  )
  assert list((tmp_path / "release").rglob("1.tar.gz"))


def _copy(root: pathlib.Path) -> None:
  ignore = shutil.ignore_patterns("__pycache__")
  for folder in _COPIED:
    shutil.copytree(documentation.ROOT / folder, root / folder, ignore=ignore)
  for file in ("pyproject.toml", "requirements.txt", "README.md"):
    shutil.copy(documentation.ROOT / file, root / file)
  (root / ".cache").symlink_to(documentation.ROOT / ".cache")


def _here(block: str, folder: pathlib.Path) -> str:
  """Returns commands with `folder` in place of /tmp, and without checks.

  The contract makes these on the same model.
  """
  return re.sub(
    r"^bash (\S+)$",
    r"sed -i '$ s/$/ --checks=none/' \1\n\g<0>",
    block,
    flags=re.M,
  ).replace("/tmp/", f"{folder}/")


def _run(arguments: list[str], root: pathlib.Path) -> None:
  path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
  environment = os.environ | {"PATH": path, "PYTHONPATH": str(root)}
  done = subprocess.run(
    arguments,
    cwd=root,
    env=environment,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stdout + done.stderr
