"""Prints which checks pass on which exporters' models, as a Markdown table.

  python -m scripts.check_table

It exports a model with each exporter of this repository, with each of Model
Garden's own that runs, and with Keras 3's `Model.export`, and has
`scripts.check` look at all of them without regard to where they come from.
"""

import pathlib
import subprocess
import sys
import tempfile

from absl import app

_ROOT = pathlib.Path(__file__).parents[1]
_MINILM = _ROOT / ".cache/all-MiniLM-L6-v2"


def main(argv: list[str]) -> None:
  del argv
  with tempfile.TemporaryDirectory() as folder:
    work = pathlib.Path(folder)
    _export_here(work)
    for name, program in _ELSEWHERE.items():
      _say(name)
      # Where nothing of this repository is on the path.
      subprocess.run(
        [sys.executable, "-c", program, str(work / name)],
        cwd=work,
        check=True,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
      )
    models = sorted(path.parent for path in work.rglob("saved_model.pb"))
    for model in models:
      if model.parent != work:  # One of two below an export path.
        model.rename(work / f"{model.parent.name} {model.name}")
    models = sorted(path.parent for path in work.rglob("saved_model.pb"))
    _say("checks")
    subprocess.run(
      [sys.executable, "-m", "scripts.check", "--table", *map(str, models)],
      cwd=_ROOT,
      check=False,
    )


def _export_here(work: pathlib.Path) -> None:
  minilm = f"CHECKPOINT = '{_MINILM}'"
  for module, leaf, binding in (
    ("low_level", "low_level/multiply", None),
    ("bert", "bert/all_minilm_l6_v2", minilm),
    ("bert_preprocessor", "bert/all_minilm_l6_v2_preprocess", minilm),
    ("resnet", "resnet/digits_resnet", None),
  ):
    _say(f"exporters.{module}")
    bindings = [f"--gin_bindings={binding}"] if binding else []
    subprocess.run(
      [
        *(sys.executable, "-m", f"exporters.{module}", "--checks=none"),
        f"--gin_file=configs/{leaf}.gin",
        f"--export_path={work / f'ours {module}'}",
        *bindings,
      ],
      cwd=_ROOT,
      check=True,
      capture_output=True,
    )


def _say(text: str) -> None:
  print(text, file=sys.stderr)


# Small models of random weights: what is looked at is not the numbers.
_ELSEWHERE = {
  "Garden bert": """
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
  "Garden preprocessor": """
import sys
from official.nlp.tools import export_tfhub_lib
export_tfhub_lib.export_preprocessing(
    sys.argv[1], vocab_file='vocab.txt', do_lower_case=True,
    tokenize_with_offsets=False, default_seq_length=16)
""",
  "Garden efficientnet": """
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
  "Garden vision": """
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
  "Keras 3 export": """
import sys
import keras
model = keras.Sequential([
    keras.Input((32, 32, 3)), keras.layers.Flatten(),
    keras.layers.Dropout(0.5), keras.layers.Dense(10)])
model.export(sys.argv[1])
""",
}

if __name__ == "__main__":
  app.run(main)
