"""The documentation: its commands run, and what it names is there."""

import ast
import dataclasses
import functools
import importlib.util
import pathlib
import re
import tomllib

import pytest
import yaml

from exporters import checks
from exporters.release import page as page_lib
from tests import command
from tests import documentation

DOCS = documentation.ROOT / "docs"
# Its files are parts of this repository: `test_copied` makes a copy of both.
ARCHITECTURE = DOCS / "add_an_architecture.md"
COMMANDS = [
  (page, block)
  for page in sorted(DOCS.glob("*.md"))
  if page != ARCHITECTURE
  for block in documentation.blocks(page)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
  """What stands at /path/to, with the files that pages show in full."""
  folder = tmp_path_factory.mktemp("docs")
  documentation.write_inputs(folder)
  for page in DOCS.glob("*.md"):
    (folder / page.stem).mkdir()
    for name, text in documentation.files(page).items():
      if name.startswith("/path/to/"):
        text = documentation.moved(text, folder, folder / page.stem)
        (folder / pathlib.Path(name).name).write_text(text)
  return folder


def test_there_are_commands():
  assert len(COMMANDS) >= 10


@pytest.mark.parametrize(
  ("page", "block"),
  COMMANDS,
  ids=[f"{page.stem}-{i}" for i, (page, _) in enumerate(COMMANDS)],
)
def test_commands_run(page, block, folder):
  documentation.run(block, folder, folder / page.stem)


def test_every_page_is_listed():
  for index in (documentation.ROOT / "README.md", DOCS / "README.md"):
    listed = {
      (index.parent / link).resolve() for link in documentation.links(index)
    }
    assert set(DOCS.glob("*.md")) - {DOCS / "README.md"} <= listed


@pytest.mark.parametrize(
  "page", documentation.PAGES, ids=lambda page: page.name
)
def test_links_lead_somewhere(page):
  for link in documentation.links(page):
    if link.startswith(("https://", "http://")):
      continue
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    assert target.exists(), link
    if anchor:
      anchors = {h.anchor for h in documentation.headings(target)}
      assert anchor in anchors, link


@pytest.mark.parametrize(
  "page", documentation.PAGES, ids=lambda page: page.name
)
def test_paths_and_modules_exist(page):
  files = documentation.files(page)
  shown = {*files, *(f"{pathlib.PurePath(file).parent}/" for file in files)}
  for span in documentation.code_spans(page):
    if re.fullmatch(
      r"(configs|docs|exporters|official|scripts|tests)/[\w.*/-]*", span
    ):
      assert span in shown or list(documentation.ROOT.glob(span)), span
    match = re.match(
      r"(?:python -m )?((?:exporters|official|scripts)(?:\.\w+)+)", span
    )
    if match and f"{match[1].replace('.', '/')}.py" not in shown:
      assert _is_module_or_its_own(match[1]), span


def _is_module_or_its_own(name: str) -> bool:
  """Whether there is a module of this name, or one that has the attribute."""
  try:
    if importlib.util.find_spec(name):
      return True
  except ModuleNotFoundError:
    pass
  module, _, attribute = name.rpartition(".")
  spec = importlib.util.find_spec(module)
  return attribute in pathlib.Path(spec.origin).read_text()


def test_fields_are_those_of_the_code():
  done = command.run("scripts.field_reference")
  assert done.stdout == (DOCS / "fields.md").read_text(), (
    "Run python -m scripts.field_reference > docs/fields.md"
  )


def test_every_check_has_its_section():
  sections = [
    h.text for h in documentation.headings(DOCS / "checks.md") if h.level == 3
  ]
  assert sorted(sections) == sorted(check.name for check in checks.CHECKS)


def test_says_which_checks_are_basic():
  sections = (DOCS / "checks.md").read_text().split("\n### ")[1:]
  basic = {s.partition("\n")[0] for s in sections if "*(basic)*" in s}
  assert basic == {c.name for c in checks.CHECKS if c.level == checks.BASIC}


@pytest.mark.parametrize("cls", [page_lib.Page, page_lib.Kaggle])
def test_every_field_of_a_page_is_explained(cls):
  (example,) = documentation.files(DOCS / "publish_a_release.md").values()
  for field in dataclasses.fields(cls):
    assert f"page.{cls.__name__}.{field.name} = " in example


def _messages() -> list[str]:
  """Returns the messages of this repository that troubleshooting.md quotes."""
  text = (DOCS / "troubleshooting.md").read_text()
  ours, _, _ = text.partition("\n## A consumer's errors")
  quoted = re.findall(r"^(?:### |\| )(`+)(.+?)\1(?: \||$)", ours, re.M)
  return [message for _, message in quoted]


@pytest.mark.parametrize("message", _messages())
def test_quotes_what_the_code_says(message):
  pattern = ".*?".join(map(re.escape, message.split("…")))
  assert any(re.search(pattern, text, re.S) for text in _texts()), (
    f"perhaps {max(_texts(), key=lambda text: _alike(text, message))!r}"
  )


def _alike(text: str, message: str) -> float:
  """Returns how many words two texts share, of all that they have."""
  one, other = set(text.split()), set(message.split())
  return len(one & other) / max(len(one | other), 1)


@functools.cache
def _texts() -> list[str]:
  """Returns the strings in the code, with `…` where a value is put in."""
  found = [p.read_text() for p in documentation.ROOT.glob("scripts/*.sh")]
  for package in ("exporters", "scripts"):
    for path in (documentation.ROOT / package).rglob("*.py"):
      for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
          found.append(node.value)
        elif isinstance(node, ast.JoinedStr):
          found.append("".join(getattr(v, "value", "…") for v in _parts(node)))
  return found


def _parts(node: ast.JoinedStr) -> list[ast.expr | None]:
  return [v if isinstance(v, ast.Constant) else None for v in node.values]


def test_says_the_direction_of_packages():
  shown = re.search(
    r"^( +scripts -> overlay.*?)\n\n",
    (DOCS / "how_it_works.md").read_text(),
    re.M | re.S,
  )
  words = " ".join(shown[1].split())
  settings = (documentation.ROOT / "pyproject.toml").read_text()
  comment = " ".join(settings.replace("\n#", "\n").split())
  assert words in comment


def test_every_package_has_its_layer():
  settings = tomllib.loads((documentation.ROOT / "pyproject.toml").read_text())
  layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
  named = {name for layer in layers for name in layer.split(" | ")}
  packages = {
    path.parent.name
    for path in (documentation.ROOT / "exporters").glob("*/__init__.py")
  }
  assert packages <= named


def test_changelog_names_modules_that_are_there():
  text = (documentation.ROOT / "CHANGELOG.md").read_text()
  rows = re.findall(r"^\| `([\w.]+)`.*? \| (`.+`) \|$", text, re.M)
  assert len(rows) > 30
  for before, now in rows:
    path = documentation.ROOT / f"{before.replace('.', '/')}.py"
    assert not path.exists(), before
    for module in re.findall(r"`([\w.]+)`", now):
      assert importlib.util.find_spec(module), module


def test_hooks_are_commands_of_the_environment():
  text = (documentation.ROOT / ".pre-commit-config.yaml").read_text()
  (repository,) = yaml.safe_load(text)["repos"]
  entries = [hook["entry"].split()[0] for hook in repository["hooks"]]
  for entry in entries:
    assert (documentation.ROOT / entry).exists(), entry
