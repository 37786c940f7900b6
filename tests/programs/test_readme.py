"""The README is one screen, and what it links to is there. Its program runs with those of docs/get_started.md."""

import re
from pathlib import Path

import pytest

from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_it_is_one_screen():
    (program,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len([line for line in program.splitlines() if line]) <= 17
    assert len(README.split()) <= 700


@pytest.mark.parametrize("path", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_what_the_readme_links_to_is_there(path):
    assert (ROOT / path).exists()
