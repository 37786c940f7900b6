"""Figures of weights: their posteriors, their signal-to-noise ratios, and those of several networks together."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import seaborn
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import stats

from tfp_bnn.layers.base import VariationalLayer, variational_layers
from tfp_bnn.plots.style import BLUE, DARK, LINES, ORANGE, panels, themed
from tfp_bnn.posteriors import NormalWeights
from tfp_bnn.priors import Prior
from tfp_bnn.transforms import prune

_MAX_WEIGHTS = 10_000  # A kernel density takes time in proportion to them, and looks the same with more.
_NEAR = 2.0  # How far beyond the posteriors' standard deviations those of priors may lie and be shown beside them.
_PRIOR_DASHES = ("--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)))


@themed
def weight_posteriors(model: keras.Model) -> Figure:
    """Draws how the posterior means and standard deviations of a model's weights are distributed, layer by layer.

    Kernel densities, of at most 10,000 weights a tensor. A vertical line stands for weights that are all equal, as
    standard deviations are before training. Layers whose posterior is not Gaussian are left out.

    Dark lines are the priors: their density beside the means, and their standard deviation beside those of the
    posteriors, where it is near. Means that gather at the prior's, with its standard deviation, have learned nothing
    from the data. Priors that are not the same for all weights of a layer are left out.

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
    tensors = list(_normal_tensors(model))
    if not tensors:
        raise ValueError(
            "There is nothing to draw: no Bayesian layer of the model is built and has a Gaussian posterior. "
            f"Received: model={model!r}"
        )
    figure, (means, stddevs) = panels(1, 2, (10, 4))
    _draw_densities(means, [_values(name, posterior.mean) for name, posterior, _ in tensors])
    _draw_densities(stddevs, [_values(name, posterior.stddev) for name, posterior, _ in tensors], least=0)
    priors = _draw_priors(means, stddevs, [(name, prior) for name, _, prior in tensors])
    means.set(title="Posterior means", xlabel="Mean (units of the weights)", ylabel="Density")
    stddevs.set(title="Posterior standard deviations", xlabel="Standard deviation (units of the weights)", ylabel="")
    curves = [Line2D([], [], **line, label=name) for line, (name, *_) in zip(itertools.cycle(LINES), tensors)]
    figure.legend(handles=[*curves, *priors], loc="outside right upper", title="Layer")
    return figure


@themed
def weight_densities(weights: Mapping[str, np.ndarray]) -> Figure:
    """Draws how the weights of several networks are distributed: of SGD, dropout and Bayes by Backprop, say.

    Args:
        weights: of each network, by the name that it shall have in the legend; arrays of any shape. Of a Bayesian
            network these may be its means, or a draw.

    Returns:
        A figure with one panel: kernel densities, of at most 10,000 weights each, over the range of the middle 99.8 %.

    Raises:
        ValueError: if there is none, or if one is not finite.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> figure = weight_densities({"SGD": rng.normal(0, 0.1, 500), "dropout": rng.normal(0, 0.2, 500)})
    >>> figure.axes[0].get_ylabel()
    'Density'

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", figure 3.
    """
    if not weights:
        raise ValueError("`weights` must have the weights of at least one network. Received: none")
    values = {name: _values(name, array) for name, array in weights.items()}
    figure, (axes,) = panels(1, 1, (7, 4))
    _draw_densities(axes, list(values.values()))
    axes.set_xlim(*np.quantile(np.concatenate(list(values.values())), (0.001, 0.999)))
    axes.set(title="Weights", xlabel="Weight", ylabel="Density")
    axes.legend(handles=[Line2D([], [], **line, label=name) for line, name in zip(itertools.cycle(LINES), values)])
    return figure


@themed
def signal_to_noise(model: keras.Model, cuts: Sequence[float] = (0.75, 0.95)) -> Figure:
    """Draws the density and the cumulative distribution of the signal-to-noise ratios of a model's random weights.

    In decibels, `10 log10(|mean| / stddev)`. Weights that are pruned are left out.

    Args:
        model: a model with Gaussian posteriors, built.
        cuts: shares of the weights, from 0 to 1; a line says below which ratio each lies.

    Returns:
        A figure with two panels.

    Raises:
        ValueError: if the model has no Gaussian posteriors, or no weight is left, or a cut is out of range.

    Example:

    >>> from tfp_bnn import models
    >>> figure = signal_to_noise(models.mlp((4,), units=(8,), num_outputs=2))
    >>> [axes.get_title() for axes in figure.axes]
    ['Density', 'Cumulative distribution']

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", figure 4.
    """
    if any(not 0 <= cut <= 1 for cut in cuts):
        raise ValueError(f"`cuts` must be shares from 0 to 1. Received: cuts={tuple(cuts)}")
    ratios = np.concatenate([ratio.ravel() for ratio in prune.signal_to_noise(model).values()])
    ratios = ratios[(ratios > 0) & np.isfinite(ratios)]
    if not ratios.size:
        raise ValueError("No weight has a ratio above 0; are all pruned? Received: a model with no weight left")
    decibels = 10 * np.log10(ratios)
    figure, (density, cumulative) = panels(1, 2, (9, 4), sharex=True)
    seaborn.kdeplot(x=_some(decibels), ax=density, fill=True, color=BLUE)
    seaborn.ecdfplot(x=decibels, ax=cumulative, color=BLUE, lw=2)
    for cut in cuts:
        cumulative.axvline(np.quantile(decibels, cut), color=ORANGE, lw=1.2)
        label = f"{100 * cut:g} % "
        cumulative.annotate(label, (np.quantile(decibels, cut), cut), ha="right", va="bottom", color=DARK)
    density.set_xlim(np.quantile(decibels, 0.0005), decibels.max() + 1)
    density.set(title="Density", xlabel="Signal-to-noise ratio (dB)", ylabel="Density")
    cumulative.set(title="Cumulative distribution", xlabel="Signal-to-noise ratio (dB)", ylabel="Share of weights")
    return figure


@themed
def single_weight(layer: VariationalLayer, index: Sequence[int] = (0, 0), weights: str | None = None) -> Figure:
    """Draws the posterior and the prior of one weight.

    Args:
        layer: a Bayesian layer, built.
        index: which weight of the tensor, such as (row, column).
        weights: name of the tensor, such as "kernel" or "bias"; None takes the layer's first.

    Returns:
        A figure with one panel: both densities, four posterior standard deviations around mean and 0. The prior is
        drawn on a scale of its own, since it is often flat beside the posterior.

    Raises:
        ValueError: if there is no such weight, or its posterior is not Gaussian, or it is pruned.

    Example:

    >>> from tfp_bnn import layers
    >>> layer = layers.DenseFlipout(3, name="hidden")
    >>> layer.build((None, 4))
    >>> single_weight(layer, (3, 2)).axes[0].get_title()
    'hidden, kernel[3, 2]'
    """
    name = next(iter(layer.random_weights), None) if weights is None else weights
    if name not in layer.random_weights:
        raise ValueError(
            f"The layer has random weights {', '.join(layer.random_weights) or 'none; is it built?'}. "
            f"Received: weights={weights!r}"
        )
    variables, prior = layer.random_weights[name]
    mean, stddev = _mean_and_stddev(variables.read(), tuple(index))
    ends = sorted([mean - 4 * stddev, mean + 4 * stddev, 4 * stddev, -4 * stddev])
    at = np.linspace(ends[0], ends[-1], 801, dtype="float32")
    figure, (axes,) = panels(1, 1, (7, 4))
    log_prior = keras.ops.convert_to_numpy(prior.log_prob(keras.ops.convert_to_tensor(at)))
    posterior = stats.norm.pdf(at, mean, stddev)
    axes.plot(at, posterior, color=BLUE, lw=2)
    axes.fill_between(at, posterior, color=BLUE, alpha=0.25, lw=0)
    beside = axes.twinx()
    beside.plot(at, np.exp(log_prior), color=ORANGE, lw=2, ls="--")
    beside.grid(visible=False)
    beside.set_ylim(0)
    axes.set_ylim(0)
    beside.set_ylabel("Density of the prior")
    place = ", ".join(map(str, index))
    axes.set(title=f"{layer.name}, {name}[{place}]", xlabel="Weight", ylabel="Density of the posterior")
    curves = [Line2D([], [], color=BLUE, lw=2, label=f"Posterior, {mean:.3g} ± {stddev:.2g}")]
    curves.append(Line2D([], [], color=ORANGE, lw=2, ls="--", label="Prior"))
    # Beside the axes: a prior with a narrow part is a spike that a legend would hide.
    figure.legend(handles=curves, loc="outside lower center", ncols=2)
    return figure


def _mean_and_stddev(posterior: Any, index: tuple[int, ...]) -> tuple[float, float]:
    if not isinstance(posterior, NormalWeights):
        raise ValueError(f"The posterior must be Gaussian. Received: {type(posterior).__name__}")
    shape = tuple(posterior.mean.shape)
    if len(index) != len(shape) or any(not -size <= at < size for at, size in zip(index, shape, strict=True)):
        raise ValueError(f"`index` must be one of a tensor of shape {shape}. Received: index={index}")
    mean, stddev = (float(keras.ops.convert_to_numpy(part)[index]) for part in (posterior.mean, posterior.stddev))
    if not stddev > 0:
        raise ValueError(f"The weight has no density: is it pruned? Received: mean={mean}, stddev={stddev}")
    return mean, stddev


def _normal_tensors(model: keras.Model) -> Iterator[tuple[str, NormalWeights, Prior]]:
    for layer in variational_layers(model):
        for weights, (variables, prior) in layer.random_weights.items():
            posterior = variables.read()
            if isinstance(posterior, NormalWeights):
                yield f"{layer.name}/bias" if weights == "bias" else layer.name, posterior, prior


def _values(name: str, tensor: Any) -> np.ndarray:
    values = keras.ops.convert_to_numpy(tensor).ravel().astype("float64")
    if not np.isfinite(values).all():
        raise ValueError(
            f"The posterior must be finite; the training may have diverged. Received: {name!r} with "
            f"{np.count_nonzero(~np.isfinite(values)):,} of {values.size:,} weights not finite"
        )
    return _some(values)


def _some(values: np.ndarray) -> np.ndarray:
    """Returns enough of the values for a density, at random."""
    return np.random.default_rng(0).permutation(values)[:_MAX_WEIGHTS]


def _draw_densities(axes: Axes, tensors: Sequence[np.ndarray], least: float | None = None) -> None:
    # Equal except for rounding: such weights have no density.
    equal = [np.ptp(values) <= 1e-6 * np.abs(values).max() for values in tensors]
    for curve, (values, style) in enumerate(zip(tensors, itertools.cycle(LINES))):
        if not equal[curve]:
            seaborn.kdeplot(x=values, ax=axes, cut=2, clip=(least, None), **style)
            continue
        # Lines in one place, as all standard deviations are before training, show in turn.
        dashes = (3 * curve, (3, 3 * len(tensors) - 3)) if len(tensors) > 1 else "-"
        axes.plot([values[0]] * 2, [0, 1], transform=axes.get_xaxis_transform(), lw=2.5, **{**style, "ls": dashes})
    if all(equal):
        axes.set_yticks([])
    # Standard deviations that hardly differ have long labels, which must not meet.
    axes.xaxis.set_major_locator(ticker.MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))


def _draw_priors(means: Axes, stddevs: Axes, named: Sequence[tuple[str, Prior]]) -> list[Line2D]:
    """Draws each prior that differs from the others once; returns a line of each for the legend."""
    (left, right), top = means.get_xlim(), means.get_ylim()[1]
    widest = _NEAR * stddevs.get_xlim()[1]
    at = np.linspace(left, right, 2001, dtype="float32")
    handles = []
    for (spread, density), names in _distinct(named, at).items():
        style = {"color": DARK, "ls": _PRIOR_DASHES[len(handles) % len(_PRIOR_DASHES)], "lw": 1.2}
        means.plot(at, np.frombuffer(density), **style)
        if spread <= widest:
            stddevs.axvline(spread, **style)
        of = f" of {names[0]}" + (f" and {len(names) - 1} more" if names[1:] else "") if len(names) < len(named) else ""
        handles.append(Line2D([], [], **style, label=f"Prior{of}, stddev {spread:.2g}"))
    # A prior may have a spike far higher than the densities.
    means.set(xlim=(left, right), ylim=(0, top))
    return handles


def _distinct(named: Sequence[tuple[str, Prior]], at: np.ndarray) -> dict[tuple[float, bytes], list[str]]:
    """Returns standard deviation and density, at some weights, of the priors, and the tensors that have each."""
    found: dict[tuple[float, bytes], list[str]] = {}
    for name, prior in named:
        spread = prior.stddev()
        if spread is not None:
            log_density = keras.ops.convert_to_numpy(prior.log_prob(keras.ops.convert_to_tensor(at)))
            density = np.exp(log_density.astype("float64"))
            found.setdefault((float(spread), density.tobytes()), []).append(name)
    return found
