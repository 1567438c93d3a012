"""The modules of a recipe that come neither with this repository nor by pip.

Model functions and layers of a publisher, say. Their sources are among the
files that a release is made from.
"""

from collections.abc import Iterator, Mapping
import functools
import importlib.util
import os
import site
import sys
import sysconfig

from exporters.errors import ExportError
from exporters.release import digests
from exporters.release import git_commit

# Before a module's name in a provenance.
PREFIX = "module/"
# AutoGraph writes a function that it has rewritten to a temporary module.
_GENERATED = "__autograph_generated_file"
# What was started, which `multiprocessing` names twice.
_PROGRAM = ("__main__", "__mp_main__")


def loaded() -> dict[str, str]:
  """Returns sha256 of the sources of such modules, by prefixed name."""
  return {
    PREFIX + name: digests.file_digest(path)
    for name, path in sorted(_files())
    if not _is_known(path)
  }


def refuse_others(recorded: Mapping[str, str]) -> None:
  """Raises `ExportError` unless Python finds the modules that are recorded.

  Nothing of a module runs before it has been compared, nor of its package.

  Args:
    recorded: Digests by name; other names than modules' are left alone.
  """
  for name, digest in sorted(recorded.items()):
    if not name.startswith(PREFIX):
      continue
    module = name.removeprefix(PREFIX)
    path = _found(module)
    if path is None:
      raise ExportError(
        f"The release was made with the module '{module}', which Python does "
        f"not find here. Put its folder on PYTHONPATH (sha256 {digest})."
      )
    found = digests.file_digest(path)
    if found != digest:
      raise ExportError(
        f"The release was made with another module '{module}' than the one in "
        f"'{path}': sha256 {found}, it was {digest}."
      )


def _found(module: str) -> str | None:
  """Returns the file of which Python would make a module."""
  try:
    spec = importlib.util.find_spec(module)
  except (ImportError, ValueError):
    return None
  return spec.origin if spec and spec.has_location else None


def _files() -> Iterator[tuple[str, str]]:
  """Yields the names and the files of all modules that are loaded."""
  for name, module in list(sys.modules.items()):
    # Asking a lazy module for an attribute would load it.
    path = getattr(module, "__dict__", {}).get("__file__")
    if path and not name.startswith(_GENERATED) and name not in _PROGRAM:
      yield name, path


def _is_known(path: str) -> bool:
  """Whether a file belongs to Python, to a package, or to this repository."""
  return path.startswith(_installed()) or git_commit.is_tracked(path)


@functools.cache
def _installed() -> tuple[str, ...]:
  """Returns the folders of Python and of packages, as modules name them."""
  paths = sysconfig.get_paths()
  names = ("stdlib", "platstdlib", "purelib", "platlib")
  folders = [paths[name] for name in names]
  folders += [*site.getsitepackages(), site.getusersitepackages()]
  folders += [os.path.realpath(folder) for folder in folders]
  return tuple(os.path.join(folder, "") for folder in folders)
