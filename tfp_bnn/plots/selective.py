"""A figure of what is gained by refusing to answer where the network is not sure."""

import itertools
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from tfp_bnn import metrics
from tfp_bnn.plots.checks import all_classes_of, labels_of
from tfp_bnn.plots.legends import legend_below
from tfp_bnn.plots.style import LINES, panels, themed
from tfp_bnn.prediction.predictive import Predictive

_LAST_SHARE = 0.05


@themed
def accuracy_rejection(named: Mapping[str, Predictive], labels: np.ndarray) -> Figure:
    """Draws the accuracy of what is left when inputs are refused, those of the least probable class first.

    A network whose confidence is worth something rises from left to right. Of two, the one above is the better one at
    that share; the area under a curve is its mean over all shares.

    Args:
        named: the predictive distribution of each network, by the name that it shall have in the legend; all of the
            same n inputs.
        labels: their true classes, integers [n].

    Returns:
        A figure with one panel, in steps: inputs of equal confidence are refused together. The legend has the areas.
        The last twentieth, a few inputs, may leave the panel below.

    Raises:
        ValueError: if there is no network, a likelihood is not one of classes, or an argument does not fit the rest.

    Example:

    >>> from tfp_bnn import likelihoods
    >>> predictive = Predictive(np.log([[[0.9, 0.1], [0.6, 0.4], [0.8, 0.2]]]), likelihoods.Categorical())
    >>> figure = accuracy_rejection({"network": predictive}, labels=[0, 1, 0])
    >>> figure.legends[0].get_texts()[0].get_text()  # (2/3 + 1 + 1) / 3
    'network (area 0.889)'

    Source: Nadeem et al. 2009, "Accuracy-Rejection Curves (ARCs) for Comparing Classification Methods with a Reject
    Option", section 2; see `tfp_bnn.metrics.accuracy_rejection_curve`.
    """
    named = all_classes_of("named", named)
    answers = {}
    for name, predictive in named.items():
        probabilities = predictive.class_probabilities()
        answers[name] = probabilities.max(axis=-1), probabilities.argmax(axis=-1) == labels_of(predictive, labels)
    figure, (axes,) = panels(1, 1, (7, 4.5))
    least = 1.0
    for line, (name, answer) in zip(itertools.cycle(LINES), answers.items()):
        curve = metrics.accuracy_rejection_curve(*answer)
        rejected, accuracy = curve["rejected"], curve["accuracy"]
        label = f"{name} (area {metrics.accuracy_rejection_area(*answer):.3f})"
        # The surest are refused together, at the end.
        steps = [*rejected, 1.0], [*accuracy, accuracy.iloc[-1]]
        axes.plot(*steps, drawstyle="steps-post", lw=2, label=label, **line)
        least = min(least, accuracy[rejected <= 1 - _LAST_SHARE].min())
    room = 0.04 * max(1 - least, 0.01)
    axes.set(xlim=(0, 1), ylim=(least - room, 1 + room), title="Accuracy of the inputs that are not refused")
    axes.set(xlabel="Share of inputs refused, the least sure first", ylabel="Accuracy")
    legend_below(figure)
    return figure
