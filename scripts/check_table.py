"""Prints which checks pass on which exporters' models, as Markdown tables.

  python -m scripts.check_table
  python -m scripts.check_table /path/to/one /path/to/another

The first is of one model of each of Model Garden's own exporters that runs, of
one that Keras 3's `Model.export` wrote, and of the SavedModels that are named.
The second is of the small instance of each exporter of this repository.
`scripts.check` looks at all of them, without regard to where they come from.
"""

from collections.abc import Sequence
import pathlib
import shutil
import subprocess
import sys
import tempfile

from exporters.command_line import program

_ROOT = pathlib.Path(__file__).parents[1]


def main(*named: str) -> None:
  """Prints the tables."""
  with tempfile.TemporaryDirectory() as folder:
    work = pathlib.Path(folder)
    others = [pathlib.Path(path).resolve() for path in named]
    _print_table([*_export_elsewhere(work), *others])
    _print_table(_export_here(work))


def _print_table(models: Sequence[pathlib.Path]) -> None:
  _say("checks")
  subprocess.run(
    [sys.executable, "-m", "scripts.check", "--table", *map(str, models)],
    cwd=_ROOT,
    check=False,
  )
  print(flush=True)


def _export_here(work: pathlib.Path) -> list[pathlib.Path]:
  """Exports the small instance of each exporter."""
  from scripts import small_instances

  models = []
  for name, instance in small_instances.INSTANCES.items():
    _say(f"{instance.module}: {name}")
    (work / name).mkdir()
    models.append(work / f"`{name}`")
    bindings = instance.write_inputs(work / name)
    subprocess.run(
      [
        sys.executable,
        "-m",
        instance.module,
        f"--gin_file={instance.leaf}",
        *(f"--gin_bindings={binding}" for binding in bindings),
        f"--export_path={models[-1]}",
        "--checks=none",
      ],
      cwd=_ROOT,
      check=True,
      capture_output=True,
    )
  return models


def _export_elsewhere(work: pathlib.Path) -> list[pathlib.Path]:
  models = []
  for name, source in _ELSEWHERE.items():
    _say(name)
    folder = work / "exported"
    # Where nothing of this repository is on the path.
    subprocess.run(
      [sys.executable, "-c", source, str(folder)],
      cwd=work,
      check=True,
      capture_output=True,
    )
    for file in sorted(folder.rglob("saved_model.pb")):
      below = "" if file.parent == folder else f" {file.parent.name}"
      models.append(file.parent.rename(work / f"{name}{below}"))
    shutil.rmtree(folder, ignore_errors=True)
  return models


def _say(text: str) -> None:
  print(text, file=sys.stderr)


# Small models of random weights: what is looked at is not the numbers.
_ELSEWHERE = {
  "Garden: bert": """
import sys
from official.nlp.configs import encoders
from official.nlp.tools import export_tfhub_lib
import tensorflow as tf
config = encoders.EncoderConfig(type='bert', bert=encoders.BertEncoderConfig(
    vocab_size=8, hidden_size=16, num_layers=2, num_attention_heads=2,
    intermediate_size=32))
tf.train.Checkpoint(encoder=encoders.build_encoder(config)).save('bert')
open('vocab.txt', 'w').write('\\n'.join(
    ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'hello', 'world', '!']))
export_tfhub_lib.export_model(
    sys.argv[1], encoder_config=config, model_checkpoint_path='bert-1',
    with_mlm=False, vocab_file='vocab.txt', do_lower_case=True)
""",
  "Garden: preprocessor": """
import sys
from official.nlp.tools import export_tfhub_lib
export_tfhub_lib.export_preprocessing(
    sys.argv[1], vocab_file='vocab.txt', do_lower_case=True,
    tokenize_with_offsets=False, default_seq_length=16)
""",
  "Garden: efficientnet": """
import sys
from official.legacy.image_classification.efficientnet import efficientnet_model
from official.legacy.image_classification.efficientnet import tfhub_export
import tensorflow as tf
import tf_keras
images = tf_keras.Input((None, None, 3))
config = dict(efficientnet_model.MODEL_CONFIGS)['efficientnet-b0']
model = tf_keras.Model(
    images, efficientnet_model.efficientnet(images * 255.0, config))
tf.train.Checkpoint(model=model).save('efficientnet')
tfhub_export.export_tfhub('efficientnet-1', sys.argv[1], 'efficientnet-b0')
""",
  "Garden: vision": """
import sys
from official.core import exp_factory
from official.vision import registry_imports
from official.vision.serving import export_tfhub_lib
import tensorflow as tf
params = exp_factory.get_exp_config('resnet_imagenet')
params.task.model.num_classes = 10
params.task.model.backbone.resnet.model_id = 18
model = export_tfhub_lib.build_model(None, [None, None], params)
tf.train.Checkpoint(model=model).save('vision')
export_tfhub_lib.export_model_to_tfhub(
    None, [None, None], params, 'vision-1', sys.argv[1])
""",
  "Keras 3: Model.export": """
import sys
import keras
model = keras.Sequential([
    keras.Input((32, 32, 3)), keras.layers.Flatten(),
    keras.layers.Dropout(0.5), keras.layers.Dense(10)])
model.export(sys.argv[1])
""",
}

if __name__ == "__main__":
  program.run(main, modules=[], arguments=["[SAVED_MODEL...]"])
