"""Pages for tfhub.dev and metadata for Kaggle: every rule, before writing."""

import dataclasses
import html
import json
import re

import gin
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import markdown_it
import numpy as np
import pytest
import tensorflow as tf

from exporters import checks
from exporters import recipe as recipe_lib
from exporters.companions.kinds import KINDS
from exporters.errors import ExportError
from exporters.errors import printable
from exporters.life_cycle import exporting
from exporters.release import kaggle
from exporters.release import page as page_lib
from exporters.release import publish
from exporters.release import samples
from exporters.release import texts
from exporters.release import tfhub
from exporters.release import validation
from exporters.saved_model import description
from exporters.saved_model import object_graph
from tests import releases

_PAGE = page_lib.Page(
  publisher="example",
  name="bert_en_uncased_L-2_H-128_A-2",
  version=1,
  description="A small BERT.",
  license="apache-2.0",
  task="text-embedding",
  asset_root="https://example.com/models",
  changelog={1: "Initial release."},
  kaggle=page_lib.Kaggle(owner="example", title="Small BERT"),
)

_ARTIFACT = exporting.Artifact(
  path="",
  size=1234,
  parameters=6,
  trainable=6,
  results=(),
  remarks=["Rare words become <unk>."],
  sample=np.ones([1, 2], np.float32),
)

_GOOD = """\
# Module example/multiply/1
Multiplies.

<!-- asset-path: https://example.com/1.tar.gz -->
<!-- task: image-others -->
<!-- fine-tunable: true -->
<!-- format: saved_model_2 -->

## Overview
"""


def test_a_page_is_read_as_it_was_written():
  parsed = tfhub.read(_GOOD)
  assert parsed.handle == "example/multiply/1"
  assert parsed.description == "Multiplies."
  assert parsed.metadata["task"] == ["image-others"]
  assert parsed.body == "## Overview\n"


@pytest.mark.parametrize(
  ("old", "new"),
  [
    ("# Module example", "# Module Example"),
    ("# Module example", "# Module ex_ample"),
    ("# Module example", " # Module example"),
    ("multiply/1\n", "multiply/1 \n"),
    ("multiply/1\n", "multiply/0\n"),
    ("multiply/1\n", "multiply\n"),
    ("multiply/1\n", "multi ply/1\n"),
    ("multiply/1\n", "/multiply/1\n"),
    ("Multiplies.\n", "\n"),
    ("Multiplies.\n", "Multiplies\n"),
    ("Multiplies.\n", "<!-- no sentence. -->\n"),
    ("<!-- task", "A stray line.\n<!-- task"),
    ("<!-- task: image-others -->\n", ""),
    ("<!-- format: saved_model_2 -->\n", ""),
    ("<!-- fine-tunable: true -->\n", ""),
    ("<!-- asset-path: https://example.com/1.tar.gz -->\n", ""),
    ("<!-- task", "<!--task"),
    ("image-others", "image-other"),
    ("saved_model_2", "saved_model"),
    ("true", "True"),
    ("true -->", "true -->\n<!-- fine-tunable: false -->"),
    ("image-others -->", "image-others -->\n<!-- task: image-others -->"),
    ("<!-- task", "<!-- colour: red -->\n<!-- task"),
    ("<!-- task", "<!-- license: gpl-4.0 -->\n<!-- task"),
    ("<!-- task", "<!-- dataset: mnist -->\n<!-- task"),
    ("<!-- task", "<!-- language: english -->\n<!-- task"),
    ("<!-- task", "<!-- network-architecture: bort -->\n<!-- task"),
    ("1.tar.gz", "1.zip"),
    ("https://example.com", "example.com"),
    ("https://example.com", "https://github.com"),
    ("https://example.com", "https://www.github.com"),
    ("## Overview\n", ""),
    ("## Overview\n", "## Overview"),
  ],
)
def test_a_page_that_breaks_a_rule_is_refused(old, new):
  assert old in _GOOD
  with pytest.raises(ExportError, match=r"tfhub\.dev"):
    tfhub.read(_GOOD.replace(old, new, 1))


_LITE = """\
# Lite example/multiply/tflite/float16/1
Multiplies.

<!-- asset-path: https://example.com/1.tflite -->
<!-- parent-model: example/multiply/1 -->
<!-- colab: https://example.com/colab.ipynb -->
<!-- interactive-visualizer: vision -->

## Overview
"""


def test_a_page_of_litert_is_read_as_it_was_written():
  parsed = tfhub.read(_LITE)
  assert parsed.kind == "Lite"
  assert parsed.handle == "example/multiply/tflite/float16/1"
  assert parsed.metadata["parent-model"] == ["example/multiply/1"]


@pytest.mark.parametrize(
  ("old", "new", "reason"),
  [
    ("# Lite example", "# Lite Example", "line 1 must be"),
    ("float16/1\n", "float16/0\n", "line 1 must be"),
    ("1.tflite", "1.tar.gz", r"must end in \.tflite"),
    ("https://example.com/1", "example.com/1", "is not an address"),
    ("https://example.com/1", "https://github.com/1", "not be on github"),
    ("<!-- asset-path: https://example.com/1.tflite -->\n", "", "is missing"),
    ("<!-- parent-model: example/multiply/1 -->\n", "", "is missing"),
    ("multiply/1 -->", "multiply -->", "is not a handle"),
    ("multiply/1 -->", "multiply/1 -->\n<!-- parent-model: a/b/1 -->", "once"),
    *(
      ("<!-- parent", f"<!-- {key}: {value} -->\n<!-- parent", "no key")
      for key, value in (
        ("format", "saved_model_2"),
        ("task", "image-others"),
        ("license", "mit"),
        ("language", "en"),
        ("fine-tunable", "true"),
      )
    ),
  ],
)
def test_a_page_of_litert_that_breaks_a_rule_is_refused(old, new, reason):
  assert old in _LITE
  with pytest.raises(ExportError, match=reason):
    tfhub.read(_LITE.replace(old, new, 1))


def test_only_a_page_of_litert_has_a_parent():
  with pytest.raises(ExportError, match="no key 'parent-model'"):
    tfhub.read(
      _GOOD.replace("<!-- task", "<!-- parent-model: a/b/1 -->\n<!-- task")
    )


@settings(max_examples=200, deadline=None)
@given(
  st.sampled_from(["asset-path", "parent-model", "colab", "task", "x"]),
  st.text(st.characters(exclude_categories=["C"]), min_size=1).map(str.strip),
)
def test_no_value_makes_the_reader_fail_in_another_way(key, value):
  line = f"{key}: {value}"
  text = re.sub("(?<=<!-- )colab: .*(?= -->)", lambda _: line, _LITE)
  try:
    parsed = tfhub.read(text)
  except ExportError:
    return
  assert key == "colab" or not value
  assert parsed.kind == "Lite"


def test_a_value_off_a_list_is_refused_with_the_nearest():
  with pytest.raises(
    ExportError, match="does not know the license.*'apache-2.0'"
  ):
    validation.refuse_invalid(dataclasses.replace(_PAGE, license="apache-2"))


def test_all_mistakes_at_once():
  page = dataclasses.replace(
    _PAGE,
    publisher="No One",
    description="No full stop",
    license="apache-2",
    task="multiplying",
    asset_root="nowhere",
    version=2,
    activation="tanh",
    kaggle=page_lib.Kaggle(owner="An Owner", title=" "),
  )
  with pytest.raises(ExportError) as error:
    validation.refuse_invalid(page)
  first, *lines = str(error.value).splitlines()
  assert first == f"There are {len(lines)} mistakes:"
  for mistake in (
    "line 1 must be `# Module PUBLISHER/NAME/VERSION`",
    "line 2 must be a description",
    "does not know the license 'apache-2'",
    "does not know the task 'multiplying'",
    "is not an address",
    "does not mention version 2",
    "activation = 'tanh' must be",
    "Kaggle has no name for the licence 'apache-2'",
    "page.Kaggle.owner = 'An Owner' is not a slug",
    "page.Kaggle.title is empty",
  ):
    assert sum(mistake in line for line in lines) == 1, mistake


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_no_text_makes_the_reader_fail_in_another_way(text):
  try:
    parsed = tfhub.read(text)
  except ExportError:
    return
  # What it took begins as tfhub.dev wants it.
  assert text.startswith(f"# {parsed.kind} {parsed.handle}\n")


@settings(max_examples=50, deadline=None)
@given(
  st.from_regex(r"[a-z0-9-]{1,12}", fullmatch=True),
  st.from_regex(
    r"[A-Za-z0-9_.-]{1,12}(/[A-Za-z0-9_.-]{1,9}){0,2}", fullmatch=True
  ),
  st.integers(1, 99),
  st.lists(st.sampled_from(["en", "de", "ja"]), unique=True),
)
def test_every_name_that_the_rules_allow_makes_a_page(
  publisher, name, version, language
):
  page = dataclasses.replace(
    _PAGE,
    publisher=publisher,
    name=name,
    version=version,
    language=language,
    changelog={version: "A release."},
  )
  parsed = tfhub.read(texts.rendered(page, _described(), _ARTIFACT).page)
  assert parsed.handle == f"{publisher}/{name}/{version}"
  assert parsed.metadata.get("language", []) == language


@given(st.text(min_size=1))
def test_a_name_stands_on_a_page_as_it_is(name):
  """In a cell of a table, as markdown-it reads it."""
  rendering = texts.environment()
  cells = {
    filter_: rendering.from_string(f"{{{{ name | {filter_} }}}}").render(
      name=name
    )
    for filter_ in ("code", "plain")
  }
  reader = markdown_it.MarkdownIt("commonmark").enable("table")
  shown = reader.render(
    f"| a | b |\n|---|---|\n| {' | '.join(cells.values())} |"
  )
  code, plain = re.findall("<td>(.*?)</td>", shown)
  assert code.startswith("<code>")
  assert code.endswith("</code>")
  want = " ".join(printable(name).split())
  for found in (code.removeprefix("<code>").removesuffix("</code>"), plain):
    assert " ".join(html.unescape(found).split()) == want


def _described() -> description.Description:
  tensor = object_graph.Tensor(name="x", shape=(None, 2), dtype="float32")
  factor = object_graph.Variable(
    name="factor", shape=(2, 3), dtype="float32", trainable=True
  )
  model = object_graph.Callable(
    name="",
    inputs=[[tensor]],
    outputs=[tensor],
    training=False,
    hyperparameters={"rate": 0.5},
    variables=[factor],
    regularization_losses=2,
  )
  return description.Description(
    files={"saved_model.pb": 1234},
    signatures={"serving_default": ([tensor], [tensor])},
    callables={"": model},
    constants={},
    assets={},
    operations=["MatMul", "TFText>RoundRobinTrim"],
  )


def test_what_stands_in_the_artifact_stands_on_the_page():
  text = texts.rendered(_PAGE, _described(), _ARTIFACT).page
  assert "| parameters | 6 (all trainable) |" in text
  assert "| size | 1,234 bytes |" in text
  assert "| `rate` | 0.5 |" in text
  assert "| custom operations | TFText>RoundRobinTrim |" in text
  assert "has 2 regularization losses" in text
  assert "`[batch, 2]`, float32" in text
  # As Markdown, which may hold HTML.
  assert "## Limitations\n\n* Rare words become &lt;unk>.\n" in text


_BY_ARTIFACT = {"classification": "Classes.", "feature_vector": "Features."}


@pytest.mark.parametrize(
  ("names", "message"),
  [
    ([""], "the recipe writes one artifact only"),
    (
      ["clasification", "feature_vector"],
      "'classification: ...', but .* Did you mean 'clasification'",
    ),
    (["classification", "features"], "'feature_vector: ...', but the recipe"),
    (["classification", "feature_vector", "mask"], "line 2 must be"),
  ],
)
def test_a_page_of_other_artifacts_is_refused(names, message):
  page = dataclasses.replace(_PAGE, description=_BY_ARTIFACT)
  with pytest.raises(ExportError, match=message):
    validation.refuse_other_artifacts(page, names)
  validation.refuse_other_artifacts(page, list(_BY_ARTIFACT))
  validation.refuse_other_artifacts(_PAGE, names)


def test_a_page_of_other_artifacts_is_refused_before_they_are_saved(tmp_path):
  described = f"page.Page.description = {_BY_ARTIFACT}"
  recipe = recipe_lib.load([releases.MULTIPLY], [described])
  gin.clear_config()
  stages = exporting.Stages()
  with pytest.raises(ExportError, match="one artifact only"):
    publish.release(
      recipe,
      release_dir=str(tmp_path / "release"),
      level=checks.NONE,
      stages=stages,
      prove=lambda one: None,
    )
  assert list(stages.seconds) == ["build"]
  assert not list(tmp_path.iterdir())


def test_the_changelog_speaks_of_the_version():
  with pytest.raises(ExportError, match="changelog does not mention version 2"):
    validation.refuse_invalid(dataclasses.replace(_PAGE, version=2))


def test_publisher_and_collection_pages_follow_the_rules():
  page = dataclasses.replace(_PAGE, collection="bert")
  model = texts.rendered(page, _described(), _ARTIFACT).page
  other = dataclasses.replace(page, version=10, changelog={10: "Later."})
  models = [texts.rendered(other, _described(), _ARTIFACT).page, model]
  collection = texts.collection_page(page, models)
  assert collection.startswith("# Collection example/bert/1\n")
  assert collection.index("A-2/1]") < collection.index("A-2/10]")
  publisher = texts.rendered(page, _described(), _ARTIFACT).publisher
  assert publisher.startswith("# Publisher example\n")


# ---------------------------------------------------------------------------
# Inputs in snippets.


@pytest.mark.parametrize(
  "sample",
  [
    np.float32(2.0),
    np.ones([2, 3], np.float32),
    np.ones([2], np.float64),
    np.array([[3, 0]], np.int32),
    np.array([[3, -7]], np.int64),
    np.arange(40, dtype=np.int64),
    np.zeros([40], np.int32),
    np.full([5, 5], 200, np.uint8),
    np.ones([5, 5], np.complex64),
    np.array([True, False]),
    np.array([['say "hi"', "\\n", "東京"]]),
    np.full([20], b"\xff\x00"),
    {"a/b": np.ones([1], np.float16), "c": [np.array([1]), np.array(["d"])]},
    tf.ragged.constant([[[1, 2], []], [[3]]]),
    tf.ragged.constant([["a"], []], row_splits_dtype=tf.int32),
    tf.RaggedTensor.from_row_lengths(np.ones([3, 2], np.float32), [1, 2]),
    tf.sparse.from_dense([[0.0, 1.0], [2.0, 0.0]]),
    tf.sparse.from_dense(["", "a"]),
  ],
)
def test_an_input_in_a_snippet_is_like_the_one_that_was_checked(sample):
  written = eval(samples.code(sample), {"tf": tf})
  sample = tf.nest.map_structure(
    tf.convert_to_tensor, sample, expand_composites=True
  )
  tf.nest.assert_same_structure(written, sample, expand_composites=True)
  if isinstance(sample, tf.SparseTensor):  # Which ones are 0 may differ.
    written, sample = map(tf.sparse.to_dense, (written, sample))
  for found, want in zip(
    tf.nest.flatten(written, expand_composites=True),
    tf.nest.flatten(sample, expand_composites=True),
    strict=True,
  ):
    assert (found.shape, found.dtype) == (want.shape, want.dtype)
    if found.dtype.is_integer:
      # A model may not know a larger one.
      assert np.max(found) <= np.max(want)
    if found.dtype == tf.string:
      assert set(np.ravel(found)) <= set(np.ravel(want))


@pytest.mark.parametrize(
  "array",
  [
    np.float32(2.0),
    np.ones([2, 3], np.float32),
    np.ones([40], np.float16),
    np.array([[3, 0]], np.int32),
    np.arange(40, dtype=np.int64),
    np.full([5, 5], 200, np.uint8),
    np.array([True, False]),
    np.ones([5, 5], np.bool_),
  ],
)
def test_an_input_of_a_companion_is_like_the_one_that_was_checked(array):
  array = np.asarray(array)
  (written,) = eval(samples.numpy_code({"a/b": array}), {"np": np}).values()
  assert (written.shape, written.dtype) == (array.shape, array.dtype)
  if array.dtype.kind in "iu":
    assert np.max(written) <= np.max(array)


# ---------------------------------------------------------------------------
# Kaggle.


@pytest.mark.parametrize(
  ("name", "slug"),
  [
    ("resnet_v2_50/classification", "resnet-v2-50-classification"),
    ("bert_en_uncased_L-12_H-768_A-12", "bert-en-uncased-l-12-h-768-a-12"),
    ("mobilenet_v1_0.25", "mobilenet-v1-0-25"),
    ("_.x._", "x"),
  ],
)
def test_a_hub_name_becomes_a_slug(name, slug):
  assert page_lib.slug(name) == slug


def test_kaggles_own_client_finds_what_it_requires(tmp_path, monkeypatch):
  monkeypatch.setenv("KAGGLE_USERNAME", "nobody")
  monkeypatch.setenv("KAGGLE_KEY", "none")
  from kaggle.api import kaggle_api_extended

  for name, text in texts.rendered(
    _PAGE, _described(), _ARTIFACT
  ).kaggle.items():
    (tmp_path / name).write_text(text)
  client = kaggle_api_extended.KaggleApi()
  for file, required in (
    (
      client.get_model_metadata_file(str(tmp_path)),
      ("ownerSlug", "title", "slug", "isPrivate", "description"),
    ),
    (
      client.get_model_instance_metadata_file(str(tmp_path)),
      ("ownerSlug", "modelSlug", "instanceSlug", "framework", "licenseName"),
    ),
  ):
    with open(file) as f:
      content = json.load(f)
    for key in required:
      assert client.get_or_fail(content, key) not in (None, "")


def test_kaggles_own_client_knows_the_frameworks(monkeypatch):
  monkeypatch.setenv("KAGGLE_USERNAME", "nobody")
  monkeypatch.setenv("KAGGLE_KEY", "none")
  from kaggle.api import kaggle_api_extended
  from kagglesdk.models.types import model_enums

  client = kaggle_api_extended.KaggleApi()
  framework = model_enums.ModelFramework
  for kind in (None, *KINDS.values()):
    name = kaggle.address(_PAGE, kind).split("/")[2]
    assert client.lookup_enum(framework, framework.MODEL_FRAMEWORK_API, name)


@pytest.mark.parametrize(
  ("variation", "slugs"),
  [
    (None, {"float32", "float16", "dynamic", "int8"}),
    ("base", {"base-float32", "base-float16", "base-dynamic", "base-int8"}),
  ],
)
def test_a_companion_has_a_handle_of_kaggle_for_itself(variation, slugs):
  stated = dataclasses.replace(_PAGE.kaggle, variation=variation)
  page = dataclasses.replace(_PAGE, kaggle=stated)
  handles = [kaggle.address(page, kind) for kind in (None, *KINDS.values())]
  assert len(set(handles)) == len(handles)
  assert {handle.split("/")[3] for handle in handles[1:]} == slugs
  # The client's own rule.
  assert all(kaggle._HANDLE.fullmatch(handle) for handle in handles)


def test_kaggles_metadata_say_what_the_page_says():
  rendered = texts.rendered(_PAGE, _described(), _ARTIFACT)
  model = json.loads(rendered.kaggle[kaggle.MODEL])
  instance = json.loads(rendered.kaggle[kaggle.INSTANCE])
  assert model["slug"] == "bert-en-uncased-l-2-h-128-a-2"
  assert model["isPrivate"] is True
  assert instance["modelSlug"] == model["slug"]
  assert instance["framework"] == "tensorFlow2"
  assert instance["licenseName"] == "Apache 2.0"
  assert instance["fineTunable"] is True
  assert _prose(instance["usage"]) == _prose(rendered.card)
  assert rendered.card in rendered.page
  assert model["description"].endswith(instance["usage"])
  assert kaggle.address(_PAGE) == (
    "example/bert-en-uncased-l-2-h-128-a-2/tensorFlow2/default"
  )


def _prose(text: str) -> str:
  """Returns a text without snippets and the line on Kaggle's address."""
  text = re.sub(r"^```python\n.*?^```\n", "", text, flags=re.M | re.S)
  return re.sub(r"Once the model is public.*?\n\n", "", text, flags=re.S)


@pytest.mark.parametrize(
  ("base", "kind", "handle", "address"),
  [
    ("", "Unspecified", "", ""),
    ("g/bert/keras/base", "KaggleVariant", "g/bert/keras/base", ""),
    ("https://h.co/b", "ExternalVariant", "", "https://h.co/b"),
  ],
)
def test_the_fields_that_kaggle_shows_can_be_bound(base, kind, handle, address):
  stated = dataclasses.replace(
    _PAGE.kaggle,
    subtitle="Of two layers",
    provenance_sources="Wikipedia.",
    base_model=base,
  )
  files = texts.rendered(
    dataclasses.replace(_PAGE, kaggle=stated), _described(), _ARTIFACT
  ).kaggle
  model = json.loads(files[kaggle.MODEL])
  instance = json.loads(files[kaggle.INSTANCE])
  assert model["subtitle"] == "Of two layers"
  assert model["provenanceSources"] == "Wikipedia."
  assert instance["modelInstanceType"] == kind
  assert instance["baseModelInstance"] == handle
  assert instance["externalBaseModelUrl"] == address


@pytest.mark.parametrize(
  ("preprocessor", "stated", "expected"),
  [
    (None, None, None),
    ("example/a_b/c/3", None, "example/a-b-c/tensorFlow2/default"),
    ("google/a_b/3", None, None),
    ("google/a_b/3", "google/a/tensorFlow2/b", "google/a/tensorFlow2/b"),
  ],
)
def test_a_preprocessor_has_a_handle_of_kaggle(preprocessor, stated, expected):
  page = dataclasses.replace(
    _PAGE,
    preprocessor=preprocessor,
    kaggle=dataclasses.replace(_PAGE.kaggle, preprocessor=stated),
  )
  assert kaggle.preprocessor(page) == expected


def test_another_handle_than_that_of_the_released_preprocessor_is_refused(
  tmp_path,
):
  preprocessor = dataclasses.replace(
    _PAGE,
    name="preprocess",
    kaggle=page_lib.Kaggle(owner="example", title="T", variation="text"),
  )
  folder = tmp_path / preprocessor.handle
  folder.mkdir(parents=True)
  files = texts.rendered(preprocessor, _described(), _ARTIFACT).kaggle
  (folder / kaggle.INSTANCE).write_text(files[kaggle.INSTANCE])
  page = dataclasses.replace(_PAGE, preprocessor=preprocessor.handle)
  with pytest.raises(ExportError) as raised:
    publish.refuse_other_handle(page, str(tmp_path))
  assert "as 'example/preprocess/tensorFlow2/text'" in str(raised.value)
  assert "name 'example/preprocess/tensorFlow2/default'" in str(raised.value)
  stated = dataclasses.replace(
    _PAGE.kaggle, preprocessor="example/preprocess/tensorFlow2/text"
  )
  page = dataclasses.replace(page, kaggle=stated)
  publish.refuse_other_handle(page, str(tmp_path))


def test_two_models_at_one_place_on_kaggle_are_refused(tmp_path):
  folder = tmp_path / _PAGE.handle
  folder.mkdir(parents=True)
  files = texts.rendered(_PAGE, _described(), _ARTIFACT).kaggle
  (folder / kaggle.INSTANCE).write_text(files[kaggle.INSTANCE])
  publish.refuse_taken([_PAGE], str(tmp_path))
  publish.refuse_taken([dataclasses.replace(_PAGE, version=2)], str(tmp_path))
  slug = kaggle.address(_PAGE).split("/")[1]
  stated = dataclasses.replace(_PAGE.kaggle, slug=slug)
  other = dataclasses.replace(_PAGE, name="other", kaggle=stated)
  for pages, where in (([other], tmp_path), ([_PAGE, other], folder)):
    with pytest.raises(ExportError) as raised:
      publish.refuse_taken(pages, str(where))
    name = f"{_PAGE.publisher}/{_PAGE.name}"
    assert str(raised.value).startswith(
      f"{name} and {_PAGE.publisher}/other would both be "
      f"{kaggle.address(_PAGE)} on Kaggle."
    )


def test_an_owner_may_have_an_underscore():
  stated = page_lib.Kaggle(owner="an_owner-1", title="T")
  assert not [*kaggle.mistakes(dataclasses.replace(_PAGE, kaggle=stated))]


@pytest.mark.parametrize(
  ("changes", "reason"),
  [
    ({"license": "epl-2.0"}, "no name for the licence 'epl-2.0'"),
    ({"kaggle": page_lib.Kaggle(owner="An Owner", title="T")}, "is not a slug"),
    ({"kaggle": page_lib.Kaggle(owner="owner", title=" ")}, "title is empty"),
    *(
      ({"kaggle": page_lib.Kaggle(owner="o", title="T", slug=slug)}, "a slug")
      for slug in ("a--b", "-a", "a-", "a_b", "A")
    ),
    ({"kaggle": page_lib.Kaggle(owner="a__b", title="T")}, "not a slug"),
    (
      {"kaggle": page_lib.Kaggle(owner="o", title="T", base_model="bert")},
      "neither a handle",
    ),
    (
      {"kaggle": page_lib.Kaggle(owner="o", title="T", preprocessor="a/b/1")},
      "not a handle",
    ),
  ],
)
def test_what_kaggle_would_refuse_is_refused(changes, reason):
  with pytest.raises(ExportError, match=reason):
    validation.refuse_invalid(dataclasses.replace(_PAGE, **changes))
