r"""Signs files of a release with a key, in the format of `model-signing`.

https://github.com/sigstore/model-transparency. The archive, as it is
downloaded, and the provenance are signed. So both can be verified before
anything is unpacked, by this repository or by

  python -m model_signing verify key 1.tar.gz --signature 1.tar.gz.sig \
    --public_key key.pub
"""

import logging
import os

from exporters.errors import ExportError

SUFFIX = ".sig"


def refuse_unusable(private_key: str) -> None:
  """Raises `ExportError` unless a file has a private elliptic-curve key."""
  from cryptography.hazmat.primitives import serialization
  from cryptography.hazmat.primitives.asymmetric import ec

  try:
    with open(private_key, "rb") as f:
      key = serialization.load_pem_private_key(f.read(), password=None)
  except (OSError, ValueError, TypeError) as e:
    raise ExportError(
      f"'{private_key}' is not a private key in PEM without a password. Make "
      "one: openssl ecparam -name prime256v1 -genkey -noout -out key.pem"
    ) from e
  if not isinstance(key, ec.EllipticCurvePrivateKey):
    raise ExportError(f"'{private_key}' is not an elliptic-curve key.")


def sign(path: str, private_key: str) -> None:
  """Writes a file's signature beside it."""
  import model_signing

  model_signing.signing.Config().use_elliptic_key_signer(
    private_key=private_key
  ).sign(path, path + SUFFIX)


def verify(path: str, public_key: str) -> None:
  """Verifies the signature beside a file.

  Raises:
    ExportError: There is none, or it was not made by this key for this file.
  """
  from cryptography import exceptions
  import model_signing

  signature = path + SUFFIX
  if not os.path.exists(signature):
    raise ExportError(f"There is no signature '{signature}'.")
  # It logs its errors as well as raising them.
  logging.getLogger("model_signing").setLevel(logging.CRITICAL)
  try:
    model_signing.verifying.Config().use_elliptic_key_verifier(
      public_key=public_key
    ).verify(path, signature)
  # It hands on what its parsers raise for a damaged signature.
  except (
    exceptions.InvalidSignature,
    AttributeError,
    ValueError,
    TypeError,
    LookupError,
    OSError,
    RecursionError,
  ) as e:
    reason = str(e).partition("\n")[0][:200] or type(e).__name__
    raise ExportError(
      f"The signature '{signature}' was not made for '{path}' with the key "
      f"'{public_key}' ({reason}). Do not use the model."
    ) from e
