"""Identifies a checkpoint by the names and shapes in it.

For people who have a file and do not know what it is: its architecture, its
sizes and its heads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import math
import re

from exporters import checkpoints
from exporters.checkpoints.checkpoint import Checkpoint
from exporters.checkpoints.checkpoint import Tensor
from exporters.inspection import parameters
from exporters.text import encoder_file
from exporters.text import tokenizer_files

# All of these are for names with "/" between their parts, without training's.
_LAYER = re.compile(r"(?:.*/)?(?:transformer[/_]|encoder/)layer[_/](\d+)/.*")
_TABLE = r"(?:.*/)?{}_embeddings?(?:/embeddings|/weight)?"
_QUERY = r".*(?:query|q_lin)/bias"
_INNER = r".*/(?:intermediate|intermediate/dense|ffn|lin1)/bias"
# The first pattern that is found in any name decides.
_ARCHITECTURES = (
  ("mobilebert", r"embedding_transformation|kq_shared_bottleneck"),
  ("albert", r"inner_group_0|albert_layer_groups|^transformer/self_attention/"),
  ("electra", r"discriminator_predictions|embeddings_project/"),
  ("distilbert", r"/q_lin/|sa_layer_norm"),
  ("bert", r"(transformer|encoder)/layer[_/]\d+/.*attention"),
  ("legacy_resnet", r"res2a_branch2a"),
  ("resnet_3d", r"^bottleneck_block3d"),
  ("resnet", r"^(?:residual|bottleneck)_block"),
  ("efficientnet or mobilenet", r"^inverted_bottleneck_block"),
  ("vit", r"encoderblock|posembed_input"),
  ("movinet", r"^block\d+_layer\d+/bneck/"),
)
UNKNOWN = "unknown"
# Of names, before searching takes long.
_LONGEST = 1000
_HEADS = (
  ("masked language model", r"cls/predictions|^predictions/|vocab_transform"),
  ("next sentence", r"seq_relationship|next_sentence"),
  ("sentence order", r"sop_classifier"),
  ("replaced tokens", r"discriminator_predictions"),
  ("pooler", r"pooler"),
  ("classifier", r"^classifier|^sentence_prediction|^dense(_\d+)?/kernel"),
  ("question answering", r"qa_outputs|span_labeling"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Identity:
  """What a checkpoint is.

  Attributes:
    path: The path that the user gave.
    kind: The name of its format.
    architecture: A guess such as "bert", or "unknown".
    sizes: What is known about a text encoder's sizes, by the names of
      `BertEncoderConfig`.
    guessed: The names of sizes that are assumed, because the file does not say
      them.
    heads: The names of its heads, and the pooler.
    tensors: All tensors, by name.
    parameters: The number of numbers in its weights, without training's.
    dtypes: The names of the weights' types.
    training: The number of tensors that only training needs.
    vocab_file: The path of the WordPiece vocabulary that comes with it, or the
      folder with its `tokenizer.json`, if any.
    do_lower_case: Whether text was lower-cased; None if it does not say.
    checkpoint: The checkpoint, opened.
  """

  path: str
  kind: str
  architecture: str
  sizes: Mapping[str, int | str]
  guessed: Sequence[str]
  heads: Sequence[str]
  tensors: Mapping[str, Tensor]
  parameters: int
  dtypes: Sequence[str]
  training: int
  vocab_file: str | None
  do_lower_case: bool | None
  checkpoint: Checkpoint


def identify(path: str) -> Identity:
  """Identifies the checkpoint at `path`; see `checkpoints.open_checkpoint`.

  Raises:
    ExportError: There is no checkpoint of a known kind, or it is damaged.
  """
  checkpoint = checkpoints.open_checkpoint(path)
  weights = _by_path(parameters.of_checkpoint(checkpoint))
  words = _named(weights, _TABLE.format("word"))
  once = weights.keys() - (parameters.tied(weights, words) if words else set())
  architecture = next(
    (kind for kind, pattern in _ARCHITECTURES if _any(pattern, weights)),
    UNKNOWN,
  )
  known = dict(checkpoint.declared)
  lower_case = known.pop("do_lower_case", None)
  for file in encoder_file.beside(checkpoint):
    known = dict(file.values) | known
  sizes, guessed = _sizes(weights, architecture, known)
  return Identity(
    path=path,
    kind=checkpoint.kind,
    architecture=architecture,
    sizes=sizes,
    guessed=guessed,
    heads=[head for head, pattern in _HEADS if _any(pattern, weights)],
    tensors=checkpoint.tensors,
    parameters=parameters.count(weights[name].shape for name in once),
    dtypes=sorted({tensor.dtype for tensor in weights.values()}),
    training=len(checkpoint.tensors) - len(weights),
    checkpoint=checkpoint,
    vocab_file=checkpoint.vocab_file or _folder_of_tokens(checkpoint),
    do_lower_case=lower_case,
  )


def _by_path(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
  """Returns weights by their names, with "/" between the parts of each.

  A name that differs from another in nothing else stays as it is.
  """
  found: dict[str, Tensor] = {}
  for name in sorted(weights, key=lambda name: "." in name):
    path = name.replace(".", "/")
    found[name if path in found else path] = weights[name]
  return found


def _any(pattern: str, names: Iterable[str]) -> bool:
  """Whether a pattern is found in any name, as far as that is looked at."""
  return any(re.search(pattern, name[:_LONGEST]) for name in names)


def _folder_of_tokens(checkpoint: Checkpoint) -> str | None:
  """Returns the folder with a WordPiece `tokenizer.json`, if there is one."""
  files = tokenizer_files.TokenizerFiles(checkpoint.path)
  return (
    tokenizer_files.folder_of(checkpoint.path) if files.vocabulary else None
  )


def _sizes(
  weights: Mapping[str, Tensor],
  architecture: str,
  known: Mapping[str, int | str],
) -> tuple[dict[str, int | str], list[str]]:
  """Returns the sizes of a text encoder, and the names of the guessed ones."""
  words = _shape(weights, _TABLE.format("word"))
  if len(words) != 2:
    return {}, []
  query = _shape(weights, _QUERY)
  positions = _shape(weights, _TABLE.format("position"))
  types = _shape(weights, _TABLE.format("(?:token_)?type"))
  inner = _shape(weights, _INNER)
  layers = {m[1] for name in weights if (m := _LAYER.fullmatch(name))}
  # A bottleneck is narrower than the layer around it.
  width = math.prod(query)
  if architecture == "mobilebert":
    width = positions[1] if len(positions) == 2 else 0
  found = {
    "vocab_size": words[0],
    "hidden_size": width,
    "num_layers": len(layers),
    # Model Garden's biases have an axis for the heads.
    "num_attention_heads": query[0] if len(query) == 2 else 0,
    "intermediate_size": math.prod(inner),
    "max_position_embeddings": positions[0] if positions else 0,
    "type_vocab_size": types[0] if types else 0,
    "embedding_size": words[1] if words[1] != width and width else 0,
  }
  sizes = {**{name: size for name, size in found.items() if size}, **known}
  usual = {
    # The file has one layer for all of an ALBERT's.
    "num_layers": 12,
    "num_attention_heads": max(width // 64, 1),
    "type_vocab_size": 2,
  }
  guessed = [name for name in usual if name not in sizes]
  return sizes | {name: usual[name] for name in guessed}, guessed


def _shape(weights: Mapping[str, Tensor], pattern: str) -> tuple[int, ...]:
  """Returns the shape of the first weight of such a name; () without one."""
  name = _named(weights, pattern)
  return weights[name].shape if name else ()


def _named(weights: Mapping[str, Tensor], pattern: str) -> str | None:
  return next((name for name in weights if re.fullmatch(pattern, name)), None)
