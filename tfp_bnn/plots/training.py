"""Figures of a training."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tfp_bnn.plots.style import BLUE, ORANGE, panels, themed

_SETS = (("", "training", BLUE), ("val_", "validation", ORANGE))
_PANELS = {
    "loss": ("Loss, nll + kl_weight · kl", "Nats an example"),
    "nll": ("Negative log-likelihood, nll", "Nats an example"),
    "kl": ("KL divergence, kl", "Nats, whole network"),
    "accuracy": ("Accuracy", "Share of examples"),
    "sparse_categorical_accuracy": ("Accuracy", "Share of examples"),
    "mse": ("Mean squared error", "Squared units of the target"),
    "mean_squared_error": ("Mean squared error", "Squared units of the target"),
}
_HALVES = "Halves of the loss, nll and kl_weight · kl"


@themed
def training_curves(history: keras.callbacks.History | Mapping[str, Sequence[float]] | pd.DataFrame) -> Figure:
    """Draws how loss, nll, kl, accuracy and mean squared error went in training, and in validation where they are.

    Where a history has both loss and nll, both halves of the loss stand on one axis: nll, and what the loss has beside
    it, the KL term as it counts. Where that is the greater one, the network learns the prior rather than the data.

    Args:
        history: what `fit` returned, its `history`, or the table that `keras.callbacks.CSVLogger` wrote, as
            `pandas.read_csv` reads it. What it lacks is left out.

    Returns:
        A figure with a panel for each quantity, over epochs counted from 1 as `fit` prints them.

    Raises:
        ValueError: if there is nothing to draw, or if the columns differ in length.

    Example:

    >>> figure = training_curves({"loss": [2.0, 1.5], "val_loss": [2.1, 1.8], "accuracy": [0.5, 0.7]})
    >>> [axes.get_title() for axes in figure.axes]
    ['Loss, nll + kl_weight · kl', 'Accuracy']
    """
    table = _history_table(history).dropna(axis="columns", how="all")
    names = [name for name in _PANELS if name in table or f"val_{name}" in table]
    if not names:
        raise ValueError(
            f"There is nothing to draw: `history` must have values of one of {', '.join(_PANELS)}. "
            f"Received: values of {', '.join(map(str, table)) or 'nothing'}"
        )
    columns = 2 if len(names) == 4 else min(len(names), 3)
    rows = math.ceil(len(names) / columns)
    figure, axes = panels(rows, columns, (4 * columns, 3.2 * rows))
    for panel, name in zip(axes, names, strict=False):
        _draw_training(panel, table, name)
    for panel in axes[len(names) :]:
        panel.remove()
    return figure


def _history_table(history: Any) -> pd.DataFrame:
    """Returns one row an epoch, indexed by the epoch's number from 1."""
    if isinstance(history, keras.callbacks.History):
        history = {**history.history, "epoch": history.epoch}
    if not isinstance(history, Mapping | pd.DataFrame):
        raise ValueError(f"`history` must be a History, a dict or a DataFrame. Received: {type(history).__name__}")
    lengths = {name: len(history[name]) for name in history}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            "Columns must be of one length. If validation was not in every epoch, the table of CSVLogger says in "
            f"which. Received: lengths {lengths}"
        )
    table = pd.DataFrame(history)
    epochs = table.pop("epoch") if "epoch" in table else np.arange(len(table))
    return table.set_axis(np.asarray(epochs) + 1, axis="index")


def _draw_training(axes: Axes, table: pd.DataFrame, name: str) -> None:
    title, unit = _PANELS[name]
    for prefix, label, color in _SETS:
        if name == "nll" and {f"{prefix}loss", f"{prefix}nll"} <= set(table):
            title = _HALVES
            _draw_curve(axes, table[f"{prefix}nll"], f"{label}, nll", color)
            _draw_curve(axes, table[f"{prefix}loss"] - table[f"{prefix}nll"], f"{label}, KL term", color, ls="--")
        elif f"{prefix}{name}" in table:
            _draw_curve(axes, table[f"{prefix}{name}"], label, color)
    axes.set(title=title, xlabel="Epoch", ylabel=unit)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, nbins=8))
    if name == "kl":
        axes.yaxis.set_major_formatter(ticker.EngFormatter(sep=""))
    axes.legend()


def _draw_curve(axes: Axes, values: pd.Series, label: str, color: str, ls: str = "-") -> None:
    marker = "o" if len(values) <= 30 else None
    values = values.dropna()  # Not every epoch need have a validation.
    axes.plot(values.index, values, color=color, ls=ls, label=label, marker=marker, ms=4)
