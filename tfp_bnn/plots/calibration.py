"""A figure of how well a classifier's confidence foretells its accuracy."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tfp_bnn import metrics
from tfp_bnn.plots.checks import all_classes_of, labels_of, num_classes
from tfp_bnn.plots.legends import legend_below
from tfp_bnn.plots.style import DARK, LINES, panels, themed
from tfp_bnn.prediction.predictive import Predictive


@themed
def reliability(named: Mapping[str, Predictive], labels: np.ndarray, num_bins: int = 15, level: float = 0.95) -> Figure:
    """Draws a reliability diagram: how often the likeliest class is right, against the probability that it is given.

    A network that is as often right as it says lies on the diagonal, one that is too sure below it. Below, how many
    inputs are in each bin: most of them are near 1, so their number is on a logarithmic scale.

    Args:
        named: the predictive distribution of each network, by the name that it shall have in the legend; all of the
            same n inputs.
        labels: their true classes, integers [n].
        num_bins: number of bins of equal width.
        level: probability of the bounds of the accuracy, those of Clopper & Pearson.

    Returns:
        A figure with two panels, one above the other. The legend has the expected calibration errors.

    Raises:
        ValueError: if there is no network, a likelihood is not one of classes, or an argument does not fit the rest.

    Example:

    >>> from tfp_bnn import likelihoods
    >>> predictive = Predictive(np.zeros((50, 3, 2)), likelihoods.Categorical())
    >>> figure = reliability({"network": predictive}, labels=[0, 0, 1])
    >>> figure.legends[0].get_texts()[-1].get_text()  # right in 2 of 3, and 1/2 sure
    'network (ECE 0.167)'

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2; see `tfp_bnn.metrics.reliability`.
    """
    named = all_classes_of("named", named)
    tables = {}
    for name, predictive in named.items():
        arguments = predictive.class_probabilities(), labels_of(predictive, labels), num_bins
        error = metrics.expected_calibration_error(*arguments)
        tables[f"{name} (ECE {error:.3f})"] = metrics.reliability(*arguments, level)
    classes = num_classes(*named.values())

    figure, (accuracy, inputs) = panels(2, 1, (6, 7), sharex=True, height_ratios=(3, 1))
    accuracy.plot([0, 1], [0, 1], color=DARK, lw=1, ls="--", label="Accuracy = confidence")
    for line, (label, table) in zip(itertools.cycle(LINES), tables.items()):
        _draw_accuracy(accuracy, table, {**line, "label": label})
        middles, edges = (table["lower"] + table["upper"]) / 2, np.linspace(0, 1, num_bins + 1)
        inputs.stairs(np.histogram(middles, edges, weights=table["count"])[0], edges, lw=1.5, **line)
    accuracy.set(xlim=(1 / classes - 0.02, 1.02), ylim=(-0.02, 1.02), ylabel="Accuracy")
    accuracy.set_title(f"Accuracy, with its {100 * level:g} % confidence interval")
    # From a little below one input.
    inputs.set(yscale="log", ylim=0.7, xlabel="Confidence, the probability of the likeliest class", ylabel="Inputs")
    legend_below(figure)
    return figure


def _draw_accuracy(axes: Axes, table: pd.DataFrame, style: Mapping[str, Any]) -> None:
    bounds = table["accuracy"] - table["accuracy_lower"], table["accuracy_upper"] - table["accuracy"]
    bars = {"elinewidth": 1, "capsize": 2.5}
    axes.errorbar(table["confidence"], table["accuracy"], bounds, marker="o", ms=4, lw=1, **bars, **style)
