"""Exports the small BERTs by Model Garden's exporter, one after another."""

import pathlib
import subprocess
import sys

work, path = map(pathlib.Path, sys.argv[1:3])
for folder in sorted(work.glob("uncased_*")):
  command = [
    *(sys.executable, "-m", "official.nlp.tools.export_tfhub"),
    "--export_type=model_with_mlm",
    f"--encoder_config_file={folder / 'encoder.yaml'}",
    f"--model_checkpoint_path={folder / 'bert_model.ckpt'}",
    f"--vocab_file={folder / 'vocab.txt'}",
    "--do_lower_case",
    f"--export_path={path / folder.name}",
  ]
  # Elsewhere than in this repository, so that its `official` is the wheel's.
  subprocess.run(command, cwd=work, check=True)
