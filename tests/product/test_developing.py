"""What the pages for developers name is there."""

import re
from pathlib import Path

import pytest
import yaml

import noisescope_core

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs/developing").glob("*.md")]
PLACES = r"`((?:noisescope_core|tests|docs|conf|jobs|benchmarks)/[\w/.-]*)`"
MADE_ON_THE_PAGE = ("direction",)
"""Files that a page tells to make have it in their name."""


def tree(text):
    """Paths that a drawing of folders shows, one a line under its folder."""
    above = []
    for line in text.splitlines():
        drawn = re.match(r"([│├└─ ]*)([\w.]+/?)", line)
        if drawn and (drawn[1] or line.endswith("/")):
            del above[len(drawn[1]) // 4 :]
            above.append(drawn[2])
            yield "".join(above)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page):
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(PLACES, text))
    for drawing in re.findall(r"^```text\n(noisescope_core/\n.*?)^```", text, flags=re.S | re.M):
        named.update(tree(drawing))
    missing = [
        place
        for place in sorted(named)
        if not (ROOT / place).exists() and not any(made in place for made in MADE_ON_THE_PAGE)
    ]
    assert not missing


def test_the_citation_has_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == noisescope_core.__version__
    assert citation["license"] in (ROOT / "setup.cfg").read_text(encoding="utf-8")
