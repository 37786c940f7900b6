"""What likelihoods of counts have in common."""

from typing import Any

from tfp_bnn.likelihoods.independent import IndependentLikelihood

Tensor = Any


class CountLikelihood(IndependentLikelihood):
    """Targets 0, 1, 2, ...; others make the loss NaN: compiled code cannot raise.

    The logarithm of y! and the other terms of a log-probability are as large as y log y, and float32 rounds them: to
    0.1 nats for counts of a hundred thousand. So each family takes the largest log-probability that y has, of whatever
    mean, which is small, and from it the deviance of the predicted mean.
    """

    _targets_expected = "Targets must be counts: integers, 0 or more."

    def _allowed(self, y: Tensor) -> Tensor:
        return (y >= 0) & (y % 1 == 0)
