"""Figures of Bayesian networks: their weights, their training, what they predict and how sure they are of it.

Every function returns a Matplotlib `Figure` and neither shows nor saves it. A notebook shows the last value of a cell;
`figure.savefig("name.png")` saves it. pyplot and the settings of other figures are left as they are.
"""

import functools
import io
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
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tfp_bnn.layers.variational_layer import variational_layers
from tfp_bnn.likelihoods import Categorical
from tfp_bnn.posteriors import NormalWeights
from tfp_bnn.predictive import Predictive

_Arguments = ParamSpec("_Arguments")

_BLUE, _ORANGE, _, _RED, *_ = _PALETTE = seaborn.color_palette("colorblind").as_hex()
_DARK = "0.2"
_LINE_STYLES = ("-", "--", ":")  # Beyond as many curves as there are colours.
_TRUE_CLASS = {"facecolor": _ORANGE, "alpha": 0.25, "lw": 0}
_STYLE = {"axes.edgecolor": "0.75", "grid.color": "0.92", "legend.framealpha": 0.9}

_MAX_WEIGHTS = 20_000  # A kernel density takes time in proportion to them, and looks the same with more.
_MAX_DRAWN_NETWORKS = 10
_MAX_NAMED_CLASSES = 20

_TRAINING_PANELS = {
    "loss": ("Loss, nll + kl_weight · kl", "nats an example"),
    "nll": ("Negative log-likelihood, nll", "nats an example"),
    "kl": ("KL divergence, kl", "nats, whole network"),
    "accuracy": ("Accuracy", "share of examples"),
    "sparse_categorical_accuracy": ("Accuracy", "share of examples"),
    "mse": ("Mean squared error", "squared units of the target"),
    "mean_squared_error": ("Mean squared error", "squared units of the target"),
}


class _Figure(Figure):
    """A figure that notebooks show also if no `%matplotlib` line and no pyplot has told them how."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png")
        return content.getvalue()


def _themed(draw: Callable[_Arguments, Figure]) -> Callable[_Arguments, Figure]:
    """Draws in the style of this module, without changing anyone else's."""

    @functools.wraps(draw)
    def themed(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> Figure:
        with seaborn.axes_style("whitegrid", _STYLE), seaborn.plotting_context("notebook", font_scale=0.85):
            figure = draw(*args, **kwargs)
            # Matplotlib makes ticks when it first needs them, in the style of that time: it must not be later.
            for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
                axis.get_major_ticks(1)
            return figure

    return themed


@_themed
def weight_posteriors(model: keras.Model) -> Figure:
    """Draws how the posterior means and standard deviations of a model's weights are distributed, layer by layer.

    Kernel densities, of at most 20,000 weights a tensor. A vertical line stands for weights that are all equal, as
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
    posteriors = dict(_normal_posteriors(model))
    if not posteriors:
        raise ValueError(
            "There is nothing to draw: no Bayesian layer of the model is built and has a Gaussian posterior. "
            f"Received: model={model!r}"
        )
    figure = _Figure(figsize=(10, 4), layout="constrained")
    means, stddevs = figure.subplots(1, 2)
    styles = [
        {"color": _PALETTE[curve % len(_PALETTE)], "ls": _LINE_STYLES[curve // len(_PALETTE) % len(_LINE_STYLES)]}
        for curve in range(len(posteriors))
    ]
    _draw_densities(means, [_values(name, posterior.mean) for name, posterior in posteriors.items()], styles)
    _draw_densities(stddevs, [_values(name, posterior.stddev) for name, posterior in posteriors.items()], styles)
    means.set(title="Posterior means", xlabel="Mean (units of the weights)", ylabel="Density")
    stddevs.set(title="Posterior standard deviations", xlabel="Standard deviation (units of the weights)", ylabel="")
    handles = [Line2D([], [], **style) for style in styles]
    figure.legend(handles, list(posteriors), loc="outside right upper", title="Layer")
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
    _check_categorical("predictive", predictive)
    if not isinstance(max_images, numbers.Integral) or max_images < 1:
        raise ValueError(f"`max_images` must be an integer of at least 1. Received: max_images={max_images!r}")
    images = _checked_images(images, len(predictive))
    labels = None if labels is None else _checked_labels(labels, predictive)
    names = _checked_class_names(class_names, predictive.outputs.shape[-1])
    shown = predictive[: int(max_images)]
    figure = _Figure(figsize=(9, 0.4 + 1.36 * len(shown)), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.05, hspace=0.01)
    rows = figure.subplots(len(shown), 3, squeeze=False, width_ratios=(1, 2.6, 2.6))
    draws, mean, stddev = shown.draws, shown.mean(), shown.epistemic_stddev()
    information, entropy = shown.mutual_information(), shown.entropy()
    for row, (picture, each_draw, together) in enumerate(rows):
        label = None if labels is None else int(labels[row])
        _draw_image(picture, images[row], names[mean[row].argmax()], None if label is None else names[label])
        _draw_each_draw(each_draw, draws[:, row])
        _draw_mean(together, mean[row], stddev[row])
        _label_row_panel(each_draw, f"Mutual information {information[row]:.2f} nats", names, label)
        _label_row_panel(together, f"Entropy {entropy[row]:.2f} nats", names, label)
    _label_columns(rows, f"p(class) of {len(draws)} draws, with quartiles", "Mean p(class) ± standard deviation", names)
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
        ValueError: if an array has another shape.

    Example:

    >>> from tfp_bnn import likelihoods
    >>> predictive = Predictive(np.zeros((50, 3, 1)), likelihoods.Normal(scale=0.1))
    >>> figure = regression([0, 1], [0, 1], [-1, 0, 1], predictive)
    >>> figure.axes[0].get_xlabel()
    'x (units of the input)'
    """
    mean = predictive.mean()
    if mean.shape[1] != 1 or isinstance(predictive.likelihood, Categorical):
        raise ValueError(f"`predictive` must be of one real target. Received: predictive={predictive!r}")
    x = _column("x", x)
    y = _column("y", y, len(x))
    x_test = _column("x_test", x_test, len(predictive))
    truth = None if truth is None else _column("truth", truth, len(predictive))
    order = np.argsort(x_test, kind="stable")
    at, mean, draws = x_test[order], mean[order, 0], predictive.draws[:_MAX_DRAWN_NETWORKS, order, 0]
    epistemic = predictive.epistemic_stddev()[order, 0]
    total = np.hypot(epistemic, predictive.aleatoric_stddev()[order, 0])

    figure = _Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    _draw_band(axes, at, mean, total, alpha=0.15, label="± 2 standard deviations, with the data's noise")
    _draw_band(axes, at, mean, epistemic, alpha=0.3, label="± 2 standard deviations, epistemic")
    axes.plot(at, draws.T, color=_BLUE, lw=0.7, alpha=0.6, label=["Draws of the network", *[None] * (len(draws) - 1)])
    axes.plot(at, mean, color=_BLUE, lw=2.2, label="Predictive mean")
    if truth is not None:
        axes.plot(at, truth[order], color=_DARK, lw=1.5, ls="--", label="Truth")
    seaborn.scatterplot(x=x, y=y, ax=axes, color=_ORANGE, s=26, edgecolor="white", zorder=3, label="Data")
    axes.set(title="Predictive distribution", xlabel="x (units of the input)", ylabel="y (units of the target)")
    axes.margins(x=0.01)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    axes.get_legend().remove()
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
    table = _history_table(history)
    names = [name for name in _TRAINING_PANELS if len(_series(table, name)) or len(_series(table, f"val_{name}"))]
    if not names:
        raise ValueError(
            f"There is nothing to draw: `history` must have one of the columns {', '.join(_TRAINING_PANELS)}. "
            f"Received: the columns {', '.join(map(str, table.columns)) or '(none)'}"
        )
    columns = min(len(names), 2)
    rows = math.ceil(len(names) / columns)
    figure = _Figure(figsize=(4.5 * columns, 3.2 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
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
    figure = _Figure(figsize=(9, 4), layout="constrained")
    entropy, probability = figure.subplots(1, 2, sharey=True)
    for curve, (name, predictive) in enumerate(named.items()):
        style = {"color": _PALETTE[curve % len(_PALETTE)], "lw": 2, "label": f"{name} ({len(predictive):,})"}
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


def _draw_densities(axes: Axes, tensors: Sequence[np.ndarray], styles: Sequence[Mapping[str, Any]]) -> None:
    # Equal but for rounding: such weights have no density.
    equal = [np.ptp(values) <= 1e-6 * np.abs(values).max() for values in tensors]
    for curve, (values, style) in enumerate(zip(tensors, styles, strict=True)):
        if equal[curve]:
            # Lines in one place, as all standard deviations are before training, show in turn.
            style = {**style, "ls": (3 * curve, (3, 3 * len(tensors) - 3))} if len(tensors) > 1 else style
            axes.plot([values[0]] * 2, [0, 1], transform=axes.get_xaxis_transform(), lw=2.5, **style)
        else:
            seaborn.kdeplot(x=values, ax=axes, cut=2, **style)
    if all(equal):
        axes.set_yticks([])


# Predictions.


def _check_categorical(name: str, predictive: Any) -> None:
    if not isinstance(predictive, Predictive) or not isinstance(predictive.likelihood, Categorical):
        raise ValueError(f"`{name}` must be a Predictive of a Categorical likelihood. Received: {predictive!r}")
    if not len(predictive):
        raise ValueError(f"`{name}` must be of at least one input. Received: {predictive!r}")


def _checked_images(images: np.ndarray, count: int) -> np.ndarray:
    images = np.asarray(images)
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise ValueError(f"`images` must be [n, height, width] or [..., 1 or 3]. Received: shape {images.shape}")
    if len(images) != count:
        raise ValueError(
            f"There must be as many images as predictions. Received: {len(images)} images, {count} predictions"
        )
    return images


def _checked_labels(labels: np.ndarray, predictive: Predictive) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.shape not in ((len(predictive),), (len(predictive), 1)):
        raise ValueError(f"`labels` must be one for each of {len(predictive)} images. Received: shape {labels.shape}")
    return predictive.likelihood.check_targets(predictive.outputs, labels).ravel()


def _checked_class_names(class_names: Sequence[str] | None, classes: int) -> list[str]:
    names = list(map(str, range(classes) if class_names is None else class_names))
    if len(names) != classes:
        raise ValueError(f"`class_names` must name {classes} classes. Received: {len(names)} names")
    return names


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
        axes.set_title(f"true {true}", fontsize="small", bbox={**_TRUE_CLASS, "pad": 1.5})


def _draw_each_draw(axes: Axes, probabilities: np.ndarray) -> None:
    """Draws [draws, classes] as points, side by side in the order of the draws, with quartiles on top."""
    draws, classes = probabilities.shape
    at = np.arange(classes) + np.linspace(-0.3, 0.3, draws)[:, np.newaxis]
    axes.scatter(at, probabilities, s=5, color=_BLUE, alpha=0.5, lw=0, clip_on=False)
    line = {"color": _DARK, "lw": 0.9}
    axes.boxplot(
        probabilities,
        positions=np.arange(classes),
        widths=0.7,
        manage_ticks=False,
        showfliers=False,
        showcaps=False,
        **{f"{part}props": line for part in ("box", "whisker", "median")},
    )


def _draw_mean(axes: Axes, mean: np.ndarray, stddev: np.ndarray) -> None:
    error = {"ecolor": _DARK, "elinewidth": 1.1, "capsize": 2.5}
    axes.bar(np.arange(len(mean)), mean, yerr=stddev, width=0.7, color=_BLUE, alpha=0.85, lw=0, error_kw=error)


def _label_row_panel(axes: Axes, title: str, names: Sequence[str], label: int | None) -> None:
    axes.set_title(title, fontsize="small", loc="left")
    axes.set(xlim=(-0.6, len(names) - 0.4), ylim=(0, 1), yticks=(0, 0.5, 1))
    axes.grid(visible=False, axis="x")
    axes.tick_params(labelsize="small", pad=2)
    if len(names) <= _MAX_NAMED_CLASSES:
        axes.set_xticks(range(len(names)), names)
    if label is not None:
        axes.axvspan(label - 0.5, label + 0.5, **_TRUE_CLASS, zorder=0)


def _label_columns(rows: np.ndarray, each_draw: str, together: str, names: Sequence[str]) -> None:
    for axes, title in zip(rows[0], ("Image", each_draw, together), strict=True):
        axes.annotate(title, (0.5, 1), (0, 22), "axes fraction", "offset points", ha="center", weight="bold")
    long = max(map(len, names)) > 3 and len(names) <= _MAX_NAMED_CLASSES
    for axes in rows[:, 1:].flat:
        if long and axes not in rows[-1]:
            axes.tick_params(labelbottom=False)
        elif long:
            axes.tick_params(axis="x", labelrotation=60)


# Regression.


def _column(name: str, values: np.ndarray, length: int | None = None) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim not in (1, 2) or values.shape[1:] not in ((), (1,)) or length not in (None, len(values)):
        n = "n" if length is None else length
        raise ValueError(f"`{name}` must be [{n}] or [{n}, 1]. Received: shape {values.shape}")
    return values.ravel()


def _draw_band(axes: Axes, x: np.ndarray, mean: np.ndarray, stddev: np.ndarray, **style: Any) -> None:
    axes.fill_between(x, mean - 2 * stddev, mean + 2 * stddev, color=_BLUE, lw=0, **style)


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


def _series(table: pd.DataFrame, name: str) -> pd.Series:
    """Returns the epochs that have a value."""
    return table.get(name, pd.Series(dtype="float64")).dropna()


def _draw_training(axes: Axes, table: pd.DataFrame, name: str) -> None:
    marker = "o" if len(table) <= 30 else None
    for column, label, color in ((name, "training", _BLUE), (f"val_{name}", "validation", _ORANGE)):
        series = _series(table, column)
        if len(series):
            axes.plot(series.index, series, color=color, label=label, marker=marker, ms=4)
    title, unit = _TRAINING_PANELS[name]
    axes.set(title=title, xlabel="Epoch", ylabel=unit[0].upper() + unit[1:])
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, nbins=8))
    if name == "kl":
        axes.yaxis.set_major_formatter(ticker.EngFormatter(sep=""))
    axes.legend()
