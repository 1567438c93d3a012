"""What the exporters of text encoders, and of models on top of them, share.

The fields that say which encoder it is and how its text becomes ids, and how
what lies beside the checkpoint agrees with them.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import os
from typing import Any

from official.nlp.configs import encoders as encoder_configs

from exporters import base
from exporters.errors import ExportError
from exporters.text import encoder_file
from exporters.text import encoder_types
from exporters.text import encoders
from exporters.text import sentencepiece_model
from exporters.text import sentencepiece_source
from exporters.text import vocabulary
from exporters.text import wordpiece_source


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tokens:
  """A vocabulary or a SentencePiece model, as an encoder publishes it.

  Attributes:
    name: The attribute under which it travels with the model.
    source: What it is, and how text is split: a `WordPieceSource`, a
      `SentencePieceSource`, or what has their interface.
  """

  name: str
  source: Any

  def assets(self) -> dict[str, str]:
    """Returns the file, and what has to lie beside it, by attribute."""
    config = self.source.as_json()
    return {self.name: self.source.asset()} | (
      {"tokenizer_config": config} if config else {}
    )

  def remarks(self, embeddings: int) -> list[str]:
    """Returns what to say of the text of an encoder.

    Args:
      embeddings: For how many tokens it has embeddings.

    Raises:
      ExportError: It has none for some token.
    """
    return self.source.require_size(embeddings) + [
      f"Its text was split in a way that no preprocessor here computes: its "
      f"{os.path.basename(path)} {what}."
      for path, what in self.source.foreign[:1]
    ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderExporter(base.CheckpointExporter):
  """An exporter of a text encoder, or of a model on top of one.

  Attributes:
    checkpoint: The checkpoint's path. What lies beside it about the encoder and
      its text must agree with the gin file; see `text.encoder_file` and
      `text.tokenizer_files`.
    encoder: The architecture. None: as `encoder_file`, a file beside the
      checkpoint or the `config.json` of a Hugging Face folder describes it.
    encoder_file: A `bert_config.json` or a Model Garden YAML that describes the
      architecture. If `encoder` is set too, the two must agree.
    do_lower_case: Whether text was lower-cased for training. It must be stated:
      a wrong guess gives a model that works, but less well.
    vocab_file: The WordPiece vocabulary, or a folder that holds it. None: the
      one beside the checkpoint.
    sp_model_file: The SentencePiece model, instead of a vocabulary.
  """

  checkpoint: encoder_file.EncoderCheckpointPath
  do_lower_case: bool
  encoder: encoder_configs.EncoderConfig | None = None
  encoder_file: base.FilePath | None = None
  vocab_file: vocabulary.VocabularyPath | None = None
  sp_model_file: sentencepiece_model.ModelPath | None = None

  def built_encoder(self) -> encoders.Encoder:
    """Builds the encoder; nothing is restored yet.

    Raises:
      ExportError: Nothing describes it, or what does contradicts itself, or it
        can't do what users expect.
    """
    checkpoint = self.opened
    config, declared = self._described()
    return encoders.build(
      config,
      declared | {"the checkpoint": checkpoint.declared},
      do_lower_case=self.do_lower_case,
    )

  def tokens(self) -> Tokens:
    """Returns the vocabulary or the SentencePiece model.

    Raises:
      ExportError: There is none, or what is said about it contradicts itself.
    """
    stated = {"do_lower_case": self.do_lower_case}
    if self.sp_model_file and self.vocab_file:
      raise ExportError("Set only one of vocab_file and sp_model_file.")
    if not self.sp_model_file:
      source = wordpiece_source.read(
        vocab_file=self.vocab_file, checkpoint=self.checkpoint, stated=stated
      )
      if source:
        return Tokens(name="vocab_file", source=source)
    beside = sentencepiece_model.beside(self.checkpoint)
    model_file = self.sp_model_file or (beside[0] if len(beside) == 1 else None)
    if not model_file:
      raise ExportError(
        f"The checkpoint '{self.checkpoint}' comes without a vocabulary. Name "
        "the one it was trained with: --gin_bindings=\"VOCAB_FILE = '...'\"."
      )
    return Tokens(
      name="sp_model_file",
      source=sentencepiece_source.read(
        sp_model_file=model_file, checkpoint=self.checkpoint, stated=stated
      ),
    )

  def _described(
    self,
  ) -> tuple[encoder_configs.EncoderConfig, dict[str, Mapping[str, Any]]]:
    """Returns the architecture, and what files declare about it."""
    files = {file.path: file for file in encoder_file.beside(self.opened)}
    if self.encoder_file is not None:
      file = encoder_file.read_encoder_file(self.encoder_file)
      files = {self.encoder_file: file} | files
    config = self.encoder or next(
      (file.config() for file in files.values()), self._config_of_checkpoint()
    )
    if config is None:
      raise ExportError(
        "Set encoder or encoder_file to describe the architecture."
      )
    return config, {f"'{path}'": f.declared for path, f in files.items()}

  def _config_of_checkpoint(self) -> encoder_configs.EncoderConfig | None:
    """Returns the architecture if the checkpoint itself states its sizes."""
    values = dict(self.opened.declared)
    values.pop("do_lower_case", None)
    if not {"hidden_size", "num_layers"} <= values.keys():
      return None
    config = encoder_configs.EncoderConfig(type=values.pop("type", "bert"))
    encoder_types.override(config, values)
    return config
