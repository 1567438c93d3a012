"""Checks that load the model for themselves, each in its own way."""

from __future__ import annotations

import os
import shutil

import tensorflow as tf

from .harness import Finding
from .harness import NotApplicable
from .harness import check
from .loaded import takes_strings
from .numbers import difference
from .numbers import worst
from .subject import Subject


@check("saved again", unit="saved again")
def _saved_again(subject: Subject) -> Finding:
  """Load, save, delete the first, load: the same numbers, and the assets."""
  import tensorflow_hub as hub

  copy = os.path.join(subject.scratch, "copy")
  again = os.path.join(subject.scratch, "again")
  # Links: the copy is deleted, not changed.
  shutil.copytree(subject.path, copy, copy_function=os.link)
  try:
    loaded = hub.load(copy)
    tf.saved_model.save(loaded, again, signatures=loaded.signatures)
    del loaded
    shutil.rmtree(copy)
    lost = [
      asset.filename
      for asset in subject.proto.meta_graphs[0].asset_file_def
      if not os.path.exists(os.path.join(again, "assets", asset.filename))
    ]
    if lost:
      return Finding(len(lost), 0, f"lost assets: {' '.join(lost)}")
    loaded = hub.load(again)
    return worst(
      (name, difference(subject.find(name, loaded)(*arguments), want))
      for name in subject.callables
      for arguments, want in subject.cases(name)[:1]
    )
  finally:
    shutil.rmtree(copy, ignore_errors=True)
    shutil.rmtree(again, ignore_errors=True)


@check("keras.layers.TFSMLayer", unit="keras.layers.TFSMLayer")
def _tfsm_layer(subject: Subject) -> Finding:
  import keras

  if subject.keras:
    raise NotApplicable("a Keras SavedModel is for tf_keras")
  cases = subject.calls()
  if not cases:
    raise NotApplicable("the model takes no input")
  if takes_strings(cases):
    raise NotApplicable("Keras 3 has no tensors of strings")
  layer = keras.layers.TFSMLayer(subject.path)
  return worst(
    ("serve", difference(layer(*arguments), want))
    for arguments, want in subject.served()
  )


@check("two replicas", unit="two replicas")
def _two_replicas(subject: Subject) -> Finding:
  """Loaded under a `MirroredStrategy`, each replica gives the same numbers."""
  import tensorflow_hub as hub

  if not subject.callables[""]["variables"]:
    raise NotApplicable("the model has no variables to mirror")
  strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
  with strategy.scope():
    loaded = hub.load(subject.path)
  arguments, want = subject.cases("")[0]
  outputs = tf.function(
    lambda: strategy.run(lambda: loaded(*arguments)), autograph=False
  )()

  def replicas(nest):
    if isinstance(nest, dict):
      parts = {k: replicas(v) for k, v in nest.items()}
      return [{k: v[i] for k, v in parts.items()} for i in range(2)]
    if isinstance(nest, (list, tuple)):
      return list(zip(*map(replicas, nest), strict=True))
    return strategy.experimental_local_results(nest)

  return worst(
    (f"replica {i}", difference(got, want))
    for i, got in enumerate(replicas(outputs))
  )
