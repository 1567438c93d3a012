"""Pages for tfhub.dev and metadata for Kaggle: every rule, before writing."""

import dataclasses
import json

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import pytest

from exporters.errors import ExportError
from exporters.release import kaggle
from exporters.release import page as page_lib
from exporters.release import texts
from exporters.release import tfhub
from exporters.release import validation
from exporters.saved_model import description
from exporters.saved_model import object_graph

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
  parsed = tfhub.read(texts.rendered(page, _described()).page)
  assert parsed.handle == f"{publisher}/{name}/{version}"
  assert parsed.metadata.get("language", []) == language


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
  text = texts.rendered(_PAGE, _described()).page
  assert "| parameters | 6 (all trainable) |" in text
  assert "| size | 1,234 bytes |" in text
  assert "| `rate` | 0.5 |" in text
  assert "| custom operations | TFText>RoundRobinTrim |" in text
  assert "has 2 regularization losses" in text
  assert "`[batch, 2]`, float32" in text


def test_the_changelog_speaks_of_the_version():
  with pytest.raises(ExportError, match="changelog does not mention version 2"):
    validation.refuse_invalid(dataclasses.replace(_PAGE, version=2))


def test_publisher_and_collection_pages_follow_the_rules():
  page = dataclasses.replace(_PAGE, collection="bert")
  model = texts.rendered(page, _described()).page
  other = dataclasses.replace(page, version=10, changelog={10: "Later."})
  models = [texts.rendered(other, _described()).page, model]
  collection = texts.collection_page(page, models)
  assert collection.startswith("# Collection example/bert/1\n")
  assert collection.index("A-2/1]") < collection.index("A-2/10]")
  publisher = texts.rendered(page, _described()).publisher
  assert publisher.startswith("# Publisher example\n")


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

  for name, text in texts.rendered(_PAGE, _described()).kaggle.items():
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


def test_kaggles_metadata_say_what_the_page_says():
  rendered = texts.rendered(_PAGE, _described())
  model = json.loads(rendered.kaggle[kaggle.MODEL])
  instance = json.loads(rendered.kaggle[kaggle.INSTANCE])
  assert model["slug"] == "bert-en-uncased-l-2-h-128-a-2"
  assert model["isPrivate"] is True
  assert instance["modelSlug"] == model["slug"]
  assert instance["framework"] == "tensorFlow2"
  assert instance["licenseName"] == "Apache 2.0"
  assert instance["fineTunable"] is True
  assert instance["usage"] in rendered.page
  assert kaggle.address(_PAGE) == (
    "example/bert-en-uncased-l-2-h-128-a-2/tensorFlow2/default"
  )


@pytest.mark.parametrize(
  ("changes", "reason"),
  [
    ({"license": "epl-2.0"}, "no name for the licence 'epl-2.0'"),
    ({"kaggle": page_lib.Kaggle(owner="An Owner", title="T")}, "is not a slug"),
    ({"kaggle": page_lib.Kaggle(owner="owner", title=" ")}, "title is empty"),
  ],
)
def test_what_kaggle_would_refuse_is_refused(changes, reason):
  with pytest.raises(ExportError, match=reason):
    validation.refuse_invalid(dataclasses.replace(_PAGE, **changes))
