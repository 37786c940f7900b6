"""Counts of what happens independently."""

import math
from types import ModuleType
from typing import Any

import keras
import numpy as np
import scipy

from tfp_bnn._numerics.constants import HALF_LOG_TWO_PI
from tfp_bnn._numerics.stirling import stirling_remainder
from tfp_bnn.likelihoods.counts import CountLikelihood, exp

Tensor = Any


@keras.saving.register_keras_serializable("tfp_bnn.likelihoods")
class Poisson(CountLikelihood):
    """Counts, `p(y | outputs) = rate^y exp(-rate) / y!` with `rate = exp(outputs)`; as many outputs as targets.

    Mean and variance are the rate. Targets that are not counts make the loss NaN: compiled code cannot raise. Outputs
    above 88 make the rate, and the loss, infinite in float32. For large counts, set the initial bias of the last
    layer to the logarithm of their mean.

    Example:

    >>> likelihood = Poisson()
    >>> round(float(likelihood([[2]], [[0.0]])), 4)  # 1 + log 2
    1.6931

    Source: McCullagh and Nelder 1989, "Generalized Linear Models", chapter 6; Loader 2000, "Fast and Accurate
    Computation of Binomial Probabilities", of how the log-probability is computed.
    """

    def _parameters(self, outputs: Tensor) -> tuple[Tensor]:
        """Returns the logarithm of the rate."""
        return (keras.ops.convert_to_tensor(outputs),)

    def _log_densities(self, y: Tensor, log_rate: Tensor) -> Tensor:
        ops = keras.ops
        count = ops.maximum(y, 1.0)
        log_ratio = log_rate - ops.log(count)
        best = -stirling_remainder(count) - 0.5 * ops.log(count) - HALF_LOG_TWO_PI
        half_deviance = count * (ops.expm1(log_ratio) - log_ratio)
        log_probs = ops.where(y == 0, -ops.exp(log_rate), best - half_deviance)
        return ops.where(self._allowed(y), log_probs, math.nan)

    def _cdf_of_counts(self, y: np.ndarray, log_rate: np.ndarray) -> np.ndarray:
        return scipy.special.pdtr(y, exp(log_rate))

    def variance(self, outputs: Tensor) -> Tensor:
        """Returns the rate."""
        return keras.ops.exp(outputs)

    def _distributions(self, tfd: ModuleType, log_rate: Tensor) -> Any:
        return tfd.Poisson(log_rate=log_rate)
