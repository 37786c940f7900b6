"""Figures of a regression on one input."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from tfp_bnn.plots.checks import check_one_target
from tfp_bnn.plots.style import BLUE, DARK, ORANGE, column, panels, themed
from tfp_bnn.prediction.predictive import Predictive

_MAX_DRAWN_NETWORKS = 10


@themed
def regression(
    x: np.ndarray,
    y: np.ndarray,
    x_test: np.ndarray,
    predictive: Predictive,
    truth: np.ndarray | None = None,
) -> Figure:
    """Draws a regression on one input: data, predictive mean, a few draws, and two standard deviations around.

    The inner band is epistemic, what more data would narrow; the outer one adds the noise of the data to it.

    Args:
        x: inputs of the data, [n] or [n, 1].
        y: targets of the data, [n] or [n, 1].
        x_test: inputs of the predictive distribution, [m] or [m, 1], in any order.
        predictive: the predictive distribution at `x_test`, of one target.
        truth: the noiseless targets at `x_test`, [m] or [m, 1], if they are known.

    Returns:
        A figure with one panel, in units of the input and of the target.

    Raises:
        ValueError: if an array has another shape, or the predictive distribution is not of one target.

    Example:

    >>> from tfp_bnn import likelihoods
    >>> predictive = Predictive(np.zeros((50, 3, 1)), likelihoods.Normal(scale=0.1))
    >>> figure = regression([0, 1], [0, 1], [-1, 0, 1], predictive)
    >>> figure.axes[0].get_xlabel()
    'x (units of the input)'
    """
    check_one_target("predictive", predictive)
    x = column("x", x)
    y = column("y", y, len(x))
    x_test = column("x_test", x_test, len(predictive))
    truth = None if truth is None else column("truth", truth, len(predictive))
    order = np.argsort(x_test, kind="stable")
    at, draws, mean = x_test[order], predictive.draws[:_MAX_DRAWN_NETWORKS, order, 0], predictive.mean()[order, 0]
    epistemic = predictive.epistemic_stddev()[order, 0]
    total = np.hypot(epistemic, predictive.aleatoric_stddev()[order, 0])

    figure, (axes,) = panels(1, 1, (9, 5))
    for stddev, alpha, of in (total, 0.15, "with the data's noise"), (epistemic, 0.3, "epistemic"):
        band = {"color": BLUE, "alpha": alpha, "lw": 0, "label": f"± 2 standard deviations, {of}"}
        axes.fill_between(at, mean - 2 * stddev, mean + 2 * stddev, **band)
    axes.plot(at, draws.T, color=BLUE, lw=0.7, alpha=0.6, label=["Draws of the network", *[None] * (len(draws) - 1)])
    axes.plot(at, mean, color=BLUE, lw=2.2, label="Predictive mean")
    if truth is not None:
        axes.plot(at, truth[order], color=DARK, lw=1.5, ls="--", label="Truth")
    axes.scatter(x, y, s=26, color=ORANGE, edgecolor="white", lw=0.5, zorder=3, label="Data")
    axes.set(title="Predictive distribution", xlabel="x (units of the input)", ylabel="y (units of the target)")
    axes.margins(x=0.01)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


@themed
def quartiles(
    x: np.ndarray,
    y: np.ndarray,
    x_test: np.ndarray,
    named: Mapping[str, Predictive],
    truth: np.ndarray | None = None,
) -> Figure:
    """Draws the curves of several networks side by side: the median over draws, the quartiles, and the middle 90 %.

    Args:
        x: inputs of the data, [n] or [n, 1].
        y: targets of the data, [n] or [n, 1].
        x_test: inputs of the predictive distributions, [m] or [m, 1], in any order.
        named: the predictive distribution of each network at `x_test`, by the title of its panel. One draw, as of a
            network without uncertainty, has no bands.
        truth: the noiseless targets at `x_test`, [m] or [m, 1], if they are known.

    Returns:
        A figure with a panel for each network, in units of the input and of the target.

    Raises:
        ValueError: if there is no network, an array has another shape, or a distribution is not of one target.

    Example:

    >>> from tfp_bnn import likelihoods
    >>> predictive = Predictive(np.zeros((50, 3, 1)), likelihoods.Normal(scale=0.1))
    >>> figure = quartiles([0, 1], [0, 1], [-1, 0, 1], {"Bayes by Backprop": predictive})
    >>> figure.axes[0].get_title()
    'Bayes by Backprop'

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", figure 5.
    """
    if not named:
        raise ValueError("`named` must have at least one predictive distribution. Received: none")
    x = column("x", x)
    y = column("y", y, len(x))
    figure, panel_of = panels(1, len(named), (5 * len(named), 4), sharex=True, sharey=True)
    for axes, (name, predictive) in zip(panel_of, named.items(), strict=True):
        check_one_target(f"named[{name!r}]", predictive)
        at = column("x_test", x_test, len(predictive))
        order = np.argsort(at, kind="stable")
        draws = predictive.draws[:, order, 0]
        low, lower, median, upper, high = np.quantile(draws, (0.05, 0.25, 0.5, 0.75, 0.95), axis=0)
        if len(draws) > 1:
            axes.fill_between(at[order], low, high, color=BLUE, alpha=0.15, lw=0, label="Middle 90 % of draws")
            axes.fill_between(at[order], lower, upper, color=BLUE, alpha=0.35, lw=0, label="Quartiles")
        axes.plot(at[order], median, color=BLUE, lw=2, label="Median")
        if truth is not None:
            axes.plot(at[order], column("truth", truth, len(at))[order], color=DARK, lw=1.2, ls="--", label="Truth")
        axes.scatter(x, y, s=8, color=ORANGE, lw=0, zorder=3, label="Data")
        axes.set(title=name, xlabel="x (units of the input)")
    panel_of[0].set_ylabel("y (units of the target)")
    everything = [*y, *([] if truth is None else np.ravel(truth))]
    room = 0.6 * np.ptp(everything)
    panel_of[0].set_ylim(min(everything) - room, max(everything) + room)
    handles = {label: line for axes in panel_of for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5)
    return figure
