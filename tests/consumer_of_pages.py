"""Runs the snippets of pages as they stand, as a reader would.

  python -I tests/consumer_of_pages.py RELEASE_DIR SCRATCH TEXT HANDLE...

TEXT is "page" for the page on tfhub.dev, and "card" for the one on Kaggle. TF
Hub's cache answers for tfhub.dev: it holds a link to each released model. A
module in place of kagglehub answers for Kaggle, and a function in place of
urllib's for the publisher's host. What a page's snippets write goes to a folder
of its own below the scratch one. They run in a process of their own, forked
from one that has imported what most of them do.
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import sys
import traceback
import types
from typing import NoReturn
import urllib.request

# What most pages import: once, not in each page's process.
import keras  # noqa: F401
import tensorflow_hub  # noqa: F401
import tf_keras  # noqa: F401


def main(release_dir: str, scratch: str, text: str, *handles: str) -> None:
  root = pathlib.Path(release_dir)
  os.environ["TFHUB_CACHE_DIR"] = scratch
  sys.modules["kagglehub"] = _kagglehub(root)
  urllib.request.urlretrieve = lambda url, path: shutil.copy(
    root / url.removeprefix("https://example.com/models/"), path
  )
  for handle in handles:
    page = _page(root, handle) if text == "page" else _card(root, handle)
    for url in re.findall(r'"(https://tfhub\.dev/[^"]+)"', page):
      link = os.path.join(scratch, hashlib.sha1(url.encode()).hexdigest())
      if not os.path.lexists(link):
        os.symlink(root / url.removeprefix("https://tfhub.dev/"), link)
    folder = os.path.join(scratch, handle)
    os.makedirs(folder)
    if not (process := os.fork()):
      os.chdir(folder)
      _run(handle, page)
    if os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]):
      sys.exit(1)


def _run(handle: str, page: str) -> NoReturn:
  """Runs the snippets of a page, and ends this process."""
  try:
    snippets = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    names = {"__name__": "reader"}
    for snippet in snippets:
      print(f"{handle}:\n{snippet}", file=sys.stderr, flush=True)
      exec(compile(snippet, handle, "exec"), names)
    print(f"{handle}: {len(snippets)} snippets ran", flush=True)
    os._exit(0)
  finally:
    # Unless they ran to the end.
    traceback.print_exc()
    os._exit(1)


def _page(root: pathlib.Path, handle: str) -> str:
  publisher, _, name = handle.partition("/")
  path = root / f"assets/docs/{publisher}/models/{name}.md"
  return path.read_text(encoding="utf-8")


def _card(root: pathlib.Path, handle: str) -> str:
  return _metadata(root / handle / "model-instance-metadata.json")["usage"]


def _metadata(path: pathlib.Path) -> dict:
  return json.loads(path.read_text(encoding="utf-8"))


def _kagglehub(root: pathlib.Path) -> types.ModuleType:
  """Returns a module that finds a variation where it was released."""
  folders = {}
  for path in root.rglob("model-instance-metadata.json"):
    of = _metadata(path)
    parts = of["ownerSlug"], of["modelSlug"], of["framework"]
    folders["/".join((*parts, of["instanceSlug"]))] = str(path.parent)
  module = types.ModuleType("kagglehub")
  module.model_download = folders.__getitem__
  return module


if __name__ == "__main__":
  main(*sys.argv[1:])
