"""Counts that vary more than independent events do."""

import math
from types import ModuleType
from typing import Any

import keras
import numpy as np
import scipy

from tfp_bnn._numerics.constants import HALF_LOG_TWO_PI
from tfp_bnn._numerics.stirling import stirling_remainder
from tfp_bnn.likelihoods.counts import CountLikelihood, exp
from tfp_bnn.likelihoods.scales import MIN_SCALE, check_least, positive, warn_of_earlier_link

Tensor = Any


@keras.saving.register_keras_serializable("tfp_bnn.likelihoods")
class NegativeBinomial(CountLikelihood):
    """Overdispersed counts, of variance `mean + mean^2 / concentration`.

    With `p = mean / (mean + concentration)`,

        p(y | outputs) = Gamma(y + concentration) / (Gamma(concentration) y!) (1 - p)^concentration p^y,

    a Poisson whose rate is drawn anew for each target from a gamma distribution with this mean and this concentration.
    The larger the concentration, the closer to a Poisson of the same mean.

    The first half of the outputs is the logarithm of the mean, the second half, x, gives the concentration
    `(x + sqrt(x^2 + 4)) / 2`: 1 at 0. In TFP it is
    `tfd.NegativeBinomial(total_count=concentration, logits=log(mean) - log(concentration))`.

    Targets that are not counts make the loss NaN: compiled code cannot raise. Outputs above 88 make the mean infinite
    in float32. For large counts, set the initial bias of the last layer to the logarithm of their mean.

    Args:
        min_concentration: least concentration that the network can predict, between 0 and 1.

    Raises:
        ValueError: if `min_concentration` is out of range.

    Example:

    >>> likelihood = NegativeBinomial()
    >>> round(float(likelihood([[2]], [[0.0, 0.0]])), 4)  # mean and concentration 1, y is geometric: 3 log 2
    2.0794

    Source: Cameron and Trivedi 1986, "Econometric Models Based on Count Data", the model "Negbin II"; Loader 2000,
    "Fast and Accurate Computation of Binomial Probabilities", of how the log-probability is computed.
    """

    _num_parameters = 2

    def __init__(
        self,
        min_concentration: float = MIN_SCALE,
        name: str = "nll",
        reduction: str = "sum_over_batch_size",
        **kwargs: Any,
    ):
        super().__init__(name=name, reduction=reduction, **kwargs)
        self.min_concentration = check_least("min_concentration", min_concentration)

    def _parameters(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the logarithm of the mean, and the concentration."""
        log_mean, concentration = self._blocks(outputs)
        return log_mean, positive(concentration, self.min_concentration)

    def _log_densities(self, y: Tensor, log_mean: Tensor, concentration: Tensor) -> Tensor:
        ops = keras.ops
        count, log_concentration = ops.maximum(y, 1.0), ops.log(concentration)
        logits, best_logits = log_mean - log_concentration, ops.log(count) - log_concentration

        def cost(logits: Tensor) -> Tensor:
            # -concentration log(1 - p) - y log p
            return concentration * ops.softplus(logits) + y * ops.softplus(-logits)

        remainder = stirling_remainder(count + concentration) - stirling_remainder(count)
        best = remainder - stirling_remainder(concentration)
        best = best - 0.5 * (best_logits + ops.log(count + concentration)) - HALF_LOG_TWO_PI
        half_deviance = cost(logits) - cost(best_logits)
        log_probs = ops.where(y == 0, -cost(logits), best - half_deviance)
        return ops.where(self._allowed(y), log_probs, math.nan)

    def _cdf_of_counts(self, y: np.ndarray, log_mean: np.ndarray, concentration: np.ndarray) -> np.ndarray:
        return scipy.special.betainc(concentration, y + 1, concentration / (concentration + exp(log_mean)))

    def variance(self, outputs: Tensor) -> Tensor:
        """Returns `mean + mean^2 / concentration`."""
        log_mean, concentration = self._parameters(outputs)
        mean = keras.ops.exp(log_mean)
        return mean * (1 + mean / concentration)

    def _distributions(self, tfd: ModuleType, log_mean: Tensor, concentration: Tensor) -> Any:
        logits = log_mean - keras.ops.log(concentration)
        return tfd.NegativeBinomial(total_count=concentration, logits=logits)

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {**super().get_config(), "min_concentration": self.min_concentration}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "NegativeBinomial":
        """Makes the likelihood that `get_config` describes; warns if its network was trained for another one."""
        warn_of_earlier_link(config, "min_concentration")
        return cls(**config)
