"""Quantiles of predicted real targets: of a mixture over draws of the weights, so without closed form."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from scipy import special
from scipy.optimize import elementwise

from tfp_bnn.likelihoods import Laplace, Likelihood, Normal, StudentT


def quantiles(outputs: np.ndarray, likelihood: Likelihood, probabilities: Sequence[float]) -> np.ndarray:
    """Returns the quantiles of each input's targets, with the noise of the data and the uncertainty of the weights.

    The p-quantile is the y with `1/S sum_s P(Y <= y | x, w_s) = p` over draws s of the weights. It lies between the
    least and the greatest p-quantile of single draws; SciPy finds it there. Several targets have each their own.

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
    if np.ndim(probabilities) != 1 or any(not 0 < probability < 1 for probability in probabilities):
        raise ValueError(
            f"`probabilities` must be a sequence of numbers between 0 and 1. Received: probabilities={probabilities}"
        )
    cdf, inverse_cdf, noise_variance = _noise(likelihood)
    loc, variance = (_float64(moment(outputs)) for moment in (likelihood.mean, likelihood.variance))
    targets = loc.shape[1:]
    loc, scale = (values.reshape(len(loc), -1) for values in (loc, np.sqrt(variance / noise_variance)))

    def excess(y: np.ndarray, target: np.ndarray, probability: float) -> np.ndarray:
        return cdf((y - loc[:, target]) / scale[:, target]).mean(axis=0) - probability

    def quantile(probability: float) -> np.ndarray:
        of_draws = loc + scale * inverse_cdf(probability)
        low, high = of_draws.min(axis=0), of_draws.max(axis=0)
        root = elementwise.find_root(excess, (low, high), args=(np.arange(math.prod(targets)), probability))
        # Where all draws agree to rounding, the interval may not hold a change of sign.
        return np.where(root.success, root.x, (low + high) / 2).reshape(targets)

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
