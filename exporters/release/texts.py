"""Renders the texts that people read about an artifact, each of them once.

A template has what is the same for all models of a kind. The page's fields and
the description of the artifact have the rest.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import json
import os
import re
from typing import Any

import jinja2
import numpy as np
import tensorflow as tf

from exporters.checks import operations
from exporters.companions import kinds
from exporters.companions.making import Companion
from exporters.companions.source import fitted
from exporters.errors import printable
from exporters.life_cycle import exporting
from exporters.release import kaggle
from exporters.release import page as page_lib
from exporters.release import samples
from exporters.release import tfhub
from exporters.release.place import Place
from exporters.saved_model import description
from exporters.saved_model.object_graph import Tensor

PREPROCESSOR, ENCODER = "preprocessor", "encoder"
CLASSIFIER, FEATURE_VECTOR = "classifier", "feature vector"
SEGMENTER, DETECTOR = "segmentation model", "detector"
_IMAGES = (CLASSIFIER, FEATURE_VECTOR, SEGMENTER)
VIDEO, OTHER = "video classifier", "model"
# By the API of TF Hub that a model claims to follow.
_KINDS = {
  "text preprocessor": PREPROCESSOR,
  "text encoder": ENCODER,
  "video": VIDEO,
  "detector": DETECTOR,
  "image segmentation": SEGMENTER,
}
# What takes images as files, and what a detector calls its masks.
_OF_FILES, _MASKS = ("image_bytes", "tf_example"), "detection_masks"
# What a SavedModel for `tf_keras.models.load_model` has.
_KERAS_FILE = "keras_metadata.pb"

_TEMPLATES = os.path.join(os.path.dirname(__file__), "templates")
# What a preprocessor fills or cuts texts to, unless it says otherwise.
_USUAL_LENGTH = 128
# To show that a text may be packed to another length.
_PAIR_LENGTH = 64
_POSITIONS = re.compile(r"position_embeddings?/embeddings$")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Texts:
  """What people read about one artifact.

  Attributes:
    page: Its page on tfhub.dev, in Markdown.
    card: The page's body, without the lines that only tfhub.dev reads.
    publisher: The publisher's page on tfhub.dev.
    kaggle: The metadata files of Kaggle Models, by name, if it goes there.
  """

  page: str
  card: str
  publisher: str
  kaggle: dict[str, str]


def rendered(
  page: page_lib.Page,
  described: description.Description,
  artifact: exporting.Artifact,
  companions: Sequence[kinds.Kind] = (),
) -> Texts:
  """Returns the texts about an artifact.

  Args:
    page: What the publisher says about it.
    described: What is in it.
    artifact: What the export knows of it.
    companions: The kinds of companions that lie beside it.

  Raises:
    ExportError: A page would break a rule of tfhub.dev.
  """
  values = _values(page, described, artifact) | {"companions": companions}
  model = _render("model.md.jinja", **values, **_on_tfhub(page))
  publisher = _render("publisher.md.jinja", page=page)
  tfhub.read(publisher)
  on_kaggle = {}
  if page.kaggle:
    card = _render("model.md.jinja", **values, **_on_kaggle(page))
    on_kaggle = kaggle.metadata(
      page,
      tfhub.read(card).body,
      fine_tunable=bool(described.trainable_parameters),
    )
  return Texts(
    page=model,
    card=tfhub.read(model).body,
    publisher=publisher,
    kaggle=on_kaggle,
  )


def of_companion(
  page: page_lib.Page,
  described: description.Description,
  artifact: exporting.Artifact,
  companion: Companion,
  shapes: tuple[Mapping[str, Sequence[int]], Mapping[str, Sequence[int]]],
  model: Texts,
) -> dict[str, str]:
  """Returns the texts about a companion, by path below a release directory.

  Args:
    page: What the publisher says about the model.
    described: What is in the SavedModel.
    artifact: What the export knows of it.
    companion: The companion.
    shapes: The shapes of its inputs and outputs, -1 where they are open.
    model: The texts about the SavedModel.

  Raises:
    ExportError: The page would break a rule of tfhub.dev.
  """
  kind_ = companion.kind
  place = Place(model=page.handle, kind=kind_)
  values = _values(page, described, artifact)
  values |= _of_signature(described, artifact, shapes)
  values |= {"form": kind_, "place": place, "size": companion.size}
  values["address"] = page.address(place.path)
  if "labels" in described.assets:
    values["labels"] = page.address(place.labels)
  found = {}
  if kind_.runtime == kinds.LITE:
    text = _render(
      "lite.md.jinja",
      **values,
      **_on_tfhub(page),
      parent=page.handle,
    )
    tfhub.read(text)
    found[place.docs_path] = text
  if page.kaggle:
    of_parent = _on_kaggle(page)
    parent = of_parent["download"]
    of_parent["download"] = kaggle.address(page, kind_)
    card = _render("companion.md.jinja", **values, **of_parent, parent=parent)
    found[f"{place.handle}/{kaggle.MODEL}"] = model.kaggle[kaggle.MODEL]
    found[f"{place.handle}/{kaggle.INSTANCE}"] = kaggle.instance(
      page, card, fine_tunable=False, base=parent, companion=kind_
    )
  return found


def collection_page(page: page_lib.Page, models: Sequence[str]) -> str:
  """Returns the page of the collection that a model belongs to.

  Args:
    page: The page of one of its models.
    models: The texts of the pages of all its models.
  """
  parsed = sorted((tfhub.read(text) for text in models), key=_order)
  text = _render("collection.md.jinja", page=page, models=parsed)
  tfhub.read(text)
  return text


def environment(**options: Any) -> jinja2.Environment:
  """Returns what renders the templates; an unknown name is an error."""
  rendering = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_TEMPLATES, encoding="utf-8"),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    extensions=["jinja2.ext.do"],
    **options,
  )
  rendering.filters |= {"code": _code, "plain": _plain, "quoted": _quoted}
  return rendering


def _code(text: object) -> str:
  """Returns a text as Markdown's code, also for a cell of a table.

  https://github.github.com/gfm/#code-spans. Names may hold anything.
  """
  shown = printable(str(text)).replace("|", r"\|")
  longest = max(map(len, re.findall("`+", shown)), default=0)
  fence, space = "`" * (longest + 1), " " * bool(longest)
  return f"{fence}{space}{shown}{space}{fence}"


def _quoted(text: str) -> str:
  """Returns a text as Python, in double quotes."""
  return json.dumps(text, ensure_ascii=False)


def _plain(text: object) -> str:
  """Returns a text as Markdown that shows it as it is."""
  shown = printable(str(text)).replace("&", "&amp;").replace("<", "&lt;")
  return re.sub(r"([\\`|\[\]])", r"\\\1", shown)


def kind(
  described: description.Description, artifact: exporting.Artifact
) -> str:
  """Returns the kind of model: which API it follows, and which part of it."""
  if artifact.api == "image":
    _, outputs = described.signatures["serving_default"]
    logits = any(tensor.name == "logits" for tensor in outputs)
    return CLASSIFIER if logits else FEATURE_VECTOR
  return _KINDS.get(artifact.api or "", OTHER)


def _values(
  page: page_lib.Page,
  described: description.Description,
  artifact: exporting.Artifact,
) -> dict[str, Any]:
  """Returns what a model's template says wherever the model is published."""
  kind_ = kind(described, artifact)
  model, sample, stream = described.model, artifact.sample, artifact.stream
  inputs = model.inputs[0] if model.inputs else ()
  states = {t.name for t in inputs if stream and t.name != stream.piece}
  if kind_ == VIDEO:
    ((piece, sample),) = (
      (name, value) for name, value in sample.items() if name not in states
    )
  is_encoder = kind_ == ENCODER
  lengths = _lengths(described) if is_encoder else []
  longest = _longest(described) if is_encoder else None
  return {
    "page": page,
    "described": described,
    "artifact": artifact,
    "model": model,
    "kind": kind_,
    "metadata": page.metadata(
      fine_tunable=bool(described.trainable_parameters)
    ),
    "inputs": [tensor for tensor in inputs if tensor.name not in states],
    "outputs": [t for t in _outputs(described) if t.name not in states],
    "piece": piece if kind_ == VIDEO else None,
    "states": len(states),
    "init_states": stream and stream.initial,
    "float_outputs": [
      tensor
      for tensor in model.outputs
      if tf.as_dtype(tensor.dtype).is_floating
    ],
    "sample": None if sample is None else samples.code(sample),
    "autocast": not samples.has_other_floats(sample),
    "is_keras_model": _KERAS_FILE in described.files,
    "needs_text": _needs_text(described),
    "of_files": [n for n in described.callables if n in _OF_FILES],
    "has_masks": any(t.name == _MASKS for t in _outputs(described)),
    "has_strings": any(tensor.dtype == "string" for tensor in inputs),
    "from_text": is_encoder and bool(page.preprocessor),
    "lengths": lengths,
    "longest": longest,
    "packed_length": _packed_length(lengths, longest),
    "pair_length": _pair_length(described),
    "in_words": any(
      len(tensor.shape or ()) == 3
      for name in described.callables
      if name == "tokenize"
      for tensor in described.callables[name].outputs
    ),
    "fixed_size": (
      kind_ in _IMAGES and None not in (model.inputs[0][0].shape or ())[1:3]
    ),
  }


def _needs_text(described: description.Description) -> bool:
  """Tells whether a model has operations of tensorflow_text."""
  known = operations.classification()
  found = (known.get(name) for name in described.custom_operations)
  return any(family and family.name == "tensorflow_text" for family in found)


def _of_signature(
  described: description.Description,
  artifact: exporting.Artifact,
  shapes: tuple[Mapping[str, Sequence[int]], Mapping[str, Sequence[int]]],
) -> dict[str, Any]:
  """Returns the same of a companion, which has the signature alone."""
  inputs, outputs = described.signatures["serving_default"]
  stream = artifact.stream
  states = {t.name for t in inputs if stream and t.name != stream.piece}
  inputs, outputs = (
    [
      dataclasses.replace(t, shape=_known(t.shape or (), found[t.name]))
      for t in tensors
      if t.name not in states
    ]
    for tensors, found in zip((inputs, outputs), shapes, strict=True)
  )
  known = artifact.samples[0] if artifact.samples else {}
  sample = {}
  for tensor in inputs:
    shape = tensor.shape or ()
    array = known.get(tensor.name)
    if array is None:
      array = np.zeros([size or 1 for size in shape], tensor.dtype)
    sample[tensor.name] = fitted(np.asarray(array), shape)
  return {
    "inputs": inputs,
    "outputs": outputs,
    "piece": stream and stream.piece,
    "sample": samples.numpy_code(sample),
  }


def _known(
  own: Sequence[int | None], found: Sequence[int]
) -> tuple[int | None, ...]:
  """Returns what a signature and a companion know of a shape together."""
  if len(own) != len(found):  # The signature has any rank.
    return tuple(None if size < 0 else size for size in found)
  return tuple(
    known if size < 0 else size for known, size in zip(own, found, strict=True)
  )


def _lengths(described: description.Description) -> list[int]:
  """Returns the only lengths that an encoder takes; none for any."""
  shapes = [inputs[0].shape or (None,) for inputs in described.model.inputs]
  lengths = {shape[-1] for shape in shapes}
  return [] if None in lengths else sorted(filter(None, lengths))


def _longest(described: description.Description) -> int | None:
  """Returns for how many tokens an encoder has positions; None for any."""
  positions = (
    variable.shape[0]
    for variable in described.variables
    if _POSITIONS.search(variable.name)
  )
  return min(positions, default=None)


def _packed_length(lengths: Sequence[int], longest: int | None) -> int | None:
  """Returns the length to ask a preprocessor for; None for its own."""
  if lengths:
    return lengths[-1]
  return longest if longest and longest < _USUAL_LENGTH else None


def _pair_length(described: description.Description) -> int:
  """Returns a length for a pair of texts: at most the preprocessor's own."""
  packer = described.callables.get("bert_pack_inputs")
  own = packer.hyperparameters.get("seq_length") if packer else None
  return min(int(own or _PAIR_LENGTH), _PAIR_LENGTH)


def _on_tfhub(page: page_lib.Page) -> dict[str, Any]:
  """Returns what a model's template says on tfhub.dev: where models are."""
  url = "https://tfhub.dev/{}".format
  return {
    "download": None,
    "preprocessor_download": None,
    "url": url(page.handle),
    "preprocessor": page.preprocessor,
    "preprocessor_url": url(page.preprocessor),
    "place_of": lambda companion: page.address(
      Place(model=page.handle, kind=companion).path
    ),
  }


def _on_kaggle(page: page_lib.Page) -> dict[str, Any]:
  """Returns the same for Kaggle."""
  values = _on_tfhub(page)
  handle, preprocessor = kaggle.address(page), kaggle.preprocessor(page)
  assert handle  # It goes to Kaggle.
  values |= {
    "download": handle,
    "url": kaggle.url(handle, page.version),
    "preprocessor_download": preprocessor,
    "place_of": lambda companion: kaggle.address(page, companion),
  }
  if preprocessor and page.preprocessor:
    version = page.preprocessor.rpartition("/")[-1]
    values["preprocessor"] = preprocessor
    values["preprocessor_url"] = kaggle.url(preprocessor, version)
  return values


def _outputs(described: description.Description) -> Sequence[Tensor]:
  """Returns the outputs by the names that the signature has for them.

  A signature has several tensors for one that is ragged or sparse.
  """
  composite = any(tensor.form for tensor in described.model.outputs)
  _, outputs = described.signatures.get("serving_default", ((), ()))
  return described.model.outputs if composite else outputs


def _render(template: str, **values: Any) -> str:
  text = environment().get_template(template).render(**values)
  # Parts that a model lacks leave empty lines behind.
  return re.sub(r"\n{3,}", "\n\n", text).rstrip("\n") + "\n"


def _order(parsed: tfhub.Parsed) -> list[Any]:
  """Sorts handles by name, and versions as numbers."""
  name, _, version = parsed.handle.rpartition("/")
  return [name, int(version)]
