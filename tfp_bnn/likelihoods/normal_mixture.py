"""Real targets that may lie in one of several places."""

from types import ModuleType
from typing import Any

import keras
import numpy as np
import scipy

from tfp_bnn._checks import check_count
from tfp_bnn._numerics.constants import HALF_LOG_TWO_PI
from tfp_bnn._numerics.inverse_cdf import real_quantile
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


@keras.saving.register_keras_serializable("tfp_bnn.likelihoods")
class NormalMixture(IndependentLikelihood):
    """Real targets of several modes, `p(y | outputs) = sum_k softmax(logits)_k N(y | loc_k, scale_k^2)`.

    The head of a mixture density network. Each of several targets has a mixture of its own, independent of the others.

    The network has `3 num_components` outputs for each target: all logits, then all locs, then those, x, that give the
    scales `(x + sqrt(x^2 + 4)) / 2`: 1 at 0. That suits standardized targets. Each of the three has a block for each
    component, of one output for each target.

    Args:
        num_components: how many normals each mixture has, at least 1.
        min_scale: least scale that the network can predict, in units of y, between 0 and 1.

    Raises:
        ValueError: if `num_components` is not a positive integer, or `min_scale` is out of range.

    Example:

    >>> likelihood = NormalMixture(num_components=2)
    >>> logits, locs, scales = [0.0, 0.0], [-1.0, 1.0], [0.0, 0.0]
    >>> mean, variance = likelihood.mean([logits + locs + scales]), likelihood.variance([logits + locs + scales])
    >>> round(float(mean[0, 0]), 4), round(float(variance[0, 0]), 4)  # 0 and 1 + 1
    (0.0, 2.0)

    Source: Bishop 1994, "Mixture Density Networks"; Bishop 2006, "Pattern Recognition and Machine Learning",
    equations 5.148 (density), 5.158 (mean) and 5.160 (variance). The scales there are exponentials.
    """

    def __init__(
        self,
        num_components: int = 3,
        min_scale: float = MIN_SCALE,
        name: str = "nll",
        reduction: str = "sum_over_batch_size",
        **kwargs: Any,
    ):
        super().__init__(name=name, reduction=reduction, **kwargs)
        self.num_components = check_count("num_components", num_components)
        self.min_scale = check_least("min_scale", min_scale)

    @property
    def _num_parameters(self) -> int:
        return 3 * self.num_components

    def check_scale(self, stddev: np.ndarray | float) -> None:
        """Warns if targets of this standard deviation, a number or one for each, are a hundred times a first scale."""
        warn_of_units(stddev, INITIAL_SCALE, predicted=True)

    def _parameters(self, outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the components' log-weights, locs and scales, each [..., n, targets, components]."""
        ops = keras.ops
        blocks = self._blocks(outputs)
        starts = range(0, len(blocks), self.num_components)
        logits, locs, scales = (ops.stack(blocks[start : start + self.num_components], axis=-1) for start in starts)
        # Not every kernel of `log_softmax` does so itself; without it large logits cancel.
        logits = logits - ops.max(logits, axis=-1, keepdims=True)
        # Not `softmax`, which warns of a single component.
        return ops.log_softmax(logits, axis=-1), locs, positive(scales, self.min_scale)

    def _log_densities(self, y: Tensor, log_weights: Tensor, locs: Tensor, scales: Tensor) -> Tensor:
        ops = keras.ops
        z = (ops.expand_dims(y, -1) - locs) / scales
        log_normals = -0.5 * ops.square(z) - ops.log(scales) - HALF_LOG_TWO_PI
        return ops.logsumexp(log_weights + log_normals, axis=-1)

    def _in_double(self, outputs: np.ndarray) -> list[np.ndarray]:
        """Returns the components' weights, locs and scales as arrays in double precision."""
        log_weights, *others = super()._in_double(outputs)
        # The network's precision lets the weights add up to 1 no better than to 1e-7.
        return [scipy.special.softmax(log_weights, axis=-1), *others]

    def _cdf(self, y: np.ndarray, weights: np.ndarray, locs: np.ndarray, scales: np.ndarray) -> np.ndarray:
        return np.einsum("...k,...k->...", weights, scipy.special.ndtr((y[..., np.newaxis] - locs) / scales))

    def quantile(self, outputs: np.ndarray, probability: float) -> np.ndarray:
        """Returns the quantile of each target, float64 [..., n, targets]."""
        return real_quantile(self.cdf_given(outputs), *self.quantile_bounds(outputs, probability), probability)

    def quantile_bounds(self, outputs: np.ndarray, probability: float) -> tuple[np.ndarray, np.ndarray]:
        """Returns the least and the greatest quantile of the components."""
        _, locs, scales = self._in_double(outputs)
        of_components = locs + scales * scipy.special.ndtri(probability)
        return of_components.min(axis=-1), of_components.max(axis=-1)

    def mean(self, outputs: Tensor) -> Tensor:
        """Returns the mean of the components' locs."""
        log_weights, locs, _ = self._parameters(outputs)
        return keras.ops.sum(keras.ops.exp(log_weights) * locs, axis=-1)

    def variance(self, outputs: Tensor) -> Tensor:
        """Returns the mean of the components' variances, and the variance of their locs."""
        ops = keras.ops
        log_weights, locs, scales = self._parameters(outputs)
        weights = ops.exp(log_weights)
        mean = ops.sum(weights * locs, axis=-1, keepdims=True)
        return ops.sum(weights * (ops.square(scales) + ops.square(locs - mean)), axis=-1)

    def _distributions(self, tfd: ModuleType, log_weights: Tensor, locs: Tensor, scales: Tensor) -> Any:
        return tfd.MixtureSameFamily(tfd.Categorical(logits=log_weights), tfd.Normal(locs, scales))

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {**super().get_config(), "num_components": self.num_components, "min_scale": self.min_scale}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "NormalMixture":
        """Makes the likelihood that `get_config` describes; warns if its network was trained for another one."""
        warn_of_earlier_link(config, "min_scale")
        return cls(**config)
