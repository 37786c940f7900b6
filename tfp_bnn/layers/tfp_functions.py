"""Priors and posteriors given as functions that return TFP distributions, in the way of TFP's `DenseVariational`.

Such a function takes (kernel size, bias size, dtype) and returns a distribution over a vector of that many weights,
the kernel's first, or a callable of one argument that returns one and is asked anew at each use. A TFP distribution
freezes the values of Keras variables when it is built, so a trained one must come from a callable: a Keras layer.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from tfp_bnn import kl
from tfp_bnn._backend import tfp
from tfp_bnn._numerics.noise import Noise, counted
from tfp_bnn.layers.variable_reads import Reads, reads_of, variables_in
from tfp_bnn.posteriors import Posterior, PosteriorVariables, WeightPosterior, WeightSample
from tfp_bnn.priors import Prior

Tensor = Any

_HOW_TO_LEARN = """Return a Keras layer whose `call` makes the distribution anew of its variables:

class TrainedNormals(keras.layers.Layer):
    def __init__(self, size):
        super().__init__()
        self.loc = self.add_weight(name="loc", shape=(size,), initializer="zeros")
        self.rho = self.add_weight(name="rho", shape=(size,), initializer=keras.initializers.Constant(-3.0))

    def call(self, inputs):  # inputs is None
        scale = keras.ops.softplus(self.rho)
        return tfd.Independent(tfd.Normal(keras.ops.convert_to_tensor(self.loc), scale), 1)

def make_distribution(kernel_size, bias_size, dtype):
    return TrainedNormals(kernel_size + bias_size)
"""


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
        self.source = source
        self._shape = shape

    def create(self, add_weight: Callable[..., Any], name: str, shape: Sequence[int]) -> PosteriorVariables:
        """Returns itself."""
        return self

    def read(self) -> DistributionWeights:
        """Returns the distribution with the current values."""
        return DistributionWeights(_today(self.source), self._shape)


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
        """Returns the distribution over the vector, with the current values."""
        return _today(self.source)


@kl.register_closed_form(DistributionWeights, DistributionPrior)
def _tfp_divergence(posterior: DistributionWeights, prior: DistributionPrior) -> Tensor:
    q, p = posterior.distribution(), prior.distribution()
    try:
        return keras.ops.sum(q.kl_divergence(p))
    except NotImplementedError as error:
        raise kl.unknown(type(q).__name__, type(p).__name__) from error


def variables_of_posterior(posterior: DistributionPosterior) -> list[keras.Variable]:
    """Returns the Keras variables that a posterior from a function is made of, trained or not.

    Raises:
        ValueError: if it has none that are trained, or others that Keras would not train.
    """
    reads = reads_of(lambda: _drawn(posterior))
    _check_reads("posterior", reads)
    if not any(variable.trainable for variable in reads.keras_variables):
        raise ValueError(
            "A posterior that reads no trainable Keras variable would never be trained. "
            f"{_HOW_TO_LEARN}Received: posterior={_today(posterior.source)!r}"
        )
    return reads.keras_variables


def variables_of_prior(prior: DistributionPrior, posterior: PosteriorVariables) -> list[keras.Variable]:
    """Returns the Keras variables that a prior from a function is made of; a fixed prior has none.

    Args:
        prior: the prior.
        posterior: the posterior of the same weights; its draw is what the prior is asked about.

    Raises:
        ValueError: if it has variables that Keras would not train.
    """
    weights = posterior.read().sample(_fixed_noise()).value

    def ask() -> Any:
        prior.log_prob(weights)
        return prior.distribution()

    reads = reads_of(ask)
    _check_reads("prior", reads)
    return reads.keras_variables


def _drawn(posterior: DistributionPosterior) -> Any:
    weights = posterior.read()
    weights.sample(_fixed_noise())
    return weights.distribution()


def _fixed_noise() -> Noise:
    return counted(keras.ops.convert_to_tensor([0, 0], "int32"))


def _check_reads(name: str, reads: Reads) -> None:
    if reads.foreign_variables:
        raise ValueError(
            f"A {name} made of variables that are not Keras's (tf.Variable, a layer of TFP or of tf_keras) would never "
            f"be trained. {_HOW_TO_LEARN}Received: {name} with {reads.foreign_variables!r}"
        )
    read = {id(variable) for variable in reads.keras_variables}
    distribution = reads.result
    frozen = [v for v in variables_in(getattr(distribution, "parameters", {})) if id(v) not in read and v.trainable]
    if frozen:
        raise ValueError(
            f"A {name} that is made once keeps the values that its Keras variables had then, and would never be "
            f"trained. {_HOW_TO_LEARN}Received: {name}={distribution!r} of {frozen!r}"
        )


def _today(source: Any) -> Any:
    # TFP's own callables take the layer's inputs and do not use them; weights that are held still have none.
    return tfp.check_trains(source(None) if callable(source) else source)
