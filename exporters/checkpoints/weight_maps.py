"""Tables of names: Model Garden's, and another implementation's of the same.

`weight_map` says how to read one. The others are google-research/bert and its
successors (TF1), and `transformers` (PyTorch).
"""

from collections.abc import Collection
import dataclasses

import numpy as np

from exporters.checkpoints.weight_map import WeightMap
from exporters.checkpoints.weight_map import below

# What every encoder of google-research/bert has.
_TF1 = (
  ("word_embeddings/embeddings", "embeddings/word_embeddings"),
  ("position_embedding/embeddings", "embeddings/position_embeddings"),
  ("type_embeddings/embeddings", "embeddings/token_type_embeddings"),
  ("embeddings/layer_norm/", "embeddings/LayerNorm/"),
  ("pooler_transform/", "pooler/dense/"),
  ("cls/predictions/output_bias/bias", "cls/predictions/output_bias"),
  ("cls/predictions/transform/dense/", "cls/predictions/transform/dense/"),
  (
    "cls/predictions/transform/LayerNorm/",
    "cls/predictions/transform/LayerNorm/",
  ),
)
# A layer of the encoder: below `transformer/layer_#/` in Model Garden, below
# `encoder/layer_#/` in TF1.
_TF1_LAYER = (
  ("self_attention/query/", "attention/self/query/"),
  ("self_attention/key/", "attention/self/key/"),
  ("self_attention/value/", "attention/self/value/"),
  ("self_attention/attention_output/", "attention/output/dense/"),
  ("self_attention_layer_norm/", "attention/output/LayerNorm/"),
  ("intermediate/", "intermediate/dense/"),
  ("output/", "output/dense/"),
  ("output_layer_norm/", "output/LayerNorm/"),
)
_TF1_ALBERT_LAYER = (
  ("self_attention/query/", "attention_1/self/query/"),
  ("self_attention/key/", "attention_1/self/key/"),
  ("self_attention/value/", "attention_1/self/value/"),
  ("self_attention/attention_output/", "attention_1/output/dense/"),
  ("self_attention_layer_norm/", "LayerNorm/"),
  ("intermediate/", "ffn_1/intermediate/dense/"),
  ("output/", "ffn_1/intermediate/output/dense/"),
  ("output_layer_norm/", "LayerNorm_1/"),
)

# `transformers`: BertModel, and ElectraModel, whose layers are the same.
_PYTORCH_EMBEDDINGS = (
  ("word_embeddings/embeddings", "embeddings.word_embeddings.weight"),
  ("position_embedding/embeddings", "embeddings.position_embeddings.weight"),
  ("type_embeddings/embeddings", "embeddings.token_type_embeddings.weight"),
  ("embeddings/layer_norm/", "embeddings.LayerNorm."),
)
_PYTORCH_LAYER = (
  ("self_attention/query/", "attention.self.query."),
  ("self_attention/key/", "attention.self.key."),
  ("self_attention/value/", "attention.self.value."),
  ("self_attention/attention_output/", "attention.output.dense."),
  ("self_attention_layer_norm/", "attention.output.LayerNorm."),
  ("intermediate/", "intermediate.dense."),
  ("output/", "output.dense."),
  ("output_layer_norm/", "output.LayerNorm."),
)
_PYTORCH_HEADS = (
  ("pooler_transform/", "pooler.dense."),
  ("cls/predictions/output_bias/bias", "cls.predictions.bias"),
  ("cls/predictions/transform/dense/", "cls.predictions.transform.dense."),
  (
    "cls/predictions/transform/LayerNorm/",
    "cls.predictions.transform.LayerNorm.",
  ),
)
# The generator of an ELECTRA, in place of BERT's head.
_PYTORCH_ELECTRA_HEADS = (
  ("pooler_transform/", "pooler.dense."),
  ("cls/predictions/output_bias/bias", "generator_lm_head.bias"),
  ("cls/predictions/transform/dense/", "generator_predictions.dense."),
  ("cls/predictions/transform/LayerNorm/", "generator_predictions.LayerNorm."),
)
# AlbertModel: one layer, called again and again.
_PYTORCH_ALBERT_LAYER = (
  ("self_attention/query/", "attention.query."),
  ("self_attention/key/", "attention.key."),
  ("self_attention/value/", "attention.value."),
  ("self_attention/attention_output/", "attention.dense."),
  ("self_attention_layer_norm/", "attention.LayerNorm."),
  ("intermediate/", "ffn."),
  ("output/", "ffn_output."),
  ("output_layer_norm/", "full_layer_layer_norm."),
)
_PYTORCH_ALBERT_HEADS = (
  ("embedding_projection/", "encoder.embedding_hidden_mapping_in."),
  ("pooler_transform/", "pooler."),
  ("cls/predictions/output_bias/bias", "predictions.bias"),
  ("cls/predictions/transform/dense/", "predictions.dense."),
  ("cls/predictions/transform/LayerNorm/", "predictions.LayerNorm."),
)
_PYTORCH_DISTILBERT_LAYER = (
  ("self_attention/query/", "attention.q_lin."),
  ("self_attention/key/", "attention.k_lin."),
  ("self_attention/value/", "attention.v_lin."),
  ("self_attention/attention_output/", "attention.out_lin."),
  ("self_attention_layer_norm/", "sa_layer_norm."),
  ("intermediate/", "ffn.lin1."),
  ("output/", "ffn.lin2."),
  ("output_layer_norm/", "output_layer_norm."),
)
_PYTORCH_DISTILBERT_HEADS = (
  ("cls/predictions/output_bias/bias", "vocab_projector.bias"),
  ("cls/predictions/transform/dense/", "vocab_transform."),
  ("cls/predictions/transform/LayerNorm/", "vocab_layer_norm."),
)

# MobileBERT by TF1's names; `transformers` has the same structure. It stacks
# feed-forward networks, four as published; the last one has no number.
_TF1_MOBILEBERT = (
  ("word_embedding/embeddings", "embeddings/word_embeddings"),
  ("position_embedding/embeddings", "embeddings/position_embeddings"),
  ("type_embedding/embeddings", "embeddings/token_type_embeddings"),
  ("embedding_projection/", "embeddings/embedding_transformation/"),
  ("embedding_norm/", "embeddings/FakeLayerNorm/"),
  ("pooler/", "pooler/dense/"),
  ("cls/predictions/output_bias/bias", "cls/predictions/output_bias"),
  (
    "cls/predictions/extra_output_weights",
    "cls/predictions/extra_output_weights",
  ),
  ("cls/predictions/transform/dense/", "cls/predictions/transform/dense/"),
  (
    "cls/predictions/transform/LayerNorm/",
    "cls/predictions/transform/LayerNorm/",
  ),
)
_TF1_MOBILEBERT_LAYER = (
  ("bottleneck_input/dense/", "bottleneck/input/dense/"),
  ("bottleneck_input/norm/", "bottleneck/input/FakeLayerNorm/"),
  ("kq_shared_bottleneck/dense/", "bottleneck/attention/dense/"),
  ("kq_shared_bottleneck/norm/", "bottleneck/attention/FakeLayerNorm/"),
  ("attention/query/", "attention/self/query/"),
  ("attention/key/", "attention/self/key/"),
  ("attention/value/", "attention/self/value/"),
  ("attention/attention_output/", "attention/output/dense/"),
  ("attention/norm/", "attention/output/FakeLayerNorm/"),
  ("ffn_layer_3/intermediate_dense/", "intermediate/dense/"),
  ("ffn_layer_3/output_dense/", "output/dense/"),
  ("ffn_layer_3/norm/", "output/FakeLayerNorm/"),
  ("ffn_layer_#/intermediate_dense/", "ffn_layer_#/intermediate/dense/"),
  ("ffn_layer_#/output_dense/", "ffn_layer_#/output/dense/"),
  ("ffn_layer_#/norm/", "ffn_layer_#/output/FakeLayerNorm/"),
  ("bottleneck_output/dense/", "output/bottleneck/dense/"),
  ("bottleneck_output/norm/", "output/bottleneck/FakeLayerNorm/"),
)
_PYTORCH_MOBILEBERT = (
  ("word_embedding/embeddings", "embeddings.word_embeddings.weight"),
  ("position_embedding/embeddings", "embeddings.position_embeddings.weight"),
  ("type_embedding/embeddings", "embeddings.token_type_embeddings.weight"),
  ("embedding_projection/", "embeddings.embedding_transformation."),
  ("embedding_norm/", "embeddings.LayerNorm."),
  ("pooler/", "pooler.dense."),
  ("cls/predictions/output_bias/bias", "cls.predictions.bias"),
  ("cls/predictions/extra_output_weights", "cls.predictions.dense.weight"),
  ("cls/predictions/transform/dense/", "cls.predictions.transform.dense."),
  (
    "cls/predictions/transform/LayerNorm/",
    "cls.predictions.transform.LayerNorm.",
  ),
)
_PYTORCH_MOBILEBERT_LAYER = tuple(
  (
    ours,
    theirs.replace("FakeLayerNorm", "LayerNorm")
    .replace("ffn_layer_#", "ffn.#")
    .replace("/", "."),
  )
  for ours, theirs in _TF1_MOBILEBERT_LAYER
)

_SAME = {name: name for name in ("kernel", "bias", "gamma", "beta")}
_PYTORCH = {
  "kernel": "weight",
  "gamma": "weight",
  "beta": "bias",
  "bias": "bias",
}


def _identity(shape: tuple[int, ...]) -> np.ndarray:
  return np.eye(*shape, dtype=np.float32)


def _zeros(shape: tuple[int, ...]) -> np.ndarray:
  return np.zeros(shape, np.float32)


# An ELECTRA has no pooler. google/electra_*/2 published the identity in its
# place, so that pooled_output is the tanh of the first token's output.
_NO_POOLER = {
  "pooler_transform/kernel": _identity,
  "pooler_transform/bias": _zeros,
}

_BERT_OURS = "transformer/layer_#/"
# What google-research's run_classifier.py and run_squad.py train.
_TF1_TASKS = (
  ("sentence_prediction/logits/kernel", "output_weights"),
  ("sentence_prediction/logits/bias", "output_bias"),
  ("predictions/transform/logits/kernel", "cls/squad/output_weights"),
  ("predictions/transform/logits/bias", "cls/squad/output_bias"),
)
_TF1_BERT_ROWS = _TF1 + below(_BERT_OURS, "encoder/layer_#/", _TF1_LAYER)
_PYTORCH_BERT_ENCODER = _PYTORCH_EMBEDDINGS + below(
  _BERT_OURS, "encoder.layer.#.", _PYTORCH_LAYER
)

TF1_BERT = WeightMap(
  rows=_TF1_BERT_ROWS + _TF1_TASKS,
  parameters=_SAME,
  prefix="bert/",
  transposed=False,
)
TF1_ELECTRA = WeightMap(
  rows=(*_TF1_BERT_ROWS, ("embedding_projection/", "embeddings_project/")),
  parameters=_SAME,
  prefix="electra/",
  transposed=False,
  absent=_NO_POOLER,
)
TF1_MOBILEBERT = WeightMap(
  rows=_TF1_MOBILEBERT
  + below("transformer_layer_#/", "encoder/layer_#/", _TF1_MOBILEBERT_LAYER),
  parameters=_SAME,
  prefix="bert/",
  transposed=False,
)
TF1_ALBERT = WeightMap(
  rows=(
    *_TF1,
    ("embedding_projection/", "encoder/embedding_hidden_mapping_in/"),
    *below(
      "transformer/",
      "encoder/transformer/group_0/inner_group_0/",
      _TF1_ALBERT_LAYER,
    ),
  ),
  parameters=_SAME,
  prefix="bert/",
  transposed=False,
)

# By the `model_type` of config.json.
HUGGING_FACE = {
  "bert": WeightMap(
    rows=_PYTORCH_BERT_ENCODER + _PYTORCH_HEADS,
    parameters=_PYTORCH,
    prefix="bert.",
    transposed=True,
  ),
  "electra": WeightMap(
    rows=(
      *_PYTORCH_BERT_ENCODER,
      ("embedding_projection/", "embeddings_project."),
      *_PYTORCH_ELECTRA_HEADS,
    ),
    parameters=_PYTORCH,
    prefix="electra.",
    transposed=True,
    absent=_NO_POOLER,
  ),
  "albert": WeightMap(
    rows=_PYTORCH_EMBEDDINGS
    + below(
      "transformer/",
      "encoder.albert_layer_groups.0.albert_layers.0.",
      _PYTORCH_ALBERT_LAYER,
    )
    + _PYTORCH_ALBERT_HEADS,
    parameters=_PYTORCH,
    prefix="albert.",
    transposed=True,
  ),
  "mobilebert": WeightMap(
    rows=_PYTORCH_MOBILEBERT
    + below(
      "transformer_layer_#/", "encoder.layer.#.", _PYTORCH_MOBILEBERT_LAYER
    ),
    parameters=_PYTORCH,
    prefix="mobilebert.",
    transposed=True,
  ),
  # It has no segments: their embeddings, which are added to the others, are 0.
  "distilbert": WeightMap(
    rows=_PYTORCH_EMBEDDINGS
    + below(_BERT_OURS, "transformer.layer.#.", _PYTORCH_DISTILBERT_LAYER)
    + _PYTORCH_DISTILBERT_HEADS,
    parameters=_PYTORCH,
    prefix="distilbert.",
    transposed=True,
    absent=_NO_POOLER | {"type_embeddings/embeddings": _zeros},
  ),
}

# What follows the encoder in a classifier of sentences, where that is not one
# dense layer, `classifier`.
_PYTORCH_CLASSIFIERS = {
  "electra": (
    ("sentence_prediction/pooler_dense/", "classifier.dense."),
    ("sentence_prediction/logits/", "classifier.out_proj."),
  ),
  "distilbert": (
    ("sentence_prediction/pooler_dense/", "pre_classifier."),
    ("sentence_prediction/logits/", "classifier."),
  ),
}
_CLASSIFIER = (("sentence_prediction/logits/", "classifier."),)
_SPANS = "qa_outputs."


def of_hugging_face(model_type: str, tensors: Collection[str]) -> WeightMap:
  """Returns the map for a folder of `transformers`, with the task's head.

  Model Garden gives the last layer of a tagger and of a span labeler the same
  name; the names of the folder's tensors show which of them it has.

  Args:
    model_type: The `model_type` of its config.json.
    tensors: The names of its tensors.
  """
  encoder = HUGGING_FACE[model_type]
  of_spans = any(f".{name}".find(f".{_SPANS}") >= 0 for name in tensors)
  rows = (
    *encoder.rows,
    *_PYTORCH_CLASSIFIERS.get(model_type, _CLASSIFIER),
    ("predictions/transform/logits/", _SPANS if of_spans else "classifier."),
  )
  return dataclasses.replace(encoder, rows=rows)


def of_tf1(tensors: Collection[str]) -> WeightMap:
  """Returns the map for a TF1 checkpoint, told by the names of its tensors."""
  if any("/electra/" in f"/{name}" for name in tensors):
    return TF1_ELECTRA
  if any("/inner_group_0/" in name for name in tensors):
    return TF1_ALBERT
  if any("/embedding_transformation/" in name for name in tensors):
    return TF1_MOBILEBERT
  return TF1_BERT
