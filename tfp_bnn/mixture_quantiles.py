"""Quantiles of predicted real targets: of a mixture over draws of the weights, so without closed form."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from scipy import special

from tfp_bnn.likelihoods import Laplace, Likelihood, Normal, StudentT

# They leave 1e-12 of the interval.
_BISECTIONS = 40


def quantiles(outputs: np.ndarray, likelihood: Likelihood, probabilities: Sequence[float]) -> np.ndarray:
    """Returns the quantiles of each input's targets, with the noise of the data and the uncertainty of the weights.

    The p-quantile is the y with `1/S sum_s P(Y <= y | x, w_s) = p` over draws s of the weights. It lies between the
    least and the greatest p-quantile of single draws and is found by bisection. Several targets have each their own.

    Args:
        outputs: the network's, [draws, n, outputs], for d targets.
        likelihood: `Normal`, `Laplace` or `StudentT`.
        probabilities: between 0 and 1.

    Returns:
        The quantiles in units of y, float64 [probabilities, n, d].

    Raises:
        ValueError: if the likelihood is another one, or a probability is out of range.

    Example:

    >>> outputs = np.array([[[-1.0]], [[1.0]]])  # two narrow normals
    >>> quantiles(outputs, Normal(scale=0.1), (0.25, 0.75)).round(3).ravel().tolist()
    [-1.0, 1.0]
    """
    if any(not 0 < probability < 1 for probability in probabilities):
        raise ValueError(f"`probabilities` must be between 0 and 1. Received: probabilities={tuple(probabilities)}")
    cdf, inverse_cdf, noise_variance = _noise(likelihood)
    loc, variance = (_float64(moment(outputs)) for moment in (likelihood.mean, likelihood.variance))
    scale = np.sqrt(variance / noise_variance)

    def quantile(probability: float) -> np.ndarray:
        of_draws = loc + scale * inverse_cdf(probability)
        low, high = of_draws.min(axis=0), of_draws.max(axis=0)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            is_below = cdf((middle - loc) / scale).mean(axis=0) < probability
            low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
        return (low + high) / 2

    return np.stack([quantile(probability) for probability in probabilities])


def _noise(likelihood: Likelihood) -> tuple[Callable, Callable, float]:
    """Returns the distribution function of `(y - loc) / scale`, its inverse, and its variance."""
    # `scipy.special` where it can be: the checks of `scipy.stats` take longer than all the rest.
    match likelihood:
        case Normal():
            return special.ndtr, special.ndtri, 1.0
        case Laplace():
            from scipy import stats  # Slow to import.

            return stats.laplace.cdf, stats.laplace.ppf, 2.0
        case StudentT(df=df):
            return functools.partial(special.stdtr, df), functools.partial(special.stdtrit, df), df / (df - 2)
    raise ValueError(f"Quantiles are of Normal, Laplace and StudentT. Received: likelihood={type(likelihood).__name__}")


def _float64(tensor: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor).astype("float64")
