"""Writes a BERT-base with a classifier, as its training leaves it."""

import dataclasses
import pathlib
import sys

from official.nlp.configs import encoders
from official.nlp.tasks import sentence_prediction
import tensorflow as tf
import yaml

from scripts.benchmark.programs import vocabularies

work = pathlib.Path(sys.argv[1])
config = sentence_prediction.SentencePredictionConfig(
  model=sentence_prediction.ModelConfig(
    num_classes=2,
    encoder=encoders.EncoderConfig(
      type="bert", bert=encoders.BertEncoderConfig()
    ),
  )
)
config = dataclasses.replace(config, validation_data=None)
model = sentence_prediction.SentencePredictionTask(config).build_model()
model({x.name: tf.zeros([1, 1], tf.int32) for x in model.inputs})
tf.train.Checkpoint(model=model).save(str(work / "ckpt"))
(work / "params.yaml").write_text(yaml.safe_dump({"task": config.as_dict()}))
vocabularies.write(work / "vocab.txt")
