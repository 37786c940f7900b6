"""The remainder of Stirling's formula: log-probabilities of counts in terms of it have no large terms that cancel."""

from typing import Any

import keras

from tfp_bnn import _backend
from tfp_bnn._numerics.constants import HALF_LOG_TWO_PI

Tensor = Any

# From here on four terms of the series are exact to 1e-11.
_SERIES_FROM = 8.0


def stirling_remainder(x: Tensor) -> Tensor:
    """Returns `log Gamma(x)` less Stirling's formula `(x - 1/2) log x - x + log(2 pi) / 2`, elementwise.

    It falls from infinity at 0 to 0 at infinity, and is less than `1 / (12 x)`.

    Args:
        x: positive.

    Example:

    >>> round(float(stirling_remainder(keras.ops.ones(()))), 4)  # 1 - log(2 pi) / 2
    0.0811

    Source: Loader 2000, "Fast and Accurate Computation of Binomial Probabilities".
    """
    ops = keras.ops
    far = x > _SERIES_FROM
    # The inner choices keep the gradient of the other side finite.
    near_x, far_x = ops.where(far, 1.0, x), ops.where(far, x, _SERIES_FROM)
    near = _backend.log_gamma(near_x) - ((near_x - 0.5) * ops.log(near_x) - near_x + HALF_LOG_TWO_PI)
    s = 1 / ops.square(far_x)
    return ops.where(far, (1 / 12 - (1 / 360 - (1 / 1260 - s / 1680) * s) * s) / far_x, near)
