"""A figure of predicted targets beside those that were observed."""

import numpy as np
from matplotlib.figure import Figure

from tfp_bnn import metrics
from tfp_bnn.metrics.checks import check_level
from tfp_bnn.plots.checks import check_one_target
from tfp_bnn.plots.legends import legend_below
from tfp_bnn.plots.style import BLUE, DARK, RED, column, panels, themed
from tfp_bnn.prediction.predictive import Predictive

# More of them, and paler, would be a blot.
_LINES_AT_ONCE = 100


@themed
def observed(predictive: Predictive, y: np.ndarray, level: float = 0.95) -> Figure:
    """Draws predictive means and central intervals of targets against the observed ones.

    An interval goes from the quantile `(1 - level) / 2` of the predictive distribution to `(1 + level) / 2`, with the
    noise of the data and the uncertainty of the weights. Of a calibrated network, the share `level` of the intervals
    meets the diagonal.

    Args:
        predictive: the predictive distribution of n inputs, of one target; its likelihood is one of real targets or of
            counts.
        y: observed targets, [n] or [n, 1].
        level: probability of the intervals, between 0 and 1.

    Returns:
        A figure with one panel, in units of the target. The title has the share of targets in their intervals.

    Raises:
        ValueError: if the likelihood is another one or an argument does not fit the rest.

    Example:

    >>> from tfp_bnn import likelihoods
    >>> predictive = Predictive(np.zeros((50, 4, 1)), likelihoods.Normal(scale=1.0))
    >>> observed(predictive, [-1.9, 0.0, 1.9, 3.0]).axes[0].get_title()
    '75 % of 4 targets in their 95 % interval'
    """
    check_level(level)
    check_one_target("predictive", predictive)
    y = column("y", y, len(predictive))
    mean = predictive.mean()[:, 0]
    lower, upper = predictive.quantiles(((1 - level) / 2, (1 + level) / 2))[..., 0]
    share = metrics.coverage(y, lower, upper)
    inside = (lower <= y) & (y <= upper)
    figure, (axes,) = panels(1, 1, (6, 6.3))
    for which, color, label in (
        (inside, BLUE, "Predictive mean and interval"),
        (~inside, RED, "Target outside the interval"),
    ):
        axes.vlines(y[which], lower[which], upper[which], color=color, lw=1, alpha=min(0.35, _LINES_AT_ONCE / len(y)))
        axes.scatter(y[which], mean[which], s=14, color=color, lw=0, zorder=3, label=label)
    axes.axline((0, 0), slope=1, color=DARK, lw=1, ls="--", zorder=4, label="Predicted = observed")
    axes.set_title(f"{100 * share:.3g} % of {len(y):,} targets in their {100 * level:g} % interval")
    axes.set(xlabel="Observed y (units of the target)", ylabel="Predicted y (units of the target)")
    legend_below(figure)
    return figure
