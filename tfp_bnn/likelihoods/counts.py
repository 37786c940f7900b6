"""What likelihoods of counts have in common."""

from typing import Any

import keras
import numpy as np

from tfp_bnn._numerics.inverse_cdf import least_count
from tfp_bnn.likelihoods.independent import IndependentLikelihood

Tensor = Any


class CountLikelihood(IndependentLikelihood):
    """Targets 0, 1, 2, ...; others make the loss NaN: compiled code cannot raise.

    The logarithm of y! and the other terms of a log-probability are as large as y log y, and float32 rounds them: to
    0.1 nats for counts of a hundred thousand. So each family takes the largest log-probability that y has, of whatever
    mean, which is small, and from it the deviance of the predicted mean.

    A family's first parameter is the logarithm of the mean. For quantiles it defines `_cdf_of_counts`.
    """

    target_kind = "counts"
    _targets_expected = "Targets must be counts: integers, 0 or more."

    def _allowed(self, y: Tensor) -> Tensor:
        return (y >= 0) & (y % 1 == 0)

    def mean(self, outputs: Tensor) -> Tensor:
        """Returns the mean."""
        return keras.ops.exp(self._parameters(outputs)[0])

    def _cdf_of_counts(self, y: np.ndarray, *parameters: np.ndarray) -> np.ndarray:
        """Returns P(Y <= y) of each target at counts, 0 or more."""
        raise self._not_defined("cdf")

    def _cdf(self, y: np.ndarray, *parameters: np.ndarray) -> np.ndarray:
        return np.where(y < 0, 0.0, self._cdf_of_counts(np.floor(np.maximum(y, 0.0)), *parameters))

    def quantile(self, outputs: np.ndarray, probability: float) -> np.ndarray:
        """Returns the least count of each target that is not exceeded with this probability, [..., n, targets]."""
        return least_count(self.cdf_given(outputs), *self.quantile_bounds(outputs, probability), probability)

    def quantile_bounds(self, outputs: np.ndarray, probability: float) -> tuple[np.ndarray, np.ndarray]:
        """Returns 0 and `E[y] / (1 - p)`: less than 1 - p lies beyond it, by Markov's inequality."""
        mean = exp(self._in_double(outputs)[0])
        return np.zeros_like(mean), np.floor(mean / (1 - probability))


def exp(logarithm: np.ndarray) -> np.ndarray:
    """Returns the exponential, which may be infinite."""
    with np.errstate(over="ignore"):
        return np.exp(logarithm)
