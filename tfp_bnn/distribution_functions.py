"""Priors and posteriors given as functions that return TFP distributions, in the way of TFP's `DenseVariational`.

Such a function takes (kernel size, bias size, dtype) and returns a distribution over a vector of that many weights,
the kernel's first, or a callable of one argument that returns one and is asked anew at each use. A TFP distribution
freezes the values of Keras variables when it is built, so a trained one must come from a callable: a Keras layer.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from tfp_bnn import _tfp, divergences
from tfp_bnn.noise import Noise
from tfp_bnn.posteriors import Posterior, PosteriorVariables, WeightPosterior, WeightSample
from tfp_bnn.priors import Prior

Tensor = Any


class DistributionWeights(WeightPosterior):
    """A posterior over a vector of weights that is a TFP distribution; draws get the weights' shape.

    Args:
        distribution: TFP distribution over vectors.
        shape: shape of the weights that the vector is reshaped to.
    """

    def __init__(self, distribution: Any, shape: Sequence[int]):
        self._distribution = distribution
        self._shape = shape

    @property
    def mean(self) -> Tensor:
        """The means of the weights, of their shape."""
        return keras.ops.reshape(self._distribution.mean(), self._shape)

    def sample(self, noise: Noise) -> WeightSample:
        """Draws the vector once."""
        value, log_prob = self._distribution.experimental_sample_and_log_prob(seed=noise.seed())
        return WeightSample(keras.ops.reshape(value, self._shape), keras.ops.sum(log_prob))

    def distribution(self) -> Any:
        """Returns the distribution over the vector."""
        return self._distribution


class DistributionPosterior(Posterior, PosteriorVariables):
    """The posterior that a function returned, recipe and variables in one since the variables are the function's.

    Args:
        source: what the function returned: a distribution, or a callable that returns one.
        shape: shape of the weights.
    """

    def __init__(self, source: Any, shape: Sequence[int]):
        self._source = source
        self._shape = shape

    def create(self, add_weight: Callable[..., Any], name: str, shape: Sequence[int]) -> PosteriorVariables:
        """Returns itself."""
        return self

    def read(self) -> DistributionWeights:
        """Returns the distribution with today's values."""
        return DistributionWeights(_today(self._source), self._shape)


class DistributionPrior(Prior):
    """The prior that a function returned: a distribution over the vector of weights.

    Args:
        source: a distribution, or a callable that returns one.
    """

    def __init__(self, source: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.source = source

    def log_prob(self, weights: Tensor) -> Tensor:
        """Returns log p(w) in nats: of all weights together, or of each if the distribution is one of scalars."""
        return self.distribution().log_prob(keras.ops.reshape(weights, (-1,)))

    def distribution(self, shape: Sequence[int] = ()) -> Any:
        """Returns the distribution over the vector, with today's values."""
        return _today(self.source)


@divergences.register_closed_form(DistributionWeights, DistributionPrior)
def _tfp_divergence(posterior: DistributionWeights, prior: DistributionPrior) -> Tensor:
    q, p = posterior.distribution(), prior.distribution()
    try:
        return keras.ops.sum(q.kl_divergence(p))
    except NotImplementedError as error:
        raise divergences.unknown(type(q).__name__, type(p).__name__) from error


def _today(source: Any) -> Any:
    # TFP's own callables take the layer's inputs and do not use them; weights that are held still have none.
    return _tfp.check_trains(source(None) if callable(source) else source)
