"""Schedules of the KL weight: by what factor `beta / num_examples` is multiplied at each minibatch.

A schedule is a function of (epoch, batch, batches an epoch), the first two counted from 0; the last is None in the
first epoch of data whose length Keras does not know before. All batches of such an epoch have the factor of its middle.
Ours are objects that can be called, so that they can be pickled and compared.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

Schedule = Callable[[int, int, int | None], float]


@dataclass(frozen=True)
class Constant:
    """The schedule that is always 1: the objective of variational inference.

    Example:

    >>> Constant()(epoch=0, batch=3, num_batches=10)
    1.0
    """

    def __call__(self, epoch: int, batch: int, num_batches: int | None) -> float:
        """Returns 1."""
        return 1.0


@dataclass(frozen=True)
class LinearWarmup:
    """The schedule that rises linearly to 1 over the first `epochs`, batch by batch.

    `min(1, (epoch + (batch + 1) / batches an epoch) / epochs)`.

    Args:
        epochs: how long it rises, at least 0; parts of epochs are allowed.

    Raises:
        ValueError: if `epochs` is negative or not finite.

    Example:

    >>> [LinearWarmup(2)(epoch, 4, 5) for epoch in range(3)]  # at the end of each epoch
    [0.5, 1.0, 1.0]

    Source: Sonderby et al. 2016, "Ladder Variational Autoencoders" (the warm-up).
    """

    epochs: float

    def __post_init__(self):
        if not 0 <= self.epochs < math.inf:
            raise ValueError(
                f"The warm-up must take a finite number of epochs, at least 0. Received: epochs={self.epochs}"
            )

    def __call__(self, epoch: int, batch: int, num_batches: int | None) -> float:
        """Returns the factor of a minibatch."""
        return min(1.0, _epochs_done(epoch, batch + 1, num_batches) / self.epochs) if self.epochs else 1.0


@dataclass(frozen=True)
class Cyclical:
    """The schedule that rises from 0 to 1 in the first part of each cycle and then stays at 1.

    Args:
        epochs: length of a cycle, positive.
        rising: share of the cycle in which it rises, above 0 and at most 1.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> [Cyclical(4)(epoch, 0, 5) for epoch in range(6)]
    [0.0, 0.5, 1.0, 1.0, 0.0, 0.5]

    Source: Fu et al. 2019, "Cyclical Annealing Schedule", equation 6.
    """

    epochs: float
    rising: float = 0.5

    def __post_init__(self):
        if not 0 < self.epochs < math.inf or not 0 < self.rising <= 1:
            raise ValueError(
                f"Expected finite epochs > 0 and 0 < rising <= 1. Received: epochs={self.epochs}, rising={self.rising}"
            )

    def __call__(self, epoch: int, batch: int, num_batches: int | None) -> float:
        """Returns the factor of a minibatch."""
        position = (_epochs_done(epoch, batch, num_batches) % self.epochs) / self.epochs
        return min(1.0, position / self.rising)


@dataclass(frozen=True)
class Blundell:
    """The schedule `M 2^(M-i) / (2^M - 1)` of minibatch i of the M of an epoch: the first carry nearly all the cost.

    The factors of an epoch have mean 1, so that an epoch counts the KL term as often as with `Constant`. It must know
    M: data whose length Keras does not know need `steps_per_epoch` in `fit`.

    Example:

    >>> [round(Blundell()(0, batch, 3), 3) for batch in range(3)]  # 12, 6 and 3 sevenths
    [1.714, 0.857, 0.429]

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.4.
    """

    def __call__(self, epoch: int, batch: int, num_batches: int | None) -> float:
        """Returns the factor of a minibatch; raises ValueError if the number of minibatches is not known."""
        if num_batches is None:
            raise ValueError(
                "Blundell's schedule needs the number of minibatches; pass `steps_per_epoch` to fit. Received: None"
            )
        # 2^(M-i) / (2^M - 1) with i = batch + 1, without the large powers.
        return num_batches * 2.0 ** -(batch + 1) / (1 - 2.0**-num_batches)


def _epochs_done(epoch: int, batches: int, num_batches: int | None) -> float:
    return epoch + (batches / num_batches if num_batches else 0.5)


# The names by which a schedule is called for in `KLWeight(schedule=...)`.
constant = Constant()
linear_warmup = LinearWarmup
cyclical = Cyclical
blundell = Blundell()
