"""Targets that are 0 or 1."""

import math
from types import ModuleType
from typing import Any

import keras
import numpy as np

from tfp_bnn.likelihoods.independent import IndependentLikelihood
from tfp_bnn.likelihoods.logits import ROUNDING, LogitLikelihood

Tensor = Any


@keras.saving.register_keras_serializable("tfp_bnn.likelihoods")
class Bernoulli(LogitLikelihood, IndependentLikelihood):
    """Targets 0 or 1, `p(y = 1 | outputs) = 1 / (1 + exp(-outputs))`; the outputs are logits, as many as targets.

    Other targets make the loss NaN: compiled code cannot raise.

    Args:
        from_logits: whether the outputs are logits. False: the network ends in a sigmoid.

    Raises:
        ValueError: if logits are expected and the network is seen to end in a sigmoid, or the reverse: in the first
            training step and in predictions.

    Example:

    >>> likelihood = Bernoulli()
    >>> round(float(likelihood([[1]], [[0.0]])), 4)  # log 2
    0.6931
    >>> likelihood = Bernoulli(from_logits=False)
    >>> round(float(likelihood([[1]], [[0.5]])), 4)
    0.6931

    Source: Bishop 2006, "Pattern Recognition and Machine Learning", equation 5.22.
    """

    activation = "sigmoid"
    target_kind = "yes or no"
    _targets_expected = "Targets must be 0 or 1."

    def _allowed(self, y: Tensor) -> Tensor:
        return (y == 0) | (y == 1)

    def _parameters(self, outputs: Tensor) -> tuple[Tensor]:
        """Returns the logits."""
        return (self.logits(outputs),)

    def _logits_of_probabilities(self, probabilities: Tensor) -> Tensor:
        ops = keras.ops
        precision = np.finfo(keras.backend.standardize_dtype(probabilities.dtype))
        inside = ops.clip(probabilities, float(precision.tiny), 1 - float(precision.epsneg))
        # The logarithm of what is negative is not a number.
        valid = (probabilities >= 0) & (probabilities <= 1 + ROUNDING)
        return ops.where(valid, ops.log(inside) - ops.log1p(-inside), math.nan)

    def _log_densities(self, y: Tensor, logits: Tensor) -> Tensor:
        log_probs = keras.ops.log_sigmoid((2 * y - 1) * logits)
        return keras.ops.where(self._allowed(y), log_probs, math.nan)

    def mean(self, outputs: Tensor) -> Tensor:
        """Returns the probability p of 1."""
        return keras.ops.sigmoid(self.logits(outputs))

    def variance(self, outputs: Tensor) -> Tensor:
        """Returns p (1 - p)."""
        (logits,) = self._parameters(outputs)
        return keras.ops.sigmoid(logits) * keras.ops.sigmoid(-logits)

    def entropy(self, outputs: Tensor) -> Tensor:
        """Returns `-p log p - (1 - p) log(1 - p)` in nats, summed over the targets' dimensions."""
        ops = keras.ops
        (logits,) = self._parameters(outputs)
        # In terms of the less probable value, so that nothing cancels.
        distance = ops.abs(logits)
        return ops.sum(ops.softplus(-distance) + distance * ops.sigmoid(-distance), axis=-1)

    def predictive_entropy(self, draws: Tensor) -> Tensor:
        """Returns the entropy of the mean probability in nats.

        Raises:
            ValueError: if there is more than one target: draws make targets depend on each other.
        """
        ops = keras.ops
        (logits,) = self._parameters(draws)
        return self._entropy_of_rarer(ops.minimum(*(ops.mean(ops.sigmoid(x), axis=0) for x in (logits, -logits))))

    def entropy_of_mean(self, mean: Tensor) -> Tensor:
        """Returns the entropy of these probabilities of 1 in nats; raises as `predictive_entropy` does."""
        return self._entropy_of_rarer(keras.ops.minimum(mean, 1 - mean))

    def predicts_classes(self, num_outputs: int) -> bool:
        """Returns whether there is one target alone."""
        return num_outputs == 1

    def class_logits(self, outputs: Tensor) -> Tensor:
        """Returns logits of two classes, no and yes, [..., n, 2]: 0 and the logit."""
        logits = self.logits(outputs)
        return keras.ops.concatenate([keras.ops.zeros_like(logits), logits], axis=-1)

    def class_probabilities(self, mean: np.ndarray) -> np.ndarray:
        """Returns the probabilities of no and of yes, [n, 2]."""
        return np.concatenate([1 - mean, mean], axis=-1)

    def _entropy_of_rarer(self, rarer: Tensor) -> Tensor:
        """Returns the entropy in terms of the probability of the less probable value, so that nothing cancels."""
        ops = keras.ops
        if rarer.shape[-1] != 1:
            raise ValueError(
                "The entropy of a mixture of Bernoulli distributions has a closed form for one target only. "
                f"Received: {rarer.shape[-1]} targets"
            )
        # The lower bound makes 0 * log 0 the 0 that it stands for.
        entropy = -rarer * ops.log(ops.maximum(rarer, 1e-37)) - (1 - rarer) * ops.log1p(-rarer)
        return ops.squeeze(entropy, axis=-1)

    def _distributions(self, tfd: ModuleType, logits: Tensor) -> Any:
        return tfd.Bernoulli(logits=logits)
