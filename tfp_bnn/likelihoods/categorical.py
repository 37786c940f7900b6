"""One of several classes."""

import math
from typing import Any

import keras
import numpy as np

from tfp_bnn import _tfp
from tfp_bnn.likelihoods.likelihood import Likelihood

Tensor = Any

_LABELS_EXPECTED = "Labels must be integers of shape [n] or [n, 1]; of one-hot labels take y.argmax(axis=-1)."


@keras.saving.register_keras_serializable("tfp_bnn.likelihoods")
class Categorical(Likelihood):
    """One of several classes, `p(y | outputs) = softmax(outputs)[y]`; the outputs are logits.

    Labels are integers, [n] or [n, 1]. Those outside 0 to classes - 1 raise on TensorFlow's CPU kernels; elsewhere
    compiled code cannot raise, so they make the loss NaN.

    Example:

    >>> likelihood = Categorical()
    >>> round(float(likelihood([1], [[0.0, 0.0]])), 4)  # log 2
    0.6931
    """

    def log_prob(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Returns the log-probability of the labels in nats."""
        ops = keras.ops
        outputs = ops.convert_to_tensor(outputs)
        labels = ops.cast(y, "int32")
        if len(labels.shape) == len(outputs.shape) and labels.shape[-1] not in (1, None):
            raise ValueError(f"{_LABELS_EXPECTED} Received: shape {tuple(labels.shape)}")
        one_an_example = len(labels.shape) == 2 and labels.shape[-1] == 1 and outputs.shape[-2] != 1
        if one_an_example or len(labels.shape) == len(outputs.shape):
            labels = ops.squeeze(labels, -1)
        labels = ops.broadcast_to(labels, ops.shape(outputs)[:-1])
        log_prob = -keras.losses.sparse_categorical_crossentropy(labels, outputs, from_logits=True)
        valid = ops.logical_and(labels >= 0, labels < outputs.shape[-1])
        return ops.where(valid, log_prob, math.nan)

    def check_targets(self, outputs: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Returns `y`; raises ValueError if a label is not an integer from 0 to classes - 1."""
        if y.size != len(y):
            raise ValueError(f"{_LABELS_EXPECTED} Received: shape {y.shape}")
        classes = outputs.shape[-1]
        wrong = y[(y < 0) | (y >= classes) | (y != np.floor(y))]
        if wrong.size:
            raise ValueError(f"Labels must be integers from 0 to {classes - 1}. Received: {wrong.flat[0]}")
        return y

    def mean(self, outputs: Tensor) -> Tensor:
        """Returns the probabilities of the classes."""
        return keras.ops.softmax(outputs, axis=-1)

    def variance(self, outputs: Tensor) -> Tensor:
        """Returns p (1 - p) for each class."""
        probabilities = self.mean(outputs)
        return probabilities * (1 - probabilities)

    def entropy(self, outputs: Tensor) -> Tensor:
        """Returns `-sum_c p_c log p_c` in nats."""
        ops = keras.ops
        log_probabilities = ops.log_softmax(outputs, axis=-1)
        # The lower bound makes 0 * log 0 the 0 that it stands for.
        return -ops.sum(ops.exp(log_probabilities) * ops.maximum(log_probabilities, -1e4), axis=-1)

    def predictive_entropy(self, draws: Tensor) -> Tensor:
        """Returns the entropy of the mean probabilities in nats."""
        return self.entropy_of_mean(keras.ops.mean(self.mean(draws), axis=0))

    def entropy_of_mean(self, mean: Tensor) -> Tensor:
        """Returns the entropy of these probabilities in nats."""
        return self.entropy(keras.ops.log(mean))

    def predicts_classes(self, num_outputs: int) -> bool:
        """Returns True."""
        return True

    def class_logits(self, outputs: Tensor) -> Tensor:
        """Returns the outputs: they are the logits."""
        return outputs

    def class_probabilities(self, mean: Tensor) -> Tensor:
        """Returns the mean: it is the probabilities."""
        return mean

    def distribution(self, outputs: Tensor) -> Any:
        """Returns `tfd.Categorical(logits=outputs)`."""
        return _tfp.distributions(outputs).Categorical(logits=outputs)

    def predictive_distribution(self, draws: Tensor) -> Any:
        """Returns a `tfd.Categorical` with the mean probabilities."""
        probs = keras.ops.mean(self.mean(draws), axis=0)
        return _tfp.distributions(probs).Categorical(probs=probs)
