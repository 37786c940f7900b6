"""Figures of a model's predictive distribution on data with known targets."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tfp_bnn import _keras
from tfp_bnn.prediction.passes import Pass
from tfp_bnn.prediction.summary import PredictiveSummary, summaries, summed_up


def evaluate(
    model: keras.Model | Sequence[keras.Model],
    x: Any,
    y: Any = None,
    num_draws: int = 50,
    batch_size: int = 1000,
    *,
    sample_weight: Any = None,
    likelihood: Any = None,
    seed: int | None = None,
    steps: int | None = None,
    verbose: bool = True,
) -> dict[str, float]:
    """Returns how well the predictive distribution fits held-out data: what `model.evaluate` says of one noisy draw.

    `nll` is the mean of `-log (1/S) sum_s p(y | x, w_s)` over the inputs, in nats. `model.evaluate` gives that of
    single draws, which is greater (by Jensen's inequality), and the accuracy of single draws, which is mostly less.

    Where outputs have positions, such as time steps or pixels, the means are over those too, less what a mask of the
    model hides.

    Args:
        model: a Keras model with Bayesian layers, or a list of them, as `tfp_bnn.predict` takes it.
        x: inputs, arrays or a stream of batches (inputs, targets), as `tfp_bnn.predict` takes them.
        y: labels or targets of the n inputs; for several outputs a dict or list of them. None if `x` has them.
        num_draws: how many weight draws, S, at least 1.
        batch_size: how many inputs are computed at once.
        sample_weight: weights of the inputs, [n], or of the positions too, [n, positions]; for several outputs a dict
            or list of them. The figures are means with these weights, divided by their sum. None for equal ones, or
            those of the stream.
        likelihood: what turns outputs into distributions; None takes the one that the model was compiled with.
        seed: integer that makes the draws repeatable; None draws one.
        steps: how many batches of a stream to take; None for all.
        verbose: whether a progress bar appears if it takes more than two seconds.

    Returns:
        `nll`, and beside it `accuracy` where y is one of several classes or one yes or no, otherwise `rmse`, the root
        of the mean square of `E[y | x] - y`, in units of y. Of several outputs, those that have targets, their names
        stand before: `price_nll`, `price_rmse`; `nll` is then the sum of all, with the `loss_weights` of `compile`.

    Raises:
        ValueError: if an argument is out of range, if there is no likelihood, or if `y` or weights do not fit.

    Example:

    >>> from tfp_bnn import layers, likelihoods
    >>> model = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(2)])
    >>> model.compile(loss=likelihoods.Categorical())
    >>> sorted(evaluate(model, np.ones((3, 4)), [0, 1, 1], num_draws=20))
    ['accuracy', 'nll']
    """
    run = Pass(
        model,
        x,
        y,
        sample_weight,
        num_draws=num_draws,
        batch_size=batch_size,
        steps=steps,
        likelihood=likelihood,
        seed=seed,
        verbose=verbose,
    )
    parts, batches = [], []
    for batch, bar in run.batches():
        parts.append(summed_up(run, batch, bar))
        batches.append(batch)
    names = [None] if run.heads.is_one else run.heads.names
    found = {}
    for name, summary, targets, weights in zip(
        names,
        summaries(run.heads, parts),
        _gathered(run, "y", [batch.targets for batch in batches]),
        _gathered(run, "sample_weight", [batch.weights for batch in batches]),
        strict=True,
    ):
        if summary is not None and targets is not None:
            found[name] = figures(summary, targets, weights)
    if not found:
        raise ValueError(
            "Figures need targets: evaluate(model, x, y, ...), or a stream of (inputs, targets). Received: y=None"
        )
    if run.heads.is_one:
        return found[None]
    total = sum(each["nll"] * _loss_weight(run, name) for name, each in found.items())
    return {"nll": total} | {f"{name}_{key}": value for name, each in found.items() for key, value in each.items()}


def _gathered(run: Pass, name: str, parts: Sequence[Any]) -> list[np.ndarray | None]:
    """Returns the targets or weights of all batches, for each output."""
    of_batches = [run.heads.parts_of(name, part) for part in parts]
    return [None if each[0] is None else np.concatenate(each) for each in zip(*of_batches, strict=True)]


def _loss_weight(run: Pass, name: str) -> float:
    weights = _keras.loss_weights(run.model)
    if isinstance(weights, dict):
        return weights.get(name, 1.0)
    return 1.0 if weights is None else keras.tree.flatten(weights)[run.heads.names.index(name)]


def figures(summary: PredictiveSummary, y: np.ndarray, weights: np.ndarray | None = None) -> dict[str, float]:
    """Returns the nll and the accuracy or rmse of a summary that was given these targets.

    Args:
        summary: of n inputs.
        y: their targets.
        weights: see `evaluate`.

    Raises:
        ValueError: if the weights do not fit, or leave nothing.
    """
    counts = summary.rows_of(_weights_beside(summary, weights))
    if not counts.sum() > 0:
        raise ValueError(
            f"There must be a target that counts. Received: weights and mask of {counts.size} targets that add up to 0"
        )

    def average(values: np.ndarray) -> float:
        return float(np.average(summary.rows_of(values), axis=0, weights=counts))

    nll = -average(summary.log_prob())
    if summary.predicts_classes():
        labels = summary.class_probabilities().argmax(axis=-1)
        return {"nll": nll, "accuracy": average(labels == y.reshape(labels.shape))}
    mean = np.asarray(summary.mean())
    return {"nll": nll, "rmse": average(np.square(mean - y.reshape(mean.shape)).mean(axis=-1)) ** 0.5}


def _weights_beside(summary: PredictiveSummary, weights: np.ndarray | None) -> np.ndarray:
    shape = summary.shape_of_targets
    if weights is None:
        return np.ones(shape)
    weights = np.asarray(weights, "float64")
    if weights.shape != shape[: weights.ndim] or not weights.ndim or not (weights >= 0).all():
        raise ValueError(
            f"`sample_weight` must be of shape [{shape[0]}], or {list(shape)}, and not negative. "
            f"Received: shape {weights.shape}"
        )
    return np.broadcast_to(weights.reshape(*weights.shape, *[1] * (len(shape) - weights.ndim)), shape)
