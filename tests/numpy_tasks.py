"""Heads of fine-tuned models in plain NumPy, by the tensors of `transformers`.

Written from the names in published checkpoints, like `numpy_bert`, on which
they stand.
"""

from collections.abc import Mapping

import numpy as np

from tests import numpy_bert

SENTENCES, TOKENS, SPANS = (
  "ForSequenceClassification",
  "ForTokenClassification",
  "ForQuestionAnswering",
)
TASKS = (SENTENCES, TOKENS, SPANS)
# By the model_type, how the names of classes begin.
CLASSES = {
  "bert": "Bert",
  "electra": "Electra",
  "albert": "Albert",
  "distilbert": "DistilBert",
  "mobilebert": "MobileBert",
}
CONFIGS = numpy_bert.CONFIGS | {
  "mobilebert": numpy_bert.MOBILEBERT_CONFIG
  | {"key_query_shared_bottleneck": True}
}
# Of a classifier of sentences: the inner dense layer, if any, and the last one.
_CLASSIFIERS = {
  "electra": ("classifier.dense", "classifier.out_proj"),
  "distilbert": ("pre_classifier", "classifier"),
}


def config(kind: str, task: str, **more) -> dict:
  """Returns the config.json of a fine-tuned model."""
  return CONFIGS[kind] | {"architectures": [CLASSES[kind] + task]} | more


def tensors(kind: str, task: str, classes: int = 3) -> dict[str, np.ndarray]:
  """Draws the weights of a fine-tuned model, under their published names.

  Args:
    kind: The model_type.
    task: One of `TASKS`.
    classes: The number of labels.
  """
  rng = np.random.default_rng(5)
  found = (
    numpy_bert.mobilebert_tensors()
    if kind == "mobilebert"
    else numpy_bert.tensors(kind)
  )
  found = {n: v for n, v in found.items() if n.startswith(f"{kind}.")}
  if task != SENTENCES:
    # `transformers` builds these without a pooler.
    found = {n: v for n, v in found.items() if "pooler" not in n}
  for name, outputs in _layers(kind, task, classes).items():
    size = [outputs, numpy_bert.WIDTH]
    found[f"{name}.weight"] = rng.normal(scale=0.5, size=size)
    found[f"{name}.bias"] = rng.normal(scale=0.5, size=[outputs])
  return {name: value.astype(np.float32) for name, value in found.items()}


def logits(
  kind: str, task: str, weights: Mapping[str, np.ndarray], ids, mask, types
) -> np.ndarray:
  """Computes the logits: [batch, (tokens), classes], the last 2 for spans."""
  if kind == "mobilebert":
    tokens = numpy_bert.mobilebert(weights, ids, types)
    pooled = tokens[:, 0]
  else:
    made = numpy_bert.outputs(
      kind, _with_pooler(kind, weights), ids, mask, types
    )
    tokens, pooled = made["sequence_output"], made["pooled_output"]

  def linear(x: np.ndarray, name: str) -> np.ndarray:
    weight = weights[f"{name}.weight"].astype(np.float64)
    return x @ weight.T + weights[f"{name}.bias"]

  if task == SPANS:
    return linear(tokens, "qa_outputs")
  if task == TOKENS:
    return linear(tokens, "classifier")
  if kind == "electra":
    inner = numpy_bert.gelu(linear(tokens[:, 0], "classifier.dense"))
    return linear(inner, "classifier.out_proj")
  if kind == "distilbert":
    inner = np.maximum(linear(tokens[:, 0], "pre_classifier"), 0)
    return linear(inner, "classifier")
  return linear(pooled, "classifier")


def _layers(kind: str, task: str, classes: int) -> dict[str, int]:
  if task == SPANS:
    return {"qa_outputs": 2}
  if task == TOKENS or kind not in _CLASSIFIERS:
    return {"classifier": classes}
  inner, last = _CLASSIFIERS[kind]
  return {inner: numpy_bert.WIDTH, last: classes}


def _with_pooler(kind: str, weights: Mapping[str, np.ndarray]):
  """Returns weights with a pooler, which no task on tokens looks at."""
  whole = numpy_bert.tensors(kind)
  return {n: v for n, v in whole.items() if "pooler" in n} | dict(weights)
