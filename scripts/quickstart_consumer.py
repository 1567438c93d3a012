"""Embeds four sentences with two SavedModels; uses nothing of this repository.

python -I scripts/quickstart_consumer.py PREPROCESSOR ENCODER
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow_hub as hub
import tensorflow_text  # noqa: F401 - registers the preprocessor's operations.

SENTENCES = (
  "The quick brown fox jumps over the lazy dog.",
  "A fast, dark-coloured fox leapt over a sleepy hound; it wasn't unaffable!",
  "Interest rates were raised by the central bank on Thursday.",
  "How do I bake sourdough bread at home?",
)


def main() -> None:
  """Prints how similar each sentence is to the first."""
  preprocess, encode = (hub.load(path) for path in sys.argv[1:])
  embeddings = encode(preprocess(SENTENCES))["default"].numpy()
  cosines = embeddings @ embeddings[0]  # Each has length 1.
  print("Cosine similarity with the first sentence:")
  for sentence, cosine in zip(SENTENCES, cosines, strict=True):
    print(f"  {cosine:6.3f}  {sentence}")


if __name__ == "__main__":
  main()
