"""Writes the gin file of a training, from the `params.yaml` that it left.

The configuration of a Model Garden experiment has all that an exporter asks
for. What equals the default of its class is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
import dataclasses
from typing import Any

from official.modeling import hyperparams
from official.projects.movinet.configs import movinet
from official.vision import configs

from exporters.checkpoints import params_file
from exporters.checkpoints.checkpoint import Checkpoint
from exporters.errors import explained
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
  module, exporter = kind.exporter or architectures.EXPORTERS.get(
    backbone, (None, None)
  )
  task = kind.config()
  if backbone == "movinet":
    module, exporter = "exporters.movinet", "MoViNetExporter"
    task.model = movinet.MovinetModel()
  if not module:
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
    return _Writer().written(module, exporter, fields)


def _mapping(value: Any) -> Mapping[str, Any]:
  return value if isinstance(value, Mapping) else {}


class _Writer:
  """Turns configurations into bindings."""

  def __init__(self) -> None:
    self._modules: dict[str, str] = {}
    self._classes: set[str] = set()

  def written(
    self, module: str, exporter: str, fields: Mapping[str, Any]
  ) -> str:
    package, _, name = module.rpartition(".")
    lines = [f"recipe.Recipe.exporter = @{name}.{exporter}()", ""]
    later: list[str] = []
    for field, value in fields.items():
      later += self._bound(f"{name}.{exporter}.{field}", field, value, lines)
    imports = [
      "from exporters import recipe",
      f"from {package} import {name}",
      *self._modules.values(),
    ]
    command = (
      f"# As the training's {params_file.NAME} has it.\n#\n"
      f"#   python -m {module} \\\n"
      "#     --gin_file=this_file.gin \\\n"
      "#     --export_path=/tmp/model\n"
    )
    return "\n".join(
      [
        command,
        "from __gin__ import dynamic_registration",
        "",
        f"include '{BASE}'",
        "",
        *sorted(imports),
        "",
        *lines,
        *later,
        "",
      ]
    )

  def _bound(
    self, name: str, path: str, value: Any, lines: list[str]
  ) -> list[str]:
    """Adds the line that binds `name`; returns those of what it refers to."""
    later: list[str] = []
    lines.append(f"{name} = {self._expression(path, value, later)}")
    return later

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
    alias = f"{module}_configs"
    self._modules[alias] = f"from {package} import {module} as {alias}"
    name = f"{alias}.{kind.__name__}"
    # Of two of one class, each has a name of its own.
    scope = f"{path}/" if name in self._classes else ""
    self._classes.add(name)
    lines = ["", *self._fields(f"{scope}{name}", path, config, later)]
    later[:0] = lines if len(lines) > 1 else []
    return f"@{scope}{name}()"

  def _fields(
    self, name: str, path: str, config: Any, later: list[str]
  ) -> Iterator[str]:
    usual = type(config)()
    chosen: Sequence[Any] = dataclasses.fields(config)
    if isinstance(config, hyperparams.OneOfConfig):
      chosen = [f for f in chosen if f.name in ("type", config.type)]
    for field in chosen:
      value = getattr(config, field.name)
      if value != getattr(usual, field.name):
        yield (
          f"{name}.{field.name} = "
          f"{self._expression(f'{path}_{field.name}', value, later)}"
        )
