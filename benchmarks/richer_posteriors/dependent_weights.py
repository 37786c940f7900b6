"""Posteriors whose weights depend on each other, for small layers: measured here, not part of the package.

Both are for layers with the reparameterization estimator: local reparameterization and Flipout need independent
weights.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

from tfp_bnn._backend import tfp
from tfp_bnn._numerics.noise import Noise
from tfp_bnn._numerics.softplus import softplus, softplus_inverse
from tfp_bnn.posteriors import Posterior, PosteriorVariables, WeightPosterior, WeightSample

Tensor = Any
_LOG_TWO_PI = math.log(2 * math.pi)


class LowRankWeights(WeightPosterior):
    """`w = mean + stddev * eps + factor @ z`, eps and z from N(0, 1).

    Args:
        mean: tensor of the weights' shape, of n weights.
        stddev: tensor of the same shape.
        factor: [n, rank].
    """

    def __init__(self, mean: Tensor, stddev: Tensor, factor: Tensor):
        self.mean, self.stddev, self.factor = mean, stddev, factor

    def sample(self, noise: Noise) -> WeightSample:
        """Draws the weights; log q by the matrix determinant lemma and Woodbury's identity."""
        ops = keras.ops
        num_weights, rank = self.factor.shape
        stddev = ops.reshape(self.stddev, (-1,))
        scaled = self.factor / stddev[:, None]
        deviation = noise.normal((num_weights,), "float32") + ops.matmul(scaled, noise.normal((rank,), "float32"))
        capacitance = ops.cholesky(ops.eye(rank) + ops.matmul(ops.transpose(scaled), scaled))
        projected = ops.solve_triangular(capacitance, ops.matmul(deviation, scaled)[:, None], lower=True)
        squares = ops.sum(ops.square(deviation)) - ops.sum(ops.square(projected))
        log_det = ops.sum(ops.log(stddev)) + ops.sum(ops.log(ops.diagonal(capacitance)))
        log_prob = -0.5 * (squares + num_weights * _LOG_TWO_PI) - log_det
        return WeightSample(self.mean + ops.reshape(stddev * deviation, self.mean.shape), log_prob)

    def distribution(self) -> Any:
        """Returns TFP's distribution of the weights as one vector."""
        loc, diagonal = (keras.ops.reshape(part, (-1,)) for part in (self.mean, self.stddev))
        return tfp.distributions().MultivariateNormalDiagPlusLowRankCovariance(
            loc, keras.ops.square(diagonal), self.factor
        )


class FullWeights(WeightPosterior):
    """`w = mean + factor @ eps`, eps from N(0, 1), with a lower triangular factor.

    Args:
        mean: tensor of the weights' shape, of n weights.
        factor: [n, n], its diagonal positive.
    """

    def __init__(self, mean: Tensor, factor: Tensor):
        self.mean, self.factor = mean, factor

    def sample(self, noise: Noise) -> WeightSample:
        """Draws the weights."""
        ops = keras.ops
        num_weights = self.factor.shape[0]
        eps = noise.normal((num_weights,), "float32")
        squares = ops.sum(ops.square(eps)) + num_weights * _LOG_TWO_PI
        log_prob = -0.5 * squares - ops.sum(ops.log(ops.diagonal(self.factor)))
        return WeightSample(self.mean + ops.reshape(ops.matmul(self.factor, eps), self.mean.shape), log_prob)

    def distribution(self) -> Any:
        """Returns TFP's distribution of the weights as one vector."""
        return tfp.distributions().MultivariateNormalTriL(keras.ops.reshape(self.mean, (-1,)), self.factor)


class _Variables(PosteriorVariables):
    """Means, rhos and a factor, and what a posterior makes of them."""

    def __init__(self, make: Callable[[Tensor, Tensor, Tensor], WeightPosterior], *variables: Any):
        self._make, self._variables = make, variables

    def read(self) -> WeightPosterior:
        """Returns the posterior with the current values."""
        return self._make(*map(keras.ops.convert_to_tensor, self._variables))


class LowRankNormal(Posterior):
    """Independent noise and noise in `rank` directions; at the start these hold a tenth of the variance.

    Args:
        rank: number of directions.
        initial_stddev: standard deviation of the independent noise at the start.
    """

    def __init__(self, rank: int, initial_stddev: float):
        self.rank, self.initial_stddev = rank, initial_stddev

    def create(self, add_weight: Callable[..., Any], name: str, shape: Sequence[int]) -> _Variables:
        """Makes means, rhos and directions."""
        start = keras.initializers.RandomNormal(stddev=1 / math.sqrt(10 * self.rank))

        # In units of the noise at the start, so that an optimizer's steps are small beside it.
        def make(mean: Tensor, rho: Tensor, directions: Tensor) -> LowRankWeights:
            return LowRankWeights(mean, softplus(rho), self.initial_stddev * directions)

        return _Variables(
            make,
            *_mean_and_rho(add_weight, name, shape, self.initial_stddev),
            add_weight(shape=(math.prod(shape), self.rank), initializer=start, name=f"{name}_factor"),
        )


class FullNormal(Posterior):
    """A covariance between any two weights; at the start they are independent.

    Args:
        initial_stddev: standard deviation at the start.
    """

    def __init__(self, initial_stddev: float):
        self.initial_stddev = initial_stddev

    def create(self, add_weight: Callable[..., Any], name: str, shape: Sequence[int]) -> _Variables:
        """Makes means, rhos of the diagonal, and what is below it."""
        num_weights = math.prod(shape)
        # A row of the factor adds up to noise; an optimizer's steps must be small beside that at the start.
        unit = self.initial_stddev / math.sqrt(num_weights)

        def make(mean: Tensor, rho: Tensor, below: Tensor) -> FullWeights:
            diagonal = softplus(keras.ops.reshape(rho, (-1,)))
            return FullWeights(mean, unit * keras.ops.tril(below, -1) + keras.ops.diag(diagonal))

        return _Variables(
            make,
            *_mean_and_rho(add_weight, name, shape, self.initial_stddev),
            add_weight(shape=(num_weights, num_weights), initializer="zeros", name=f"{name}_factor"),
        )


def _mean_and_rho(add_weight: Callable[..., Any], name: str, shape: Sequence[int], stddev: float) -> tuple[Any, Any]:
    rho = keras.initializers.Constant(float(softplus_inverse(stddev)))
    return (
        add_weight(name=f"{name}_mean", shape=shape, initializer="he_normal"),
        add_weight(name=f"{name}_rho", shape=shape, initializer=rho),
    )
