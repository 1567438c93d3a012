"""Reports as a browser shows them, on a phone and on a desk.

Needs Chromium, which no package on PyPI brings, and so is not among the tests
that run by default: `bash scripts/test.sh -m browser` runs these.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from tests import command
from tests import releases

pytestmark = pytest.mark.browser

_REPORTS = {
  "digits_resnet/classification": (releases.DIGITS, "basic"),
  # Its sub-objects have the longest names.
  "all_minilm_l6_v2_preprocess": (releases.MINILM_PREPROCESS, "none"),
}
# A page that shows another in a frame, and then says how wide that is. A window
# of its own could not be as narrow as a phone.
_FRAME = """<!doctype html>
<body><iframe src="{report}" width="{width}" height="4000"
  style="border: 0"></iframe>
<script>
onload = () => {{
  const page = document.querySelector("iframe").contentDocument;
  const root = page.documentElement;
  const right = (e) => e.getBoundingClientRect().right;
  const cut = [...page.querySelectorAll("main *, header *")].filter(
    (e) => !e.closest(".wide") && right(e) > root.clientWidth + 1);
  const charts = [...page.querySelectorAll(".chart")];
  const style = page.defaultView.getComputedStyle(page.body);
  document.body.textContent = JSON.stringify({{
    width: root.clientWidth, needed: root.scrollWidth,
    cut: cut.map((e) => e.outerHTML.slice(0, 200)),
    charts: charts.map((e) => e.getBoundingClientRect().width),
    font: parseFloat(style.fontSize),
  }});
}};
</script>
"""


@pytest.fixture(scope="module")
def release_dir(minilm, tmp_path_factory):
  folder = tmp_path_factory.mktemp("browser") / "release"
  for gin_file, level in _REPORTS.values():
    bindings = [f"CHECKPOINT = '{minilm}'"] if "minilm" in gin_file else []
    releases.release(gin_file, folder, f"--checks={level}", bindings=bindings)
  return folder


def _chromium(address: str, profile: pathlib.Path) -> str:
  program = shutil.which("chromium") or shutil.which("google-chrome")
  assert program, "Install Chromium, such as by `apt-get install chromium`."
  done = subprocess.run(
    [
      *(program, "--headless", "--disable-gpu", f"--user-data-dir={profile}"),
      # Its sandbox refuses to be root's.
      *(["--no-sandbox"] if os.geteuid() == 0 else []),
      # A phone's scroll bars take no room.
      *("--hide-scrollbars", "--window-size=1400,1000"),
      "--enable-logging=stderr",
      *("--dump-dom", address),
    ],
    capture_output=True,
    text=True,
    check=True,
    timeout=120,
  )
  # What breaks the report's own policy, or fails, is said there.
  assert "CONSOLE" not in done.stderr
  return done.stdout


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", _REPORTS)
def test_a_report_fits_its_width(name, width, release_dir, tmp_path):
  report = release_dir / f"example/{name}/1.report.html"
  _assert_it_fits(report, width, tmp_path)


@pytest.fixture(scope="module")
def garden_report(tmp_path_factory):
  """A garden's report, with companions, and a model that can't have any."""
  release_dir = tmp_path_factory.mktemp("garden") / "release"
  command.run(
    "scripts.garden",
    "--gin_file=configs/gardens/digits.gin",
    f"--release_dir={release_dir}",
    *("--draft", "--checks=basic", "--companions=lite"),
    check=False,
    fresh=True,
  )
  return release_dir / "digits.garden.html"


@pytest.mark.parametrize("width", [360, 1280])
def test_a_report_of_a_garden_fits_its_width(width, garden_report, tmp_path):
  text = garden_report.read_text()
  assert "There is no companion" in text
  assert "1.tflite" in text
  _assert_it_fits(garden_report, width, tmp_path)


def _assert_it_fits(
  report: pathlib.Path, width: int, tmp_path: pathlib.Path
) -> None:
  shutil.copy(report, tmp_path)
  (tmp_path / "frame.html").write_text(
    _FRAME.format(report=report.name, width=width)
  )
  with releases.served(tmp_path) as address:
    page = _chromium(f"{address}/frame.html", tmp_path / "profile")
  found = json.loads(re.search(r"<body>(.*)</body>", page, re.S)[1])
  assert found["width"] == width
  assert found["needed"] == width
  assert found["cut"] == []
  assert found["font"] >= 16
  for chart in found["charts"]:
    assert 250 < chart <= width
