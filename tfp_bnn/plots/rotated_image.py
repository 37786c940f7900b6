"""A figure of one image that is turned away from what the network has seen."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tfp_bnn.plots.checks import images_of, labels_of, names_of, some_classes_of
from tfp_bnn.plots.pictures import as_picture
from tfp_bnn.plots.style import BLUE, DARK, LINES, ORANGE, RED, column, panels, themed
from tfp_bnn.prediction.predictive import Predictive

_LEAST_PROBABILITY = 0.1
_MAX_PICTURES = 13
_LONGEST_UPRIGHT_NAME = 3
_BESIDE = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}


@themed
def rotation(
    images: np.ndarray,
    angles: np.ndarray,
    predictive: Predictive,
    label: int | None = None,
    class_names: Sequence[str] | None = None,
) -> Figure:
    """Draws what a classifier says of one image, turned through many angles, and how unsure it becomes.

    Args:
        images: the image at each angle, [n, height, width], or with 1 or 3 channels last; pixels as for `predictions`.
        angles: in degrees, [n], at least two and all different, in any order.
        predictive: the predictive distribution of the n images; its likelihood is one of classes.
        label: the true class, an integer; None leaves it out.
        class_names: names of the classes; None numbers them.

    Returns:
        A figure with three panels over the angle. The images, at most 13 of them, under their predicted classes, red if
        wrong. The mean class probabilities with one standard deviation over draws to either side, of the true class
        and of those that exceed 0.1 somewhere. The predictive entropy in nats, as the sum of its aleatoric part, the
        expected entropy, and its epistemic one, the mutual information.

    Raises:
        ValueError: if the likelihood is another one or an argument does not fit the rest.

    Example:

    >>> from tfp_bnn import likelihoods
    >>> turned = np.stack([np.rot90(np.eye(28), turns) for turns in range(4)])
    >>> predictive = Predictive(np.zeros((50, 4, 2)), likelihoods.Categorical())
    >>> figure = rotation(turned, [0, 90, 180, 270], predictive)
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['', 'p(class)', 'Entropy (nats)']

    Source: Gal & Ghahramani 2016, "Dropout as a Bayesian Approximation: Representing Model Uncertainty in Deep
    Learning", section 5.2, figure 4.
    """
    predictive = some_classes_of("predictive", predictive)
    images, names = images_of(predictive, images), names_of(predictive, class_names)
    angles = _checked_angles(angles, len(predictive))
    if label is not None:
        label = int(labels_of(predictive, np.full(len(predictive), label))[0])
    order = np.argsort(angles)
    images, predictive, angles = images[order], predictive[order], angles[order]

    figure, (pictures, probabilities, entropy) = panels(3, 1, (9, 6.2), sharex=True, height_ratios=(0.9, 3, 2.2))
    _draw_pictures(pictures, images, angles, predictive.class_probabilities().argmax(axis=-1), label, names)
    _draw_probabilities(probabilities, predictive, angles, label, names)
    _draw_entropy(entropy, predictive, angles)
    return figure


def _checked_angles(angles: np.ndarray, count: int) -> np.ndarray:
    angles = column("angles", angles, count).astype("float64")
    if len(angles) < 2 or not np.isfinite(angles).all() or len(np.unique(angles)) < len(angles):
        raise ValueError(f"`angles` must be at least two, finite and all different. Received: {angles}")
    return angles


def _draw_pictures(
    axes: Axes, images: np.ndarray, angles: np.ndarray, predicted: np.ndarray, label: int | None, names: Sequence[str]
) -> None:
    """Draws images at their angles, almost as wide as the narrowest gap between them."""
    shown = slice(None, None, math.ceil(len(angles) / _MAX_PICTURES))
    half_width = 0.47 * np.diff(angles[shown]).min()
    half_height = half_width * images.shape[1] / images.shape[2]
    above = {"xytext": (0, 3), "textcoords": "offset points", "ha": "center"}
    if max(map(len, names)) > _LONGEST_UPRIGHT_NAME:
        above |= {"rotation": 45, "ha": "left", "rotation_mode": "anchor"}
    for angle, image, likeliest in zip(angles[shown], images[shown], predicted[shown], strict=True):
        extent = (angle - half_width, angle + half_width, -half_height, half_height)
        axes.imshow(as_picture(image), cmap="gray", vmin=0, vmax=1, extent=extent)
        color = DARK if label in (None, likeliest) else RED
        axes.annotate(names[likeliest], (angle, half_height), color=color, **above)
    axes.set(xlim=(angles[0] - half_width, angles[-1] + half_width), ylim=(-half_height, half_height), yticks=[])
    axes.set_xticks(angles[shown], [f"{angle:.3g}" for angle in angles[shown]])
    axes.tick_params(labelbottom=False)
    axes.grid(visible=False)
    axes.set_frame_on(False)


def _draw_probabilities(
    axes: Axes, predictive: Predictive, angles: np.ndarray, label: int | None, names: Sequence[str]
) -> None:
    means, stddevs = predictive.class_probabilities().T, predictive.as_classes().epistemic_stddev().T
    for index, (line, mean, stddev) in enumerate(zip(itertools.cycle(LINES), means, stddevs)):
        if index == label or mean.max() > _LEAST_PROBABILITY:
            width, ending = (3, ", true") if index == label else (1.5, "")
            axes.fill_between(angles, mean - stddev, mean + stddev, color=line["color"], alpha=0.2, lw=0)
            axes.plot(angles, mean, lw=width, label=f"{names[index]}{ending}", **line)
    axes.set(ylim=(-0.02, 1.02), ylabel="p(class)", title="Mean p(class) ± standard deviation")
    axes.legend(**_BESIDE)


def _draw_entropy(axes: Axes, predictive: Predictive, angles: np.ndarray) -> None:
    parts = predictive.expected_entropy(), predictive.mutual_information()
    axes.stackplot(angles, *parts, labels=("Aleatoric", "Epistemic"), colors=(BLUE, ORANGE), alpha=0.6, lw=0)
    axes.set(ylim=0, ylabel="Entropy (nats)", xlabel="Angle (degrees)")
    axes.set_title("Entropy: aleatoric (expected entropy) and epistemic (mutual information)")
    axes.legend(reverse=True, **_BESIDE)
