"""Quantiles of predicted real targets and counts: of a mixture over draws of the weights, so without closed form."""

from collections.abc import Sequence

import numpy as np

from tfp_bnn._numerics.inverse_cdf import least_count, real_quantile
from tfp_bnn.likelihoods import Likelihood


def quantiles(outputs: np.ndarray, likelihood: Likelihood, probabilities: Sequence[float]) -> np.ndarray:
    """Returns the quantiles of each input's targets, with the noise of the data and the uncertainty of the weights.

    The p-quantile of real targets is the y with `1/S sum_s P(Y <= y | x, w_s) = p` over draws s of the weights; of
    counts it is the least count y with `1/S sum_s P(Y <= y | x, w_s) >= p`. Several targets have each their own.

    Args:
        outputs: the network's, [draws, n, outputs], for d targets.
        likelihood: one of real targets or of counts, which has `cdf` and `quantile`.
        probabilities: between 0 and 1.

    Returns:
        The quantiles in units of y, float64 [probabilities, n, d]; of counts whole numbers.

    Raises:
        ValueError: if the likelihood is another one, or a probability is out of range.

    Example:

    >>> from tfp_bnn.likelihoods import Normal, Poisson
    >>> outputs = np.array([[[-1.0]], [[1.0]]])  # two narrow normals
    >>> quantiles(outputs, Normal(scale=0.1), (0.25, 0.75)).round(3).ravel().tolist()
    [-1.0, 1.0]
    >>> outputs = np.log([[[2.0]], [[50.0]]])  # two rates
    >>> quantiles(outputs, Poisson(), (0.25, 0.75)).ravel().tolist()
    [2.0, 50.0]
    """
    if np.ndim(probabilities) != 1 or any(not 0 < probability < 1 for probability in probabilities):
        raise ValueError(
            f"`probabilities` must be a sequence of numbers between 0 and 1. Received: probabilities={probabilities}"
        )
    return np.stack([_quantile(outputs, likelihood, probability) for probability in probabilities])


def _quantile(outputs: np.ndarray, likelihood: Likelihood, probability: float) -> np.ndarray:
    """Returns the quantile of the mixture, [n, d]: between the least and the greatest quantile of single draws."""
    low, high = likelihood.quantile_bounds(outputs, probability)
    cdf_of_draws = likelihood.cdf_given(outputs)
    search = least_count if likelihood.target_kind == "counts" else real_quantile
    return search(lambda y: cdf_of_draws(y).mean(axis=0), low.min(axis=0), high.max(axis=0), probability)
