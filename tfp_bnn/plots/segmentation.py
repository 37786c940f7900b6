"""A figure of images whose every pixel is classified, and of where the network is unsure."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from seaborn import color_palette

from tfp_bnn._checks import check_count
from tfp_bnn.plots.checks import images_of, names_of
from tfp_bnn.plots.pictures import as_picture
from tfp_bnn.plots.style import panels, themed
from tfp_bnn.prediction.predictive import Predictive, check_classes_of

_LEGEND_COLUMNS = 8


@themed
def segmentation(
    images: np.ndarray,
    predictive: Predictive,
    targets: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
    max_images: int = 4,
) -> Figure:
    """Draws images beside the likeliest class of each pixel, the entropy, and its epistemic part.

    Entropy and mutual information have one scale, from 0 to the greatest entropy shown, so that the parts can be
    compared: what is bright in the entropy alone is aleatoric, what is bright in both is epistemic.

    Args:
        images: [n, height, width], or with 1 or 3 channels last; pixels as for `predictions`.
        predictive: the predictive distribution of the n images, of outputs [n, height, width, classes]. Pixels that
            its mask leaves out are blank.
        targets: true classes of the pixels, [n, height, width]; None leaves them out.
        class_names: names of the classes; None numbers them.
        max_images: how many images are drawn, the first ones.

    Returns:
        A figure with a row for each image: the image, the true classes if there are any, the likeliest classes, the
        predictive entropy and the mutual information in nats.

    Raises:
        ValueError: if the likelihood is not one of classes, or an argument does not fit the rest.

    Example:

    >>> from tfp_bnn import likelihoods
    >>> predictive = Predictive(np.zeros((50, 2, 8, 8, 3)), likelihoods.Categorical())
    >>> figure = segmentation(np.zeros((2, 8, 8)), predictive, class_names=["sky", "tree", "road"])
    >>> [axes.get_title() for axes in figure.axes[:4]]
    ['Image', 'Likeliest class', 'Entropy', 'Mutual information']
    """
    check_count("max_images", max_images)
    images = images_of(check_classes_of("predictive", predictive), images)
    if predictive.shape_of_targets != images.shape[:3]:
        raise ValueError(
            "`predictive` must be of outputs [n, height, width, classes], a row of classes for each pixel. "
            f"Received: {predictive!r} beside images of shape {images.shape}"
        )
    names = names_of(predictive, class_names)
    shown = predictive[:max_images]
    maps = {"Likeliest class": shown.class_probabilities().argmax(axis=-1)}
    if targets is not None:
        maps = {"True class": _classes(targets, predictive)[:max_images], **maps}
    nats = {"Entropy": shown.entropy(), "Mutual information": shown.mutual_information()}
    columns = 1 + len(maps) + len(nats)
    figure, axes = panels(len(shown), columns, (1.9 * columns + 0.8, 1.9 * len(shown) + 0.8))
    _draw(figure, axes.reshape(len(shown), columns), images, shown, maps, nats, names)
    return figure


def _draw(
    figure: Figure,
    axes: np.ndarray,
    images: np.ndarray,
    shown: Predictive,
    maps: dict[str, np.ndarray],
    nats: dict[str, np.ndarray],
    names: Sequence[str],
) -> None:
    colors = ListedColormap(color_palette("colorblind" if len(names) <= 10 else "husl", len(names)))
    of_classes = {"cmap": colors, "norm": BoundaryNorm(np.arange(len(names) + 1) - 0.5, len(names))}
    most = max(np.nanmax(nats["Entropy"], initial=0.0), np.finfo("float32").tiny)
    of_nats = {"cmap": "viridis", "vmin": 0.0, "vmax": most}
    kinds: dict[str, Any] = {name: of_classes for name in maps} | {name: of_nats for name in nats}
    drawn = {}
    for row, panels_of_row in enumerate(axes):
        panels_of_row[0].imshow(as_picture(images[row]), cmap="gray", vmin=0, vmax=1)
        _label(panels_of_row[0], "Image" if row == 0 else "")
        for place, (name, values) in zip(panels_of_row[1:], {**maps, **nats}.items(), strict=True):
            is_hidden = np.zeros(values[row].shape, bool) if shown.mask is None else ~shown.mask[row]
            drawn[name] = place.imshow(np.ma.masked_where(is_hidden, values[row]), **kinds[name])
            _label(place, name if row == 0 else "")
    patches = [Patch(color=color, label=name) for color, name in zip(colors.colors, names, strict=True)]
    figure.legend(handles=patches, loc="outside lower center", ncols=min(len(names), _LEGEND_COLUMNS))
    figure.colorbar(drawn["Entropy"], ax=list(axes.ravel()), location="right", label="nats")


def _label(axes: Axes, title: str) -> None:
    axes.set(xticks=[], yticks=[], title=title)
    axes.grid(visible=False)


def _classes(targets: np.ndarray, predictive: Predictive) -> np.ndarray:
    targets = np.asarray(targets)
    if targets.shape != predictive.shape_of_targets:
        raise ValueError(
            f"`targets` must be [n, height, width], {predictive.shape_of_targets}. Received: shape {targets.shape}"
        )
    return targets
