"""The models of the benchmark, and the commands that export them."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import pathlib
import sys

from scripts.benchmark.contest import ROOT
from scripts.benchmark.contest import Contestant

GARDEN = "Model Garden"
# Ours, by its level of checks.
NONE, BASIC, ALL = "none", "basic", "all"
# Models for a task, with what servers call.
TASKS = ["sentence_prediction", "retinanet"]
MOVINETS = [
  f"movinet_{size}_{kind}"
  for size in ("a0", "a3")
  for kind in ("base", "stream")
]


@dataclasses.dataclass(frozen=True)
class Model:
  """A model that both sides export.

  Attributes:
    title: Its name in tables.
    write: The program that writes its weights, and the program's arguments.
    module: The module of our exporter, below `exporters`.
    gin_file: The leaf.
    bindings: From the folder of the weights, the leaf's required bindings.
    garden: From that folder and the export path, the Garden's command.
    artifact: The artifact to compare, below the export path.
    gardens: The pattern of the Garden's, below its own.
    failure: What the Garden's command prints when it fails, if it does.
    converts: Whether LiteRT has all its operations.
  """

  title: str
  write: tuple[str, ...]
  module: str
  gin_file: str
  bindings: Callable[[pathlib.Path], list[str]]
  garden: Callable[[pathlib.Path, pathlib.Path], list[str]]
  artifact: str = ""
  gardens: str = ""
  failure: str | None = None
  converts: bool = True

  def contestants(
    self, work: pathlib.Path, levels: tuple[str, ...]
  ) -> Mapping[str, Contestant]:
    """Returns the Garden's command, and ours for each level of checks."""
    # The Garden runs elsewhere, so that its `official` is the wheel's.
    path = work / "garden"
    command = [sys.executable, "-m", *self.garden(work, path)]
    found = {
      GARDEN: Contestant(command, path, work, self.gardens, self.failure)
    }
    for level in levels:
      command = [
        *(sys.executable, "-m", f"exporters.{self.module}"),
        f"--gin_file={self.gin_file}",
        *(f"--gin_bindings={binding}" for binding in self.bindings(work)),
        f"--export_path={work / level}",
        f"--checks={level}",
      ]
      found[level] = Contestant(command, work / level, ROOT, self.artifact)
    return found


def bert(num_layers: int = 12) -> Model:
  """Returns a BERT as wide as BERT-base, with `.mlm`."""
  return Model(
    title="BERT-base with `.mlm`",
    write=("write_bert", str(num_layers)),
    module="bert",
    gin_file="configs/bert/bert_en_uncased_L-12_H-768_A-12.gin",
    bindings=lambda work: [
      f"CHECKPOINT = '{work / 'bert_model.ckpt-1'}'",
      f"VOCAB_FILE = '{work / 'vocab.txt'}'",
      f"encoders.BertEncoderConfig.num_layers = {num_layers}",
    ],
    garden=lambda work, path: [
      "official.nlp.tools.export_tfhub",
      "--export_type=model_with_mlm",
      f"--encoder_config_file={work / 'encoder.yaml'}",
      f"--model_checkpoint_path={work / 'bert_model.ckpt-1'}",
      f"--vocab_file={work / 'vocab.txt'}",
      "--do_lower_case",
      f"--export_path={path}",
    ],
  )


def resnet() -> Model:
  """Returns the legacy ResNet-50, half of which the Garden can export."""
  return Model(
    title="ResNet-50, both artifacts, against the Garden's one half",
    write=("write_resnet",),
    module="resnet",
    gin_file="configs/resnet/legacy_resnet_50.gin",
    bindings=lambda work: [f"CHECKPOINT = '{work / 'resnet_50.h5'}'"],
    garden=lambda work, path: [
      "official.legacy.image_classification.resnet.tfhub_export",
      f"--model_path={work / 'resnet_50.h5'}",
      f"--export_path={path}",
    ],
    artifact="classification",
    gardens="classification",
    failure="No such layer: reduce_mean",
  )


def movinet(size: str, kind: str) -> Model:
  """Returns a MoViNet, without the losses and the dropout of its training.

  The Garden's exporter leaves these out.
  """
  flags = []
  if kind == "stream":
    flags = [
      "--causal",
      "--conv_type=2plus1d",
      "--se_type=2plus3d",
      "--activation=hard_swish",
      "--gating_activation=hard_sigmoid",
      f"--use_positional_encoding={size >= 'a3'}",
    ]
  return Model(
    title=f"MoViNet-{size.upper()} {kind}",
    write=("write_movinet", size, kind),
    module="movinet",
    gin_file=f"configs/movinet/movinet_{size}_{kind}.gin",
    bindings=lambda work: [
      f"CHECKPOINT = '{work / 'ckpt-1'}'",
      "movinet.MoViNetExporter.l2_weight_decay = 0.0",
      "movinet_configs.MovinetModel.dropout_rate = 0.0",
    ],
    garden=lambda work, path: [
      "official.projects.movinet.tools.export_saved_model",
      f"--model_id={size}",
      *flags,
      f"--checkpoint_path={work / 'ckpt-1'}",
      # It would ask for an optimizer's variables too.
      "--noassert_checkpoint_objects_matched",
      f"--export_path={path}",
    ],
    # Of a base, the averages over time are not there.
    converts=kind == "stream",
  )


def sentence_prediction() -> Model:
  """Returns a BERT-base with a classifier.

  Ours writes two artifacts: of ids, which is compared, and of strings.
  """
  return Model(
    title="BERT-base with a classifier",
    write=("write_classifier",),
    module="text_task",
    gin_file="configs/text_task/sentence_prediction.gin",
    bindings=lambda work: [
      f"CHECKPOINT = '{work}'",
      "DO_LOWER_CASE = True",
      f"VOCAB_FILE = '{work / 'vocab.txt'}'",
    ],
    garden=lambda work, path: [
      "official.nlp.serving.export_savedmodel",
      "--task_name=SentencePrediction",
      f"--config_file={work / 'params.yaml'}",
      f"--checkpoint_path={work / 'ckpt-1'}",
      "--serving_params=inputs_only=false",
      "--function_keys=serve",
      f"--export_savedmodel_dir={path}",
    ],
    artifact="from_ids",
    # The time of the export.
    gardens="*",
  )


def retinanet() -> Model:
  """Returns a RetinaNet with a ResNet-50, whose files of images are served."""
  return Model(
    title="RetinaNet with ResNet-50, 640 x 640",
    write=("write_retinanet",),
    module="retinanet",
    gin_file="configs/retinanet/retinanet_resnet50_fpn_coco.gin",
    bindings=lambda work: [f"CHECKPOINT = '{work / 'ckpt-1'}'"],
    garden=lambda work, path: [
      "official.vision.serving.export_saved_model",
      "--experiment=retinanet_resnetfpn_coco",
      f"--checkpoint_path={work / 'ckpt-1'}",
      "--input_type=image_bytes",
      "--input_image_size=640,640",
      f"--export_dir={path}",
    ],
    gardens="saved_model",
    converts=False,
  )


def by_name(name: str) -> Model:
  """Returns "bert", "resnet", or one of `TASKS` and `MOVINETS`."""
  if name in MOVINETS:
    _, size, kind = name.split("_")
    return movinet(size, kind)
  found = {
    "bert": bert,
    "resnet": resnet,
    "sentence_prediction": sentence_prediction,
    "retinanet": retinanet,
  }
  return found[name]()


def small_berts(
  work: pathlib.Path, levels: Sequence[str], cores: Sequence[int]
) -> Mapping[str, Contestant]:
  """Returns the Garden's 24 exports, and our garden by level and cores."""
  path = work / "garden"
  program = "scripts.benchmark.programs.export_small_berts"
  found = {
    GARDEN: Contestant(
      [sys.executable, "-m", program, str(work), str(path)], path
    )
  }
  for level in levels:
    for core in cores:
      name = at_level(level, core)
      command = [
        *("taskset", "--cpu-list", f"0-{core - 1}"),
        *(sys.executable, "-m", "scripts.garden"),
        "--gin_file=configs/gardens/small_berts.gin",
        f"--gin_bindings=CHECKPOINTS = '{work}'",
        "--only=small_bert_*",
        f"--release_dir={work / name}",
        *("--draft", f"--checks={level}"),
      ]
      found[name] = Contestant(command, work / name)
  return found


def at_level(level: str, cores: int) -> str:
  """Returns the name of a garden that is released so."""
  return f"{level} on {cores}"
