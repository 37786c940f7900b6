"""Real targets with heavier tails than Gaussian ones."""

import math
from types import ModuleType
from typing import Any

import keras
import numpy as np

from tfp_bnn.likelihoods.location_scale import LocationScale

Tensor = Any


@keras.saving.register_keras_serializable("tfp_bnn.likelihoods")
class Laplace(LocationScale):
    """Real targets with Laplace noise, `p(y | outputs) = exp(-|y - loc| / scale) / (2 scale)`.

    The loss is the absolute error over the scale: an outlier pulls at loc no more than any other target does. The
    standard deviation of y is `sqrt(2) scale`.

    With a fixed scale the outputs are loc, as many as targets. With `scale=None` the network predicts the scale too:
    the first half of the outputs is loc, the second half, x, gives the scale `(x + sqrt(x^2 + 4)) / 2`: 1 at 0. That
    suits standardized targets.

    Args:
        scale: mean absolute deviation of the noise in units of y, positive; None: the network predicts it.
        min_scale: least scale that the network can predict, in units of y, between 0 and 1.

    Raises:
        ValueError: if `scale` is not positive, if `min_scale` is out of range, or if the scale is predicted and the
            number of outputs is odd.

    Example:

    >>> likelihood = Laplace(scale=1.0)
    >>> round(float(likelihood([[3.0]], [[2.0]])), 4)  # 1 + log 2
    1.6931

    Source: Kendall and Gal 2017, "What Uncertainties Do We Need in Bayesian Deep Learning for Computer Vision?",
    equation 5, of the predicted scale.
    """

    _log_normalizer = math.log(2)
    _mean_log_kernel = -1.0
    _noise_variance = 2.0

    def _log_kernel(self, z: Tensor) -> Tensor:
        return -keras.ops.abs(z)

    def _noise_cdf(self, z: np.ndarray) -> np.ndarray:
        beyond = 0.5 * np.exp(-np.abs(z))
        return np.where(z > 0, 1 - beyond, beyond)

    def _noise_quantile(self, probability: float) -> float:
        return math.log(2 * probability) if probability < 0.5 else -math.log(2 * (1 - probability))

    def _distributions(self, tfd: ModuleType, loc: Tensor, scale: Tensor) -> Any:
        return tfd.Laplace(loc, scale)
