"""Real targets with outliers."""

import math
from types import ModuleType
from typing import Any

import keras
import numpy as np
import scipy

from tfp_bnn.likelihoods.location_scale import LocationScale
from tfp_bnn.likelihoods.scales import MIN_SCALE

Tensor = Any

# From here on log(1 + u^2) = 2 log u, also in float64.
_FAR = 1e9


@keras.saving.register_keras_serializable("tfp_bnn.likelihoods")
class StudentT(LocationScale):
    """Real targets with outliers, Student's t `p(y | outputs) ~ (1 + z^2 / df)^(-(df + 1) / 2)`, z = (y - loc) / scale.

    The fewer the degrees of freedom, the heavier the tails: the further out a target, the less it pulls at loc. The
    standard deviation of y is `scale sqrt(df / (df - 2))`.

    With a fixed scale the outputs are loc, as many as targets. With `scale=None` the network predicts the scale too:
    the first half of the outputs is loc, the second half, x, gives the scale `(x + sqrt(x^2 + 4)) / 2`: 1 at 0. That
    suits standardized targets.

    Args:
        df: degrees of freedom, above 2, so that the variance is finite.
        scale: scale of the noise in units of y, positive; None: the network predicts it.
        min_scale: least scale that the network can predict, in units of y, between 0 and 1.

    Raises:
        ValueError: if `df` is not above 2, if `scale` is not positive, if `min_scale` is out of range, or if the scale
            is predicted and the number of outputs is odd.

    Example:

    >>> likelihood = StudentT(df=4.0, scale=1.0)
    >>> round(float(likelihood([[2.0]], [[2.0]])), 4)  # log(8 / 3)
    0.9808

    Source: Lange, Little and Taylor 1989, "Robust Statistical Modeling Using the t Distribution".
    """

    def __init__(
        self,
        df: float = 4.0,
        scale: float | None = None,
        min_scale: float = MIN_SCALE,
        name: str = "nll",
        reduction: str = "sum_over_batch_size",
        **kwargs: Any,
    ):
        super().__init__(scale, min_scale, name=name, reduction=reduction, **kwargs)
        if not 2 < df < math.inf:
            raise ValueError(f"`df` must be above 2, so that the variance is finite, and finite. Received: df={df}")
        self.df = df
        half = 0.5 * (df + 1)
        self._log_normalizer = float(scipy.special.betaln(0.5, 0.5 * df) + 0.5 * math.log(df))
        self._mean_log_kernel = -half * float(scipy.special.digamma(half) - scipy.special.digamma(0.5 * df))
        self._noise_variance = df / (df - 2)

    def _log_kernel(self, z: Tensor) -> Tensor:
        ops = keras.ops
        u = ops.abs(z) / math.sqrt(self.df)
        # The square of what is far out would overflow. The inner choices keep the gradient of the other side finite.
        far = u > _FAR
        log_far = 2.0 * ops.log(ops.where(far, u, 1.0))
        log_near = ops.log1p(ops.square(ops.where(far, 0.0, u)))
        return -0.5 * (self.df + 1) * ops.where(far, log_far, log_near)

    def _noise_cdf(self, z: np.ndarray) -> np.ndarray:
        return scipy.special.stdtr(self.df, z)

    def _noise_quantile(self, probability: float) -> float:
        return scipy.special.stdtrit(self.df, probability)

    def _distributions(self, tfd: ModuleType, loc: Tensor, scale: Tensor) -> Any:
        return tfd.StudentT(self.df, loc, scale)

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {**super().get_config(), "df": self.df}
