"""Real targets with noise of one shape that is moved and stretched."""

import abc
import math
from typing import Any

import keras

from tfp_bnn.likelihoods.independent import IndependentLikelihood, positive

Tensor = Any


class LocationScale(IndependentLikelihood):
    """A location-scale family, `y = loc + scale * z` with noise z of a fixed density `exp(log_kernel(z)) / normalizer`.

    With a fixed scale the outputs are loc, as many as targets. With `scale=None` the network predicts the scale too:
    the first half of the outputs is loc, `softplus` of the second half is the scale.

    Args:
        scale: scale of the noise in units of y, positive; None: the network predicts it.

    Raises:
        ValueError: if `scale` is not positive, or if it is None and the number of outputs is odd.
    """

    _log_normalizer: float
    """The logarithm of the integral of `exp(log_kernel(z))`."""

    _mean_log_kernel: float
    """E[log_kernel(z)]."""

    _noise_variance: float
    """Var[z]."""

    def __init__(
        self,
        scale: float | None = None,
        name: str = "nll",
        reduction: str = "sum_over_batch_size",
        **kwargs: Any,
    ):
        super().__init__(name=name, reduction=reduction, **kwargs)
        if scale is not None and not 0 < scale < math.inf:
            raise ValueError(f"`scale` must be positive and finite, or None. Received: scale={scale}")
        self.scale = scale

    @abc.abstractmethod
    def _log_kernel(self, z: Tensor) -> Tensor:
        """Returns the log-density of the noise z, up to a constant, elementwise."""

    def _parameters(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Returns loc and scale."""
        outputs = keras.ops.convert_to_tensor(outputs)
        if self.scale is not None:
            return outputs, keras.ops.full_like(outputs, self.scale)
        expected = "With `scale=None` the network needs an even number of outputs, half of them for the scale."
        loc, scale = self._blocks(outputs, 2, expected)
        return loc, positive(scale)

    def _log_densities(self, y: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
        return self._log_kernel((y - loc) / scale) - keras.ops.log(scale) - self._log_normalizer

    def mean(self, outputs: Tensor) -> Tensor:
        """Returns loc."""
        return self._parameters(outputs)[0]

    def variance(self, outputs: Tensor) -> Tensor:
        """Returns `scale^2 Var[z]`."""
        return self._noise_variance * keras.ops.square(self._parameters(outputs)[1])

    def entropy(self, outputs: Tensor) -> Tensor:
        """Returns the sum over the targets' dimensions of `log(scale)` and the entropy of z, in nats."""
        log_scale = keras.ops.log(self._parameters(outputs)[1])
        return keras.ops.sum(log_scale + self._log_normalizer - self._mean_log_kernel, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {**super().get_config(), "scale": self.scale}
