"""Text files that a user gives and that travel with a model."""

import hashlib

import tensorflow as tf

from exporters.errors import ExportError


def read(path: str, what: str, *, encoding: str) -> tuple[bytes, str]:
  """Returns a file's bytes and its text.

  Args:
    path: Local or remote, of a file that exists.
    what: What it is to the user, for the error.
    encoding: "utf-8", or "utf-8-sig" to leave out a byte order mark.

  Raises:
    ExportError: It is not UTF-8.
  """
  with tf.io.gfile.GFile(path, "rb") as f:
    content = f.read()
  try:
    return content, content.decode(encoding)
  except UnicodeDecodeError as e:
    line = content[: e.start].count(b"\n") + 1
    raise ExportError(
      f"The {what} '{path}' is not UTF-8: line {line} has the byte "
      f"0x{content[e.start]:02x}. Save it as UTF-8."
    ) from e


def asset(content: bytes, kind: str, name: str) -> str:
  """Returns a path to `content` that says nothing of where it came from.

  Paths of assets end up in graphs, as the shared name of a lookup table for
  one. This one is in memory and depends on nothing but the content: equal files
  may share a table, different ones never do.
  """
  directory = f"ram://{kind}/{hashlib.sha256(content).hexdigest()}"
  path = f"{directory}/{name}"
  if not tf.io.gfile.exists(path):
    tf.io.gfile.makedirs(directory)
    with tf.io.gfile.GFile(path, "wb") as f:
      f.write(content)
  return path
