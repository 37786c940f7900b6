"""Averages over draws from sums: what is left of outputs that are not kept."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from tfp_bnn.likelihoods import Likelihood
from tfp_bnn.prediction.positions import targets_beside


class RunningAverages:
    """Sums over draws, in double precision, of which some inputs may have more than others.

    Args:
        likelihood: what turns outputs into distributions.
        y: labels or targets of the n inputs, or None.
        mask: which positions there are, or None.
    """

    def __init__(self, likelihood: Likelihood, y: np.ndarray | None = None, mask: np.ndarray | None = None):
        self._likelihood, self._y, self._mask = likelihood, y, mask
        self._sums: dict[str, np.ndarray] = {}
        self._log_sum: np.ndarray | None = None
        self._origin: np.ndarray | None = None
        self.num_draws = np.zeros(0, int)

    def add(self, outputs: np.ndarray, inputs: np.ndarray | None = None) -> None:
        """Takes outputs, [draws, m, ..., outputs], of all inputs or, from the second time on, of some, [m]."""
        first = self._origin is None
        number = outputs.shape[1]
        rows = np.arange(number) if inputs is None else inputs
        means = keras.ops.convert_to_numpy(self._likelihood.mean(outputs)).astype("float64")
        if first:
            # About the first draw: the difference of two large sums of squares would round the variance away.
            self._origin = means[0]
            self.num_draws = np.zeros(number, int)
        shift = means - self._origin[rows]
        self._add("shift", shift, rows)
        self._add("square", np.square(shift), rows)
        self._add("aleatoric", keras.ops.convert_to_numpy(self._likelihood.variance(outputs)), rows)
        if self._likelihood.has_entropy:
            self._add("entropy", keras.ops.convert_to_numpy(self._likelihood.entropy(outputs)), rows)
        if self._y is not None:
            self._add_log_prob(outputs, rows)
        self.num_draws[rows] += len(outputs)

    def _add(self, name: str, values: np.ndarray, rows: np.ndarray) -> None:
        total = values.sum(axis=0, dtype="float64")
        if name not in self._sums:
            self._sums[name] = np.zeros((len(self.num_draws), *total.shape[1:]))
        self._sums[name][rows] += total

    def _add_log_prob(self, outputs: np.ndarray, rows: np.ndarray) -> None:
        mask = None if self._mask is None else self._mask[rows]
        targets = targets_beside(self._likelihood, outputs, self._y[rows], mask)
        log_probs = keras.ops.convert_to_numpy(self._likelihood.log_prob(outputs, targets[np.newaxis]))
        total = np.logaddexp.reduce(log_probs.astype("float64"), axis=0)
        if self._log_sum is None:
            self._log_sum = np.full((len(self.num_draws), *total.shape[1:]), -np.inf)
        self._log_sum[rows] = np.logaddexp(self._log_sum[rows], total)

    def standard_errors(self) -> np.ndarray:
        """Returns the Monte Carlo standard error of each mean, [n, ..., d]: over draws, `stddev / sqrt(draws - 1)`.

        Of a single draw it is not a number: nothing is known of it.
        """
        averages = self.result()
        with np.errstate(invalid="ignore"):
            return np.sqrt(averages["epistemic"] / (_beside(self.num_draws, averages["epistemic"]) - 1))

    def result(self) -> dict[str, np.ndarray]:
        """Returns the averages that a `PredictiveSummary` holds."""
        averages = {name: total / _beside(self.num_draws, total) for name, total in self._sums.items()}
        shift, square = averages.pop("shift"), averages.pop("square")
        averages |= {"mean": self._origin + shift, "epistemic": np.maximum(square - np.square(shift), 0.0)}
        if self._log_sum is None:
            return averages
        log_prob = self._log_sum - np.log(_beside(self.num_draws, self._log_sum))
        return averages | {"log_prob": log_prob if self._mask is None else np.where(self._mask, log_prob, 0.0)}


def _beside(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    return counts.reshape(-1, *[1] * (values.ndim - 1))


def average_over_draws(
    chunks: Iterable[np.ndarray], likelihood: Likelihood, y: Any = None, mask: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Returns the averages that a `PredictiveSummary` holds.

    Args:
        chunks: the network's outputs, [draws, n, ..., outputs], some draws at a time.
        likelihood: what turns outputs into distributions.
        y: labels or targets of the n inputs, or None.
        mask: which positions there are, or None.

    Example:

    >>> from tfp_bnn.likelihoods import Categorical
    >>> averages = average_over_draws([np.zeros((50, 3, 2)), np.ones((50, 3, 2))], Categorical())
    >>> averages["mean"][0].tolist()
    [0.5, 0.5]
    """
    running = RunningAverages(likelihood, None if y is None else np.asarray(y), mask)
    for outputs in chunks:
        running.add(outputs)
    return running.result()
