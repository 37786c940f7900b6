"""Figures of merit as Keras metrics: for `model.compile(metrics=[...])`, accumulated over batches.

They have the values of this package's functions of the same name for the examples of all batches together. Each batch
is predicted with one draw of the weights, as Keras does; for the mean over draws, see `tfp_bnn.predict`.

Sample weights reach them as `model.compile(weighted_metrics=[...])`. The means are divided by the sum of the weights,
where Keras divides a loss by the number of examples.
"""

import math
from typing import Any

import keras

from tfp_bnn._checks import check_count, check_type
from tfp_bnn.likelihoods import Categorical, Likelihood

Tensor = Any

# Rounding in float32 would part equal confidences at the edge of a bin.
_EDGE = 1e-6


@keras.saving.register_keras_serializable("tfp_bnn.metrics")
class NegativeLogLikelihood(keras.metrics.Mean):
    """The mean of `-log p(y | outputs)` in nats, without the KL term that training adds.

    Args:
        likelihood: what turns outputs into distributions; None for classes, `Categorical()`.
        name: in the logs.
        dtype: of the sums.

    Raises:
        ValueError: if `likelihood` is not one.

    Example:

    >>> metric = NegativeLogLikelihood()
    >>> metric.update_state([1], [[0.0, 0.0]])
    >>> round(float(metric.result()), 4)  # log 2
    0.6931
    """

    # Tells callbacks such as EarlyStopping what is better.
    _direction = "down"

    def __init__(self, likelihood: Likelihood | None = None, name: str = "negative_log_likelihood", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)
        self.likelihood = Categorical() if likelihood is None else check_type("likelihood", likelihood, Likelihood)

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> None:
        """Takes a batch: targets and outputs as the likelihood takes them, weights [n]."""
        self.likelihood.check_outputs(y_pred)
        super().update_state(self.likelihood.call(y_true, keras.ops.cast(y_pred, self.dtype)), sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes, the likelihood serialized."""
        return {**super().get_config(), "likelihood": keras.saving.serialize_keras_object(self.likelihood)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "NegativeLogLikelihood":
        """Makes the metric that `get_config` describes."""
        return cls(**{**config, "likelihood": keras.saving.deserialize_keras_object(config["likelihood"])})


@keras.saving.register_keras_serializable("tfp_bnn.metrics")
class BrierScore(keras.metrics.Mean):
    """The mean of `sum_c (p_c - 1[y = c])^2`, from 0 to 2, with `p = softmax(y_pred)`; see `brier_score`.

    A label out of range makes it NaN.

    Args:
        from_logits: whether `y_pred` are logits. False: the network ends in a softmax, and they are the p.
        name: in the logs.
        dtype: of the sums.

    Example:

    >>> metric = BrierScore()
    >>> metric.update_state([1], [[0.0, 0.0]])
    >>> float(metric.result())
    0.5
    """

    _direction = "down"

    def __init__(self, from_logits: bool = True, name: str = "brier_score", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)
        self._classes = Categorical(from_logits)

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> None:
        """Takes a batch: labels [n] or [n, 1], outputs [n, classes], weights [n]."""
        ops = keras.ops
        labels, logits = _labels_and_logits(y_true, y_pred, self._classes, self.dtype)
        errors = ops.softmax(logits, axis=-1) - ops.one_hot(labels, logits.shape[-1], dtype=self.dtype)
        super().update_state(_nan_out_of_range(ops.sum(ops.square(errors), axis=-1), labels, logits), sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {**super().get_config(), "from_logits": self._classes.from_logits}


@keras.saving.register_keras_serializable("tfp_bnn.metrics")
class ExpectedCalibrationError(keras.metrics.Metric):
    """How far confidence and accuracy lie apart, with confidence `max_c softmax(y_pred)`.

    See `expected_calibration_error`. A label out of range makes it NaN.

    Args:
        num_bins: number of bins of equal width.
        from_logits: whether `y_pred` are logits. False: the network ends in a softmax.
        name: in the logs.
        dtype: of the sums.

    Raises:
        ValueError: if `num_bins` is not at least 1.

    Example:

    >>> metric = ExpectedCalibrationError()
    >>> metric.update_state([0, 1, 1], [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])  # 1/3 right, 1/2 sure
    >>> round(float(metric.result()), 4)
    0.1667
    """

    _direction = "down"

    def __init__(
        self,
        num_bins: int = 15,
        from_logits: bool = True,
        name: str = "expected_calibration_error",
        dtype: Any = None,
    ):
        check_count("num_bins", num_bins)
        super().__init__(name=name, dtype=dtype)
        self._classes = Categorical(from_logits)
        self.num_bins = num_bins
        # Of each bin, the weights of correct examples less their confidence.
        self.gaps = self.add_variable((num_bins,), "zeros", dtype=self.dtype, name="gaps")
        self.weight = self.add_variable((), "zeros", dtype=self.dtype, name="weight")

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> None:
        """Takes a batch: labels [n] or [n, 1], outputs [n, classes], weights [n]."""
        ops = keras.ops
        labels, logits = _labels_and_logits(y_true, y_pred, self._classes, self.dtype)
        confidence = ops.max(ops.softmax(logits, axis=-1), axis=-1)
        correct = ops.cast(ops.equal(ops.argmax(logits, axis=-1), labels), self.dtype)
        weights = ops.reshape(ops.cast(1 if sample_weight is None else sample_weight, self.dtype), (-1,))
        weights = ops.broadcast_to(weights, ops.shape(confidence))
        gaps = weights * _nan_out_of_range(correct - confidence, labels, logits)
        # The gap is what carries a NaN on, whatever its bin.
        bins = ops.floor((ops.nan_to_num(confidence) + _EDGE) * self.num_bins)
        bins = ops.cast(ops.minimum(bins, self.num_bins - 1), "int32")
        self.gaps.assign_add(ops.segment_sum(gaps, bins, num_segments=self.num_bins))
        self.weight.assign_add(ops.sum(weights))

    def result(self) -> Tensor:
        """Returns the error of all examples since the last reset; 0 if there are none."""
        return keras.ops.divide_no_nan(keras.ops.sum(keras.ops.abs(self.gaps)), self.weight)

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {**super().get_config(), "num_bins": self.num_bins, "from_logits": self._classes.from_logits}


def _labels_and_logits(y_true: Tensor, y_pred: Tensor, classes: Categorical, dtype: str) -> tuple[Tensor, Tensor]:
    """Returns labels [n] and logits [n, classes]; raises ValueError for other shapes, or other outputs."""
    logits, labels = keras.ops.cast(classes.logits(y_pred), dtype), keras.ops.cast(y_true, "int32")
    column = len(labels.shape) == 2 and labels.shape[1] == 1
    if len(logits.shape) != 2 or logits.shape[1] == 1 or not (len(labels.shape) == 1 or column):
        raise ValueError(
            "Expected integer labels of shape [n] or [n, 1] and logits of two classes or more, [n, classes]; of "
            f"one-hot labels take y.argmax(axis=-1). Received: {tuple(labels.shape)} and {tuple(logits.shape)}"
        )
    return keras.ops.reshape(labels, (-1,)), logits


def _nan_out_of_range(values: Tensor, labels: Tensor, logits: Tensor) -> Tensor:
    # Compiled code cannot raise.
    valid = keras.ops.logical_and(labels >= 0, labels < logits.shape[-1])
    return keras.ops.where(valid, values, math.nan)
