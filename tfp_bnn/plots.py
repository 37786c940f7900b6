"""Figures of Bayesian networks: their weights, their training, what they predict and how sure they are of it.

Every function returns a Matplotlib `Figure` and neither shows nor saves it. A notebook shows the last value of a cell;
`figure.savefig("name.png")` saves it. pyplot and the settings of other figures are left as they are.
"""

import functools
import io
import itertools
import math
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ParamSpec

import keras
import numpy as np
import pandas as pd
import seaborn
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from tfp_bnn.layers.variational_layer import variational_layers
from tfp_bnn.likelihoods import Categorical
from tfp_bnn.posteriors import NormalWeights
from tfp_bnn.predictive import Predictive

_Arguments = ParamSpec("_Arguments")

_BLUE, _ORANGE, _, _RED, *_ = _PALETTE = seaborn.color_palette("colorblind").as_hex()
_DARK = "0.2"
_LINES = [{"color": color, "ls": style} for style in ("-", "--", ":") for color in _PALETTE]
_TRUE_CLASS = {"facecolor": _ORANGE, "alpha": 0.25, "lw": 0}
_STYLE = {"axes.edgecolor": "0.75", "grid.color": "0.92", "legend.framealpha": 0.9}

_MAX_WEIGHTS = 10_000  # A kernel density takes time in proportion to them, and looks the same with more.
_MAX_DRAWN_NETWORKS = 10
_MAX_NAMED_CLASSES = 20

_TRAINING_PANELS = {
    "loss": ("Loss, nll + kl_weight · kl", "Nats an example"),
    "nll": ("Negative log-likelihood, nll", "Nats an example"),
    "kl": ("KL divergence, kl", "Nats, whole network"),
    "accuracy": ("Accuracy", "Share of examples"),
    "sparse_categorical_accuracy": ("Accuracy", "Share of examples"),
    "mse": ("Mean squared error", "Squared units of the target"),
    "mean_squared_error": ("Mean squared error", "Squared units of the target"),
}


class _Figure(Figure):
    """A figure that notebooks show also if no `%matplotlib` line and no pyplot has told them how."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png")
        return content.getvalue()


def _panels(rows: int, columns: int, size: tuple[float, float], **kwargs: Any) -> tuple[Figure, np.ndarray]:
    """Returns a figure, inches wide and high, and its axes one after the other; a layout engine places them."""
    figure = _Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
    return figure, figure.subplots(rows, columns, squeeze=False, **kwargs).ravel()


def _themed(draw: Callable[_Arguments, Figure]) -> Callable[_Arguments, Figure]:
    """Draws in the style of this module, without changing anyone else's."""

    @functools.wraps(draw)
    def themed(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> Figure:
        with seaborn.axes_style("whitegrid", _STYLE), seaborn.plotting_context("notebook", font_scale=0.85):
            figure = draw(*args, **kwargs)
            # Matplotlib makes ticks when it first needs them, in the style of that time: it must not be later.
            for axes in figure.axes:
                axes.xaxis.get_major_ticks(1)
                axes.yaxis.get_major_ticks(1)
            return figure

    return themed


@_themed
def weight_posteriors(model: keras.Model) -> Figure:
    """Draws how the posterior means and standard deviations of a model's weights are distributed, layer by layer.

    Kernel densities, of at most 10,000 weights a tensor. A vertical line stands for weights that are all equal, as
    standard deviations are before training. Layers whose posterior is not Gaussian are left out.

    Args:
        model: a model with Bayesian layers, built.

    Returns:
        A figure with two panels, in units of the weights.

    Raises:
        ValueError: if no layer has a Gaussian posterior, or if one is not finite.

    Example:

    >>> from tfp_bnn import models
    >>> figure = weight_posteriors(models.mlp((4,), units=(8,), num_outputs=2))
    >>> [axes.get_title() for axes in figure.axes]
    ['Posterior means', 'Posterior standard deviations']
    """
    # Not a dict: layers of nested models may share a name.
    posteriors = list(_normal_posteriors(model))
    if not posteriors:
        raise ValueError(
            "There is nothing to draw: no Bayesian layer of the model is built and has a Gaussian posterior. "
            f"Received: model={model!r}"
        )
    figure, (means, stddevs) = _panels(1, 2, (10, 4))
    _draw_densities(means, [_values(name, posterior.mean) for name, posterior in posteriors])
    _draw_densities(stddevs, [_values(name, posterior.stddev) for name, posterior in posteriors], least=0)
    means.set(title="Posterior means", xlabel="Mean (units of the weights)", ylabel="Density")
    stddevs.set(title="Posterior standard deviations", xlabel="Standard deviation (units of the weights)", ylabel="")
    curves = [Line2D([], [], **line, label=name) for line, (name, _) in zip(itertools.cycle(_LINES), posteriors)]
    figure.legend(handles=curves, loc="outside right upper", title="Layer")
    return figure


@_themed
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
        predictive: the predictive distribution of the n images; its likelihood is `Categorical`.
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

    >>> predictive = Predictive(np.zeros((50, 3, 2)), Categorical())
    >>> figure = predictions(np.zeros((3, 28, 28)), predictive, labels=[0, 1, 1], class_names=["cat", "dog"])
    >>> len(figure.axes)
    9
    """
    if not isinstance(max_images, numbers.Integral) or max_images < 1:
        raise ValueError(f"`max_images` must be an integer of at least 1. Received: max_images={max_images!r}")
    _check_categorical("predictive", predictive)
    images, labels, names = _checked(images, predictive, labels, class_names)
    shown = predictive[: int(max_images)]
    draws, mean, stddev = shown.draws, shown.mean(), shown.epistemic_stddev()
    information, entropy = shown.mutual_information(), shown.entropy()
    figure, rows = _rows_of_panels(len(shown), names)
    for row, (picture, each_draw, together) in enumerate(rows):
        label = labels[row]
        _draw_image(picture, images[row], names[mean[row].argmax()], None if label is None else names[label])
        _draw_each_draw(each_draw, draws[:, row])
        _draw_mean(together, mean[row], stddev[row])
        _finish_panel(each_draw, f"Mutual information {information[row]:.2f} nats", label)
        _finish_panel(together, f"Entropy {entropy[row]:.2f} nats", label)
    headers = "Image", f"p(class) by draw, n = {len(draws)}, with quartiles", "Mean p(class) ± standard deviation"
    for axes, header in zip(rows[0], headers, strict=True):
        axes.annotate(header, (0.5, 1), (0, 26), "axes fraction", "offset points", ha="center", weight="bold")
    return figure


@_themed
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
        x_test: inputs of the prediction, [m] or [m, 1], in any order.
        predictive: the predictive distribution at `x_test`, of one target.
        truth: the noiseless targets at `x_test`, [m] or [m, 1], if they are known.

    Returns:
        A figure with one panel, in units of the input and of the target.

    Raises:
        ValueError: if an array has another shape, or the prediction another target.

    Example:

    >>> from tfp_bnn import likelihoods
    >>> predictive = Predictive(np.zeros((50, 3, 1)), likelihoods.Normal(scale=0.1))
    >>> figure = regression([0, 1], [0, 1], [-1, 0, 1], predictive)
    >>> figure.axes[0].get_xlabel()
    'x (units of the input)'
    """
    real = isinstance(predictive, Predictive) and not isinstance(predictive.likelihood, Categorical)
    if not real or predictive.mean().shape[1] != 1:
        raise ValueError(f"`predictive` must be a Predictive of one real target. Received: {predictive!r}")
    x = _column("x", x)
    y = _column("y", y, len(x))
    x_test = _column("x_test", x_test, len(predictive))
    truth = None if truth is None else _column("truth", truth, len(predictive))
    order = np.argsort(x_test, kind="stable")
    at, draws, mean = x_test[order], predictive.draws[:_MAX_DRAWN_NETWORKS, order, 0], predictive.mean()[order, 0]
    epistemic = predictive.epistemic_stddev()[order, 0]
    total = np.hypot(epistemic, predictive.aleatoric_stddev()[order, 0])

    figure, (axes,) = _panels(1, 1, (9, 5))
    for stddev, alpha, of in (total, 0.15, "with the data's noise"), (epistemic, 0.3, "epistemic"):
        band = {"color": _BLUE, "alpha": alpha, "lw": 0, "label": f"± 2 standard deviations, {of}"}
        axes.fill_between(at, mean - 2 * stddev, mean + 2 * stddev, **band)
    axes.plot(at, draws.T, color=_BLUE, lw=0.7, alpha=0.6, label=["Draws of the network", *[None] * (len(draws) - 1)])
    axes.plot(at, mean, color=_BLUE, lw=2.2, label="Predictive mean")
    if truth is not None:
        axes.plot(at, truth[order], color=_DARK, lw=1.5, ls="--", label="Truth")
    axes.scatter(x, y, s=26, color=_ORANGE, edgecolor="white", lw=0.5, zorder=3, label="Data")
    axes.set(title="Predictive distribution", xlabel="x (units of the input)", ylabel="y (units of the target)")
    axes.margins(x=0.01)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


@_themed
def training_curves(history: keras.callbacks.History | Mapping[str, Sequence[float]] | pd.DataFrame) -> Figure:
    """Draws how loss, nll, kl, accuracy and mean squared error went in training, and in validation where they are.

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
    names = [name for name in _TRAINING_PANELS if name in table or f"val_{name}" in table]
    if not names:
        raise ValueError(
            f"There is nothing to draw: `history` must have values of one of {', '.join(_TRAINING_PANELS)}. "
            f"Received: values of {', '.join(map(str, table)) or 'nothing'}"
        )
    columns = 2 if len(names) == 4 else min(len(names), 3)
    rows = math.ceil(len(names) / columns)
    figure, panels = _panels(rows, columns, (4 * columns, 3.2 * rows))
    for panel, name in zip(panels, names, strict=False):
        _draw_training(panel, table, name)
    for panel in panels[len(names) :]:
        panel.remove()
    return figure


@_themed
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
        ValueError: if there is no set, a set is empty, or a likelihood is not `Categorical`.

    Example:

    >>> sure, unsure = np.array([9.0, 0.0]), np.array([0.0, 0.0])
    >>> named = {name: Predictive(np.tile(x, (50, 3, 1)), Categorical()) for name, x in (("a", sure), ("b", unsure))}
    >>> [axes.get_title() for axes in uncertainty(named).axes]
    ['Predictive entropy', 'Greatest class probability']
    """
    if not named:
        raise ValueError("`named` must have at least one predictive distribution. Received: none")
    for name, predictive in named.items():
        _check_categorical(f"named[{name!r}]", predictive)
    figure, (entropy, probability) = _panels(1, 2, (9, 4), sharey=True)
    for line, (name, predictive) in zip(itertools.cycle(_LINES), named.items()):
        style = {**line, "lw": 2, "label": f"{name} ({len(predictive):,})"}
        seaborn.ecdfplot(x=predictive.entropy(), ax=entropy, **style)
        seaborn.ecdfplot(x=predictive.mean().max(axis=-1), ax=probability, **style)
    classes = max(predictive.outputs.shape[-1] for predictive in named.values())
    # Beyond the ends, since many inputs lie at an end.
    entropy.set(xlim=(-0.03 * math.log(classes), 1.03 * math.log(classes)), ylim=(-0.02, 1.02))
    probability.set_xlim(1 / classes - 0.03, 1.03)
    entropy.set(title="Predictive entropy", xlabel=f"Entropy (nats, at most log {classes})", ylabel="Share of inputs")
    probability.set(title="Greatest class probability", xlabel="Probability of the likeliest class")
    figure.legend(*entropy.get_legend_handles_labels(), loc="outside lower center", ncols=min(len(named), 4))
    return figure


# Weights.


def _normal_posteriors(model: keras.Model) -> Iterator[tuple[str, NormalWeights]]:
    for layer in variational_layers(model):
        for weights, (variables, _) in layer.random_weights.items():
            posterior = variables.read()
            if isinstance(posterior, NormalWeights):
                yield f"{layer.name}/bias" if weights == "bias" else layer.name, posterior


def _values(name: str, tensor: Any) -> np.ndarray:
    values = keras.ops.convert_to_numpy(tensor).ravel().astype("float64")
    if not np.isfinite(values).all():
        raise ValueError(
            f"The posterior must be finite; the training may have diverged. Received: {name!r} with "
            f"{np.count_nonzero(~np.isfinite(values)):,} of {values.size:,} weights not finite"
        )
    return np.random.default_rng(0).permutation(values)[:_MAX_WEIGHTS]


def _draw_densities(axes: Axes, tensors: Sequence[np.ndarray], least: float | None = None) -> None:
    # Equal but for rounding: such weights have no density.
    equal = [np.ptp(values) <= 1e-6 * np.abs(values).max() for values in tensors]
    for curve, (values, style) in enumerate(zip(tensors, itertools.cycle(_LINES))):
        if not equal[curve]:
            seaborn.kdeplot(x=values, ax=axes, cut=2, clip=(least, None), **style)
            continue
        # Lines in one place, as all standard deviations are before training, show in turn.
        dashes = (3 * curve, (3, 3 * len(tensors) - 3)) if len(tensors) > 1 else "-"
        axes.plot([values[0]] * 2, [0, 1], transform=axes.get_xaxis_transform(), lw=2.5, **{**style, "ls": dashes})
    if all(equal):
        axes.set_yticks([])


# Predictions.


def _check_categorical(name: str, predictive: Any) -> None:
    if not isinstance(predictive, Predictive) or not isinstance(predictive.likelihood, Categorical):
        raise ValueError(f"`{name}` must be a Predictive of a Categorical likelihood. Received: {predictive!r}")
    if not len(predictive):
        raise ValueError(f"`{name}` must be of at least one input. Received: {predictive!r}")


def _checked(
    images: np.ndarray, predictive: Predictive, labels: np.ndarray | None, class_names: Sequence[str] | None
) -> tuple[np.ndarray, list[int | None], list[str]]:
    """Returns images, true classes and names of the classes, if they fit."""
    _, count, classes = predictive.outputs.shape
    images = np.asarray(images)
    if images.ndim < 3 or images.shape[3:] not in ((), (1,), (3,)) or len(images) != count:
        raise ValueError(
            f"`images` must be [{count}, height, width], or with 1 or 3 channels last. Received: shape {images.shape}"
        )
    names = list(map(str, range(classes) if class_names is None else class_names))
    if len(names) != classes:
        raise ValueError(f"`class_names` must name {classes} classes. Received: {len(names)} names")
    if labels is None:
        return images, [None] * count, names
    labels = predictive.likelihood.check_targets(predictive.outputs, _column("labels", labels, count))
    return images, labels.astype(int).tolist(), names


def _rows_of_panels(count: int, names: Sequence[str]) -> tuple[Figure, np.ndarray]:
    """Returns a figure and its axes [count, 3], with the classes named below the panels."""
    # Margins in inches, since a layout engine takes longer here than all the drawing.
    panel, gap, top, bottom = 0.88, 0.5, 0.58, 0.35
    named, longest = len(names) <= _MAX_NAMED_CLASSES, max(map(len, names))
    slanted = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if named and longest > 3 else {}
    bottom += 0.05 * longest if slanted else 0
    height = top + count * panel + (count - 1) * gap + bottom
    figure = _Figure(figsize=(9, height))
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


def _as_picture(image: np.ndarray) -> np.ndarray:
    """Returns the image with pixels from 0 to 1."""
    if np.issubdtype(image.dtype, np.integer):
        return image / 255
    least, greatest = image.min(), image.max()
    within = least >= 0 and greatest <= 1
    return image if within else (image - least) / max(greatest - least, np.finfo("float32").tiny)


def _draw_image(axes: Axes, image: np.ndarray, predicted: str, true: str | None) -> None:
    axes.imshow(_as_picture(image), cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.set_xlabel(f"predicted {predicted}", fontsize="small", color=_DARK if true in (None, predicted) else _RED)
    if true is not None:
        axes.set_title(f"true {true}", fontsize="small", y=1, bbox={**_TRUE_CLASS, "pad": 1.5})


def _draw_each_draw(axes: Axes, probabilities: np.ndarray) -> None:
    """Draws [draws, classes] as points, side by side in the order of the draws, in boxes from quartile to quartile."""
    draws, classes = probabilities.shape
    at = np.arange(classes)
    beside = 0.6 * ((np.arange(draws) + 0.5) / draws - 0.5)
    axes.scatter(at + beside[:, np.newaxis], probabilities, s=5, color=_BLUE, alpha=0.5, lw=0, clip_on=False)
    low, median, high = np.quantile(probabilities, (0.25, 0.5, 0.75), axis=0)
    left, right = at - 0.35, at + 0.35
    # One stroke a class: along the median, around the box, and back to the median.
    stroke = [(left, median), (right, median), (right, high), (left, high), (left, low), (right, low), (right, median)]
    axes.add_collection(LineCollection(np.moveaxis(stroke, -1, 0), colors=_DARK, lw=0.9), autolim=False)


def _draw_mean(axes: Axes, mean: np.ndarray, stddev: np.ndarray) -> None:
    error = {"ecolor": _DARK, "elinewidth": 1.1, "capsize": 2.5 if len(mean) <= _MAX_NAMED_CLASSES else 0}
    axes.bar(np.arange(len(mean)), mean, yerr=stddev, width=0.7, color=_BLUE, alpha=0.85, lw=0, error_kw=error)


def _finish_panel(axes: Axes, title: str, label: int | None) -> None:
    # A title whose height is given spares Matplotlib a search for it among all ticks.
    axes.set_title(title, fontsize="small", loc="left", y=1)
    if label is not None:
        axes.axvspan(label - 0.5, label + 0.5, **_TRUE_CLASS, zorder=0)


# Regression.


def _column(name: str, values: np.ndarray, length: int | None = None) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim not in (1, 2) or values.shape[1:] not in ((), (1,)) or length not in (None, len(values)):
        n = "n" if length is None else length
        raise ValueError(f"`{name}` must be [{n}] or [{n}, 1]. Received: shape {values.shape}")
    return values.ravel()


# Training.


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
    marker = "o" if len(table) <= 30 else None
    for column, label, color in ((name, "training", _BLUE), (f"val_{name}", "validation", _ORANGE)):
        if column in table:
            series = table[column].dropna()  # Not every epoch need have a validation.
            axes.plot(series.index, series, color=color, label=label, marker=marker, ms=4)
    title, unit = _TRAINING_PANELS[name]
    axes.set(title=title, xlabel="Epoch", ylabel=unit)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, nbins=8))
    if name == "kl":
        axes.yaxis.set_major_formatter(ticker.EngFormatter(sep=""))
    axes.legend()
