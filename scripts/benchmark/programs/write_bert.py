"""Writes BERT with its heads: checkpoint, vocabulary, the Garden's YAML."""

import pathlib
import sys

from official.nlp.configs import encoders
from official.nlp.modeling import models
import tensorflow as tf

from scripts.benchmark.programs import vocabularies

work, num_layers = pathlib.Path(sys.argv[1]), int(sys.argv[2])
config = encoders.EncoderConfig(
  type="bert", bert=encoders.BertEncoderConfig(num_layers=num_layers)
)
pretrainer = models.BertPretrainerV2(
  encoders.build_encoder(config), mlm_activation="gelu"
)
pretrainer({x.name: tf.zeros([1, 1], tf.int32) for x in pretrainer.inputs})
checkpoint = tf.train.Checkpoint(**pretrainer.checkpoint_items)
# The Garden's exporter needs the counter that `save` adds.
checkpoint.save(str(work / "bert_model.ckpt"))
vocabularies.write(work / "vocab.txt")
(work / "encoder.yaml").write_text(
  f"type: bert\nbert: {{num_layers: {num_layers}}}\n"
)
