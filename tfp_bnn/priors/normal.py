"""The Gaussian prior."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from tfp_bnn._backend import tfp
from tfp_bnn._numerics.constants import HALF_LOG_TWO_PI
from tfp_bnn.priors.prior import Prior

Tensor = Any


@keras.saving.register_keras_serializable("tfp_bnn.priors")
class Normal(Prior):
    """The Gaussian prior, `p(w) = N(w | loc, scale^2)`.

    Layers take its KL divergence from a Gaussian posterior in closed form.

    Args:
        scale: standard deviation, in units of the weights; positive.
        loc: mean.

    Raises:
        ValueError: if `scale` is not positive.

    Example:

    >>> float(Normal(scale=2.0).log_prob(0.0))  # doctest: +ELLIPSIS
    -1.612...
    """

    def __init__(self, scale: float = 1.0, loc: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        if not 0 < scale < math.inf:
            raise ValueError(f"`scale` must be positive and finite. Received: scale={scale}")
        if not math.isfinite(loc):
            raise ValueError(f"`loc` must be finite. Received: loc={loc}")
        self.scale = float(scale)
        self.loc = float(loc)

    def log_prob(self, weights: Tensor) -> Tensor:
        """Returns log N(w | loc, scale^2) in nats for each weight."""
        standardized = (weights - self.loc) / self.scale
        return -0.5 * keras.ops.square(standardized) - (math.log(self.scale) + HALF_LOG_TWO_PI)

    def distribution(self, shape: Sequence[int] = ()) -> Any:
        """Returns `tfd.Normal(loc, scale)` of batch shape `shape`."""
        loc, scale = keras.ops.full(shape, self.loc), keras.ops.full(shape, self.scale)
        return tfp.distributions(loc, scale).Normal(loc, scale)

    def stddev(self) -> Tensor:
        """Returns the scale."""
        return keras.ops.convert_to_tensor(self.scale)

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {**super().get_config(), "scale": self.scale, "loc": self.loc}
