"""TF1 checkpoints, as google-research released BERT and others.

They hold tensors by names such as
`bert/encoder/layer_0/attention/self/query/kernel`, in files with a prefix such
as `bert_model.ckpt`; `weight_maps` has the tables of names.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
import functools
import os

import tensorflow as tf
from typing_extensions import override

from exporters.checkpoints import averages as averages_lib
from exporters.checkpoints import weight_maps
from exporters.checkpoints.checkpoint import Tensor
from exporters.checkpoints.named import Mapped
from exporters.checkpoints.tensorflow_files import Files
from exporters.errors import ExportError


class Tf1(Mapped):
  """A TF1 checkpoint, given by the prefix of its files.

  Args are those of `ObjectBased`.
  """

  kind = "TF1 name-based checkpoint"

  def __init__(
    self, path: str, prefix: str, files: Files, *, averages: bool | None = None
  ):
    super().__init__(path)
    self._prefix = prefix
    self._files = files
    self.weight_map = weight_maps.of_tf1(files.shapes)
    scope = self._scope(files.shapes)
    plain = {n: self.weight_map.plain(n, scope) for n in files.shapes}
    counts = Counter(plain.values())
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
      raise ExportError(
        f"The checkpoint '{path}' has the tensor '{twice[0]}' twice, once with "
        "an encoder's prefix and once without. Use a checkpoint of one model."
      )
    self._tensors = {
      plain[name]: Tensor(
        shape=tuple(shape),
        dtype=files.dtypes[name].name,
        read=functools.partial(files.array, name),
      )
      for name, shape in files.shapes.items()
    }

    if averages is not False:
      self._averages = averages_lib.of_names(
        [(n, n) for n in self._tensors if averages_lib.TF1_SUFFIX.search(n)],
        {name: [name] for name in self._tensors},
      )

  @property
  @override
  def tensors(self) -> Mapping[str, Tensor]:
    return self._tensors

  @property
  @override
  def files(self) -> Sequence[str]:
    return self._files.names

  @property
  @override
  def vocab_file(self) -> str | None:
    path = os.path.join(os.path.dirname(self._prefix), "vocab.txt")
    return path if tf.io.gfile.exists(path) else None
