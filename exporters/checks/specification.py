"""Checks what TF Hub's specifications ask of every SavedModel.

A check that fails quotes the sentence that the model breaks.
"""

from __future__ import annotations

from collections.abc import Mapping
import re
from typing import Any

import numpy as np
import tensorflow as tf

from .candidate import Candidate
from .harness import check
from .numbers import flatten
from .results import BASIC
from .results import Finding
from .results import NotApplicableError

_REUSABLE = "https://www.tensorflow.org/hub/reusable_saved_models"
_IMAGES = "https://www.tensorflow.org/hub/common_saved_model_apis/images"
_TEXT = "https://www.tensorflow.org/hub/common_saved_model_apis/text"

_ENCODER_INPUTS = {"input_word_ids", "input_mask", "input_type_ids"}
# How Keras names an output that nobody named.
_AUTOMATIC = re.compile(r"output_\d+|(?!encoder_outputs)\w+_\d+(_\d+)?")


def _finding(wrong: list[str], sentence: str, page: str) -> Finding:
  if not wrong:
    return Finding(0, 0, "deviations")
  return Finding(len(wrong), 0, f'{"; ".join(wrong)}. "{sentence}" ({page})')


@check(
  "specification: attributes", level=BASIC, needs="loads", specification=True
)
def _attributes(candidate: Candidate) -> Finding:
  model = candidate.model
  variables = {id(v) for v in getattr(model, "variables", [])}
  trained = list(getattr(model, "trainable_variables", []))
  wrong = [
    f"{v.name} is only in `trainable_variables`"
    for v in trained
    if id(v) not in variables
  ]
  reference = candidate.reference
  serves_only = reference is not None and not reference[""]["training"]
  trainable = any(v.trainable for v in getattr(model, "variables", []))
  if trainable and not trained and not serves_only:
    wrong.append("there are variables, but no `trainable_variables`")
  sentence = "These variables must be a subset of `variables`."
  for loss in getattr(model, "regularization_losses", []):
    value = loss()
    if value.shape.rank or not value.dtype.is_floating:
      wrong.append(f"a regularization loss is {value.dtype.name} {value.shape}")
      sentence = "each taking zero inputs and returning a single scalar float"
  return _finding(wrong[:5], sentence, _REUSABLE)


@check(
  "specification: training", level=BASIC, needs="loads", specification=True
)
def _training(candidate: Candidate) -> Finding:
  flags: dict[str, set[str]] = {}
  for keywords, inputs in candidate.traces(""):
    if "training" in keywords:
      rest = {k: str(v) for k, v in keywords.items() if k != "training"}
      key = f"{inputs}, {rest}"
      flags.setdefault(key, set()).add(keywords["training"])
  if not flags:
    raise NotApplicableError("the model takes no `training`")
  wrong = [f"{k}: {v} only" for k, v in flags.items() if v != {True, False}]
  return _finding(
    wrong,
    "Flipping `training` between `True` and `False` must not change the "
    "permissibility of arguments.",
    _REUSABLE,
  )


@check(
  "specification: batch size", level=BASIC, needs="loads", specification=True
)
def _batch_size(candidate: Candidate) -> Finding:
  if candidate.reference and candidate.reference[""]["fixed_batch"]:
    raise NotApplicableError("the model itself takes one batch size only")
  unbatched = candidate.callables.get("", {}).get("unbatched", ())
  wrong = [
    f"{name or 'the input'} has shape {spec.shape}"
    for _, inputs in candidate.traces("")
    for name, spec in flatten(inputs).items()
    if spec.shape.rank and spec.shape[0] is not None and name not in unbatched
  ]
  return _finding(
    sorted(set(wrong)),
    "Where useful, some dimensions of the shape should be undefined (notably "
    "batch size).",
    _REUSABLE,
  )


@check(
  "specification: signature", level=BASIC, needs="loads", specification=True
)
def _signature_names(candidate: Candidate) -> Finding:
  signatures = candidate.model.signatures
  if not candidate.callables.get("", {}).get("takes_inputs"):
    raise NotApplicableError("the model takes no input")
  if "serving_default" not in signatures:
    wrong = ["there is no signature `serving_default`"]
  else:
    named = signatures["serving_default"].structured_outputs
    # Without an API, the names are those that the published model gives.
    own = candidate.reference and candidate.reference[""]["api"] is None
    wrong = [
      f"an output is called {name}"
      for name in named
      if _AUTOMATIC.fullmatch(name) and not own
    ]
  return _finding(
    wrong,
    "SavedModel's signatures [...] continue to be used in TF2 for inference",
    _REUSABLE,
  )


@check(
  "specification: text encoder", level=BASIC, needs="loads", specification=True
)
def _text_encoder(candidate: Candidate) -> Finding:
  candidate.require_api("text encoder")
  cases = candidate.calls()
  if not cases or not isinstance(cases[0][0][0], Mapping):
    raise NotApplicableError("the model is not a text encoder")
  (inputs,), outputs = cases[0]
  if "input_word_ids" not in inputs:
    raise NotApplicableError("the model is not a text encoder")
  wrong = [f"no input {n}" for n in sorted(_ENCODER_INPUTS - inputs.keys())]
  if not isinstance(outputs, Mapping):
    wrong.append("the result is not a dict")
    outputs = {}
  batch, seq_length = inputs["input_word_ids"].shape
  for name, rank in (
    ("default", 2),
    ("pooled_output", 2),
    ("sequence_output", 3),
  ):
    value = outputs.get(name)
    if value is None:
      wrong.append(f"no output {name}")
    elif value.shape.rank != rank or value.shape[0] != batch:
      wrong.append(f"{name} has shape {value.shape}")
  sequence = outputs.get("sequence_output")
  if sequence is not None and sequence.shape[1] != seq_length:
    wrong.append(f"sequence_output has shape {sequence.shape}")
  return _finding(
    wrong,
    "The `encoder_outputs` are a dict of Tensors with the following keys: "
    "sequence_output [...] pooled_output [...] default",
    f"{_TEXT}#transformer-encoders",
  )


@check(
  "specification: text preprocessor",
  level=BASIC,
  needs="loads",
  specification=True,
)
def _text_preprocessor(candidate: Candidate) -> Finding:
  candidate.require_api("text preprocessor")
  cases = candidate.calls()
  if not cases or not isinstance(cases[0][1], Mapping):
    raise NotApplicableError("the model is not a text preprocessor")
  (inputs,), outputs = cases[0]
  if getattr(inputs, "dtype", None) != tf.string:
    raise NotApplicableError("the model is not a text preprocessor")
  wrong = [
    f"no .{name}"
    for name in ("tokenize", "bert_pack_inputs")
    if not callable(getattr(candidate.model, name, None))
  ]
  wrong += [
    f"{name} is {value.dtype.name}"
    for name, value in outputs.items()
    if value.dtype != tf.int32
  ]
  return _finding(
    wrong,
    "the preprocessor SavedModel provides callable subobjects `tokenize` for "
    "tokenization [...] and `bert_pack_inputs` for packing",
    f"{_TEXT}#preprocessor",
  )


@check("specification: images", level=BASIC, needs="loads", specification=True)
def _images(candidate: Candidate) -> Finding:
  candidate.require_api("image")
  cases = candidate.calls()
  shape = getattr(cases[0][0][0], "shape", ()) if cases else ()
  if len(shape) != 4:
    raise NotApplicableError("the model takes no images")
  (images,), outputs = cases[-1]
  wrong = []
  if images.dtype != tf.float32 or images.shape[-1] != 3:
    wrong.append(f"the input is {images.dtype.name} {images.shape}")
  (value, *more) = flatten(outputs).values()
  if candidate.stranger and not more and value.shape.rank == 4:
    raise NotApplicableError("the model gives each pixel a result")
  if more or value.shape.rank != 2 or value.dtype != tf.float32:
    wrong.append(
      f"the output is {value.dtype.name} {value.shape}"
      + (f" and {len(more)} more" if more else "")
    )
  sentence = (
    "The output is a single tensor of dtype float32 and shape [batch_size, "
    "num_features]."
  )
  if not wrong and _are_probabilities(value):
    wrong.append("the outputs are probabilities: positive, with the sum 1")
    sentence = "maps the pixels of an image to linear scores (logits)"
  return _finding(wrong, sentence, _IMAGES)


def _are_probabilities(value: Any) -> bool:
  rows = np.asarray(value)
  return bool((rows >= 0).all() and np.allclose(rows.sum(axis=1), 1, atol=1e-4))
