"""Reads an architecture from a file that its training left.

There are two kinds: the `bert_config.json` of google-research/bert and its
successors, and the YAML of Model Garden's experiments, with an `EncoderConfig`
below `task.model.encoder` or as its root. Either usually lies beside the
weights: as `*config*.json`, or as the `params.yaml` that Model Garden writes.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import fnmatch
import json
import os
from typing import Annotated, Any

from official.nlp.configs import encoders
import tensorflow as tf

from exporters.checkpoints import Checkpoint
from exporters.checkpoints import encoder_json
from exporters.checkpoints import yaml_file
from exporters.checkpoints.encoder_fields import bert_name
from exporters.errors import ExportError
from exporters.fields import paths
from exporters.saved_model import assets
from exporters.text import encoder_types
from exporters.text import vocabulary

# Where a YAML of Model Garden describes the encoder.
_IN_EXPERIMENTS = ("task", "model", "encoder")
# The names under which such files lie beside weights.
_BESIDE = ("*config*.json", "params.yaml")
# Of the JSON, in addition to sizes and rates.
_MORE_FIELDS = (
  ("embedding_size", "embedding_size"),
  ("hidden_activation", "hidden_act"),
)
# The implementations that read such files compute both names by tanh.
_ACTIVATIONS = {"gelu_new": "gelu"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderFile:
  """What a file says about an encoder.

  Attributes:
    path: The file, for messages.
    type: The type of `EncoderConfig`; None if the file leaves it open.
    values: Sizes and rates, by the names of `BertEncoderConfig`.
  """

  path: str
  type: str | None
  values: Mapping[str, Any]

  @property
  def declared(self) -> dict[str, Any]:
    """What a gin file must not contradict: the values, and any known type."""
    kind = {} if self.type is None else {"type": self.type}
    return dict(self.values) | kind

  def config(self) -> encoders.EncoderConfig:
    """Returns the configuration that the file describes by itself.

    Raises:
      ExportError: The file does not name the class of the configuration.
    """
    config = encoders.EncoderConfig(type=self.type or "bert")
    if config.type == "any":
      raise ExportError(
        f"'{self.path}' is of type 'any', which leaves the class open. Name it "
        "in the gin file: encoders.EncoderConfig.any = @...Config()."
      )
    encoder_types.override(config, self.values)
    return config


def read_encoder_file(path: str) -> EncoderFile:
  """Reads a `bert_config.json` or a Model Garden YAML.

  Raises:
    ExportError: The file is missing or damaged, or does not describe an encoder
      that Model Garden can build.
  """
  if not tf.io.gfile.exists(path):
    raise ExportError(f"The encoder file '{path}' does not exist.")
  content = _parsed(path)
  found = _experiment_yaml(content, path) or _bert_config_json(content, path)
  if found is None:
    raise ExportError(
      f"The encoder file '{path}' describes no encoder: it is neither a "
      "bert_config.json (num_hidden_layers, hidden_size, ...) nor a Model "
      "Garden YAML (task.model.encoder.type)."
    )
  return found


def beside(checkpoint: Checkpoint) -> list[EncoderFile]:
  """Returns the encoder files in the folder of a checkpoint's weights.

  Without those that the checkpoint itself reads, such as the `config.json` of a
  Hugging Face folder.

  Raises:
    ExportError: One is damaged, or describes an encoder that Model Garden can't
      build.
  """
  found = []
  for path in paths_beside(checkpoint):
    content = _parsed(path)
    if path.endswith(".json"):
      found.append(_bert_config_json(content, path))
    elif _is_experiment(content):
      found.append(_experiment_yaml(content, path))
  return [file for file in found if file]


def experiments_beside(checkpoint: Checkpoint) -> dict[str, Mapping[str, Any]]:
  """Returns what YAMLs of trainings with Model Garden say below `task`.

  Args:
    checkpoint: The checkpoint, in whose folder they lie.

  Returns:
    The content of `task`, by the path of the file.

  Raises:
    ExportError: One is damaged.
  """
  found = {}
  for path in paths_beside(checkpoint):
    content = None if path.endswith(".json") else _parsed(path)
    if isinstance(content, Mapping) and isinstance(
      content.get("task"), Mapping
    ):
      found[path] = content["task"]
  return found


def paths_beside(checkpoint: Checkpoint) -> list[str]:
  """Returns the paths of files that may describe a checkpoint's encoder."""
  path = checkpoint.path
  folder = path if tf.io.gfile.isdir(path) else os.path.dirname(path)
  names = tf.io.gfile.listdir(folder or os.curdir)
  found = [
    os.path.join(folder, name)
    for name in sorted(names)
    if any(fnmatch.fnmatch(name, pattern) for pattern in _BESIDE)
  ]
  read = checkpoint.files
  return [f for f in found if f not in read and not tf.io.gfile.isdir(f)]


def _parsed(path: str) -> Any:
  """Returns what a JSON or YAML file holds."""
  what = "encoder file"
  # YAML reads a few of JSON's numbers differently.
  if not path.endswith(".json"):
    return yaml_file.read(path, what)
  _, text = assets.read(path, what, encoding="utf-8")
  try:
    return json.loads(text)
  except (ValueError, RecursionError) as e:
    message = str(e).replace("\n", " ")
    raise ExportError(
      f"Cannot parse the {what} '{path}': {message}. Fix it, or download it "
      "again."
    ) from e


def _bert_config_json(content: Any, path: str) -> EncoderFile | None:
  if not isinstance(content, Mapping) or "num_hidden_layers" not in content:
    return None
  # The file does not name its type; keys that only one type has do.
  kind, fields = None, encoder_json.FIELDS
  if "num_hidden_groups" in content:
    kind = "albert"
  if "intra_bottleneck_size" in content:
    kind, fields = "mobilebert", encoder_json.MOBILEBERT_FIELDS
  fields += _MORE_FIELDS
  encoder_json.refuse_unfit(content, [key for _, key in fields], path)
  values = {field: content[key] for field, key in fields if key in content}
  activation = values.get("hidden_activation")
  if activation in _ACTIVATIONS:
    values["hidden_activation"] = _ACTIVATIONS[activation]
  if kind is None and values.get("embedding_size") == values.get("hidden_size"):
    # Then Model Garden has no projection, and a gin file need not set the size.
    values.pop("embedding_size", None)
  return EncoderFile(path=path, type=kind, values=values)


def _is_experiment(content: Any) -> bool:
  for key in _IN_EXPERIMENTS:
    if not isinstance(content, Mapping) or key not in content:
      return False
    content = content[key]
  return True


def _experiment_yaml(content: Any, path: str) -> EncoderFile | None:
  for key in _IN_EXPERIMENTS:
    if isinstance(content, Mapping) and key in content:
      content = content[key]
  if not isinstance(content, Mapping):
    return None
  usual = encoders.EncoderConfig().type
  kind = content.get("type", usual if usual in content else None)
  if kind is None:
    return None
  values = content.get(kind) or {} if isinstance(kind, str) else {}
  if not isinstance(values, Mapping):
    raise ExportError(
      f"The encoder file '{path}' has {kind}: {values!r} where the fields of "
      "the encoder belong."
    )
  known = {f.name for f in dataclasses.fields(encoders.EncoderConfig)} - {
    "type"
  }
  if kind not in list(known):
    raise ExportError(
      f"The encoder file '{path}' is of type '{kind}'; Model Garden has "
      f"{', '.join(sorted(known))}."
    )
  fields = getattr(encoders.EncoderConfig(), kind).as_dict()
  unknown = values.keys() - fields.keys()
  if unknown and kind != "any":
    raise ExportError(
      f"The encoder file '{path}' sets {', '.join(sorted(unknown))}, which an "
      f"encoder of type '{kind}' does not have."
    )
  return EncoderFile(
    path=path,
    type=kind,
    values={bert_name(k): v for k, v in values.items()},
  )


def _files(exporter: Any, path: str) -> list[str]:
  """Returns the paths of what an encoder's exporter reads of a checkpoint."""
  opened = exporter.opened
  found = [*opened.files, *paths_beside(opened), *vocabulary.files_at(path)]
  return list(dict.fromkeys(found))


# The path of an encoder's checkpoint, with what lies beside the weights.
EncoderCheckpointPath = Annotated[str, paths.Reads(_files, checked=False)]
