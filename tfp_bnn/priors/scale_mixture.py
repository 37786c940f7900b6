"""The scale-mixture prior."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from tfp_bnn._backend import tfp
from tfp_bnn._numerics.constants import HALF_LOG_TWO_PI
from tfp_bnn._numerics.precision import widened
from tfp_bnn._numerics.softplus import plus_softplus, softplus
from tfp_bnn.priors.bounds import LARGEST_LOG_STDDEV, SMALLEST_STDDEV
from tfp_bnn.priors.prior import Prior

Tensor = Any


@keras.saving.register_keras_serializable("tfp_bnn.priors")
class ScaleMixture(Prior):
    """The scale-mixture prior, `p(w) = pi N(w | 0, sigma_1^2) + (1 - pi) N(w | 0, sigma_2^2)`.

    A wide component for the weights that matter and a narrow one for those that do not. Fixed, or learned together
    with the network (empirical Bayes): then log sigma_1, log sigma_2 and logit pi are trained, which keeps every
    value valid.

    Args:
        sigma_1: standard deviation of the wide component, at the start if it is learned.
        sigma_2: standard deviation of the narrow one; 4e-18 < sigma_2 < sigma_1 < 2e17.
        pi: share of the wide component, between 0 and 1 (both excluded).
        trainable: whether the three parameters are learned.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    >>> prior = ScaleMixture(sigma_1=1.0, sigma_2=0.1, pi=0.2, trainable=True)
    >>> len(prior.trainable_variables)
    3

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", equation 7.
    """

    def __init__(
        self,
        sigma_1: float = 1.0,
        sigma_2: float = math.exp(-6),
        pi: float = 0.5,
        trainable: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not SMALLEST_STDDEV < sigma_2 < sigma_1 < 1 / SMALLEST_STDDEV:
            raise ValueError(
                f"The standard deviations must satisfy {SMALLEST_STDDEV:.0e} < sigma_2 < sigma_1 < "
                f"{1 / SMALLEST_STDDEV:.0e}, so that their squares and inverses are float32 numbers. "
                f"Received: sigma_1={sigma_1}, sigma_2={sigma_2}"
            )
        if not 0 < pi < 1:
            raise ValueError(f"`pi` must lie strictly between 0 and 1. Received: pi={pi}")
        # Not Keras's `trainable`: freezing and thawing a network must not turn a fixed prior into a learned one.
        self.learned = bool(trainable)
        self._initial = {"sigma_1": float(sigma_1), "sigma_2": float(sigma_2), "pi": float(pi)}
        self._log_sigma_1 = self._parameter("log_sigma_1", math.log(sigma_1))
        self._log_sigma_2 = self._parameter("log_sigma_2", math.log(sigma_2))
        self._logit_pi = self._parameter("logit_pi", math.log(pi) - math.log1p(-pi))

    def _parameter(self, name: str, value: float) -> Any:
        if not self.learned:
            return value
        initializer = keras.initializers.Constant(value)
        dtype = widened(self.variable_dtype)
        return self.add_weight(name=name, shape=(), initializer=initializer, dtype=dtype, autocast=False)

    def _parameters(self, dtype: str | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Returns log sigma_1, log sigma_2 and logit pi as tensors."""
        dtype = widened(self.variable_dtype) if dtype is None else dtype
        bound = LARGEST_LOG_STDDEV
        log_sigmas = (self._log_sigma_1, self._log_sigma_2)
        bounded = [keras.ops.clip(keras.ops.cast(each, dtype), -bound, bound) for each in log_sigmas]
        return (*bounded, keras.ops.cast(self._logit_pi, dtype))

    @property
    def sigma_1(self) -> Tensor:
        """The wide component's standard deviation, as it is now; a scalar tensor."""
        return keras.ops.exp(self._parameters()[0])

    @property
    def sigma_2(self) -> Tensor:
        """The narrow component's standard deviation, as it is now; a scalar tensor."""
        return keras.ops.exp(self._parameters()[1])

    @property
    def pi(self) -> Tensor:
        """The share of the wide component, as it is now; a scalar tensor."""
        return keras.ops.sigmoid(self._parameters()[2])

    def log_prob(self, weights: Tensor) -> Tensor:
        """Returns log p(w) in nats for each weight.

        It is the wide component's log-density plus softplus of the log-odds of the narrow one: one elementary
        function for each weight, and no underflow however small sigma_2 or however far out w.
        """
        ops = keras.ops
        weights = ops.convert_to_tensor(weights)
        if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(weights.dtype)):
            weights = ops.cast(weights, keras.config.floatx())
        log_sigma_1, log_sigma_2, logit_pi = self._parameters(keras.backend.standardize_dtype(weights.dtype))
        # Learning may make the first component the narrower one; the density must be summed from the wider.
        log_wide, log_narrow = ops.maximum(log_sigma_1, log_sigma_2), ops.minimum(log_sigma_1, log_sigma_2)
        logit_wide = ops.where(log_sigma_1 >= log_sigma_2, logit_pi, -logit_pi)
        half_precision_wide, half_precision_narrow = 0.5 * ops.exp(-2 * log_wide), 0.5 * ops.exp(-2 * log_narrow)
        squared = ops.square(weights)
        wide = -squared * half_precision_wide - (log_wide + softplus(-logit_wide) + HALF_LOG_TWO_PI)
        narrow_log_odds = (log_wide - log_narrow - logit_wide) - squared * (half_precision_narrow - half_precision_wide)
        return plus_softplus(wide, narrow_log_odds)

    def distribution(self, shape: Sequence[int] = ()) -> Any:
        """Returns the two-component `tfd.MixtureSameFamily` of batch shape `shape`."""
        ops = keras.ops
        spread = ops.broadcast_to(ops.stack([self.sigma_1, self.sigma_2]), (*shape, 2))
        share = ops.broadcast_to(ops.stack([self.pi, 1 - self.pi]), (*shape, 2))
        tfd = tfp.distributions(spread, share)
        return tfd.MixtureSameFamily(tfd.Categorical(probs=share), tfd.Normal(ops.zeros_like(spread), spread))

    def stddev(self) -> Tensor:
        """Returns `sqrt(pi sigma_1^2 + (1 - pi) sigma_2^2)`, with the current values."""
        ops = keras.ops
        return ops.sqrt(self.pi * ops.square(self.sigma_1) + (1 - self.pi) * ops.square(self.sigma_2))

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {**super().get_config(), **self._initial, "trainable": self.learned}
