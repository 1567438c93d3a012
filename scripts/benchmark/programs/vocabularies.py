"""Writes the vocabulary of a model that has random weights."""

import pathlib

_SIZE = 30522


def write(path: pathlib.Path) -> None:
  tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
  tokens += [f"w{i}" for i in range(_SIZE - len(tokens))]
  path.write_text("".join(f"{token}\n" for token in tokens))
