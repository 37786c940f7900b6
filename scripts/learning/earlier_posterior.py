"""Yesterday's posterior as today's prior: what was learned from data that are gone stays."""

import collections
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

import tfp_bnn as bnn

Tensor = Any
_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


class EarlierPosterior(bnn.priors.Prior):
    """The prior `p(w) = N(w | mean, stddev^2)` of one tensor of weights, with a mean and a stddev for each weight.

    Args:
        shape: the weights'.
        scale: all standard deviations at the start; all means are 0.
    """

    def __init__(self, shape: Sequence[int], scale: float, **kwargs: Any):
        super().__init__(**kwargs)
        start = keras.initializers.Constant(scale)
        self.mean = self.add_weight(name="mean", shape=shape, initializer="zeros", trainable=False)
        self.stddev = self.add_weight(name="stddev", shape=shape, initializer=start, trainable=False)

    def log_prob(self, weights: Tensor) -> Tensor:
        """Returns log N(w | mean, stddev^2) in nats for each weight."""
        ops = keras.ops
        stddev = ops.convert_to_tensor(self.stddev)
        return -0.5 * ops.square((weights - self.mean) / stddev) - ops.log(stddev) - _HALF_LOG_TWO_PI

    def distribution(self, shape: Sequence[int] = ()) -> Any:
        """Returns it as a TFP distribution; `shape` is that of the weights."""
        return bnn.posteriors.NormalWeights(*map(keras.ops.convert_to_tensor, (self.mean, self.stddev))).distribution()


@bnn.kl.register_closed_form(bnn.posteriors.NormalWeights, EarlierPosterior)
def _normal_normal(posterior: bnn.posteriors.NormalWeights, prior: EarlierPosterior) -> Tensor:
    """The sum of `log(s_p / s_q) + (s_q^2 + (m_q - m_p)^2) / (2 s_p^2) - 1/2`."""
    ops = keras.ops
    mean, stddev = map(ops.convert_to_tensor, (prior.mean, prior.stddev))
    squares = ops.square(posterior.stddev / stddev) + ops.square((posterior.mean - mean) / stddev)
    return ops.sum(0.5 * squares + ops.log(stddev) - 0.5) - posterior.sum_log_stddev()


class Heirs:
    """Layers whose prior follows their posterior at a distance.

    Args:
        layers: Bayesian layers whose priors are `EarlierPosterior`.
        distance: how many calls of `remember` lie between a posterior and its becoming the prior.

    Source: Nguyen et al. 2018, "Variational Continual Learning", equation 2.
    """

    def __init__(self, layers: Sequence[bnn.layers.VariationalLayer], distance: int):
        self._pairs = [pair for layer in layers for pair in layer.random_weights.values()]
        self._distance = distance
        self._earlier: collections.deque[list[tuple[np.ndarray, np.ndarray]]] = collections.deque()
        self.have_inherited = False

    def remember(self) -> None:
        """Notes the posterior as it is; the one noted `distance` calls ago, if there is one, becomes the prior."""
        today = [variables.read() for variables, _ in self._pairs]
        self._earlier.append([tuple(map(keras.ops.convert_to_numpy, (now.mean, now.stddev))) for now in today])
        if len(self._earlier) <= self._distance:
            return
        for (_, prior), (mean, stddev) in zip(self._pairs, self._earlier.popleft(), strict=True):
            prior.mean.assign(mean)
            prior.stddev.assign(stddev)
        self.have_inherited = True
