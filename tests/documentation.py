"""The pages of the documentation, and what they are made of.

A block of code that follows a line with a path and a colon is that file:

  `/path/to/my_release.gin`:
"""

from collections.abc import Iterator
import dataclasses
import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import markdown_it
import numpy as np
from official.core import exp_factory
from official.core import train_utils
from official.nlp.tasks import sentence_prediction
from official.vision import registry_imports  # noqa: F401 - for its effect.
import tensorflow as tf
import tf_keras
import yaml

from exporters.text import vocabulary
from scripts.small_instances import detectors
from scripts.small_instances import images as small_images
from scripts.small_instances import segmenters
from tests import checkpoint_files
from tests import command
from tests import numpy_tasks
from tests import small_bert

ROOT = command.ROOT
PAGES = [
  *(ROOT / f for f in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
  *sorted((ROOT / "docs").glob("*.md")),
]
# Commands that set up an environment, upload, need other machines, or need an
# extra that is not installed.
_NOT_RUN = re.compile(
  r"scripts/(quickstart|test|install_extra)\.sh|^kaggle "
  r"|dask_scheduler|tcp://"
  + ("" if importlib.util.find_spec("distributed") else "|--workers="),
  re.M,
)
_FILE = re.compile(r"^`(\S+)`:\n\n```\w*\n(.*?)^```$", re.M | re.S)


def blocks(page: pathlib.Path) -> list[str]:
  """Returns the commands of a page that can be run, block by block."""
  found = re.findall(r"^```bash\n(.*?)^```$", page.read_text(), re.M | re.S)
  return [block for block in found if not _NOT_RUN.search(block)]


def files(page: pathlib.Path) -> dict[str, str]:
  """Returns the files that a page shows in full, by their paths."""
  return dict(_FILE.findall(page.read_text()))


@dataclasses.dataclass(frozen=True)
class Heading:
  level: int
  text: str

  @property
  def anchor(self) -> str:
    """What GitHub calls the heading in links."""
    kept = re.sub(r"[^\w\- ]", "", self.text.lower())
    return kept.replace(" ", "-")


def headings(page: pathlib.Path) -> Iterator[Heading]:
  """Yields the headings of a page, with the marks of code in them."""
  tokens = _parser().parse(page.read_text())
  for token, inline in zip(tokens, tokens[1:], strict=False):
    if token.type == "heading_open":
      yield Heading(int(token.tag[1]), inline.content)


def code_spans(page: pathlib.Path) -> set[str]:
  """Returns what stands between backticks on a page, outside of blocks."""
  return {
    token.content for token in _inline(page) if token.type == "code_inline"
  }


def links(page: pathlib.Path) -> set[str]:
  """Returns where the links and images of a page lead."""
  addresses = {
    token.attrGet("href") or token.attrGet("src") for token in _inline(page)
  }
  return {str(address) for address in addresses - {None}}


def _inline(page: pathlib.Path):
  for token in _parser().parse(page.read_text()):
    yield from token.children or ()


def _parser() -> markdown_it.MarkdownIt:
  return markdown_it.MarkdownIt().enable("table")


def write_inputs(folder: pathlib.Path) -> None:
  """Writes what stands at /path/to.

  The smallest of the 24 small BERTs, a folder of a fine-tuned one, what a
  training of another with Model Garden leaves, and that of a classifier of
  images, a DeepLab and a RetinaNet.
  """
  pretrainer = small_bert.pretrainer(
    vocab_size=30522,
    hidden_size=128,
    intermediate_size=512,
    max_position_embeddings=512,
  )
  items = tf.train.Checkpoint(**pretrainer.checkpoint_items)
  items.write(str(folder / "bert_model.ckpt"))
  tokens = [*vocabulary.SPECIAL_TOKENS, *(f"w{i}" for i in range(30517))]
  small_bert.write_vocabulary(folder / "vocab.txt", tokens)
  weights = numpy_tasks.tensors("bert", numpy_tasks.SENTENCES)
  positions = "bert.embeddings.position_embeddings.weight"
  weights[positions] = np.resize(weights[positions], [512, 16])
  checkpoint_files.hugging_face(
    folder / "classifier",
    "bert",
    numpy_tasks.config(
      "bert", numpy_tasks.SENTENCES, max_position_embeddings=512
    ),
    weights,
  )
  small_bert.write_vocabulary(folder / "classifier/vocab.txt")
  task = sentence_prediction.SentencePredictionTask(
    sentence_prediction.SentencePredictionConfig(
      model=sentence_prediction.ModelConfig(
        num_classes=2, encoder=small_bert.config(max_position_embeddings=512)
      )
    )
  )
  (folder / "training").mkdir()
  tf.train.Checkpoint(model=task.build_model()).save(
    str(folder / "training/ckpt")
  )
  (folder / "training/params.yaml").write_text(
    yaml.safe_dump({"task": task.task_config.as_dict()})
  )
  write_image_training(folder / "image_training")
  (folder / "deeplab").mkdir()
  leaf = ROOT / "configs/segmentation/deeplabv3_mobilenet_v2_pascal.gin"
  segmenters.write_by_leaf(str(leaf), [], folder / "deeplab")
  (folder / "retinanet").mkdir()
  leaf = ROOT / "configs/retinanet/retinanet_resnet50_fpn_coco.gin"
  detectors.write_by_leaf(str(leaf), [], folder / "retinanet")


def write_image_training(folder: pathlib.Path) -> tf_keras.Model:
  """Writes what a training of a small ResNet leaves; returns the model."""
  params = exp_factory.get_exp_config("resnet_imagenet")
  resnet = {"model_id": 10, "depth_multiplier": 0.125}
  backbone = {"type": "resnet", "resnet": resnet}
  params.override({"task": {"model": {"num_classes": 7, "backbone": backbone}}})
  folder.mkdir()
  train_utils.serialize_config(params, str(folder))
  model = small_images.resnet()
  tf.train.Checkpoint(model=model).save(str(folder / "ckpt"))
  return model


def run(text: str, folder: pathlib.Path, scratch: pathlib.Path) -> None:
  """Runs commands as a reader would paste them.

  Args:
    text: One command or several.
    folder: What stands at /path/to.
    scratch: What stands at /tmp.
  """
  script = moved(text, folder, scratch)
  # The checks of an export are the contract's matter.
  script = re.sub(
    r"-m (exporters\.\w+|official\.[\w.]+)", r"\g<0> --checks=none", script
  )
  script = re.sub(r"--release_dir=\S+", r"\g<0> --draft --checks=none", script)
  script = re.sub(r"scripts\.(check|verify)", r"\g<0> --checks=basic", script)
  environment = command.environment()
  path = f"{os.path.dirname(sys.executable)}:{environment['PATH']}"
  done = subprocess.run(
    ["bash", "-euo", "pipefail", "-c", script],
    cwd=ROOT,
    env=environment | {"PATH": path},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stdout + done.stderr


def moved(text: str, folder: pathlib.Path, scratch: pathlib.Path) -> str:
  """Returns a text with folders in place of those that pages write."""
  return text.replace("/tmp/", f"{scratch}/").replace("/path/to/", f"{folder}/")
