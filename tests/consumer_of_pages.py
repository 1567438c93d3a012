"""Runs the snippets of a page as they stand, as a reader would.

  python -I tests/consumer_of_pages.py PAGE RELEASE_DIR CACHE

TF Hub's cache answers for tfhub.dev: it holds a link to each released model.
"""

import hashlib
import os
import pathlib
import re
import sys


def main(page: str, release_dir: str, cache: str) -> None:
  text = pathlib.Path(page).read_text()
  for url in set(re.findall(r'"(https://tfhub\.dev/[^"]+)"', text)):
    model = os.path.join(release_dir, url.removeprefix("https://tfhub.dev/"))
    os.symlink(
      model, os.path.join(cache, hashlib.sha1(url.encode()).hexdigest())
    )
  os.environ["TFHUB_CACHE_DIR"] = cache
  # What a snippet writes goes there too.
  os.chdir(cache)
  snippets = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
  names = {"__name__": "reader"}
  for snippet in snippets:
    exec(compile(snippet, page, "exec"), names)
  print(f"{len(snippets)} snippets ran")


if __name__ == "__main__":
  main(*sys.argv[1:])
