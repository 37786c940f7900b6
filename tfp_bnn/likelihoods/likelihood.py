"""What all likelihoods p(y | x, w) have: each is a Keras loss and a TFP distribution in one.

The loss of an example is `-log p(y | outputs)` in nats, summed over the dimensions of y; Keras takes the mean over the
batch, the first half of the negative ELBO.
"""

import abc
from typing import Any

import keras
import numpy as np

Tensor = Any


class Likelihood(keras.losses.Loss, abc.ABC):
    """A likelihood over y, given a network's outputs. All methods take outputs of any leading shape."""

    def __init__(self, name: str = "nll", reduction: str = "sum_over_batch_size", **kwargs: Any):
        super().__init__(name=name, reduction=reduction, **kwargs)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Returns `-log p(y_true | y_pred)` in nats for each example: what `compile(loss=...)` minimises."""
        return -self.log_prob(y_pred, y_true)

    @abc.abstractmethod
    def log_prob(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Returns log p(y | outputs) in nats, one number an example.

        Args:
            outputs: the network's, [..., n, outputs].
            y: labels or targets, broadcastable to the leading shape of the outputs.
        """

    @abc.abstractmethod
    def check_targets(self, outputs: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Returns `y` if it can be had under this likelihood; raises ValueError otherwise. Takes NumPy arrays."""

    def check_outputs(self, outputs: Tensor) -> None:
        """Raises ValueError if these outputs, of one draw in a function that is compiled, are not its parameters."""

    def check_drawn_outputs(self, outputs: np.ndarray) -> None:
        """Raises ValueError if the values of these outputs, [draws, n, outputs], show that they are none either."""

    @abc.abstractmethod
    def mean(self, outputs: Tensor) -> Tensor:
        """Returns E[y | outputs]; for classes, their probabilities."""

    @abc.abstractmethod
    def variance(self, outputs: Tensor) -> Tensor:
        """Returns Var[y | outputs], elementwise: what no better knowledge of the weights can take away."""

    @abc.abstractmethod
    def entropy(self, outputs: Tensor) -> Tensor:
        """Returns the entropy of p(y | outputs) in nats, one number an example."""

    @abc.abstractmethod
    def predictive_entropy(self, draws: Tensor) -> Tensor:
        """Returns the entropy of the mean over weight draws of p(y | outputs) in nats, one number an example."""

    def entropy_of_mean(self, mean: Tensor) -> Tensor:
        """Returns the entropy in nats of the predictive distribution of this mean, E[y], one number an example.

        Raises:
            ValueError: if the mean of this likelihood's predictive distribution does not say its entropy.
        """
        raise ValueError(
            "The mean says the entropy of classes and of one yes-or-no target only. "
            f"Received: likelihood={type(self).__name__}"
        )

    def predicts_classes(self, num_outputs: int) -> bool:
        """Returns whether networks with so many outputs predict one of several classes, or one yes or no."""
        return False

    def class_logits(self, outputs: Tensor) -> Tensor:
        """Returns logits [..., n, classes] whose softmax are the classes' probabilities, if it predicts classes."""
        raise NotImplementedError

    def class_probabilities(self, mean: Tensor) -> Tensor:
        """Returns the probabilities [n, classes] of the predictive distribution of this mean, if it is of classes."""
        raise NotImplementedError

    @abc.abstractmethod
    def distribution(self, outputs: Tensor) -> Any:
        """Returns p(y | outputs) as a TFP distribution."""

    @abc.abstractmethod
    def predictive_distribution(self, draws: Tensor) -> Any:
        """Returns the mean over weight draws, [draws, n, outputs], of p(y | outputs) as a TFP distribution."""
