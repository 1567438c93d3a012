"""The files of a SavedModel."""

import hashlib
import os
import uuid

from tensorflow.core.protobuf import fingerprint_pb2


def write_fingerprint(path: str) -> None:
  """Replaces the random uuid with one derived from the contents.

  `variables.index` stands in for the weights, since it has the checksum, shape
  and place of each, so that nothing large is read again.
  """
  digest = hashlib.sha256()
  for name in listed(path):
    if name != "fingerprint.pb" and ".data-" not in name:
      digest.update(f"{name}\n".encode())
      with open(os.path.join(path, name), "rb") as f:
        digest.update(hashlib.file_digest(f, "sha256").digest())
  fingerprint_path = os.path.join(path, "fingerprint.pb")
  with open(fingerprint_path, "rb") as f:
    fingerprint = fingerprint_pb2.FingerprintDef.FromString(f.read())
  fingerprint.uuid = str(uuid.UUID(bytes=digest.digest()[:16], version=4))
  with open(fingerprint_path, "wb") as f:
    f.write(fingerprint.SerializeToString(deterministic=True))


def listed(path: str) -> list[str]:
  """Returns the sorted paths of the files below a directory, relative to it."""
  return sorted(
    os.path.relpath(os.path.join(folder, name), path).replace(os.sep, "/")
    for folder, _, names in os.walk(path)
    for name in names
  )
