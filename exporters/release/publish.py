"""Makes a release: the files that a publisher uploads, and what proves them.

validate -> export -> describe -> companions -> render -> pack -> prove
-> publish

  <release_dir>/
    assets/docs/<publisher>/<publisher>.md
    assets/docs/<publisher>/models/<name>/<version>.md
    assets/docs/<publisher>/collections/<collection>/1.md
    <publisher>/<name>/<version>.tar.gz
    <publisher>/<name>/<version>/            the SavedModel, with Kaggle's files
    <publisher>/<name>/<version>.provenance.json
    <publisher>/<name>/<version>.report.html

and for each companion, here of LiteRT with float16:

    assets/docs/<publisher>/models/<name>/tflite/float16/lite/<version>.md
    <publisher>/<name>/tflite/float16/<version>.tflite
    <publisher>/<name>/tflite/float16/<version>.labels.txt   of a classifier
    <publisher>/<name>/tflite/float16/<version>/             for Kaggle
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import glob
import os

from exporters import recipe as recipe_lib
from exporters.companions import making
from exporters.errors import ExportError
from exporters.life_cycle import consumer as consumer_lib
from exporters.life_cycle import exporting
from exporters.life_cycle import staging
from exporters.release import archive
from exporters.release import companions as companions_lib
from exporters.release import digests
from exporters.release import directory
from exporters.release import kaggle
from exporters.release import page as page_lib
from exporters.release import privacy
from exporters.release import texts as texts_lib
from exporters.release import validation
from exporters.release.released import Released
from exporters.saved_model import description


def release(
  recipe: recipe_lib.Recipe,
  *,
  release_dir: str,
  level: str,
  stages: exporting.Stages,
  prove: Callable[[Released], None],
  consumer: consumer_lib.Consumer | None = None,
  time_limit: float | None = None,
) -> tuple[exporting.Export, list[Released]]:
  """Exports a recipe, checks it and adds it to a release directory.

  Args:
    recipe: It needs a page.
    release_dir: A local directory; it may hold other models and versions.
    level: Which checks to run.
    stages: Times and announces the stages.
    prove: Writes what belongs beside the archive but need not be the same every
      time.
    consumer: The process that checks the model. None: one is started.
    time_limit: How many seconds the checks of one artifact may take. None: any.

  Returns:
    What was exported and what was released, with paths below `release_dir`.

  Raises:
    ExportError: The page breaks a rule, the export fails, or the directory
      holds this version with other bytes.
  """
  whole = validation.validated(recipe.page)
  with staging.workspace(release_dir) as work:
    exported = os.path.join(work, "saved_model")
    done = exporting.export(
      recipe.exporter,
      export_path=exported,
      level=level,
      stages=stages,
      consumer=consumer,
      time_limit=time_limit,
      refuse=lambda names: _refuse(whole, names, release_dir),
    )
    tree = os.path.join(work, "tree")
    released: list[Released] = []
    pages = [
      whole.of("" if name == os.curdir else name)
      for name in (os.path.relpath(a.path, exported) for a in done.artifacts)
    ]
    for page, artifact in zip(pages, done.artifacts, strict=True):
      described = description.read(artifact.path)
      refuse_other_vocabulary(page, artifact.path, release_dir)
      refuse_other_handle(page, release_dir)
      made = making.Made()
      if recipe.companions:
        with stages("companions", page.handle):
          made = companions_lib.made(
            recipe.companions,
            page,
            artifact,
            os.path.join(work, f"companions_{len(released)}"),
            level,
          )
      with stages("render", page.handle):
        texts = texts_lib.rendered(
          page, described, artifact, [c.kind for c in made.companions]
        )
        privacy.refuse_private(
          texts.page, "page", "Fix the page's fields in the gin file."
        )
        of_companions: dict[str, str] = {}
        for companion in made.companions:
          of_companions |= companions_lib.texts(
            page, described, artifact, companion, texts
          )
      with stages("pack", page.handle):
        one = dataclasses.replace(
          _packed(page, artifact, described, texts, made, of_companions, tree),
          together=[p.handle for p in pages],
        )
      with stages("prove", page.handle):
        prove(one)
      released.append(one)
    with stages("publish", release_dir):
      directory.add(tree, released, release_dir)
  moved = [dataclasses.replace(one, root=release_dir) for one in released]
  artifacts = [
    dataclasses.replace(
      one.artifact,
      path=one.folder,
      remarks=[*one.artifact.remarks, *one.missing],
    )
    for one in moved
  ]
  return dataclasses.replace(done, artifacts=artifacts), moved


def _refuse(
  page: page_lib.Page, names: Sequence[str], release_dir: str
) -> None:
  """Raises `ExportError` unless a page suits what is about to be made.

  Args:
    page: The recipe's page.
    names: The names of its artifacts.
    release_dir: Where it goes.
  """
  validation.refuse_other_artifacts(page, names)
  refuse_taken([page.of(name) for name in names], release_dir)


def refuse_taken(pages: Sequence[page_lib.Page], release_dir: str) -> None:
  """Raises `ExportError` if two models would be the same one on Kaggle.

  Args:
    pages: The pages of new versions.
    release_dir: It may hold other models.
  """
  models: dict[str | None, str] = {}
  for file in glob.iglob(
    f"{glob.escape(release_dir)}/*/**/{kaggle.INSTANCE}", recursive=True
  ):
    folder = os.path.dirname(file)
    name = os.path.relpath(os.path.dirname(folder), release_dir)
    models[kaggle.released_handle(folder)] = name
  for page in pages:
    handle = kaggle.address(page)
    name = f"{page.publisher}/{page.name}"
    other = models.setdefault(handle, name)
    if handle and other != name:
      raise ExportError(
        f"{other} and {name} would both be {handle} on Kaggle. Give one of "
        "them another page.Kaggle.variation."
      )


def refuse_other_vocabulary(
  page: page_lib.Page, encoder: str, release_dir: str
) -> None:
  """Raises `ExportError` if an encoder and its preprocessor do not match.

  Args:
    page: The encoder's page.
    encoder: Its SavedModel.
    release_dir: Where its preprocessor is, if it was released there.
  """
  vocabularies = [
    os.path.join(root, "assets", "vocab.txt")
    for root in (encoder, os.path.join(release_dir, page.preprocessor or ""))
  ]
  if not page.preprocessor or not all(map(os.path.exists, vocabularies)):
    return
  if len(set(map(digests.file_digest, vocabularies))) > 1:
    raise ExportError(
      f"The preprocessor '{page.preprocessor}' in '{release_dir}' has another "
      "vocabulary than this encoder. Set page.Page.preprocessor to one with "
      "the same vocabulary."
    )


def refuse_other_handle(page: page_lib.Page, release_dir: str) -> None:
  """Raises `ExportError` if the preprocessor has another handle on Kaggle.

  Args:
    page: The encoder's page.
    release_dir: Where its preprocessor is, if it was released there.
  """
  stated = kaggle.preprocessor(page)
  folder = os.path.join(release_dir, page.preprocessor or "")
  released = stated and kaggle.released_handle(folder)
  if released and released != stated:
    raise ExportError(
      f"The preprocessor '{page.preprocessor}' in '{release_dir}' goes to "
      f"Kaggle as '{released}', but the encoder's card would name '{stated}'. "
      f"Set page.Kaggle.preprocessor = '{released}'."
    )


def _packed(
  page: page_lib.Page,
  artifact: exporting.Artifact,
  described: description.Description,
  texts: texts_lib.Texts,
  made: making.Made,
  of_companions: Mapping[str, str],
  tree: str,
) -> Released:
  """Writes to `tree` everything that must be the same every time."""
  handle = page.handle
  folder = os.path.join(tree, handle)
  os.makedirs(os.path.dirname(folder), exist_ok=True)
  archive.pack(artifact.path, f"{folder}.tar.gz")
  os.rename(artifact.path, folder)
  packed = [
    f"{handle}.tar.gz",
    *(f"{handle}/{file}" for file in described.files),
  ]
  for companion in made.companions:
    packed += companions_lib.put(companion, page, described, tree)
  byproducts = {
    f"{handle}.tar": digests.stream_digest(archive.tar_stream(folder))
  }
  own_texts = {
    page.docs_path: texts.page,
    **{f"{handle}/{name}": text for name, text in texts.kaggle.items()},
    **of_companions,
  }
  for path, text in own_texts.items():
    directory.write_text(tree, path, text)
    byproducts[path] = digests.stream_digest([text.encode()])
  return Released(
    page=page,
    artifact=artifact,
    description=described,
    texts=texts,
    root=tree,
    digests={
      path: digests.file_digest(os.path.join(tree, path)) for path in packed
    },
    byproducts=byproducts,
    companions=made.companions,
    missing=made.remarks,
  )
