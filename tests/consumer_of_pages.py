"""Runs the snippets of pages as they stand, as a reader would.

  python -I tests/consumer_of_pages.py RELEASE_DIR SCRATCH HANDLE...

TF Hub's cache answers for tfhub.dev: it holds a link to each released model.
What a page's snippets write goes to a folder of its own below the scratch one.
"""

import hashlib
import os
import pathlib
import re
import sys


def main(release_dir: str, scratch: str, *handles: str) -> None:
  os.environ["TFHUB_CACHE_DIR"] = scratch
  for handle in handles:
    publisher, _, name = handle.partition("/")
    page = f"{release_dir}/assets/docs/{publisher}/models/{name}.md"
    text = pathlib.Path(page).read_text()
    for url in re.findall(r'"(https://tfhub\.dev/[^"]+)"', text):
      link = os.path.join(scratch, hashlib.sha1(url.encode()).hexdigest())
      if not os.path.lexists(link):
        model = url.removeprefix("https://tfhub.dev/")
        os.symlink(os.path.join(release_dir, model), link)
    folder = os.path.join(scratch, handle)
    os.makedirs(folder)
    os.chdir(folder)
    snippets = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    names = {"__name__": "reader"}
    for snippet in snippets:
      exec(compile(snippet, page, "exec"), names)
    print(f"{handle}: {len(snippets)} snippets ran")


if __name__ == "__main__":
  main(*sys.argv[1:])
