"""Text files that a user provides and that travel with a model."""

import hashlib

import tensorflow as tf

from exporters.errors import ExportError


def read(path: str, what: str, *, encoding: str) -> tuple[bytes, str]:
  """Returns a file's bytes and its text.

  Args:
    path: A local or remote file, which exists.
    what: What the user calls it, for the error.
    encoding: "utf-8", or "utf-8-sig" to skip a byte order mark.

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
  """Returns a path to `content` that does not say where it came from.

  Paths of assets end up in graphs, for instance as the shared name of a lookup
  table. This one is in memory and depends only on the content: equal files may
  share a table, different ones never do.
  """
  directory = f"ram://{kind}/{hashlib.sha256(content).hexdigest()}"
  path = f"{directory}/{name}"
  if not tf.io.gfile.exists(path):
    tf.io.gfile.makedirs(directory)
    with tf.io.gfile.GFile(path, "wb") as f:
      f.write(content)
  return path
