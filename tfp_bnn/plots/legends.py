"""Legends below the panels."""

import math

from matplotlib.figure import Figure

_INCHES_OF_A_LINE, _INCHES_OF_A_LETTER = 0.65, 0.075


def legend_below(figure: Figure) -> None:
    """Puts one legend of everything that has a label below the panels, in as few rows as there is room for."""
    labels = [label for axes in figure.axes for label in axes.get_legend_handles_labels()[1]]
    inches = _INCHES_OF_A_LINE + _INCHES_OF_A_LETTER * max(map(len, labels))
    rows = math.ceil(len(labels) / max(1, int(figure.get_figwidth() / inches)))
    figure.legend(loc="outside lower center", ncols=math.ceil(len(labels) / rows))
