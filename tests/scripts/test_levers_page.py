"""What the page of results says of levers is what the files say."""

import json
import re
from pathlib import Path

import pytest

from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone

RESULTS = Path(__file__).parents[2] / "docs" / "results"
SECTION = re.search(r"\n## Levers of image networks\n(.*?)\n## ", (RESULTS / "README.md").read_text(), re.DOTALL)[1]
FILES = sorted(path.name for path in (RESULTS / "levers").glob("*.json"))


def table(head):
    """Returns the rows of the table whose first cell is this."""
    lines = SECTION.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(f"| {head} |"))
    rows = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.split("|")[1:-1]])
    return rows


def test_the_page_names_each_file():
    assert all(f"(levers/{name})" in SECTION for name in FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_table_is_that_of_its_file(name):
    found = json.loads((RESULTS / "levers" / name).read_text())
    rows = table("test images" if found["images"] == "test" else "setting")
    trainings = found["trainings"]
    assert [row[0] for row in rows] == [training["setting"] for training in trainings]
    for (_, *cells), training in zip(rows, trainings, strict=True):
        scaled = training["at_temperature"]
        assert cells == [
            f"{training['accuracy_percent']:.2f}",
            *(
                f"{part[figure]:.{digits}f}"
                for part in (training, scaled)
                for figure, digits in (("nll", 3), ("ece", 4))
            ),
            f"{training['cpu_seconds']:.0f}",
        ]
