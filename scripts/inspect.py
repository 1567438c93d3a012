"""Says what a checkpoint or a SavedModel is, and how to export it.

  python -m scripts.inspect /path/to/bert_model.ckpt
  python -m scripts.inspect --gin /path/to/hugging_face_folder > my_model.gin

Prints its kind, the likely architecture, sizes, heads and parameters, the
variables as a tree with shapes, and a gin file that exports it. With `--gin`,
only that file.
"""

from collections.abc import Mapping
import re

from absl import flags

from exporters.command_line import program
from exporters.errors import ExportError

_GIN = flags.DEFINE_bool("gin", False, "Print only the gin file.")

_NUMBER = re.compile(r"\d+")


def main(path: str) -> None:
  """Prints what is known of one checkpoint."""
  program.prepare_tensorflow()
  from exporters.inspection import gin_file
  from exporters.inspection import identity as identity_lib

  identity = identity_lib.identify(path.rstrip("/") or path)
  leaf = gin_file.written(identity) or _of_as_many_parameters(identity)
  if _GIN.value:
    if leaf is None:
      raise ExportError(
        f"'{path}' is not a text encoder that is known here, and no leaf has "
        f"{identity.parameters:,} parameters. Start from the most similar leaf "
        "below configs/."
      )
    print(leaf, end="")
    return
  _print(identity, leaf)


def _of_as_many_parameters(identity) -> str | None:
  """Returns a gin file that includes a leaf with as many parameters."""
  from scripts import list_configs

  legacy = identity.architecture.startswith("legacy")
  for path in list_configs.leaves():
    found = list_configs.Leaf.read(path)
    if (
      # A leaf that takes no checkpoint could not export this one.
      found.checkpoint != "none"
      and found.parameters == f"{identity.parameters:,}"
      and ("legacy" in found.name) == legacy
    ):
      return (
        f"# It has as many parameters as configs/{found.name}.gin.\n\n"
        f"include 'configs/{found.name}.gin'\n\n"
        f"CHECKPOINT = {identity.path!r}\n"
      )
  return None


def _print(identity, leaf: str | None) -> None:
  from rich.console import Console
  from rich.text import Text
  from rich.tree import Tree

  console = Console(highlight=False, soft_wrap=True)
  facts = dict(_facts(identity))
  width = max(map(len, facts))
  for name, value in facts.items():
    value = _printable(str(value))
    console.print(Text.assemble((f"{name:{width}}", "bold"), f"  {value}"))
  tree = Tree(Text(identity.path), guide_style="dim")
  _add(tree, _nested(identity.tensors))
  console.print(tree)
  if leaf:
    console.rule("a gin file that exports it", align="left")
    # Unformatted, so that it can be copied.
    console.out(leaf, highlight=False)


def _facts(identity):
  yield "kind", identity.kind
  yield "architecture", identity.architecture
  for name, value in identity.sizes.items():
    note = " (assumed: the file does not say)"
    yield _printable(name), f"{value}{note * (name in identity.guessed)}"
  yield "heads", ", ".join(identity.heads) or "none"
  yield "parameters", f"{identity.parameters:,}"
  yield "dtype", ", ".join(identity.dtypes)
  yield "tensors", len(identity.tensors)
  if identity.training:
    yield "for training only", identity.training


def _nested(tensors) -> dict:
  """Returns a tree of dicts by the parts of names, with texts at its ends."""
  root: dict = {}
  for name, tensor in sorted(tensors.items(), key=_natural):
    *folders, last = re.split(r"[/.]", _printable(name))
    node = root
    for folder in folders:
      # A name may be a tensor and a folder: `bias` beside `bias/adam_m`.
      node = node.setdefault(f"{folder}/", {})
    shape = "x".join(map(str, tensor.shape)) or "scalar"
    node[last] = f"{shape} {tensor.dtype}"
  return root


def _printable(text: str) -> str:
  """Escapes what would move the cursor or colour a terminal."""
  return "".join(
    c if c.isprintable() else c.encode("unicode_escape", "replace").decode()
    for c in text
  )


def _natural(item) -> list:
  """Orders `layer_2` before `layer_10`."""
  parts = re.split(r"(\d+)", item[0])
  return [int(part) if part.isdigit() else part for part in parts]


def _add(tree, node: Mapping) -> None:
  """Adds the children; those that differ only in numbers become one."""
  from rich.markup import escape

  alike: dict[tuple[str, str], list[str]] = {}
  for name, child in node.items():
    alike.setdefault((_NUMBER.sub("#", name), repr(child)), []).append(name)
  for names in alike.values():
    child = node[names[0]]
    label = names[0]
    if len(names) > 1:
      label = f"{names[0]} ... {names[-1]} ({len(names)} alike)"
    if isinstance(child, Mapping):
      _add(tree.add(escape(label), highlight=False), child)
    else:
      tree.add(f"{escape(label)}  [dim]{child}[/dim]", highlight=False)


if __name__ == "__main__":
  program.run(main, modules=[], arguments=["CHECKPOINT"])
