"""BERT and its relatives in plain NumPy, by the tensors of `transformers`.

Written from the papers and the names in published checkpoints, so that what a
checkpoint means does not rest on the tables that are tested with it.
"""

from collections.abc import Mapping
import math

import numpy as np

WIDTH, HEADS, INNER, LAYERS, VOCABULARY, POSITIONS, TYPES = (
  16,
  2,
  32,
  2,
  40,
  32,
  2,
)
# What ALBERT and the small ELECTRA embed words in.
NARROW = 8

_BERT = {
  "layer": "encoder.layer.{}.",
  "query": "attention.self.query",
  "key": "attention.self.key",
  "value": "attention.self.value",
  "attended": "attention.output.dense",
  "attention_norm": "attention.output.LayerNorm",
  "inner": "intermediate.dense",
  "outer": "output.dense",
  "norm": "output.LayerNorm",
}
_NAMES = {
  "bert": _BERT
  | {
    "prefix": "bert.",
    "pooler": "pooler.dense",
    "head": "cls.predictions.transform.dense",
    "head_norm": "cls.predictions.transform.LayerNorm",
    "head_bias": "cls.predictions.bias",
  },
  "electra": _BERT | {"prefix": "electra.", "project": "embeddings_project"},
  "albert": {
    "prefix": "albert.",
    "project": "encoder.embedding_hidden_mapping_in",
    "layer": "encoder.albert_layer_groups.0.albert_layers.0.",
    "query": "attention.query",
    "key": "attention.key",
    "value": "attention.value",
    "attended": "attention.dense",
    "attention_norm": "attention.LayerNorm",
    "inner": "ffn",
    "outer": "ffn_output",
    "norm": "full_layer_layer_norm",
    "pooler": "pooler",
    "head": "predictions.dense",
    "head_norm": "predictions.LayerNorm",
    "head_bias": "predictions.bias",
  },
  "distilbert": {
    "prefix": "distilbert.",
    "layer": "transformer.layer.{}.",
    "query": "attention.q_lin",
    "key": "attention.k_lin",
    "value": "attention.v_lin",
    "attended": "attention.out_lin",
    "attention_norm": "sa_layer_norm",
    "inner": "ffn.lin1",
    "outer": "ffn.lin2",
    "norm": "output_layer_norm",
    "head": "vocab_transform",
    "head_norm": "vocab_layer_norm",
    "head_bias": "vocab_projector.bias",
  },
}
_MODEL_CONFIG = {
  "vocab_size": VOCABULARY,
  "hidden_size": WIDTH,
  "num_hidden_layers": LAYERS,
  "num_attention_heads": HEADS,
  "intermediate_size": INNER,
  "max_position_embeddings": POSITIONS,
  "type_vocab_size": TYPES,
}
CONFIGS = {
  "bert": _MODEL_CONFIG | {"hidden_act": "gelu"},
  "electra": _MODEL_CONFIG | {"hidden_act": "gelu", "embedding_size": NARROW},
  "albert": _MODEL_CONFIG
  | {"hidden_act": "gelu", "embedding_size": NARROW, "num_hidden_groups": 1},
  "distilbert": {
    "vocab_size": VOCABULARY,
    "dim": WIDTH,
    "n_layers": LAYERS,
    "n_heads": HEADS,
    "hidden_dim": INNER,
    "max_position_embeddings": POSITIONS,
    "activation": "gelu",
  },
}


MOBILEBERT_CONFIG = _MODEL_CONFIG | {
  "hidden_act": "relu",
  "embedding_size": NARROW,
  "intra_bottleneck_size": NARROW,
  "num_feedforward_networks": 4,
  "normalization_type": "no_norm",
  "classifier_activation": False,
}


def tensors(kind: str) -> dict[str, np.ndarray]:
  """Draws the weights of a model with a head, under their published names."""
  rng = np.random.default_rng(3)
  names = _NAMES[kind]
  found = {}

  def linear(name: str, outputs: int, inputs: int) -> None:
    found[f"{name}.weight"] = rng.normal(scale=0.3, size=[outputs, inputs])
    found[f"{name}.bias"] = rng.normal(scale=0.3, size=[outputs])

  def norm(name: str, width: int) -> None:
    found[f"{name}.weight"] = 1 + rng.normal(scale=0.3, size=[width])
    found[f"{name}.bias"] = rng.normal(scale=0.3, size=[width])

  prefix = names["prefix"]
  narrow = NARROW if "project" in names else WIDTH
  tables = {"word": VOCABULARY, "position": POSITIONS, "token_type": TYPES}
  if kind == "distilbert":
    del tables["token_type"]
  for table, rows in tables.items():
    found[f"{prefix}embeddings.{table}_embeddings.weight"] = rng.normal(
      size=[rows, narrow]
    )
  norm(f"{prefix}embeddings.LayerNorm", narrow)
  if "project" in names:
    linear(prefix + names["project"], WIDTH, narrow)
  for layer in {names["layer"].format(i) for i in range(LAYERS)}:
    for part in ("query", "key", "value", "attended"):
      linear(prefix + layer + names[part], WIDTH, WIDTH)
    linear(prefix + layer + names["inner"], INNER, WIDTH)
    linear(prefix + layer + names["outer"], WIDTH, INNER)
    norm(prefix + layer + names["attention_norm"], WIDTH)
    norm(prefix + layer + names["norm"], WIDTH)
  if "pooler" in names:
    linear(prefix + names["pooler"], WIDTH, WIDTH)
  if "head" in names:
    head_width = narrow if kind == "albert" else WIDTH
    linear(names["head"], head_width, WIDTH)
    norm(names["head_norm"], head_width)
    found[names["head_bias"]] = rng.normal(size=[VOCABULARY])
  return {name: value.astype(np.float32) for name, value in found.items()}


def outputs(
  kind: str, weights: Mapping[str, np.ndarray], ids, mask, types, positions=None
) -> dict[str, np.ndarray]:
  """Computes a model on int [batch, seq_length], in float64.

  Returns:
    `sequence_output` [batch, seq_length, width], `pooled_output` [batch,
    width], which is the tanh of the first token's output where a model has no
    pooler, and with `positions` [batch, predictions] `mlm_logits`.
  """
  names = _NAMES[kind]

  def tensor(name: str) -> np.ndarray:
    return weights[name].astype(np.float64)

  def linear(x: np.ndarray, name: str) -> np.ndarray:
    return x @ tensor(f"{name}.weight").T + tensor(f"{name}.bias")

  def norm(x: np.ndarray, name: str) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    scale = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
    return centred / scale * tensor(f"{name}.weight") + tensor(f"{name}.bias")

  def heads(x: np.ndarray) -> np.ndarray:
    return x.reshape(*x.shape[:2], HEADS, -1).swapaxes(1, 2)

  prefix = names["prefix"]
  embeddings = f"{prefix}embeddings."
  x = tensor(f"{embeddings}word_embeddings.weight")[ids]
  x = x + tensor(f"{embeddings}position_embeddings.weight")[: ids.shape[1]]
  if f"{embeddings}token_type_embeddings.weight" in weights:
    x = x + tensor(f"{embeddings}token_type_embeddings.weight")[types]
  x = norm(x, f"{embeddings}LayerNorm")
  if "project" in names:
    x = linear(x, prefix + names["project"])
  for i in range(LAYERS):
    layer = prefix + names["layer"].format(i)
    q, k, v = (
      heads(linear(x, layer + names[n])) for n in ("query", "key", "value")
    )
    scores = q @ k.swapaxes(2, 3) / math.sqrt(WIDTH / HEADS)
    scores = np.where(mask[:, None, None] > 0, scores, -np.inf)
    exponents = np.exp(scores - scores.max(-1, keepdims=True))
    attended = exponents / exponents.sum(-1, keepdims=True) @ v
    attended = attended.swapaxes(1, 2).reshape(x.shape)
    x = norm(
      x + linear(attended, layer + names["attended"]),
      layer + names["attention_norm"],
    )
    inner = gelu(linear(x, layer + names["inner"]))
    x = norm(x + linear(inner, layer + names["outer"]), layer + names["norm"])
  pooled = x[:, 0]
  if "pooler" in names:
    pooled = linear(pooled, prefix + names["pooler"])
  found = {"sequence_output": x, "pooled_output": np.tanh(pooled)}
  if positions is not None:
    tokens = np.take_along_axis(x, positions[..., None], axis=1)
    hidden = norm(gelu(linear(tokens, names["head"])), names["head_norm"])
    table = tensor(f"{embeddings}word_embeddings.weight")
    found["mlm_logits"] = hidden @ table.T + tensor(names["head_bias"])
  return found


def mobilebert(weights: Mapping[str, np.ndarray], ids, types) -> np.ndarray:
  """Computes a MobileBERT without padding (https://arxiv.org/abs/2004.02984).

  Returns:
    The last layer's output [batch, seq_length, width], in float64.
  """

  def linear(x: np.ndarray, name: str) -> np.ndarray:
    weight = weights[f"{name}.weight"].astype(np.float64)
    return x @ weight.T + weights[f"{name}.bias"]

  def scale(x: np.ndarray, name: str) -> np.ndarray:
    # In place of a layer norm.
    return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]

  def heads(x: np.ndarray) -> np.ndarray:
    return x.reshape(*x.shape[:2], HEADS, -1).swapaxes(1, 2)

  embeddings = "mobilebert.embeddings."
  words = weights[f"{embeddings}word_embeddings.weight"][ids]
  padded = np.pad(words.astype(np.float64), ((0, 0), (1, 1), (0, 0)))
  x = np.concatenate([padded[:, 2:], words, padded[:, :-2]], axis=-1)
  x = linear(x, f"{embeddings}embedding_transformation")
  x = x + weights[f"{embeddings}position_embeddings.weight"][: ids.shape[1]]
  x = x + weights[f"{embeddings}token_type_embeddings.weight"][types]
  x = scale(x, f"{embeddings}LayerNorm")
  for i in range(LAYERS):
    layer = f"mobilebert.encoder.layer.{i}."
    narrow, shared = (
      scale(
        linear(x, f"{layer}bottleneck.{name}.dense"),
        f"{layer}bottleneck.{name}.LayerNorm",
      )
      for name in ("input", "attention")
    )
    q, k, v = (
      heads(linear(y, f"{layer}attention.self.{name}"))
      for y, name in ((shared, "query"), (shared, "key"), (x, "value"))
    )
    exponents = np.exp(q @ k.swapaxes(2, 3) / math.sqrt(NARROW / HEADS))
    attended = exponents / exponents.sum(-1, keepdims=True) @ v
    attended = attended.swapaxes(1, 2).reshape(narrow.shape)
    y = scale(
      linear(attended, f"{layer}attention.output.dense") + narrow,
      f"{layer}attention.output.LayerNorm",
    )
    for part in ("ffn.0.", "ffn.1.", "ffn.2.", ""):
      inner = np.maximum(linear(y, f"{layer}{part}intermediate.dense"), 0)
      y = scale(
        linear(inner, f"{layer}{part}output.dense") + y,
        f"{layer}{part}output.LayerNorm",
      )
    x = scale(
      linear(y, f"{layer}output.bottleneck.dense") + x,
      f"{layer}output.bottleneck.LayerNorm",
    )
  return x


def mobilebert_tensors() -> dict[str, np.ndarray]:
  """Draws the weights of a MobileBERT, under their published names."""
  rng = np.random.default_rng(4)
  found = {}

  def add(name: str, *sizes: int) -> None:
    found[f"{name}.weight"] = rng.normal(scale=0.3, size=sizes)
    found[f"{name}.bias"] = rng.normal(scale=0.3, size=sizes[0])

  embeddings = "mobilebert.embeddings."
  for table, rows, width in (
    ("word", VOCABULARY, NARROW),
    ("position", POSITIONS, WIDTH),
    ("token_type", TYPES, WIDTH),
  ):
    found[f"{embeddings}{table}_embeddings.weight"] = rng.normal(
      size=[rows, width]
    )
  add(f"{embeddings}embedding_transformation", WIDTH, 3 * NARROW)
  add(f"{embeddings}LayerNorm", WIDTH)
  for i in range(LAYERS):
    layer = f"mobilebert.encoder.layer.{i}."
    for name in ("input", "attention"):
      add(f"{layer}bottleneck.{name}.dense", NARROW, WIDTH)
      add(f"{layer}bottleneck.{name}.LayerNorm", NARROW)
    for name, inputs in (("query", NARROW), ("key", NARROW), ("value", WIDTH)):
      add(f"{layer}attention.self.{name}", NARROW, inputs)
    add(f"{layer}attention.output.dense", NARROW, NARROW)
    add(f"{layer}attention.output.LayerNorm", NARROW)
    for part in ("ffn.0.", "ffn.1.", "ffn.2.", ""):
      add(f"{layer}{part}intermediate.dense", INNER, NARROW)
      add(f"{layer}{part}output.dense", NARROW, INNER)
      add(f"{layer}{part}output.LayerNorm", NARROW)
    add(f"{layer}output.bottleneck.dense", WIDTH, NARROW)
    add(f"{layer}output.bottleneck.LayerNorm", WIDTH)
  return {name: value.astype(np.float32) for name, value in found.items()}


def gelu(x: np.ndarray) -> np.ndarray:
  """The exact one."""
  return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2
