"""Notebooks run in this process: their code cells one after the other, and what a reader sees below each."""

import ast
import base64
import contextlib
import io
import re
from typing import Any

import nbformat
from matplotlib import pyplot
from nbformat import NotebookNode, v4
from PIL import Image

QUICK = "quick:"
"""Begins a tag of a cell: `quick:epochs=2` stands for `epochs=2` in a quick run, whatever the cell says."""


def run(notebook: NotebookNode, quick: bool = False) -> None:
    """Runs a notebook from top to bottom and puts into each code cell what it shows.

    Printed lines, figures of pyplot, and the value of a last expression: its picture, its table or its words. What
    goes to standard error stays there.

    Args:
        notebook: as `nbformat.read` gives it; its outputs are replaced.
        quick: whether the numbers in the cells' tags take the place of those in their sources.

    Raises:
        ValueError: if a tag names something that its cell does not set to a number.
        Exception: whatever a cell raises.
    """
    pyplot.switch_backend("agg")
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(cells, start=1):
        cell.outputs = _shown(quick_source(cell) if quick else cell.source, names, f"<cell {number}>")
        cell.execution_count = number
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = number


def quick_source(cell: NotebookNode) -> str:
    """Returns a cell's source with the numbers that its tags give.

    Args:
        cell: a code cell.

    Raises:
        ValueError: if a tag names something that the cell does not set exactly once.

    Example:

    >>> quick_source(v4.new_code_cell("fit(x, epochs=60)", metadata={"tags": ["quick:epochs=2"]}))
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


def _shown(source: str, names: dict[str, Any], title: str) -> list[NotebookNode]:
    """Runs a cell; returns its outputs."""
    program = ast.parse(source, title)
    last = program.body.pop() if program.body and isinstance(program.body[-1], ast.Expr) else None
    value, printed = None, io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(program, title, "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), title, "eval"), names)
    outputs = []
    if printed.getvalue():
        outputs.append(v4.new_output("stream", name="stdout", text=printed.getvalue()))
    if value is not None:
        outputs.append(v4.new_output("execute_result", data=_formats(value)))
    for number in pyplot.get_fignums():
        figure = pyplot.figure(number)
        outputs.append(v4.new_output("display_data", data={"image/png": _png(figure), "text/plain": repr(figure)}))
    pyplot.close("all")
    return outputs


def _formats(value: Any) -> dict[str, str]:
    """Returns what a notebook shows of a value, by its kind."""
    formats = {"text/plain": repr(value)}
    if hasattr(value, "_repr_png_"):
        formats["image/png"] = _encoded(value._repr_png_())
    if hasattr(value, "_repr_html_") and (page := value._repr_html_()) is not None:
        formats["text/html"] = page
    return formats


def _png(figure: Any) -> str:
    content = io.BytesIO()
    figure.savefig(content, format="png", bbox_inches="tight")
    return _encoded(content.getvalue())


def _encoded(png: bytes) -> str:
    """Returns a picture of 256 colors, as text: it looks the same, and takes a third of the room."""
    content = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    picture.save(content, "png", optimize=True)
    return base64.b64encode(content.getvalue()).decode()


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
