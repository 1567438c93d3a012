"""Loads an archive by its address, as a consumer of TF Hub does.

  python -I tests/consumer_of_archives.py ADDRESS

prints what the model makes of [10, 20] by `hub.load` and by `hub.KerasLayer`.
"""

import sys

import tensorflow_hub as hub


def main(address: str) -> None:
  print(hub.load(address)([10.0, 20.0]).numpy().tolist())
  print(hub.KerasLayer(address)([10.0, 20.0]).numpy().tolist())


if __name__ == "__main__":
  main(*sys.argv[1:])
