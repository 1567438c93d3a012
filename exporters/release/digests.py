"""Digests of files."""

import hashlib


def file_digest(path: str) -> str:
  """Returns a file's sha256 in hexadecimal digits."""
  with open(path, "rb") as f:
    return hashlib.file_digest(f, "sha256").hexdigest()
