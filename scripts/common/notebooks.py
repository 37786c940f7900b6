"""Notebooks, run from top to bottom by Jupyter in a kernel of their own."""

import base64
import copy
import io
import re
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

QUICK = "quick:"
"""Begins a tag of a cell: `quick:epochs=2` stands for `epochs=2` in a quick run, whatever the cell says."""


def read(path: Any) -> NotebookNode:
    """Reads a notebook.

    Args:
        path: of the .ipynb file.
    """
    return nbformat.read(path, as_version=4)


def write(notebook: NotebookNode, path: Any) -> None:
    """Writes a notebook.

    Args:
        notebook: as `read` gives it.
        path: of the .ipynb file.
    """
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


def run(notebook: NotebookNode, folder: Path) -> None:
    """Runs a notebook and puts into each code cell what a reader sees below it.

    What goes to standard error (progress, words of the backends) is left out.

    Args:
        notebook: as `read` gives it; its outputs are replaced.
        folder: where it runs.

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell raises.
    """
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=None, record_timing=False, coalesce_streams=True, resources=where).execute()
    for cell in code_cells(notebook):
        cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = _in_few_colors(output.data["image/png"])


def quick(notebook: NotebookNode) -> NotebookNode:
    """Returns a copy of a notebook in which the numbers in the cells' tags take the place of those in the sources.

    Args:
        notebook: as `read` gives it.

    Raises:
        ValueError: if a tag names something that its cell does not set to a number.
    """
    changed = copy.deepcopy(notebook)
    for cell in code_cells(changed):
        cell.source = quick_source(cell)
    return changed


def quick_source(cell: NotebookNode) -> str:
    """Returns a cell's source with the numbers that its tags give.

    Args:
        cell: a code cell.

    Raises:
        ValueError: if a tag names something that the cell does not set to a number.

    Example:

    >>> quick_source(nbformat.v4.new_code_cell("fit(x, epochs=60)", metadata={"tags": ["quick:epochs=2"]}))
    'fit(x, epochs=2)'
    """
    source = cell.source
    for tag in cell.metadata.get("tags", ()):
        if tag.startswith(QUICK):
            name, number = tag.removeprefix(QUICK).split("=")
            source, found = re.subn(rf"\b({name} ?= ?)[\d_.]+", rf"\g<1>{number}", source)
            if not found:
                raise ValueError(f"A cell must set {name} to a number, as its tag says. Received:\n{cell.source}")
    return source


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Returns the cells that hold code.

    Args:
        notebook: as `read` gives it.
    """
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _in_few_colors(png: str) -> str:
    """Returns a picture of 256 colors: it looks the same, and takes a third of the room."""
    content = io.BytesIO()
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(content, "png", optimize=True)
    return base64.b64encode(content.getvalue()).decode()
