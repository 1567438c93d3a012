"""Converts a SavedModel to LiteRT, by TensorFlow's own converter.

https://ai.google.dev/edge/litert/conversion/tensorflow/convert_tf. Only builtin
operations: no interpreter for Python has the others.
"""

from collections.abc import Callable, Iterable, Sequence
import re
from typing import Any

import numpy as np
import tensorflow as tf

from exporters.companions import lite_file
from exporters.companions import single_calls
from exporters.companions.source import SIGNATURE
from exporters.errors import ExportError
from exporters.errors import first_line

# What the converter says of an operation: the name of its node, its type.
_REFUSED = re.compile(
  r"""fused\["\w*:", "(?:StatefulPartitionedCall/)*([^"@]+)[^\n]*"""
  r"'tf\.(\w+)' op "
)


def convert(
  saved_model: str,
  target: str,
  precision: str,
  samples: Callable[[], Iterable[dict[str, np.ndarray]]] | None = None,
  *,
  fallback: bool = False,
  io: str = "float32",
  float_operators: Sequence[str] = (),
) -> None:
  """Writes the `.tflite` of a SavedModel's signature.

  Args:
    saved_model: Its directory.
    target: The file to write.
    precision: "float32", "float16", "dynamic" or "int8".
    samples: For "int8", returns inputs to choose the ranges of integers by.
    fallback: For "int8", whether operations that have no integer form stay in
      float32, in place of an error.
    io: The type of inputs and outputs that are quantized: "float32", which the
      model converts itself, "int8" or "uint8".
    float_operators: For "int8", operators that stay in float32 everywhere, by
      LiteRT's names.

  Raises:
    ExportError: It has an operation that LiteRT has not, or is too large.
  """
  converter = tf.lite.TFLiteConverter.from_saved_model(
    single_calls.write(saved_model, f"{target}.saved_model"),
    signature_keys=[SIGNATURE],
  )
  builtins = tf.lite.OpsSet.TFLITE_BUILTINS
  if precision != "float32":
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
  if precision == "float16":
    converter.target_spec.supported_types = [tf.float16]
  if precision == "int8":
    if not fallback:
      builtins = tf.lite.OpsSet.TFLITE_BUILTINS_INT8
    converter.representative_dataset = samples
  converter.target_spec.supported_ops = [builtins]
  converter.inference_input_type = tf.as_dtype(io)
  converter.inference_output_type = tf.as_dtype(io)
  try:
    content = _converted(converter, float_operators)
  # It raises errors of many types.
  except Exception as e:
    raise ExportError(_reason(str(e)) or f"{first_line(e)[:300]}.") from e
  if _is_unchanged(content, precision):
    raise ExportError(
      "The converter has left all weights in float32, since it changes only "
      "those of 1,024 numbers or more. It would be the same as 'lite'."
    )
  with open(target, "wb") as f:
    f.write(content)


def _converted(converter: Any, float_operators: Sequence[str]) -> bytes:
  if not float_operators:
    return converter.convert()
  # The only way to it; nothing is debugged.
  debugger = tf.lite.experimental.QuantizationDebugger(
    converter=converter,
    debug_dataset=converter.representative_dataset,
    debug_options=tf.lite.experimental.QuantizationDebugOptions(
      denylisted_ops=list(float_operators)
    ),
  )
  return debugger.get_nondebug_quantized_model()


def _is_unchanged(content: bytes, precision: str) -> bool:
  """Whether a file has none of the weights that its kind is about."""
  return precision != "float32" and lite_file.read(content).kind == "lite"


def _reason(said: str) -> str | None:
  """Returns which operations the converter refuses, and where they are."""
  refused = {operation: node for node, operation in _REFUSED.findall(said)}
  if not refused:
    return None
  named = [f"{operation} ('{node}')" for operation, node in refused.items()]
  return f"LiteRT does not have the operation {', '.join(named)}."
