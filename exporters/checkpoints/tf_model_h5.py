"""`tf_model.h5`: the weights of a TensorFlow model of `transformers`.

A Keras `.h5` file by its form. Its names are those of the PyTorch model, spelt
as paths: `transformers` reads `tf_bert_model/nsp___cls/layer_._0/kernel:0` as
`tf_bert_model.cls.layer.0.weight`.
"""

import re

from exporters.checkpoints.checkpoint import Tensor
from exporters.checkpoints.keras_h5 import KerasH5

_PARAMETERS = {
  "kernel": "weight",
  "embeddings": "weight",
  "gamma": "weight",
  "beta": "bias",
}


def read(local: str, path: str) -> dict[str, Tensor]:
  """Returns the tensors of a `tf_model.h5`, by PyTorch's names.

  Args:
    local: The file on the local disk.
    path: The path that the user gave, for messages.

  Raises:
    ExportError: The file is damaged.
  """
  file = KerasH5(path, local=local, averages=False)
  found = {}
  for weights in file.layers.values():
    for name, dataset in weights.items():
      tensor = file.tensor(dataset)
      name, _, parameter = name.removesuffix(":0").rpartition("/")
      # PyTorch's `Linear` keeps its weight as [outputs, inputs].
      if parameter == "kernel":
        tensor = tensor.transposed
      scope = re.sub(r"[^/]*___", "", name).replace("_._", "/")
      parameter = _PARAMETERS.get(parameter, parameter)
      found[f"{scope}/{parameter}".lstrip("/").replace("/", ".")] = tensor
  return found
