"""sha256 in hexadecimal digits."""

from collections.abc import Iterable
import hashlib


def file_digest(path: str) -> str:
  """Returns the digest of a local file."""
  with open(path, "rb") as f:
    return hashlib.file_digest(f, "sha256").hexdigest()


def stream_digest(pieces: Iterable[bytes]) -> str:
  """Returns the digest of what comes in pieces."""
  digest = hashlib.sha256()
  for piece in pieces:
    digest.update(piece)
  return digest.hexdigest()
