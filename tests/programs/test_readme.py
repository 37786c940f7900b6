"""The README's program runs as it stands there, and what it links to is there."""

import re
from pathlib import Path

import pytest

from tests.support.on_backends import on_tensorflow_alone

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
(PROGRAM,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@on_tensorflow_alone
def test_the_program_runs():
    names: dict = {}
    assert "epochs=10" in PROGRAM
    exec(PROGRAM.replace("epochs=10", "epochs=1, verbose=0"), names)
    assert names["predictive"].mean().shape == (1000, 10)
    assert set(names["answers"].tolist()) <= {*range(-1, 10)}


def test_it_is_one_screen():
    assert len(README.split()) <= 700
    assert len([line for line in PROGRAM.splitlines() if line]) <= 17


@pytest.mark.parametrize("path", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_what_the_readme_links_to_is_there(path):
    assert (ROOT / path).exists()
