"""Likelihoods p(y | x, w): each is a Keras loss and a TFP distribution in one.

The loss of an example is `-log p(y | outputs)` in nats, summed over the dimensions of y; Keras takes the mean over the
batch, the first half of the negative ELBO.
"""

import abc
import math
from typing import Any

import keras
import numpy as np

from tfp_bnn import _tfp

Tensor = Any

_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)
_LABELS_EXPECTED = "Labels must be integers of shape [n] or [n, 1]; of one-hot labels take y.argmax(axis=-1)."


class Likelihood(keras.losses.Loss, abc.ABC):
    """A likelihood over y, given a network's outputs. All methods take outputs of any leading shape."""

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

    @abc.abstractmethod
    def distribution(self, outputs: Tensor) -> Any:
        """Returns p(y | outputs) as a TFP distribution."""

    @abc.abstractmethod
    def predictive_distribution(self, draws: Tensor) -> Any:
        """Returns the mean over weight draws, [draws, n, outputs], of p(y | outputs) as a TFP distribution."""


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

    def __init__(self, name: str = "nll", reduction: str = "sum_over_batch_size", **kwargs: Any):
        super().__init__(name=name, reduction=reduction, **kwargs)

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
        return self.entropy(keras.ops.log(keras.ops.mean(self.mean(draws), axis=0)))

    def distribution(self, outputs: Tensor) -> Any:
        """Returns `tfd.Categorical(logits=outputs)`."""
        return _tfp.distributions().Categorical(logits=outputs)

    def predictive_distribution(self, draws: Tensor) -> Any:
        """Returns a `tfd.Categorical` with the mean probabilities."""
        return _tfp.distributions().Categorical(probs=keras.ops.mean(self.mean(draws), axis=0))


@keras.saving.register_keras_serializable("tfp_bnn.likelihoods")
class Normal(Likelihood):
    """Real targets with Gaussian noise, `p(y | outputs) = N(y | loc, scale^2)`.

    With a fixed scale the outputs are loc, as many as targets. With `scale=None` the network predicts the scale too:
    the first half of the outputs is loc, `softplus` of the second half is the scale.

    Args:
        scale: standard deviation of the noise in units of y, positive; None: the network predicts it.

    Raises:
        ValueError: if `scale` is not positive, or if it is None and the number of outputs is odd.

    Example:

    >>> likelihood = Normal(scale=1.0)
    >>> round(float(likelihood([[2.0]], [[2.0]])), 4)  # log(2 pi) / 2
    0.9189
    """

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

    def _loc_and_scale(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        ops = keras.ops
        outputs = ops.convert_to_tensor(outputs)
        if self.scale is not None:
            return outputs, ops.full_like(outputs, self.scale)
        if outputs.shape[-1] % 2:
            raise ValueError(
                "With `scale=None` the network needs an even number of outputs, half of them for the scale. "
                f"Received: outputs of shape {tuple(outputs.shape)}"
            )
        loc, scale = ops.split(outputs, 2, axis=-1)
        # A scale of exactly 0 would make one example's loss infinite.
        return loc, ops.softplus(scale) + keras.config.epsilon()

    def log_prob(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Returns the log-density of the targets in nats, summed over their dimensions."""
        ops = keras.ops
        loc, scale = self._loc_and_scale(outputs)
        y = ops.cast(y, loc.dtype)
        if len(y.shape) == 1:
            # Targets [n] beside outputs [n, 1] would broadcast to [n, n].
            y = ops.expand_dims(y, -1)
        if y.shape[-1] != loc.shape[-1]:
            raise ValueError(
                f"The likelihood expects targets of shape [n, {loc.shape[-1]}]. Received: targets of shape "
                f"{tuple(y.shape)} beside outputs of shape {tuple(outputs.shape)}"
            )
        log_density = -0.5 * ops.square((y - loc) / scale) - ops.log(scale) - _HALF_LOG_TWO_PI
        return ops.sum(log_density, axis=-1)

    def check_targets(self, outputs: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Returns `y`; raises ValueError if a target is not a finite number."""
        if not np.isfinite(y).all():
            raise ValueError(f"Targets must be finite. Received: {y[~np.isfinite(y)].flat[0]}")
        return y

    def mean(self, outputs: Tensor) -> Tensor:
        """Returns loc."""
        return self._loc_and_scale(outputs)[0]

    def variance(self, outputs: Tensor) -> Tensor:
        """Returns the square of the scale."""
        return keras.ops.square(self._loc_and_scale(outputs)[1])

    def entropy(self, outputs: Tensor) -> Tensor:
        """Returns `sum log(scale) + log(2 pi e) / 2` in nats."""
        return keras.ops.sum(keras.ops.log(self._loc_and_scale(outputs)[1]) + _HALF_LOG_TWO_PI + 0.5, axis=-1)

    def predictive_entropy(self, draws: Tensor) -> Tensor:
        """Raises ValueError: a mixture of normals has no entropy in closed form."""
        raise ValueError(
            "The entropy of a mixture of normals has no closed form; see `epistemic_stddev` and `aleatoric_stddev`. "
            "Received: likelihood=Normal"
        )

    def distribution(self, outputs: Tensor) -> Any:
        """Returns independent normals over the targets' dimensions."""
        tfd = _tfp.distributions()
        return tfd.Independent(tfd.Normal(*self._loc_and_scale(outputs)), reinterpreted_batch_ndims=1)

    def predictive_distribution(self, draws: Tensor) -> Any:
        """Returns the equal mixture of the draws' normals as a `tfd.MixtureSameFamily`."""
        tfd = _tfp.distributions()
        loc, scale = (keras.ops.swapaxes(x, 0, 1) for x in self._loc_and_scale(draws))
        components = tfd.Independent(tfd.Normal(loc, scale), reinterpreted_batch_ndims=1)
        return tfd.MixtureSameFamily(tfd.Categorical(logits=keras.ops.zeros(loc.shape[:2])), components)

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {**super().get_config(), "scale": self.scale}
