"""Figures of a classifier's predictions: image by image, and how unsure it is of whole sets of them."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from tfp_bnn._checks import check_count
from tfp_bnn.plots.checks import all_classes_of, images_of, labels_of, names_of, num_classes, some_classes_of
from tfp_bnn.plots.pictures import TRUE_CLASS, draw_image
from tfp_bnn.plots.style import BLUE, DARK, LINES, ShownFigure, panels, themed
from tfp_bnn.prediction.predictive import Predictive

_MAX_NAMED_CLASSES = 20


@themed
def predictions(
    images: np.ndarray,
    predictive: Predictive,
    labels: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
    max_images: int = 10,
) -> Figure:
    """Draws images beside what each drawn network says of them, and what all draws say together.

    Args:
        images: [n, height, width], or with 1 or 3 channels last; integers from 0 to 255, or numbers from 0 to 1. An
            image with numbers beyond that range is stretched from its least to its greatest.
        predictive: the predictive distribution of the n images; its likelihood is one of classes.
        labels: true classes, integers [n]; None leaves them out.
        class_names: names of the classes; None numbers them.
        max_images: how many images are drawn, the first ones.

    Returns:
        A figure with a row for each image. Its columns: the image; the class probabilities of each draw, with
        quartiles, and the mutual information of class and weights in nats; their mean with one standard deviation over
        draws to either side, and the predictive entropy in nats. The true class is shaded.

    Raises:
        ValueError: if the likelihood is another one or an argument does not fit the rest.

    Example:

    >>> from tfp_bnn import likelihoods
    >>> predictive = Predictive(np.zeros((50, 3, 2)), likelihoods.Categorical())
    >>> figure = predictions(np.zeros((3, 28, 28)), predictive, labels=[0, 1, 1], class_names=["cat", "dog"])
    >>> len(figure.axes)
    9
    """
    check_count("max_images", max_images)
    predictive = some_classes_of("predictive", predictive)
    images, names = images_of(predictive, images), names_of(predictive, class_names)
    labels = [None] * len(images) if labels is None else labels_of(predictive, labels).tolist()
    shown = predictive[: int(max_images)]
    mean, of_draws = shown.class_probabilities(), shown.as_classes()
    draws, stddev = of_draws.draws, of_draws.epistemic_stddev()
    information, entropy = shown.mutual_information(), shown.entropy()
    figure, rows = _rows_of_panels(len(shown), names)
    for row, (picture, each_draw, together) in enumerate(rows):
        label, likeliest = labels[row], mean[row].argmax()
        true = None if label is None else names[label]
        draw_image(picture, images[row], f"predicted {names[likeliest]}", true, wrong=label not in (None, likeliest))
        _draw_each_draw(each_draw, draws[:, row])
        _draw_mean(together, mean[row], stddev[row])
        _finish_panel(each_draw, f"Mutual information {information[row]:.2f} nats", label)
        _finish_panel(together, f"Entropy {entropy[row]:.2f} nats", label)
    headers = "Image", f"p(class) by draw, n = {len(draws)}, with quartiles", "Mean p(class) ± standard deviation"
    for axes, header in zip(rows[0], headers, strict=True):
        axes.annotate(header, (0.5, 1), (0, 26), "axes fraction", "offset points", ha="center", weight="bold")
    return figure


@themed
def uncertainty(named: Mapping[str, Predictive]) -> Figure:
    """Draws how uncertain a classifier is about several sets of inputs, such as held-out images and noise.

    For each set, the share of inputs (cumulative) whose predictive entropy, or whose greatest class probability, is at
    most so much. A network that knows what it does not know has noise far to the right in the first panel and far to
    the left in the second.

    Args:
        named: the predictive distribution of each set, by the name that it shall have in the legend.

    Returns:
        A figure with two panels: predictive entropy in nats, and the probability of the likeliest class.

    Raises:
        ValueError: if there is no set, a set is empty, or a likelihood is not one of classes.

    Example:

    >>> from tfp_bnn import likelihoods
    >>> logits = np.tile([9.0, 0.0], (50, 3, 1))
    >>> named = {name: Predictive(x, likelihoods.Categorical()) for name, x in (("a", logits), ("b", 0.1 * logits))}
    >>> [axes.get_title() for axes in uncertainty(named).axes]
    ['Predictive entropy', 'Greatest class probability']
    """
    named = all_classes_of("named", named)
    figure, (entropy, probability) = panels(1, 2, (9, 4), sharey=True)
    for line, (name, predictive) in zip(itertools.cycle(LINES), named.items()):
        style = {**line, "lw": 2, "label": f"{name} ({len(predictive):,})"}
        seaborn.ecdfplot(x=predictive.entropy(), ax=entropy, **style)
        seaborn.ecdfplot(x=predictive.class_probabilities().max(axis=-1), ax=probability, **style)
    classes = num_classes(*named.values())
    # Beyond the ends, since many inputs lie at an end.
    entropy.set(xlim=(-0.03 * math.log(classes), 1.03 * math.log(classes)), ylim=(-0.02, 1.02))
    probability.set_xlim(1 / classes - 0.03, 1.03)
    entropy.set(title="Predictive entropy", xlabel=f"Entropy (nats, at most log {classes})", ylabel="Share of inputs")
    probability.set(title="Greatest class probability", xlabel="Probability of the likeliest class")
    figure.legend(*entropy.get_legend_handles_labels(), loc="outside lower center", ncols=min(len(named), 4))
    return figure


def _rows_of_panels(count: int, names: Sequence[str]) -> tuple[Figure, np.ndarray]:
    """Returns a figure and its axes [count, 3], with the classes named below the panels."""
    # Margins in inches, since a layout engine takes longer here than all the drawing.
    panel, gap, top, bottom = 0.88, 0.5, 0.58, 0.35
    named, longest = len(names) <= _MAX_NAMED_CLASSES, max(map(len, names))
    slanted = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if named and longest > 3 else {}
    bottom += 0.05 * longest if slanted else 0
    height = top + count * panel + (count - 1) * gap + bottom
    figure = ShownFigure(figsize=(9, height))
    margins = {"left": 0.02, "right": 0.98, "top": 1 - top / height, "bottom": bottom / height}
    spaces = {"hspace": gap / panel, "wspace": 0.11, "width_ratios": (1, 2.9, 2.9)}
    rows = figure.subplots(count, 3, squeeze=False, gridspec_kw={**margins, **spaces})
    for axes in rows[:, 1:].flat:
        axes.set(xlim=(-0.6, len(names) - 0.4), ylim=(0, 1), yticks=(0, 0.5, 1))
        axes.grid(visible=False, axis="x")
        axes.tick_params(labelsize="small", pad=2)
        if named:
            axes.set_xticks(range(len(names)), names, **slanted)
        axes.tick_params(labelbottom=not slanted or axes in rows[-1], labelleft=axes in rows[:, 1])
    return figure, rows


def _draw_each_draw(axes: Axes, probabilities: np.ndarray) -> None:
    """Draws [draws, classes] as points, side by side in the order of the draws, in boxes from quartile to quartile."""
    draws, classes = probabilities.shape
    at = np.arange(classes)
    beside = 0.6 * ((np.arange(draws) + 0.5) / draws - 0.5)
    axes.scatter(at + beside[:, np.newaxis], probabilities, s=5, color=BLUE, alpha=0.5, lw=0, clip_on=False)
    low, median, high = np.quantile(probabilities, (0.25, 0.5, 0.75), axis=0)
    left, right = at - 0.35, at + 0.35
    # One stroke a class: along the median, around the box, and back to the median.
    stroke = [(left, median), (right, median), (right, high), (left, high), (left, low), (right, low), (right, median)]
    axes.add_collection(LineCollection(np.moveaxis(stroke, -1, 0), colors=DARK, lw=0.9), autolim=False)


def _draw_mean(axes: Axes, mean: np.ndarray, stddev: np.ndarray) -> None:
    error = {"ecolor": DARK, "elinewidth": 1.1, "capsize": 2.5 if len(mean) <= _MAX_NAMED_CLASSES else 0}
    axes.bar(np.arange(len(mean)), mean, yerr=stddev, width=0.7, color=BLUE, alpha=0.85, lw=0, error_kw=error)


def _finish_panel(axes: Axes, title: str, label: int | None) -> None:
    # A title whose height is given spares Matplotlib a search for it among all ticks.
    axes.set_title(title, fontsize="small", loc="left", y=1)
    if label is not None:
        axes.axvspan(label - 0.5, label + 0.5, **TRUE_CLASS, zorder=0)
