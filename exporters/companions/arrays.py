"""Writes arrays to a file of NumPy's, whatever they are called."""

from collections.abc import Mapping
import zipfile

import numpy as np


def save(path: str, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes a `.npz`, as `numpy.savez` does.

  That takes the names as keywords, so that no array may be called "file".
  """
  with zipfile.ZipFile(path, "w") as archive:
    for name, array in arrays.items():
      with archive.open(f"{name}.npy", "w", force_zip64=True) as f:
        np.lib.format.write_array(f, np.asarray(array), allow_pickle=False)
