"""Converts a SavedModel to LiteRT, by TensorFlow's own converter.

https://ai.google.dev/edge/litert/conversion/tensorflow/convert_tf. Only builtin
operations: no interpreter for Python has the others.
"""

from collections.abc import Iterable
import re

import numpy as np
import tensorflow as tf

from exporters.companions.source import SIGNATURE
from exporters.errors import ExportError
from exporters.errors import first_line

_REFUSED = re.compile(r"'tf\.(\w+)' op is neither a custom op nor a flex op")
# A place in the converter's errors, "OPERATION:", "NODE@FUNCTION".
_PLACE = re.compile(r'"\w*:", "([^"@]+)(?:@[^"]*)?"')


def convert(
  saved_model: str,
  target: str,
  precision: str,
  samples: Iterable[dict[str, np.ndarray]] | None = None,
) -> None:
  """Writes the `.tflite` of a SavedModel's signature.

  Args:
    saved_model: Its directory.
    target: The file to write.
    precision: "float32", "float16", "dynamic" or "int8".
    samples: For "int8", inputs to choose the ranges of integers by.

  Raises:
    ExportError: It has an operation that LiteRT has not, or is too large.
  """
  converter = tf.lite.TFLiteConverter.from_saved_model(
    saved_model, signature_keys=[SIGNATURE]
  )
  builtins = tf.lite.OpsSet.TFLITE_BUILTINS
  if precision != "float32":
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
  if precision == "float16":
    converter.target_spec.supported_types = [tf.float16]
  if precision == "int8":
    builtins = tf.lite.OpsSet.TFLITE_BUILTINS_INT8
    converter.representative_dataset = lambda: samples
  converter.target_spec.supported_ops = [builtins]
  try:
    content = converter.convert()
  # It raises errors of many types.
  except Exception as e:
    raise ExportError(_reason(str(e)) or f"{first_line(e)[:300]}.") from e
  with open(target, "wb") as f:
    f.write(content)


def _reason(said: str) -> str | None:
  """Returns which operation the converter refuses, and where it is."""
  refused = [*dict.fromkeys(_REFUSED.findall(said))]
  if not refused:
    return None
  error = said[said.index("neither a custom op") :]
  place = _PLACE.search(said[: said.index("neither a custom op")][-4000:])
  place = place or _PLACE.search(error)
  where = f" '{place[1]}'" if place else ""
  others = f" (also {', '.join(refused[1:])})" if refused[1:] else ""
  return f"LiteRT has no operation tf.{refused[0]}{others}, which{where} needs."
