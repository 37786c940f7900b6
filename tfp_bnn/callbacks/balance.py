"""Notices when the KL term drowns the data: the loss falls, and what the data say is lost again."""

import statistics
import warnings
from collections import deque

_EPOCHS = 5
"""The nll of an epoch is that of noisy draws: the median of so many counts."""


class Balance:
    """Watches the two halves of the loss from epoch to epoch, and warns once.

    What the data had gained is the fall of the nll from its first to its least value. If more than half of that is lost
    while the whole loss goes on falling, it is the KL term that the training serves. A large share of the KL term alone
    says nothing: in a good training of few epochs it is nearly all of the loss.
    """

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=_EPOCHS)
        self._first: float | None = None
        self._best = (float("inf"), float("inf"))
        self._has_warned = False

    def see(self, nll: float, kl_term: float) -> None:
        """Takes an epoch's halves in nats an observation, the KL term with its whole weight, and may warn."""
        self._recent.append(nll)
        nll = statistics.median(self._recent)
        self._first = nll if self._first is None else self._first
        least, loss_then = self._best
        loss = nll + kl_term
        if nll < least:
            self._best = (nll, loss)
        elif len(self._recent) == _EPOCHS and nll - least > 0.5 * (self._first - least) > 0 and loss < loss_then:
            self._warn(nll, least, kl_term / (kl_term + abs(nll)))

    def _warn(self, nll: float, least: float, share: float) -> None:
        if not self._has_warned:
            warnings.warn(
                f"The KL term drowns the data: it is {share:.0%} of the loss, which falls, while the nll has risen "
                f"from {least:.3g} to {nll:.3g} nats. There are too many weights for so few examples, or the prior "
                "does not fit: check `num_examples`, take a smaller network or a prior of smaller scale, stop earlier, "
                "or temper the KL term with KLWeight(beta=0.1).",
                stacklevel=2,
            )
        self._has_warned = True
