"""Real targets with Gaussian noise."""

from types import ModuleType
from typing import Any

import keras
import numpy as np
import scipy

from tfp_bnn._numerics.constants import HALF_LOG_TWO_PI
from tfp_bnn.likelihoods.location_scale import LocationScale

Tensor = Any


@keras.saving.register_keras_serializable("tfp_bnn.likelihoods")
class Normal(LocationScale):
    """Real targets with Gaussian noise, `p(y | outputs) = N(y | loc, scale^2)`.

    With a fixed scale the outputs are loc, as many as targets. With `scale=None` the network predicts the scale too:
    the first half of the outputs is loc, the second half, x, gives the scale `(x + sqrt(x^2 + 4)) / 2`: 1 at 0. That
    suits standardized targets.

    Args:
        scale: standard deviation of the noise in units of y, positive; None: the network predicts it.
        min_scale: least scale that the network can predict, in units of y, between 0 and 1.

    Raises:
        ValueError: if `scale` is not positive, if `min_scale` is out of range, or if the scale is predicted and the
            number of outputs is odd.

    Example:

    >>> likelihood = Normal(scale=1.0)
    >>> round(float(likelihood([[2.0]], [[2.0]])), 4)  # log(2 pi) / 2
    0.9189

    Source: Kendall and Gal 2017, "What Uncertainties Do We Need in Bayesian Deep Learning for Computer Vision?",
    equation 5, of the predicted scale.
    """

    _log_normalizer = HALF_LOG_TWO_PI
    _mean_log_kernel = -0.5
    _noise_variance = 1.0

    def _log_kernel(self, z: Tensor) -> Tensor:
        return -0.5 * keras.ops.square(z)

    def _noise_cdf(self, z: np.ndarray) -> np.ndarray:
        return scipy.special.ndtr(z)

    def _noise_quantile(self, probability: float) -> float:
        return scipy.special.ndtri(probability)

    def _distributions(self, tfd: ModuleType, loc: Tensor, scale: Tensor) -> Any:
        return tfd.Normal(loc, scale)
