"""What all figures share: their looks, where their panels lie, and that nobody else's settings change."""

import functools
import io
from collections.abc import Callable
from typing import Any, ParamSpec

import numpy as np
import seaborn
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

BLUE, ORANGE, _, RED, *_ = PALETTE = seaborn.color_palette("colorblind").as_hex()
DARK = "0.2"
LINES = [{"color": color, "ls": style} for style in ("-", "--", ":") for color in PALETTE]

_STYLE = {"axes.edgecolor": "0.75", "grid.color": "0.92", "legend.framealpha": 0.9}
_Arguments = ParamSpec("_Arguments")


class ShownFigure(Figure):
    """A figure that notebooks show also if no `%matplotlib` line and no pyplot has told them how."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png")
        return content.getvalue()


def panels(rows: int, columns: int, size: tuple[float, float], **kwargs: Any) -> tuple[Figure, np.ndarray]:
    """Returns a figure, inches wide and high, and its axes one after the other; a layout engine places them."""
    figure = ShownFigure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
    return figure, figure.subplots(rows, columns, squeeze=False, **kwargs).ravel()


def themed(draw: Callable[_Arguments, Figure]) -> Callable[_Arguments, Figure]:
    """Draws in the style of this module, without changing anyone else's."""

    @functools.wraps(draw)
    def themed(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> Figure:
        with seaborn.axes_style("whitegrid", _STYLE), seaborn.plotting_context("notebook", font_scale=0.85):
            figure = draw(*args, **kwargs)
            # Matplotlib makes ticks when it first needs them, in the style of that time: it must not be later.
            for axes in figure.axes:
                axes.xaxis.get_major_ticks(1)
                axes.yaxis.get_major_ticks(1)
            return figure

    return themed


def column(name: str, values: np.ndarray, length: int | None = None) -> np.ndarray:
    """Returns the values of one column, [n] or [n, 1], as [n]; raises ValueError if they are anything else."""
    values = np.asarray(values)
    if values.ndim not in (1, 2) or values.shape[1:] not in ((), (1,)) or length not in (None, len(values)):
        n = "n" if length is None else length
        raise ValueError(f"`{name}` must be [{n}] or [{n}, 1]. Received: shape {values.shape}")
    return values.ravel()
