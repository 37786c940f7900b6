"""Real targets with noise of one shape that is moved and stretched."""

import abc
import math
from typing import Any

import keras
import numpy as np

from tfp_bnn.likelihoods.independent import IndependentLikelihood
from tfp_bnn.likelihoods.scales import (
    INITIAL_SCALE,
    MIN_SCALE,
    check_least,
    positive,
    warn_of_earlier_link,
    warn_of_units,
)

Tensor = Any


class LocationScale(IndependentLikelihood):
    """A location-scale family, `y = loc + scale * z` with noise z of a fixed density `exp(log_kernel(z)) / normalizer`.

    A family defines `_log_kernel`, `_log_normalizer` and `_noise_variance`, and `mean` if that of the noise is not 0.
    For its entropy it defines `_mean_log_kernel`, for quantiles `_noise_cdf` and `_noise_quantile`.

    With a fixed scale the outputs are loc, as many as targets. With `scale=None` the network predicts the scale too:
    the first half of the outputs is loc, the second half, x, gives the scale `(x + sqrt(x^2 + 4)) / 2`: 1 at 0. That
    suits standardized targets.

    Args:
        scale: scale of the noise in units of y, positive; None: the network predicts it.
        min_scale: least scale that the network can predict, in units of y, between 0 and 1.

    Raises:
        ValueError: if `scale` is not positive, if `min_scale` is out of range, or if the scale is predicted and the
            number of outputs is odd.
    """

    _log_normalizer: float
    """The logarithm of the integral of `exp(log_kernel(z))`."""

    _mean_log_kernel: float | None = None
    """E[log_kernel(z)]; None if it is not known."""

    _noise_variance: float
    """Var[z]."""

    def __init__(
        self,
        scale: float | None = None,
        min_scale: float = MIN_SCALE,
        name: str = "nll",
        reduction: str = "sum_over_batch_size",
        **kwargs: Any,
    ):
        super().__init__(name=name, reduction=reduction, **kwargs)
        if scale is not None and not 0 < scale < math.inf:
            raise ValueError(f"`scale` must be positive and finite, or None. Received: scale={scale}")
        self.scale = scale
        self.min_scale = check_least("min_scale", min_scale)

    @abc.abstractmethod
    def _log_kernel(self, z: Tensor) -> Tensor:
        """Returns the log-density of the noise z, up to a constant, elementwise."""

    def _noise_cdf(self, z: np.ndarray) -> np.ndarray:
        """Returns P(Z <= z) of the noise, elementwise."""
        raise self._not_defined("cdf")

    def _noise_quantile(self, probability: float) -> float:
        """Returns the quantile of the noise."""
        raise self._not_defined("quantile")

    def _parameters(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Returns loc and scale."""
        if self.scale is not None:
            outputs = keras.ops.convert_to_tensor(outputs)
            return outputs, keras.ops.full_like(outputs, self.scale)
        loc, scale = self._blocks(outputs)
        return loc, positive(scale, self.min_scale)

    @property
    def _num_parameters(self) -> int:
        return 2 if self.scale is None else 1

    def check_scale(self, stddev: np.ndarray | float) -> None:
        """Warns if targets of this standard deviation, a number or one for each, are a hundred times the scale."""
        warn_of_units(stddev, self.scale or INITIAL_SCALE, predicted=self.scale is None)

    def _log_densities(self, y: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
        return self._log_kernel((y - loc) / scale) - keras.ops.log(scale) - self._log_normalizer

    def _cdf(self, y: np.ndarray, loc: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return self._noise_cdf((y - loc) / scale)

    def _quantile(self, probability: float, loc: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return loc + scale * self._noise_quantile(probability)

    def mean(self, outputs: Tensor) -> Tensor:
        """Returns loc."""
        return self._parameters(outputs)[0]

    def variance(self, outputs: Tensor) -> Tensor:
        """Returns `scale^2 Var[z]`."""
        return self._noise_variance * keras.ops.square(self._parameters(outputs)[1])

    @property
    def has_entropy(self) -> bool:
        """Whether the entropy of the noise is known."""
        return self._mean_log_kernel is not None

    def entropy(self, outputs: Tensor) -> Tensor:
        """Returns the sum over the targets' dimensions of `log(scale)` and the entropy of z, in nats."""
        if not self.has_entropy:
            return super().entropy(outputs)
        log_scale = keras.ops.log(self._parameters(outputs)[1])
        return keras.ops.sum(log_scale + self._log_normalizer - self._mean_log_kernel, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {**super().get_config(), "scale": self.scale, "min_scale": self.min_scale}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LocationScale":
        """Makes the likelihood that `get_config` describes; warns if its network was trained for another one."""
        if config.get("scale") is None:
            warn_of_earlier_link(config, "min_scale")
        return cls(**config)
