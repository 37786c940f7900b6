"""The documentation as a whole: its links, its tables, the site's list of pages, and that its programs are run."""

import re
from pathlib import Path

import pytest

from tests.support.on_backends import on_tensorflow_alone
from tests.support.result_tables import TABLES

pytestmark = on_tensorflow_alone

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *DOCS.rglob("*.md")))
READMES = ["scripts/README.md", "benchmarks/README.md"]


def text(page):
    return re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)


def anchors(path):
    """Returns how the site and GitHub call the headings of a page in addresses."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), flags=re.MULTILINE)
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", heading.lower())) for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, *READMES])
def test_no_link_is_dead(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", text(page)):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (ROOT / page).parent / path if path else ROOT / page
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), target


@pytest.mark.parametrize("page", TABLES)
def test_the_tables_are_those_of_the_results(page):
    for make in TABLES[page]:
        assert make() in (ROOT / page).read_text(), f"{page} has an older table of {make.__name__}"


def test_the_site_has_every_page():
    nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    listed = re.findall(r"[ -]([\w/]+\.md)$", nav, flags=re.MULTILINE)
    assert sorted(f"docs/{page}" for page in listed) == [page for page in PAGES if page.startswith("docs/")]


def test_every_page_with_programs_has_a_test_that_names_it():
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__))
    for page in PAGES:
        if "```python" in (ROOT / page).read_text():
            assert page.removeprefix("docs/") in tests, page
