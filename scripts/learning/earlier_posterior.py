"""A prior that follows the posterior at a distance: what was learned from data that are gone stays."""

import collections
from collections.abc import Sequence

import keras
import numpy as np

import tfp_bnn as bnn


class Heirs:
    """Layers whose prior follows their posterior at a distance.

    Args:
        layers: Bayesian layers whose priors are `tfp_bnn.priors.EarlierPosterior`.
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
            prior.assign(mean, stddev)
        self.have_inherited = True
