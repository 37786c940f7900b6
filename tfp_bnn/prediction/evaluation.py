"""Figures of a model's predictive distribution on data with known targets."""

from typing import Any

import keras
import numpy as np

from tfp_bnn.likelihoods import Likelihood
from tfp_bnn.prediction.summary import summarize


def evaluate(
    model: keras.Model,
    x: Any,
    y: np.ndarray,
    num_draws: int = 50,
    batch_size: int = 1000,
    *,
    likelihood: Likelihood | None = None,
    seed: int | None = None,
    verbose: bool = True,
) -> dict[str, float]:
    """Returns how well the predictive distribution fits held-out data: what `model.evaluate` says of one noisy draw.

    `nll` is the mean of `-log (1/S) sum_s p(y | x, w_s)` over the inputs, in nats. `model.evaluate` gives that of
    single draws, which is greater (by Jensen's inequality), and the accuracy of single draws, which is mostly less.

    Args:
        model: a Keras model with Bayesian layers, one output [n, outputs].
        x: inputs, as `tfp_bnn.predict` takes them.
        y: labels or targets of the n inputs.
        num_draws: how many weight draws, S, at least 1.
        batch_size: how many inputs are computed at once.
        likelihood: what turns outputs into distributions; None takes the one that the model was compiled with.
        seed: integer that makes the draws repeatable; None draws one.
        verbose: whether a progress bar appears if it takes more than two seconds.

    Returns:
        `nll`, and beside it `accuracy` where y is one of several classes or one yes or no, otherwise `rmse`, the root
        of the mean square of `E[y | x] - y`, in units of y.

    Raises:
        ValueError: if an argument is out of range, if there is no likelihood, or if `y` does not fit.

    Example:

    >>> from tfp_bnn import layers, likelihoods
    >>> model = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(2)])
    >>> model.compile(loss=likelihoods.Categorical())
    >>> sorted(evaluate(model, np.ones((3, 4)), [0, 1, 1], num_draws=20))
    ['accuracy', 'nll']
    """
    y = np.asarray(y)
    arguments = {"likelihood": likelihood, "seed": seed, "verbose": verbose}
    summary = summarize(model, x, y, num_draws, batch_size, **arguments)
    nll = -float(summary.log_prob().mean())
    if summary.predicts_classes():
        labels = summary.class_probabilities().argmax(axis=-1)
        return {"nll": nll, "accuracy": float(np.mean(labels == y.reshape(labels.shape)))}
    mean = np.asarray(summary.mean())
    return {"nll": nll, "rmse": float(np.sqrt(np.mean(np.square(mean - y.reshape(mean.shape)))))}
