"""The Gaussian prior whose scale is fit to the posterior in closed form."""

from collections.abc import Sequence
from typing import Any

import keras

from tfp_bnn._backend import tfp
from tfp_bnn._numerics.constants import HALF_LOG_TWO_PI
from tfp_bnn._numerics.precision import widened
from tfp_bnn.priors.bounds import SMALLEST_STDDEV
from tfp_bnn.priors.prior import Prior

Tensor = Any


@keras.saving.register_keras_serializable("tfp_bnn.priors")
class FittedNormal(Prior):
    """The Gaussian prior, `p(w) = N(w | 0, scale^2)`, with the scale that `callbacks.FitPriorScale` sets.

    The scale is state, saved with the model, and is not trained by gradients. Layers with a prior of their own each
    have their scale; those that share one have one scale.

    Args:
        scale: standard deviation until the callback sets another; positive.

    Raises:
        ValueError: if `scale` is out of range.

    Example:

    >>> prior = FittedNormal(scale=0.5)
    >>> prior.assign(0.1)
    >>> round(float(prior.stddev()), 4), len(prior.trainable_variables)
    (0.1, 0)
    """

    def __init__(self, scale: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self._check(scale)
        self._initial = float(scale)
        self._scale = self.add_weight(
            name="scale",
            shape=(),
            initializer=keras.initializers.Constant(self._initial),
            dtype=widened(self.variable_dtype),
            trainable=False,
            autocast=False,
        )

    @staticmethod
    def _check(scale: float) -> None:
        if not SMALLEST_STDDEV < scale < 1 / SMALLEST_STDDEV:
            raise ValueError(
                f"`scale` must lie between {SMALLEST_STDDEV:.0e} and {1 / SMALLEST_STDDEV:.0e}. Received: scale={scale}"
            )

    @property
    def scale(self) -> Tensor:
        """The standard deviation, as it is now; a scalar tensor."""
        return keras.ops.convert_to_tensor(self._scale.value)

    def assign(self, scale: float) -> None:
        """Sets the scale; raises ValueError if it is out of range."""
        self._check(scale)
        self._scale.assign(scale)

    def log_prob(self, weights: Tensor) -> Tensor:
        """Returns log N(w | 0, scale^2) in nats for each weight."""
        ops = keras.ops
        weights = ops.convert_to_tensor(weights)
        scale = ops.cast(self.scale, weights.dtype)
        return -0.5 * ops.square(weights / scale) - (ops.log(scale) + HALF_LOG_TWO_PI)

    def distribution(self, shape: Sequence[int] = ()) -> Any:
        """Returns `tfd.Normal(0, scale)` of batch shape `shape`."""
        scale = keras.ops.broadcast_to(self.scale, shape)
        return tfp.distributions(scale).Normal(keras.ops.zeros_like(scale), scale)

    def stddev(self) -> Tensor:
        """Returns the scale."""
        return self.scale

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {**super().get_config(), "scale": self._initial}
