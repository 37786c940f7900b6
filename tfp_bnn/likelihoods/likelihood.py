"""What all likelihoods p(y | x, w) have: each is a Keras loss and a TFP distribution in one.

The loss of an example is `-log p(y | outputs)` in nats, summed over the dimensions of y; Keras takes the mean over the
batch, the first half of the negative ELBO.
"""

import abc
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

Tensor = Any


class Likelihood(keras.losses.Loss, abc.ABC):
    """A likelihood over y, given a network's outputs. All methods take outputs of any leading shape."""

    def __init__(self, name: str = "nll", reduction: str = "sum_over_batch_size", **kwargs: Any):
        super().__init__(name=name, reduction=reduction, **kwargs)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Returns `-log p(y_true | y_pred)` in nats for each example: what `compile(loss=...)` minimises.

        Args:
            y_true: labels or targets, a row of them for each position of the outputs.
            y_pred: outputs of the network, [n, outputs] or with positions between, [n, time, outputs].

        Raises:
            ValueError: if the targets do not lie beside the outputs, or as `check_outputs` does.
        """
        self.check_outputs(y_pred)
        return -self.log_prob(y_pred, self.rows_of_targets(y_true, np.shape(y_pred)))

    @abc.abstractmethod
    def log_prob(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Returns log p(y | outputs) in nats, one number an example.

        Args:
            outputs: the network's, [..., n, outputs].
            y: labels or targets of the last positions of the outputs' leading shape, the same for all before: of
                outputs [draws, n, outputs], those of n inputs. A row for each, as `rows_of_targets` gives them, is
                never taken for anything else.
        """

    @abc.abstractmethod
    def num_targets(self, num_outputs: int) -> int:
        """Returns how many targets each row of so many outputs predicts; raises ValueError if it cannot be."""

    def rows_of_targets(self, y: Tensor, shape_of_outputs: Sequence[int | None]) -> Tensor:
        """Returns a row of targets for each row of outputs: [..., targets] beside outputs [..., outputs].

        One target may come without its axis, [n] or [n, time]. Sizes that are not known yet fit.

        Args:
            y: labels or targets, an array or a tensor.
            shape_of_outputs: of the outputs, without draws.

        Raises:
            ValueError: if the targets do not lie beside the outputs.
        """
        *leading, num_outputs = shape_of_outputs
        targets = self.num_targets(num_outputs)
        # Targets [n] beside outputs [n, 1] would broadcast to [n, n].
        shape = np.shape(y)
        if getattr(shape, "rank", 0) is None:
            # TensorFlow forgets the rank of targets that come in several; their number still has to be right.
            return keras.ops.reshape(y, (-1, *leading[1:], targets))
        if _fits(shape, (*leading, targets)):
            return y
        if targets == 1 and _fits(shape, leading):
            return keras.ops.expand_dims(y, -1) if keras.ops.is_tensor(y) else np.expand_dims(y, -1)
        sizes = ", ".join("n" if size is None else str(size) for size in leading)
        expected = [f"[{sizes}]"] * (targets == 1) + [f"[{sizes}, {targets}]"]
        raise ValueError(
            f"{type(self).__name__} expects targets of shape {' or '.join(expected)} beside outputs of shape "
            f"{tuple(shape_of_outputs)}.{self._targets_hint} Received: targets of shape {tuple(shape)}"
        )

    def _rows_beside(self, y: Tensor, shape_of_outputs: Sequence[int | None]) -> Tensor:
        """Returns rows of targets as `rows_of_targets` does, of targets that may lack leading axes, such as draws."""
        rank = len(y.shape)
        if rank == len(shape_of_outputs) and _fits(y.shape[-1:], (self.num_targets(shape_of_outputs[-1]),)):
            return y
        without_axis = rank == 1 or not _fits(y.shape[:-1], shape_of_outputs[-rank:-1])
        return self.rows_of_targets(y, shape_of_outputs[-rank - without_axis :])

    _targets_hint = ""
    """What to do with targets of another shape."""

    def check_outputs(self, outputs: Tensor) -> None:
        """Raises ValueError if a network's outputs are seen not to be this likelihood's parameters."""

    def check_model(self, model: keras.Model) -> None:
        """Raises ValueError if a model is seen not to give this likelihood's parameters."""

    def check_drawn_outputs(self, outputs: np.ndarray) -> None:
        """Raises ValueError if drawn outputs, [draws, n, outputs], are seen not to be this likelihood's parameters."""

    def check_scale(self, stddev: np.ndarray | float) -> None:
        """Warns if targets of this standard deviation need to be standardized: where the likelihood has a scale."""

    @abc.abstractmethod
    def check_targets(self, outputs: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Returns `y` if it can be had under this likelihood; raises ValueError otherwise. Takes NumPy arrays."""

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

    def class_probabilities(self, mean: np.ndarray) -> np.ndarray:
        """Returns the probabilities [n, classes] of the predictive distribution of this mean, if it is of classes."""
        raise NotImplementedError

    @abc.abstractmethod
    def distribution(self, outputs: Tensor) -> Any:
        """Returns p(y | outputs) as a TFP distribution."""

    @abc.abstractmethod
    def predictive_distribution(self, draws: Tensor) -> Any:
        """Returns the mean over weight draws, [draws, n, outputs], of p(y | outputs) as a TFP distribution."""


def _fits(shape: Sequence[int | None], expected: Sequence[int | None]) -> bool:
    if len(shape) != len(expected):
        return False
    return all(size is None or wanted is None or size == wanted for size, wanted in zip(shape, expected, strict=True))
