"""Says what a model file or a checkpoint is, and how to export it.

  python -m scripts.inspect /path/to/bert_model.ckpt
  python -m scripts.inspect --gin /path/to/hugging_face_folder > my_model.gin

Prints its kind, the likely architecture, sizes, inputs, outputs and
parameters, the variables as a tree with shapes, and the command or the gin file
that exports it. With `--gin`, only that file. Nothing in it is run, and the
process that reads it has limits, no network, and nowhere to write.
"""

from collections.abc import Mapping
import re

from absl import flags

from exporters.bounds import confinement
from exporters.command_line import program
from exporters.errors import ExportError
from exporters.errors import printable

_GIN = flags.DEFINE_bool("gin", False, "Print only the gin file.")

_LIMITS = program.define_limits()

# Of the folders that a tensor's name stands for.
_DEEPEST = 32
_NUMBER = re.compile(r"\d+")


def main(path: str) -> None:
  """Prints what is known of one file or folder."""
  if confinement.repeated("scripts.inspect", _LIMITS, network="://" in path):
    return
  program.prepare_tensorflow()
  from exporters.inspection import report

  found = report.read(path)
  gin = found.gin or _of_leaf(found.identity)
  if not _GIN.value:
    _print(found, gin)
  elif gin:
    print(gin, end="")
  elif found.command:
    raise ExportError(f"It needs no gin file of its own:\n{found.command}")
  else:
    advice = found.advice or (
      "Start from the most similar leaf below configs/; it must build a model "
      "with these tensors."
    )
    raise ExportError(f"No gin file is known to fit '{path}'. {advice}")


def _of_leaf(identity) -> str | None:
  """Returns a gin file that includes a leaf which builds the same model."""
  from exporters.inspection import gin_file
  from scripts import list_configs

  for path in list_configs.leaves() if identity else ():
    # Building takes seconds, so only those of as many parameters.
    if list_configs.Leaf.read(path).parameters == f"{identity.parameters:,}":
      leaf = str(path.relative_to(list_configs.ROOT))
      text = gin_file.of_leaf(leaf, identity)
      if text:
        return text
  return None


def _print(found, gin: str | None) -> None:
  from rich.console import Console
  from rich.text import Text
  from rich.tree import Tree

  console = Console(highlight=False, soft_wrap=True, emoji=False)
  facts = [(printable(n), printable(value)) for n, value in found.facts]
  width = max(len(name) for name, _ in facts)
  for name, value in facts:
    console.print(Text.assemble((f"{name:{width}}", "bold"), f"  {value}"))
  if found.tensors:
    tree = Tree(Text(printable(found.path)), guide_style="dim")
    _add(tree, _nested(found.tensors))
    console.print(tree)
  if gin:
    console.rule("a gin file that exports it", align="left")
    # Unformatted, so that it can be copied.
    console.out(gin, highlight=False)
  elif found.command:
    console.rule("the command that exports it", align="left")
    console.out(found.command, highlight=False)
  elif found.advice:
    console.print(f"\n{printable(found.advice)}", markup=False)


def _nested(tensors: Mapping[str, str]) -> dict:
  """Returns a tree of dicts by the parts of names, with texts at its ends."""
  root: dict = {}
  for name, text in sorted(tensors.items(), key=_natural):
    *folders, last = re.split(r"[/.]", printable(name), maxsplit=_DEEPEST)
    node = root
    for folder in folders:
      # A name may be a tensor and a folder: `bias` beside `bias/adam_m`.
      node = node.setdefault(f"{folder}/", {})
    # Two names may differ in what parts them alone.
    node[printable(name) if last in node else last] = text
  return root


def _natural(item) -> list:
  """Orders `layer_2` before `layer_10`."""
  # Every other part is a number, of any length.
  parts = re.split(r"([0-9]+)", item[0])
  parts[1::2] = [(len(n.lstrip("0")), n.lstrip("0")) for n in parts[1::2]]
  return parts


def _add(tree, node: Mapping) -> None:
  """Adds the children; those that differ only in numbers become one."""
  from rich.text import Text

  alike: dict[tuple[str, str], list[str]] = {}
  for name, child in node.items():
    alike.setdefault((_NUMBER.sub("#", name), repr(child)), []).append(name)
  for names in alike.values():
    child = node[names[0]]
    label = names[0]
    if len(names) > 1:
      label = f"{names[0]} ... {names[-1]} ({len(names)} alike)"
    if isinstance(child, Mapping):
      _add(tree.add(Text(label)), child)
    else:
      tree.add(Text.assemble(label, (f"  {child}", "dim")))


if __name__ == "__main__":
  program.run(main, modules=[], arguments=["PATH"])
