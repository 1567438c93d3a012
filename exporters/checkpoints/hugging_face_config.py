"""What the JSON files of a Hugging Face folder say about the model.

`config.json` has the architecture, its sizes and its rates;
`tokenizer_config.json` may say whether text was lower-cased. In a folder of
sentence-transformers, `modules.json` and the `config.json` of a pooling module
say how a sentence's vector is made, and which folder has the encoder.
"""

from collections.abc import Sequence
import json
import os
import re
import reprlib
from typing import Any

import tensorflow as tf

from exporters.checkpoints import encoder_json
from exporters.checkpoints import trained_task
from exporters.checkpoints import weight_maps
from exporters.checkpoints.checkpoint import EXACT_GELU
from exporters.checkpoints.sentence_embedding import SentenceEmbedding
from exporters.checkpoints.trained_task import TrainedTask
from exporters.errors import ExportError

CONFIG = "config.json"
# Of pytorch-pretrained-bert, the ancestor of `transformers`.
OLD_CONFIG = "bert_config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
MODULES = "modules.json"

_FIELDS_OF = {
  "distilbert": encoder_json.DISTILBERT_FIELDS,
  "mobilebert": encoder_json.MOBILEBERT_FIELDS,
}
# Keys with the one value that is supported, beside those of every JSON.
_ONE_WAY = {
  "layer_norm_eps": 1e-12,
  "position_embedding_type": "absolute",
  # Another mask, another output layer: the names of tensors don't show them.
  "is_decoder": False,
  "tie_word_embeddings": True,
}
# The activation of an architecture whose config.json does not state it.
_DEFAULT_ACTIVATIONS = {"albert": "gelu_new", "mobilebert": "relu"}
# The type of Model Garden's `EncoderConfig`, for architectures that have one;
# the others are a BERT encoder.
_TYPES = {"albert": "albert", "mobilebert": "mobilebert"}
# Hugging Face's "gelu" is exact; Model Garden's is the tanh approximation.
_ACTIVATIONS = {
  "gelu": EXACT_GELU,
  "gelu_new": "gelu",
  "gelu_pytorch_tanh": "gelu",
  "relu": "relu",
  "silu": "swish",
  "swish": "swish",
}


# What sentence-transformers calls the module of an encoder; before 2020, by its
# architecture.
_TRANSFORMERS = ("Transformer", "BERT", "DistilBERT", "ALBERT")
# The architecture in the name of a class, such as "TFBertForMaskedLM".
_CLASS = re.compile(r"(?:TF|Flax)?([A-Za-z]+?)(?:For\w+|LMHeadModel|Model)")
# What follows the inner dense layer of a classifier's head.
_HEAD_ACTIVATIONS = {"electra": EXACT_GELU, "distilbert": "relu"}
# The tasks, by the end of the name of a class.
_TASKS = {
  "ForSequenceClassification": trained_task.SENTENCE_PREDICTION,
  "ForTokenClassification": trained_task.TAGGING,
  "ForQuestionAnswering": trained_task.QUESTION_ANSWERING,
  "ForMaskedLM": trained_task.MASKED_WORDS,
}
# What `transformers` calls a class that nobody gave a name.
_UNNAMED = re.compile(r"LABEL_\d+")


class HuggingFaceConfig:
  """The JSON files of a folder.

  Attributes:
    name: The name of the file that describes the model.
    model_type: What `transformers` calls the architecture, such as "bert".
  """

  def __init__(self, folder: str, *, root: str | None = None):
    """Reads `config.json`, or the `bert_config.json` of older folders.

    Args:
      folder: The folder, local or remote.
      root: The folder with `modules.json`. None: the same.

    Raises:
      ExportError: `config.json` is missing or damaged, or describes a model
        that can't be read or can't be built.
    """
    self._folder = folder
    self._root = folder if root is None else root
    exists = tf.io.gfile.exists(os.path.join(folder, CONFIG))
    self.name = CONFIG if exists else OLD_CONFIG
    self._config = read_json(folder, self.name)
    self.model_type = self._model_type()
    self._refuse_unsupported()

  @property
  def is_typed(self) -> bool:
    """Whether it names the architecture, not only its sizes."""
    return bool({"model_type", "architectures"} & self._config.keys())

  @property
  def declared(self) -> dict[str, Any]:
    """What the files say about the encoder; see `Checkpoint.declared`.

    Raises:
      ExportError: `tokenizer_config.json` is damaged.
    """
    values = {
      field: self._config[key]
      for field, key in self._fields
      if key in self._config
    }
    values["hidden_activation"] = _ACTIVATIONS[self._activation]
    width = self._config.get("embedding_size")
    # If they are equal, Model Garden has no projection, and may say None.
    if width not in (None, values.get("hidden_size")):
      values["embedding_size"] = width
    if self.model_type in _TYPES:
      values["type"] = _TYPES[self.model_type]
    tokenizer = read_json(self._folder, TOKENIZER_CONFIG, default={})
    lower_case = tokenizer.get("do_lower_case")
    if lower_case is not None:
      if not isinstance(lower_case, bool):
        raise ExportError(
          f"'{os.path.join(self._folder, TOKENIZER_CONFIG)}' says "
          f"do_lower_case = {reprlib.repr(lower_case)}, which is neither true "
          "nor false. Fix the file."
        )
      values["do_lower_case"] = lower_case
    return values

  @property
  def sentence_embedding(self) -> SentenceEmbedding | None:
    """How `modules.json` pools the outputs of tokens; None without that file.

    Raises:
      ExportError: The file is damaged, or lists a module that is not supported.
    """
    modules = read_json(self._root, MODULES, default=[])
    if not modules:
      return None
    pooling, normalize = None, False
    for module in modules:
      kind, folder = _module(self._root, module)
      if kind == "Pooling":
        config = read_json(self._root, os.path.join(folder, CONFIG))
        modes = [k for k, v in config.items() if "pooling_mode" in k and v]
        pooling = modes[0] if len(modes) == 1 else str(modes)
      elif kind == "Normalize":
        normalize = True
      elif kind not in _TRANSFORMERS:
        raise ExportError(
          f"'{os.path.join(self._root, MODULES)}' lists a {kind[:99]} "
          "module; supported are Transformer, Pooling and Normalize."
        )
    return SentenceEmbedding.from_pooling_mode(
      pooling, normalize=normalize, path=self._root
    )

  @property
  def task(self) -> TrainedTask:
    """What `config.json` says about the task.

    Raises:
      ExportError: It has a value that can't be right.
    """
    path = os.path.join(self._folder, self.name)
    classes = self._config.get("architectures")
    stated = classes[0] if isinstance(classes, list) and classes else None
    stated = stated if isinstance(stated, str) else ""
    problem = self._config.get("problem_type")
    if problem not in (None, *trained_task.PROBLEM_TYPES):
      raise ExportError(
        f"'{path}' says problem_type = {reprlib.repr(problem)}; known are "
        f"{', '.join(trained_task.PROBLEM_TYPES)}. Fix the file."
      )
    labels = self._labels(path)
    number = self._config.get("num_labels", labels and len(labels))
    if number is not None and type(number) is not int:
      raise ExportError(
        f"'{path}' says num_labels = {reprlib.repr(number)}, which is not a "
        "number. Fix the file."
      )
    if labels and all(map(_UNNAMED.fullmatch, labels)):
      labels = None
    return TrainedTask(
      path=path,
      task=next((t for e, t in _TASKS.items() if stated.endswith(e)), None),
      stated=stated,
      labels=labels,
      num_labels=number,
      problem_type=problem,
      dropout=self._dropout(path),
      activation=_HEAD_ACTIVATIONS.get(self.model_type),
    )

  def _labels(self, path: str) -> tuple[str, ...] | None:
    """Returns the names in `id2label`, in the order of their ids."""
    found = self._config.get("id2label")
    if found is None:
      return None
    names: dict[str, Any] = found if isinstance(found, dict) else {}
    ids = [str(i) for i in range(len(names))]
    if (
      not names
      or sorted(names) != sorted(ids)
      or not all(
        isinstance(name, str) and name.strip() and name.isprintable()
        for name in names.values()
      )
    ):
      raise ExportError(
        f"'{path}' says id2label = {reprlib.repr(found)}, which does not give "
        "each class from 0 on a name. Fix the file."
      )
    return tuple(names[i] for i in ids)

  def _dropout(self, path: str) -> dict[str, trained_task.Dropout]:
    """Returns the rates of the heads, by task."""

    def rate(*keys: str, default: float) -> float:
      for key in keys:
        value = self._config.get(key)
        if value is None:
          continue
        if type(value) not in (int, float) or not 0 <= value < 1:
          raise ExportError(
            f"'{path}' says {key} = {reprlib.repr(value)}, which is not a rate "
            "between 0 and 1. Fix the file."
          )
        return float(value)
      return default

    dropout = trained_task.Dropout
    if self.model_type == "distilbert":
      return {
        trained_task.SENTENCE_PREDICTION: dropout(
          inside=rate("seq_classif_dropout", default=0.2)
        ),
        trained_task.TAGGING: dropout(before=rate("dropout", default=0.1)),
        trained_task.QUESTION_ANSWERING: dropout(
          before=rate("qa_dropout", default=0.1)
        ),
      }
    keys = ["classifier_dropout", "hidden_dropout_prob"]
    if self.model_type == "albert":
      keys = ["classifier_dropout_prob"]
    default = 0.0 if self.model_type == "mobilebert" else 0.1
    of_head = rate(*keys, default=default)
    inside = of_head if self.model_type == "electra" else 0.0
    return {
      trained_task.SENTENCE_PREDICTION: dropout(before=of_head, inside=inside),
      trained_task.TAGGING: dropout(before=of_head),
      trained_task.QUESTION_ANSWERING: dropout(),
    }

  def _model_type(self) -> str:
    """Returns the architecture, which files of before 2020 do not name."""
    file = os.path.join(self._folder, self.name)
    key = "model_type" if "model_type" in self._config else "architectures"
    value = self._config.get(key)
    if key == "model_type":
      found = value
    elif value is None:
      found = encoder_json.kind(self._config)
    else:
      first = value[0] if isinstance(value, list) and value else None
      names = _CLASS.fullmatch(first) if isinstance(first, str) else None
      found = names[1].lower() if names else None
    supported = sorted(weight_maps.HUGGING_FACE)
    if found not in supported:
      said = f"says {key} = {reprlib.repr(value)}"
      if key not in self._config:
        said = "has no model_type"
      raise ExportError(
        f"'{file}' {said}; supported are {', '.join(supported)}. If the model "
        'is one of these, add its name to the file, such as "model_type": '
        '"bert".'
      )
    return found

  def _refuse_unsupported(self) -> None:
    """Raises `ExportError` for a model that can't be read or can't be built."""
    file = os.path.join(self._folder, self.name)
    keys = [key for _, key in self._fields]
    if self._config.get("embedding_size") is not None:
      keys.append("embedding_size")
    encoder_json.refuse_unfit(self._config, keys, file, _ONE_WAY)
    if self._config.get("quantization_config") is not None:
      raise ExportError(
        f"'{file}' has a quantization_config: the weights are quantized. Use "
        "the unquantized model."
      )
    if self._activation not in list(_ACTIVATIONS):
      raise ExportError(
        f"'{file}' says {self._activation_key} = "
        f"{reprlib.repr(self._activation)}; supported are "
        f"{', '.join(sorted(_ACTIVATIONS))}."
      )

  @property
  def _fields(self) -> Sequence[tuple[str, str]]:
    return _FIELDS_OF.get(self.model_type, encoder_json.FIELDS)

  @property
  def _activation_key(self) -> str:
    return "activation" if self.model_type == "distilbert" else "hidden_act"

  @property
  def _activation(self) -> str:
    default = _DEFAULT_ACTIVATIONS.get(self.model_type, "gelu")
    return self._config.get(self._activation_key, default)


def transformer_folder(root: str) -> str:
  """Returns the folder with the encoder, which `modules.json` may name.

  Args:
    root: The folder that the user named; it is that folder without such a file.

  Raises:
    ExportError: `modules.json` is damaged.
  """
  for module in read_json(root, MODULES, default=[]):
    kind, folder = _module(root, module)
    if kind in _TRANSFORMERS and folder:
      return os.path.join(root, folder)
  return root


def _module(root: str, module: Any) -> tuple[str, str]:
  """Returns the kind and the folder of an entry of `modules.json`."""
  fields: dict[str, Any] = module if isinstance(module, dict) else {}
  kind = str(fields.get("type"))
  folder: Any = fields.get("path")
  # A module without files may have no path; the folder itself is "".
  if folder is None and not kind.endswith("Pooling"):
    folder = ""
  if folder != "" and not is_plain_name(folder):
    raise ExportError(
      f"'{os.path.join(root, MODULES)}' lists "
      f"{reprlib.repr(module)}; each module must have a type and, as its "
      "path, the name of a folder beside the file. Download it again."
    )
  return kind.rpartition(".")[2], folder


def read_json(folder: str, name: str, default: Any = None) -> Any:
  """Returns what a JSON file of a folder holds.

  Args:
    folder: The folder, local or remote.
    name: The file. `modules.json` has to hold a list, any other a dict.
    default: What to return if there is no such file. None: it is required.

  Raises:
    ExportError: The file is missing, damaged, or holds something else.
  """
  path = os.path.join(folder, name)
  if default is not None and not tf.io.gfile.exists(path):
    return default
  try:
    with tf.io.gfile.GFile(path) as f:
      value = json.load(f)
  # A ValueError: not JSON, not UTF-8, or a number of thousands of digits.
  except (ValueError, RecursionError) as e:
    raise ExportError(
      f"Cannot parse '{path}' as JSON: {e}. Download it again."
    ) from e
  except tf.errors.NotFoundError as e:
    raise ExportError(
      f"'{path}' does not exist. Copy all files of the folder."
    ) from e
  except tf.errors.OpError as e:
    raise ExportError(
      f"Cannot read '{path}': {e}. Check that it is a file and that you may "
      "read it."
    ) from e
  expected = list if name == MODULES else dict
  if not isinstance(value, expected):
    raise ExportError(
      f"'{path}' holds a {type(value).__name__}, not a {expected.__name__}. "
      "Download it again."
    )
  return value


def is_plain_name(name: Any) -> bool:
  """Tells whether `name` names something in a folder, not outside of it."""
  return (
    isinstance(name, str)
    and name.isprintable()
    and os.path.basename(name) == name
    and name not in ("", ".", "..")
  )
