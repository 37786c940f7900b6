"""Figures of how well uncertainty tells unknown inputs, out of the distribution of training, from known ones."""

import itertools
import math
from collections.abc import Mapping

import numpy as np
import seaborn
from matplotlib.figure import Figure

from tfp_bnn import metrics
from tfp_bnn.plots.checks import all_classes_of, num_classes, some_classes_of
from tfp_bnn.plots.legends import legend_below
from tfp_bnn.plots.style import DARK, LINES, panels, themed
from tfp_bnn.prediction.predictive import Predictive

_NUM_BINS = 40


@themed
def entropy_histograms(known: Predictive, unknown: Mapping[str, Predictive]) -> Figure:
    """Draws how the predictive entropy of known inputs is distributed, and that of unknown ones.

    The shares are on a logarithmic scale: a good network puts nearly all known inputs into the first bin, and it is
    the few beyond that are taken for unknown ones.

    Args:
        known: the predictive distribution of inputs like those of training.
        unknown: that of each set of other inputs, by the name that it shall have in the legend.

    Returns:
        A figure with one panel: the share of each set's inputs in bins of equal width, over entropy in nats.

    Raises:
        ValueError: if there is no set, a set is empty, or a likelihood is not one of classes.

    Example:

    >>> from tfp_bnn import likelihoods
    >>> logits = np.tile([9.0, 0.0], (50, 3, 1))
    >>> known, noise = (Predictive(x, likelihoods.Categorical()) for x in (logits, 0.1 * logits))
    >>> figure = entropy_histograms(known, {"noise": noise})
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['known (3)', 'noise (3)']
    """
    known = some_classes_of("known", known)
    unknown = all_classes_of("unknown", unknown)
    most = math.log(num_classes(known, *unknown.values()))
    figure, (axes,) = panels(1, 1, (8, 4.5))
    edges = np.linspace(0, most, _NUM_BINS + 1)
    sets = [("known", known, {"color": DARK, "fill": True, "alpha": 0.25, "lw": 1})]
    sets += [(*named, {**line, "fill": False, "lw": 2}) for line, named in zip(itertools.cycle(LINES), unknown.items())]
    for name, predictive, style in sets:
        # Rounding would put the least sure ones beyond the last bin; that of the bound in single precision, too.
        entropy = np.clip(predictive.entropy().astype("float64"), 0, most)
        label = f"{name} ({len(predictive):,})"
        seaborn.histplot(x=entropy, bins=edges, stat="proportion", element="step", ax=axes, label=label, **style)
    axes.set(yscale="log", xlim=(0, most), title="Predictive entropy")
    axes.set(xlabel=f"Entropy (nats, at most log {round(math.exp(most))})", ylabel="Share of inputs, by bin")
    legend_below(figure)
    return figure


@themed
def roc(scores: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Draws receiver operating characteristics: the unknown inputs that a threshold finds against its false alarms.

    Args:
        scores: pairs of the scores of known inputs, [n], and of unknown ones, [m], higher = more unusual, such as
            `Predictive.entropy`; by the name of the score, the network or the set of unknown inputs, as it shall stand
            in the legend.

    Returns:
        A figure with one panel. The legend has the areas under the curves.

    Raises:
        ValueError: if there is no pair, or if scores have another rank, are none, or one is not finite.

    Example:

    >>> figure = roc({"entropy": (np.array([0.1, 0.2, 0.4]), np.array([0.3, 0.5]))})
    >>> figure.legends[0].get_texts()[0].get_text()  # 5 of 6 pairs
    'entropy (AUROC 0.833)'

    Source: Hendrycks & Gimpel 2017, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural
    Networks", section 2.
    """
    from sklearn.metrics import roc_curve  # Slow to import.

    if not scores:
        raise ValueError("`scores` must have at least one pair of known and unknown scores. Received: none")
    areas = {}
    for name, pair in scores.items():
        if len(pair) != 2:
            raise ValueError(f"`scores[{name!r}]` must be a pair, known and unknown. Received: {len(pair)} of them")
        areas[name] = metrics.auroc(*pair)
    figure, (axes,) = panels(1, 1, (5.5, 6))
    for line, (name, (known, unknown)) in zip(itertools.cycle(LINES), scores.items()):
        flagged, found, _ = roc_curve(np.repeat([0, 1], [len(known), len(unknown)]), np.concatenate([known, unknown]))
        axes.plot(flagged, found, lw=2, label=f"{name} (AUROC {areas[name]:.3f})", **line)
    axes.plot([0, 1], [0, 1], color=DARK, lw=1, ls="--", label="Guessing (AUROC 0.500)")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", title="Receiver operating characteristic")
    axes.set(xlabel="Share of known inputs flagged", ylabel="Share of unknown inputs flagged")
    legend_below(figure)
    return figure
