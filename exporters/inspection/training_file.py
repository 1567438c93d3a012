"""Writes the gin file of a training, from the `params.yaml` that it left.

The configuration of a Model Garden experiment has all that an exporter asks
for. What equals the default of its class is left out.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping
import dataclasses
from typing import Any

from official.modeling import hyperparams
from official.projects.movinet.configs import movinet
from official.vision import configs

from exporters.checkpoints import params_file
from exporters.checkpoints.checkpoint import Checkpoint
from exporters.errors import explained
from exporters.inspection import commands
from exporters.vision import architectures

# What the file includes.
BASE = "configs/publisher.gin"

_Fields = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class _Task:
  """A kind of experiment.

  Attributes:
    part: A field of its model's configuration, by which it is told from those
      that follow in the list.
    config: The class of its configuration.
    fields: What its exporter has beside checkpoint, model and regularization.
    exporter: The exporter's module and class, where the backbone doesn't say.
  """

  part: str
  config: Callable[[], Any]
  fields: Callable[[Any], _Fields]
  exporter: tuple[str, str] | None = None


def _of_boxes(task: Any) -> _Fields:
  return {"keep_aspect_ratio": task.validation_data.parser.keep_aspect_ratio}


def _of_masks(task: Any) -> _Fields:
  data = task.train_data
  return {
    "image_size": task.validation_data.output_size or task.model.input_size[:2],
    "mean": data.image_feature.mean,
    "stddev": data.image_feature.stddev,
    "preserve_aspect_ratio": data.preserve_aspect_ratio,
    "use_binary_cross_entropy": task.losses.use_binary_cross_entropy,
    "ignore_label": task.losses.ignore_label,
  }


def _of_videos(task: Any) -> _Fields:
  data = task.train_data
  return {
    "num_classes": data.num_classes,
    "image_size": data.feature_shape[1:3],
    "zero_centering_image": data.zero_centering_image,
  }


_TASKS = (
  _Task(
    "rpn_head",
    configs.maskrcnn.MaskRCNNTask,
    _of_boxes,
    ("exporters.mask_rcnn", "MaskRCNNExporter"),
  ),
  _Task(
    "anchor",
    configs.retinanet.RetinaNetTask,
    _of_boxes,
    ("exporters.retinanet", "RetinaNetExporter"),
  ),
  _Task(
    "model_type",
    configs.video_classification.VideoClassificationTask,
    _of_videos,
    ("exporters.resnet_3d", "ResNet3DExporter"),
  ),
  _Task(
    "decoder",
    configs.semantic_segmentation.SemanticSegmentationTask,
    _of_masks,
    ("exporters.segmentation", "SemanticSegmentationExporter"),
  ),
  _Task(
    "backbone",
    configs.image_classification.ImageClassificationTask,
    lambda task: {},
  ),
)


def written(checkpoint: Checkpoint) -> str | None:
  """Returns the gin file that exports what a training left.

  Whether the model that it builds has the checkpoint's tensors is not tried.

  Args:
    checkpoint: The checkpoint, with its `params.yaml` beside it.

  Returns:
    The text; None if there is no such file, or no exporter of its experiment.

  Raises:
    ExportError: The file is damaged.
  """
  said = _mapping(_mapping(params_file.read(checkpoint)).get("task"))
  model = _mapping(said.get("model"))
  kind = next((task for task in _TASKS if task.part in model), None)
  if not kind:
    return None
  backbone = str(_mapping(model.get("backbone")).get("type"))
  found = kind.exporter or architectures.EXPORTERS.get(backbone)
  task = kind.config()
  if backbone == "movinet":
    found = "exporters.movinet", "MoViNetExporter"
    task.model = movinet.MovinetModel()
  if not found:
    return None
  with explained(f"understand the training's {params_file.NAME}"):
    task.override(dict(said), is_strict=False)
    # A consumer has one replica, or a strategy of his own.
    task.model.norm_activation.use_sync_bn = False
    fields = {
      "checkpoint": checkpoint.path,
      "model": task.model,
      "l2_weight_decay": task.losses.l2_weight_decay,
      **kind.fields(task),
    }
    module, exporter = found
    return _Writer(module).written(exporter, fields)


def _mapping(value: Any) -> Mapping[str, Any]:
  return value if isinstance(value, Mapping) else {}


class _Writer:
  """Turns configurations into bindings.

  Args:
    module: The exporter's, such as "exporters.resnet".
  """

  def __init__(self, module: str) -> None:
    self._package, _, self._name = module.rpartition(".")
    self._modules: dict[str, str] = {}
    # How many configurations there are of each class.
    self._classes: collections.Counter[str] = collections.Counter()

  def written(self, exporter: str, fields: Mapping[str, Any]) -> str:
    exporter = f"{self._name}.{exporter}"
    self._bound(exporter, "", fields)  # This counts.
    lines = [
      f"# As the training's {params_file.NAME} has it.",
      "#",
      commands.as_comment(f"{self._package}.{self._name}", "this_file.gin"),
      "",
      "from __gin__ import dynamic_registration",
      "",
      f"include '{BASE}'",
      "",
      "from exporters import recipe",
      f"from {self._package} import {self._name}",
      *sorted(self._modules.values()),
      "",
      f"recipe.Recipe.exporter = @{exporter}()",
      *self._bound(exporter, "", fields),
    ]
    return "\n".join(lines) + "\n"

  def _bound(
    self, name: str, path: str, fields: Mapping[str, Any]
  ) -> list[str]:
    """Returns lines that bind fields, and then those of what they refer to."""
    later: list[str] = []
    lines = [
      f"{name}.{field} = {self._expression(f'{path}_{field}', value, later)}"
      for field, value in fields.items()
    ]
    return ["", *lines, *later] if lines else []

  def _expression(self, path: str, value: Any, later: list[str]) -> str:
    if isinstance(value, hyperparams.Config):
      return self._reference(path, value, later)
    if isinstance(value, (list, tuple)):
      parts = [
        self._expression(f"{path}_{i}", part, later)
        for i, part in enumerate(value)
      ]
      return f"[{', '.join(parts)}]"
    return repr(value)

  def _reference(
    self, path: str, config: hyperparams.Config, later: list[str]
  ) -> str:
    """Returns a reference to a configuration, and binds its fields later."""
    kind = type(config)
    package, _, module = kind.__module__.rpartition(".")
    found = f"from {package} import {module}"
    # By the same names as below `configs/`: gin knows each class by one.
    if module == self._name:
      module = f"{module}_configs"
      found += f" as {module}"
    self._modules[module] = found
    name = f"{module}.{kind.__name__}"
    self._classes[name] += 1
    # Of several of one class, each has a scope. (They were counted before.)
    if self._classes[name] > 2:
      name = f"{path.strip('_')}/{name}"
    later += self._bound(name, path, _unusual(config))
    return f"@{name}()"


def _unusual(config: hyperparams.Config) -> dict[str, Any]:
  """Returns the fields that differ from what their class has."""
  usual = type(config)()
  names = [field.name for field in dataclasses.fields(config)]
  if isinstance(config, hyperparams.OneOfConfig):
    names = ["type", config.type] if config.type else ["type"]
  return {
    name: getattr(config, name)
    for name in names
    if getattr(config, name) != getattr(usual, name)
  }
