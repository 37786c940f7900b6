"""Targets in units of their own, predicted by a network that knows them standardized."""

from types import ModuleType
from typing import Any

import keras
import numpy as np

from tfp_bnn._checks import check_type
from tfp_bnn.likelihoods.location_scale import LocationScale

Tensor = Any


@keras.saving.register_keras_serializable("tfp_bnn.likelihoods")
class InUnits(LocationScale):
    """Real targets in their own units, `p(y | outputs) = p(z | outputs) / s` with `z = (y - m) / s` standardized.

    The outputs are those of the standardized likelihood and behind them, for each target, its mean m and its standard
    deviation s: `tfp_bnn.layers.UnitsOfTargets` puts them there. So the network learns standardized numbers, and
    losses, predictions and intervals are in units of y.

    Args:
        standardized: the likelihood of z, such as `Normal()` or `StudentT()`.

    Raises:
        ValueError: if `standardized` is not a likelihood of location and scale.

    Example:

    >>> from tfp_bnn.likelihoods import Normal
    >>> likelihood = InUnits(Normal(scale=0.1))
    >>> outputs = np.array([[0.5, 200.0, 40.0]])  # half a standard deviation, 40, above the mean, 200
    >>> float(likelihood.mean(outputs)[0, 0]), round(float(likelihood.variance(outputs)[0, 0]) ** 0.5, 4)
    (220.0, 4.0)
    """

    def __init__(
        self, standardized: LocationScale, name: str = "nll", reduction: str = "sum_over_batch_size", **kwargs: Any
    ):
        check_type("standardized", standardized, LocationScale)
        super().__init__(standardized.scale, standardized.min_scale, name=name, reduction=reduction, **kwargs)
        self.standardized = standardized
        self._log_normalizer = standardized._log_normalizer
        self._mean_log_kernel = standardized._mean_log_kernel
        self._noise_variance = standardized._noise_variance

    @property
    def _num_parameters(self) -> int:
        return self.standardized._num_parameters + 2

    def _parameters(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        *of_network, mean, stddev = self._blocks(outputs)
        loc, scale = self.standardized._parameters(keras.ops.concatenate(of_network, axis=-1))
        return mean + stddev * loc, stddev * scale

    def check_scale(self, stddev: np.ndarray | float) -> None:
        """Does nothing: targets may have any units."""

    def _log_kernel(self, z: Tensor) -> Tensor:
        return self.standardized._log_kernel(z)

    def _noise_cdf(self, z: np.ndarray) -> np.ndarray:
        return self.standardized._noise_cdf(z)

    def _noise_quantile(self, probability: float) -> float:
        return self.standardized._noise_quantile(probability)

    def _distributions(self, tfd: ModuleType, loc: Tensor, scale: Tensor) -> Any:
        return self.standardized._distributions(tfd, loc, scale)

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes, the standardized likelihood serialized."""
        config = super().get_config()
        del config["scale"], config["min_scale"]
        return {**config, "standardized": keras.saving.serialize_keras_object(self.standardized)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "InUnits":
        """Makes the likelihood that `get_config` describes."""
        return cls(**{**config, "standardized": keras.saving.deserialize_keras_object(config["standardized"])})
