"""Several weight draws a training step: the gradients of one minibatch, averaged over draws."""

import math
from typing import Any

import keras
import numpy as np

from tfp_bnn import kl_schedules


class RepeatedBatches(keras.utils.PyDataset):
    """Minibatches in random order, each `draws` times in a row.

    An optimizer that accumulates gradients over `draws` batches then makes one step for each minibatch, with the
    average of that many single-draw gradients, data and KL term alike.

    Args:
        x: inputs, [n, ...].
        y: labels, [n].
        batch_size: examples of a minibatch.
        draws: how often each minibatch is repeated.
        seed: of the order.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, batch_size: int, draws: int, seed: int, **kwargs: Any):
        super().__init__(**kwargs)
        self._x, self._y = x, y
        self._batch_size, self._draws = batch_size, draws
        self._rng = np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self) -> int:
        return self._draws * math.ceil(len(self._x) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        start = index // self._draws * self._batch_size
        chosen = self._order[start : start + self._batch_size]
        return self._x[chosen], self._y[chosen]

    def on_epoch_end(self) -> None:
        """Shuffles the examples."""
        self._order = self._rng.permutation(len(self._x))


def schedule_of_minibatches(schedule: kl_schedules.Schedule, draws: int) -> kl_schedules.Schedule:
    """Returns the KL schedule that gives all repetitions of a minibatch the minibatch's own factor."""

    def of_repetitions(epoch: int, batch: int, num_batches: int | None) -> float:
        return schedule(epoch, batch // draws, num_batches and num_batches // draws)

    return of_repetitions
