"""The notebooks run from top to bottom with few epochs, show what they showed, and begin alike."""

import importlib.util
import re
import subprocess
from pathlib import Path

import nbformat
import pytest

from scripts.common import notebooks
from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone

FOLDER = Path(__file__).parents[2] / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
of_each = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
MAX_BYTES = 700_000


def kinds_of_outputs(notebook):
    """Returns, for each code cell, what it prints or shows: its kinds of outputs, pictures apart from words."""
    return [
        [(output.output_type, "image/png" in output.get("data", {})) for output in cell.outputs]
        for cell in notebooks.code_cells(notebook)
    ]


def test_they_are_a_series():
    assert [path.name.split("_")[0] for path in PATHS] == ["1", "2", "3", "4", "5", "6"]


@of_each
def test_it_runs_and_shows_what_it_showed(path, tmp_path):
    notebook = notebooks.quick(notebooks.read(path))
    shown = kinds_of_outputs(notebook)
    notebooks.run(notebook, tmp_path)
    assert kinds_of_outputs(notebook) == shown
    assert list(tmp_path.iterdir()) == []


@of_each
def test_its_outputs_are_those_of_one_run(path):
    cells = notebooks.code_cells(notebooks.read(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert path.stat().st_size < MAX_BYTES


@of_each
def test_a_line_under_each_picture_says_what_to_see(path):
    cells = notebooks.read(path).cells
    pictures = 0
    for cell, below in zip(cells, [*cells[1:], None], strict=True):
        if any("image/png" in output.get("data", {}) for output in cell.get("outputs", ())):
            pictures += 1
            assert below is not None, cell.source
            assert re.fullmatch(r"\*[^*].*\.\*", below.source), cell.source
    assert pictures >= 4


@of_each
def test_what_it_links_to_is_there(path):
    for cell in notebooks.read(path).cells:
        for target in re.findall(r"\]\(([^)]+)\)", cell.source if cell.cell_type == "markdown" else ""):
            assert target.startswith("https://arxiv.org/abs/") or (FOLDER / target).is_file(), target


def test_all_begin_alike():
    assert len({notebooks.code_cells(notebooks.read(path))[0].source for path in PATHS}) == 1


class TestTheFirstCell:
    """Where the package is not installed, it takes what lies there, or says what to do."""

    @pytest.fixture
    def folder(self, monkeypatch, tmp_path):
        folder = tmp_path / "content"
        folder.mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        return folder

    @pytest.fixture
    def installed(self, monkeypatch):
        """What pip is asked for."""
        asked = []
        monkeypatch.setattr(subprocess, "run", lambda command, check: asked.append(command[-1]))
        return asked

    def run(self):
        exec(notebooks.code_cells(notebooks.read(PATHS[0]))[0].source, {})

    def test_does_nothing_where_the_package_is(self, folder, installed, monkeypatch):
        monkeypatch.undo()
        self.run()
        assert installed == []

    @pytest.mark.parametrize("name", ["tfp_bnn-0.2.0-py3-none-any.whl", "tfp-bnn-main.zip", "tfp_bnn-0.2.0.tar.gz"])
    def test_takes_an_uploaded_file(self, name, folder, installed):
        (folder / name).touch()
        self.run()
        assert installed == [f"{folder / name}[data,plots,sklearn,tensorflow]"]

    @pytest.mark.parametrize("place", ["..", "tfp_bnn"])
    def test_takes_a_checkout_above_or_below(self, place, folder, installed):
        checkout = (folder / place).resolve()
        (checkout / "tfp_bnn").mkdir(parents=True)
        (checkout / "pyproject.toml").touch()
        self.run()
        assert installed == [f"{checkout}[data,plots,sklearn,tensorflow]"]

    def test_says_what_to_do_where_there_is_nothing(self, folder, installed):
        with pytest.raises(ImportError, match=r"Put its wheel \(tfp_bnn-\.\.\.\.whl\) or a zip"):
            self.run()
        assert installed == []


def test_a_tag_that_its_cell_does_not_know_is_an_error():
    cell = nbformat.v4.new_code_cell("epochs=3", metadata={"tags": ["quick:steps=1"]})
    with pytest.raises(ValueError, match=r"must set steps to a number, as its tag says\. Received:"):
        notebooks.quick_source(cell)
