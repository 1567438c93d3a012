"""Heads of fine-tuned models in plain NumPy, by the tensors of `transformers`.

Written from the names in published checkpoints, like `numpy_bert`, on which
they stand.
"""

from collections.abc import Mapping

import numpy as np

from tests import numpy_bert

SENTENCES, TOKENS, SPANS, WORDS = (
  "ForSequenceClassification",
  "ForTokenClassification",
  "ForQuestionAnswering",
  "ForMaskedLM",
)
TASKS = (SENTENCES, TOKENS, SPANS, WORDS)
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
# Of a masked language model: the dense layer, its norm, and the words' biases.
_PREDICTIONS = {
  "bert": (
    "cls.predictions.transform.dense",
    "cls.predictions.transform.LayerNorm",
    "cls.predictions.bias",
  ),
  "electra": (
    "generator_predictions.dense",
    "generator_predictions.LayerNorm",
    "generator_lm_head.bias",
  ),
  "albert": (
    "predictions.dense",
    "predictions.LayerNorm",
    "predictions.bias",
  ),
  "distilbert": ("vocab_transform", "vocab_layer_norm", "vocab_projector.bias"),
}
_PREDICTIONS["mobilebert"] = _PREDICTIONS["bert"]
# The columns that a MobileBERT adds to its words' embeddings.
_MORE_COLUMNS = "cls.predictions.dense.weight"


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
  if task == WORDS:
    found |= _predictions(kind, rng)
  for name, outputs in _layers(kind, task, classes).items():
    size = [outputs, numpy_bert.WIDTH]
    found[f"{name}.weight"] = rng.normal(scale=0.5, size=size)
    found[f"{name}.bias"] = rng.normal(scale=0.5, size=[outputs])
  return {name: value.astype(np.float32) for name, value in found.items()}


def logits(
  kind: str, task: str, weights: Mapping[str, np.ndarray], ids, mask, types
) -> np.ndarray:
  """Computes the logits: [batch, (tokens), classes], the last 2 for spans.

  Of a masked language model, a class is a word.
  """
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

  if task == WORDS:
    dense, norm, bias = _PREDICTIONS[kind]
    hidden = linear(tokens, dense)
    if kind == "mobilebert":
      hidden = np.maximum(hidden, 0)
    else:
      hidden = numpy_bert.gelu(hidden)
    hidden = hidden - hidden.mean(-1, keepdims=True)
    hidden /= np.sqrt((hidden**2).mean(-1, keepdims=True) + 1e-12)
    hidden = hidden * weights[f"{norm}.weight"] + weights[f"{norm}.bias"]
    table = weights[f"{kind}.embeddings.word_embeddings.weight"]
    if _MORE_COLUMNS in weights:
      table = np.concatenate([table, weights[_MORE_COLUMNS].T], axis=1)
    return hidden @ table.T.astype(np.float64) + weights[bias]
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


def _predictions(kind: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
  """Draws the weights of a masked language model's head."""
  dense, norm, bias = _PREDICTIONS[kind]
  is_narrow = kind in ("electra", "albert")
  width = numpy_bert.NARROW if is_narrow else numpy_bert.WIDTH
  sizes = {
    f"{dense}.weight": [width, numpy_bert.WIDTH],
    f"{dense}.bias": [width],
    f"{norm}.weight": [width],
    f"{norm}.bias": [width],
    bias: [numpy_bert.VOCABULARY],
  }
  if kind == "mobilebert":
    more = numpy_bert.WIDTH - numpy_bert.NARROW
    sizes[_MORE_COLUMNS] = [more, numpy_bert.VOCABULARY]
  return {n: rng.normal(scale=0.5, size=size) for n, size in sizes.items()}


def _layers(kind: str, task: str, classes: int) -> dict[str, int]:
  if task == WORDS:
    return {}
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
