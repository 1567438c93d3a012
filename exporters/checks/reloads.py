"""Checks that load the model in ways of their own."""

from __future__ import annotations

import os
import shutil

import tensorflow as tf

from .candidate import Candidate
from .harness import check
from .loaded import takes_strings
from .numbers import difference
from .results import Finding
from .results import NotApplicableError

# Each drops the model that others share, and loads it in its own way.
_UNIT = "other loads"


@check("saved again", unit="saved again")
def _saved_again(candidate: Candidate) -> Finding:
  """Loaded, saved, the first deleted, loaded: same numbers, same assets."""
  import tensorflow_hub as hub

  again = os.path.join(candidate.scratch, "again")
  callables = candidate.callables
  try:
    tf.saved_model.save(
      candidate.model, again, signatures=candidate.model.signatures
    )
    candidate.delete_copy()
    lost = [
      asset.filename
      for asset in candidate.proto.meta_graphs[0].asset_file_def
      if not os.path.exists(os.path.join(again, "assets", asset.filename))
    ]
    if lost:
      return Finding(len(lost), 0, f"lost assets: {' '.join(lost)}")
    loaded = hub.load(again)
    return candidate.worst(
      (name, difference(candidate.find(name, loaded)(*arguments), want))
      for name in callables
      for arguments, want in candidate.cases(name)[:1]
    )
  finally:
    shutil.rmtree(again, ignore_errors=True)


@check("keras.layers.TFSMLayer", unit=_UNIT)
def _tfsm_layer(candidate: Candidate) -> Finding:
  import keras

  if candidate.keras:
    raise NotApplicableError("a Keras SavedModel is for tf_keras")
  cases = candidate.calls()
  if not cases:
    raise NotApplicableError("the model takes no input")
  if takes_strings(cases):
    raise NotApplicableError("Keras 3 has no tensors of strings")
  cases = candidate.cases_of_signature()
  # The layer loads the model itself.
  candidate.drop()
  layer = keras.layers.TFSMLayer(candidate.path)
  return candidate.worst(
    ("serve", difference(layer(*arguments), want)) for arguments, want in cases
  )


@check("two replicas", unit=_UNIT)
def _two_replicas(candidate: Candidate) -> Finding:
  """Loaded under a `MirroredStrategy`, each replica gives the same numbers."""
  import tensorflow_hub as hub

  if not candidate.callables[""]["variables"]:
    raise NotApplicableError("the model has no variables to mirror")
  cases = candidate.cases("")
  if not cases:
    raise NotApplicableError("no call of it is known")
  # Mirrored, it takes twice the memory.
  candidate.drop()
  strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
  with strategy.scope():
    loaded = hub.load(candidate.path)
  arguments, want = cases[0]
  outputs = tf.function(
    lambda: strategy.run(lambda: loaded(*arguments)), autograph=False
  )()

  return candidate.worst(
    (f"replica {i}", difference(got, want))
    for i, got in enumerate(strategy.experimental_local_results(outputs))
  )
