"""A SentencePiece model of 150 pieces, trained in a second."""

import io
import pathlib
from typing import Any

import sentencepiece

_TEXT = """
hello world, the quick brown fox jumps over the lazy dog.
naive cafe, a preprocessor of text for an encoder.
angstrom and facade; resume and jalapeno; uber and strasse.
one two three four five six seven eight nine ten 0123456789
what is tokenized as it was trained gives what was trained!
"""


_SPECIAL: dict[str, Any] = {
  "pad_id": 0,
  "unk_id": 1,
  "bos_id": -1,
  "eos_id": -1,
  "control_symbols": ["[CLS]", "[SEP]", "[MASK]"],
}


def write(path: pathlib.Path, *, special: bool = True) -> pathlib.Path:
  """Trains a model with ALBERT's special pieces, or without, and writes it."""
  model = io.BytesIO()
  sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(_TEXT.strip().splitlines()),
    model_writer=model,
    vocab_size=120,
    hard_vocab_limit=False,
    byte_fallback=False,
    num_threads=1,
    minloglevel=2,
    **(_SPECIAL if special else {}),
  )
  path.write_bytes(model.getvalue())
  return path
