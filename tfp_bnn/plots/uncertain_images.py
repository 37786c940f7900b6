"""A figure of the images that a classifier is least sure of."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from tfp_bnn._checks import check_count
from tfp_bnn.plots.checks import images_of, labels_of, names_of, some_classes_of
from tfp_bnn.plots.pictures import draw_image
from tfp_bnn.plots.style import panels, themed
from tfp_bnn.prediction.predictive import Predictive

_COLUMNS = 5


@themed
def least_sure(
    images: np.ndarray,
    predictive: Predictive,
    labels: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
    max_images: int = 20,
) -> Figure:
    r"""Draws the images of greatest predictive entropy, the greatest first.

    Args:
        images: [n, height, width], or with 1 or 3 channels last; pixels as for `predictions`.
        predictive: the predictive distribution of the n images; its likelihood is one of classes.
        labels: true classes, integers [n]; None leaves them out.
        class_names: names of the classes; None numbers them.
        max_images: how many images are drawn.

    Returns:
        A figure with a panel for each image: above it its true class, below it the likeliest class with its
        probability, red if wrong, and the entropy in nats.

    Raises:
        ValueError: if the likelihood is another one or an argument does not fit the rest.

    Example:

    >>> from tfp_bnn import likelihoods
    >>> predictive = Predictive(np.tile([[9.0, 0.0], [0.1, 0.0]], (50, 1, 1)), likelihoods.Categorical())
    >>> figure = least_sure(np.zeros((2, 28, 28)), predictive, class_names=["cat", "dog"], max_images=1)
    >>> figure.axes[0].get_xlabel()
    'predicted cat\np = 0.52, 0.69 nats'
    """
    check_count("max_images", max_images)
    predictive = some_classes_of("predictive", predictive)
    images, names = images_of(predictive, images), names_of(predictive, class_names)
    labels = None if labels is None else labels_of(predictive, labels)
    mean, entropy = predictive.class_probabilities(), predictive.entropy()
    # What is not a number is least sure of all.
    shown = np.argsort(-np.nan_to_num(entropy, nan=np.inf), kind="stable")[:max_images]
    columns = min(len(shown), _COLUMNS)
    rows = math.ceil(len(shown) / columns)
    figure, places = panels(rows, columns, (1.7 * columns, 2.15 * rows))
    # Titles and captions of neighbouring rows would touch.
    figure.get_layout_engine().set(h_pad=0.12)
    for axes, index in zip(places, shown, strict=False):
        likeliest = mean[index].argmax()
        caption = f"predicted {names[likeliest]}\np = {mean[index, likeliest]:.2f}, {entropy[index]:.2f} nats"
        true = None if labels is None else names[labels[index]]
        draw_image(axes, images[index], caption, true, wrong=labels is not None and labels[index] != likeliest)
    for axes in places[len(shown) :]:
        axes.remove()
    return figure
