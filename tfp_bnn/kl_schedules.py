"""Schedules of the KL weight: by what factor `beta / num_examples` is multiplied at each minibatch.

A schedule is a function of (epoch, batch, batches an epoch), the first two counted from 0; the last is None where
Keras does not know it yet.
"""

import math
from collections.abc import Callable

Schedule = Callable[[int, int, int | None], float]


def constant(epoch: int, batch: int, num_batches: int | None) -> float:
    """Returns 1: the objective of variational inference.

    Args:
        epoch: which one, from 0.
        batch: which one of its minibatches, from 0.
        num_batches: how many minibatches an epoch has.

    Example:

    >>> constant(0, 3, 10)
    1.0
    """
    return 1.0


def linear_warmup(epochs: float) -> Schedule:
    """Returns the schedule that rises linearly to 1 over the first `epochs`, batch by batch.

    `min(1, (epoch + (batch + 1) / batches an epoch) / epochs)`.

    Args:
        epochs: how long it rises, at least 0; parts of epochs are allowed.

    Raises:
        ValueError: if `epochs` is negative or not finite.

    Example:

    >>> [linear_warmup(2)(epoch, 4, 5) for epoch in range(3)]  # at the end of each epoch
    [0.5, 1.0, 1.0]

    Source: Sonderby et al. 2016, "Ladder Variational Autoencoders" (the warm-up).
    """
    if not 0 <= epochs < math.inf:
        raise ValueError(f"The warm-up must take a finite number of epochs, at least 0. Received: epochs={epochs}")

    def schedule(epoch: int, batch: int, num_batches: int | None) -> float:
        done = epoch + ((batch + 1) / num_batches if num_batches else 0.0)
        return min(1.0, done / epochs) if epochs else 1.0

    return schedule


def cyclical(epochs: float, rising: float = 0.5) -> Schedule:
    """Returns the schedule that rises from 0 to 1 in the first part of each cycle and then stays at 1.

    Args:
        epochs: length of a cycle, positive.
        rising: share of the cycle in which it rises, above 0 and at most 1.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> [cyclical(4)(epoch, 0, 5) for epoch in range(6)]
    [0.0, 0.5, 1.0, 1.0, 0.0, 0.5]

    Source: Fu et al. 2019, "Cyclical Annealing Schedule", equation 6.
    """
    if not 0 < epochs < math.inf or not 0 < rising <= 1:
        raise ValueError(f"Expected finite epochs > 0 and 0 < rising <= 1. Received: epochs={epochs}, rising={rising}")

    def schedule(epoch: int, batch: int, num_batches: int | None) -> float:
        position = ((epoch + (batch / num_batches if num_batches else 0.0)) % epochs) / epochs
        return min(1.0, position / rising)

    return schedule


def blundell(epoch: int, batch: int, num_batches: int | None) -> float:
    """Returns `M 2^(M-i) / (2^M - 1)` for minibatch i of the M of an epoch: the first ones carry nearly all the cost.

    The factors of an epoch have mean 1, so that an epoch counts the KL term as often as with `constant`.

    Args:
        epoch: not used.
        batch: i - 1, from 0.
        num_batches: M.

    Raises:
        ValueError: if the number of minibatches is not known; give `fit` `steps_per_epoch`.

    Example:

    >>> [round(blundell(0, batch, 3), 3) for batch in range(3)]  # 12, 6 and 3 sevenths
    [1.714, 0.857, 0.429]

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.4.
    """
    if num_batches is None:
        raise ValueError(
            "Blundell's schedule needs the number of minibatches; pass `steps_per_epoch` to fit. Received: None"
        )
    # 2^(M-i) / (2^M - 1) with i = batch + 1, without the large powers.
    return num_batches * 2.0 ** -(batch + 1) / (1 - 2.0**-num_batches)
