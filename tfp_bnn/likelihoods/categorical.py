"""One of several classes."""

import math
from typing import Any

import keras
import numpy as np

from tfp_bnn._backend import tfp
from tfp_bnn.likelihoods.logits import ROUNDING, LogitLikelihood

Tensor = Any


@keras.saving.register_keras_serializable("tfp_bnn.likelihoods")
class Categorical(LogitLikelihood):
    """One of several classes, `p(y | outputs) = softmax(outputs)[y]`; the outputs are logits.

    Labels are integers, [n] or [n, 1]; beside outputs [n, time, classes] they are [n, time] or [n, time, 1]. Those
    outside 0 to classes - 1 raise on TensorFlow's CPU kernels; elsewhere compiled code cannot raise, so they make the
    loss NaN.

    Args:
        from_logits: whether the outputs are logits. False: the network ends in a softmax.

    Raises:
        ValueError: if logits are expected and the network is seen to end in a softmax, or the reverse: in the first
            training step and in predictions.

    Example:

    >>> likelihood = Categorical()
    >>> round(float(likelihood([1], [[0.0, 0.0]])), 4)  # log 2
    0.6931
    >>> likelihood = Categorical(from_logits=False)
    >>> round(float(likelihood([1], [[0.5, 0.5]])), 4)
    0.6931
    """

    activation = "softmax"
    target_kind = "classes"
    _targets_hint = " Of one-hot labels take y.argmax(axis=-1)."

    def _logits_of_probabilities(self, probabilities: Tensor) -> Tensor:
        ops = keras.ops
        least = float(np.finfo(keras.backend.standardize_dtype(probabilities.dtype)).tiny)
        # The logarithm of what is negative is not a number.
        return ops.where(probabilities < 0, math.nan, ops.log(ops.maximum(probabilities, least)))

    def _sums_to_one(self, outputs: np.ndarray, rounding: float) -> bool:
        if outputs.shape[-1] < 2 or not outputs.size:
            return False
        return bool((outputs >= 0).all() and (np.abs(outputs.sum(axis=-1) - 1) <= rounding).all())

    def check_drawn_outputs(self, outputs: np.ndarray) -> None:
        """Raises ValueError if drawn outputs are probabilities where logits are expected, or the reverse."""
        super().check_drawn_outputs(outputs)
        sums = outputs.sum(axis=-1)
        wrong = sums[np.abs(sums - 1) > ROUNDING]
        if not self.from_logits and wrong.size:
            raise ValueError(
                "With from_logits=False the network must end in a softmax: the probabilities of an input add up to 1. "
                f"Received: a sum of {wrong.flat[0]}"
            )

    def num_targets(self, num_outputs: int) -> int:
        """Returns 1, the label."""
        return 1

    def log_prob(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Returns the log-probability of the labels in nats."""
        ops = keras.ops
        logits = self.logits(outputs)
        labels = ops.squeeze(self._rows_beside(ops.cast(y, "int32"), logits.shape), -1)
        labels = ops.broadcast_to(labels, ops.shape(logits)[:-1])
        log_prob = -keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        valid = ops.logical_and(labels >= 0, labels < logits.shape[-1])
        return ops.where(valid, log_prob, math.nan)

    def check_targets(self, outputs: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Returns `y`; raises ValueError if a label is not an integer from 0 to classes - 1."""
        classes = outputs.shape[-1]
        wrong = y[~((y >= 0) & (y < classes) & (y == np.floor(y)))]
        if wrong.size:
            raise ValueError(f"Labels must be integers from 0 to {classes - 1}. Received: {wrong.flat[0]}")
        return y

    def mean(self, outputs: Tensor) -> Tensor:
        """Returns the probabilities of the classes."""
        return keras.ops.softmax(self.logits(outputs), axis=-1)

    def variance(self, outputs: Tensor) -> Tensor:
        """Returns p (1 - p) for each class."""
        probabilities = self.mean(outputs)
        return probabilities * (1 - probabilities)

    def entropy(self, outputs: Tensor) -> Tensor:
        """Returns `-sum_c p_c log p_c` in nats."""
        return _entropy(keras.ops.log_softmax(self.logits(outputs), axis=-1))

    def entropy_of_mean(self, mean: Tensor) -> Tensor:
        """Returns the entropy of these probabilities in nats."""
        # The mean may not add up to 1 to the last digit.
        return _entropy(keras.ops.log_softmax(keras.ops.log(mean), axis=-1))

    def predicts_classes(self, num_outputs: int) -> bool:
        """Returns True."""
        return True

    def class_logits(self, outputs: Tensor) -> Tensor:
        """Returns the logits."""
        return self.logits(outputs)

    def class_probabilities(self, mean: np.ndarray) -> np.ndarray:
        """Returns the mean: it is the probabilities."""
        return mean

    def distribution(self, outputs: Tensor) -> Any:
        """Returns a `tfd.Categorical` of the logits."""
        logits = self.logits(outputs)
        return tfp.distributions(logits).Categorical(logits=logits)

    def predictive_distribution(self, draws: Tensor) -> Any:
        """Returns a `tfd.Categorical` with the mean probabilities."""
        probs = keras.ops.mean(self.mean(draws), axis=0)
        return tfp.distributions(probs).Categorical(probs=probs)


def _entropy(log_probabilities: Tensor) -> Tensor:
    ops = keras.ops
    # The lower bound makes 0 * log 0 the 0 that it stands for.
    return -ops.sum(ops.exp(log_probabilities) * ops.maximum(log_probabilities, -1e4), axis=-1)
