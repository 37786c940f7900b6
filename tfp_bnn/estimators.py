"""How the noise of a layer's weights reaches its outputs.

An estimator knows neither shapes nor convolutions. Of a layer it needs its `LinearMap`, a linear operation
`op(inputs, kernel)` with the shapes of random signs for inputs and outputs, and the posterior of the kernel.
All estimators have the same mean, the same variance for each output of one example, and thus the same expected loss;
they differ in how much the noise of one batch cancels out, and in what they cost.
"""

import abc
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import keras

from tfp_bnn._checks import check_count
from tfp_bnn._numerics.noise import Noise
from tfp_bnn.posteriors import NormalWeights, Posterior, WeightPosterior, WeightSample

Tensor = Any

# How many weights a kernel may have times the pairs that copies of its draw are made for; below so few pairs the second
# pass of Flipout is worth its cost.
_MOST_WEIGHTS, _FEWEST_PAIRS = 2**20, 4


class Estimate(NamedTuple):
    """A noisy term of a layer's outputs, and the one draw of the weights behind it, if there was one."""

    outputs: Tensor
    sample: WeightSample | None


class SignShapes(NamedTuple):
    """Shapes of random signs, one for each example and channel: broadcastable to the inputs and to the outputs."""

    inputs: Sequence[Any]
    outputs: Sequence[Any]
    channel_axis: int = -1


@dataclasses.dataclass(frozen=True)
class LinearMap:
    """A random kernel of a layer and what it does: `op(inputs, kernel)`, linear in each of the two.

    Args:
        name: what the kernel's weights are called in the layer, such as "kernel".
        kernel_shape: their shape.
        op: the function of inputs and kernel.
        sign_shapes: the function of the inputs that gives the shapes of random signs.
        output_axis: along which axis of the kernel the outputs' channels lie; None if along none.
    """

    name: str
    kernel_shape: tuple[int, ...]
    op: Callable[[Tensor, Tensor], Tensor]
    sign_shapes: Callable[[Tensor], SignShapes]
    output_axis: int | None = -1

    def __call__(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Returns `op(inputs, kernel)`, in the precision of the inputs."""
        return self.op(inputs, keras.ops.cast(kernel, inputs.dtype))


class Estimator(abc.ABC):
    """The abstract estimator: a noisy linear map and a noisy bias.

    An estimator of your own is registered with `keras.saving.register_keras_serializable`, so that layers save it.

    Example, of two inputs of 4 features and a kernel of 3 outputs:

    >>> kernel = NormalWeights(keras.ops.ones((4, 3)), keras.ops.full((4, 3), 0.1))
    >>> noise = Noise(keras.random.SeedGenerator(1).next)
    >>> linear = LinearMap("kernel", (4, 3), keras.ops.matmul, lambda inputs: SignShapes((2, 4), (2, 3)))
    >>> estimate = Flipout().linear(linear, keras.ops.ones((2, 4)), kernel, noise)
    >>> tuple(estimate.outputs.shape), tuple(estimate.sample.value.shape)
    ((2, 3), (4, 3))
    """

    needs: ClassVar[type[WeightPosterior]] = NormalWeights
    """Of what kind the posteriors must be that it is used with."""

    def check(self, posterior: Posterior) -> None:
        """Raises ValueError if the estimator cannot be used with a posterior."""
        if not issubclass(posterior.weights, self.needs):
            raise ValueError(
                f"{type(self).__name__} needs a posterior of {self.needs.__name__}: one whose class says "
                f'`weights = {self.needs.__name__}`. With others take estimator="reparameterization". '
                f"Received: posterior={posterior!r} of {posterior.weights.__name__}"
            )

    @abc.abstractmethod
    def linear(self, linear: LinearMap, inputs: Tensor, kernel: NormalWeights, noise: Noise) -> Estimate:
        """Returns `op(inputs, w)` for w from the kernel's posterior.

        Args:
            linear: the layer's operation, and what is known of it.
            inputs: of the operation, [batch, ...].
            kernel: the kernel's posterior with the current values.
            noise: where random numbers come from.
        """

    @abc.abstractmethod
    def bias(self, bias: NormalWeights, noise: Noise, shape: Sequence[Any]) -> Estimate:
        """Returns a draw of the bias, broadcastable to the outputs.

        Args:
            bias: the bias's posterior with the current values.
            noise: where random numbers come from.
            shape: one number for each example and bias, [batch, ...]; it broadcasts to the outputs.
        """

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Estimator":
        """Makes the estimator that `get_config` describes."""
        return cls(**config)


@keras.saving.register_keras_serializable("tfp_bnn.estimators")
class Reparameterization(Estimator):
    """One draw of the weights for the whole batch: `op(x, mu + sigma * eps)`.

    The cheapest, and the noisiest: the examples of a batch share their noise.

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2.
    """

    needs = WeightPosterior

    def linear(self, linear: LinearMap, inputs: Tensor, kernel: NormalWeights, noise: Noise) -> Estimate:
        """Returns `op(x, mu + sigma * eps)`."""
        sample = kernel.sample(noise)
        return Estimate(linear(inputs, sample.value), sample)

    def bias(self, bias: NormalWeights, noise: Noise, shape: Sequence[Any]) -> Estimate:
        """Returns `mu + sigma * eps`."""
        sample = bias.sample(noise)
        return Estimate(_along(sample.value, shape), sample)


@keras.saving.register_keras_serializable("tfp_bnn.estimators")
class Antithetic(Estimator):
    """One draw for the batch, added to the means for some of its examples and taken from them for as many others.

    `op(x_a, mu + sigma * eps)` and `op(x_b, mu - sigma * eps)` for two halves a and b of the batch, so that their noise
    cancels to first order, in one pass over the batch. With several pairs of groups instead of two halves, each pair
    flips the draw by random signs of its own, `mu +- s_in * sigma * eps * s_out` with one sign for each channel of the
    kernel, as Flipout does for each example: this cancels the second order, too. Each draw alone is one from the
    posterior, so each example sees it as it is. Which group an example is in is drawn anew for each layer and batch.

    Each group has a copy of the kernel. Where copies for 4 pairs would have more than two million weights together, as
    in wide dense layers, a second pass costs less than they do: the layer then has Flipout's noise.

    Args:
        pairs: in how many pairs of groups a batch is split, at most; 1 for two halves. Small batches have fewer.

    Raises:
        ValueError: if `pairs` is not a positive integer.

    Source: Hammersley and Morton 1956, "A New Monte Carlo Technique: Antithetic Variates"; for the signs, Wen et al.
    2018, "Flipout: Efficient Pseudo-Independent Weight Perturbations on Mini-Batches".
    """

    def __init__(self, pairs: int = 8):
        self.pairs = check_count("pairs", pairs)

    def linear(self, linear: LinearMap, inputs: Tensor, kernel: NormalWeights, noise: Noise) -> Estimate:
        """Returns `op(x_g, mu +- s_in * sigma * eps * s_out)` for each group g, each example in its place."""
        ops = keras.ops
        size = ops.shape(inputs)[0]
        pairs = self._pairs_for(linear, size)
        if pairs is None:
            return Flipout().linear(linear, inputs, kernel, noise)
        draw = kernel.perturbation(noise)
        kernels = [kernel.mean + flipped for flipped in self._flipped(draw.value, pairs, noise)]
        missing = -size % len(kernels)
        order = ops.argsort(noise.normal((size + missing,)))
        # What fills the last groups are examples that are there already; what comes out for them is dropped.
        groups = ops.split(ops.take(inputs, order % size, axis=0), len(kernels), axis=0)
        outputs = [linear(group, each) for group, each in zip(groups, kernels, strict=True)]
        outputs = ops.take(ops.concatenate(outputs, axis=0), ops.argsort(order)[:size], axis=0)
        return Estimate(outputs, draw._replace(value=kernel.mean + draw.value))

    def _pairs_for(self, linear: LinearMap, size: Any) -> int | None:
        """Returns how many pairs there are, None if the copies of the kernel would cost too much."""
        # Of a size that is not known at compile time the last groups may be filled up.
        wanted = min(self.pairs, max(1, size // 2)) if isinstance(size, int) else self.pairs
        affordable = max(1, _MOST_WEIGHTS // math.prod(linear.kernel_shape))
        return None if affordable < min(wanted, _FEWEST_PAIRS) else min(wanted, affordable)

    def _flipped(self, draw: Tensor, pairs: int, noise: Noise) -> list[Tensor]:
        """Returns a draw for each group: for each pair it and its opposite."""
        if pairs == 1:
            return [draw, -draw]
        dtype = keras.backend.standardize_dtype(draw.dtype)
        *_, inputs, outputs = draw.shape
        ones = [1] * (len(draw.shape) - 2)
        signs = noise.signs((pairs, *ones, inputs, 1), dtype) * noise.signs((pairs, *ones, 1, outputs), dtype)
        flipped = keras.ops.unstack(draw * signs, pairs)
        return [sign * each for each in flipped for sign in (1, -1)]

    def bias(self, bias: NormalWeights, noise: Noise, shape: Sequence[Any]) -> Estimate:
        """Returns `mu + sigma * eps * s` with a sign for each example and bias: of a vector, that costs nothing."""
        return Flipout().bias(bias, noise, shape)

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {"pairs": self.pairs}


@keras.saving.register_keras_serializable("tfp_bnn.estimators")
class LocalReparameterization(Estimator):
    """Noise on the outputs instead of the weights: `op(x, mu) + sqrt(op(x^2, sigma^2)) * eps`.

    Every output gets noise of its own. In a convolution the noise of neighbouring positions, which share their
    weights, is taken as independent.

    Source: Kingma, Salimans and Welling 2015, "Variational Dropout and the Local Reparameterization Trick",
    section 2.2.
    """

    def linear(self, linear: LinearMap, inputs: Tensor, kernel: NormalWeights, noise: Noise) -> Estimate:
        """Returns `op(x, mu) + sqrt(op(x^2, sigma^2)) * eps`."""
        ops = keras.ops
        mean = linear(inputs, kernel.mean)
        dtype = keras.backend.standardize_dtype(mean.dtype)
        # In float16 the square of a standard deviation of 0.0002 is 0, and that of an input of 256 infinite.
        widened = ops.cast(inputs, "float32") if dtype == "float16" else inputs
        stddev = ops.cast(_sqrt(linear(ops.square(widened), ops.square(kernel.stddev))), dtype)
        eps = noise.normal(ops.shape(mean), dtype)
        return Estimate(mean + stddev * eps, None)

    def bias(self, bias: NormalWeights, noise: Noise, shape: Sequence[Any]) -> Estimate:
        """Returns `mu + sigma * eps` with other noise for each example."""
        eps = noise.normal(shape, keras.backend.standardize_dtype(bias.mean.dtype))
        return Estimate(_along(bias.mean, shape) + _along(bias.stddev, shape) * eps, None)


@keras.saving.register_keras_serializable("tfp_bnn.estimators")
class Flipout(Estimator):
    """One draw for the batch, its sign flipped at random: `op(x, mu) + op(x * s_in, sigma * eps) * s_out`.

    The signs, one for each example and channel, make the noise of different examples uncorrelated.

    Source: Wen et al. 2018, "Flipout: Efficient Pseudo-Independent Weight Perturbations on Mini-Batches", equation 4.
    """

    def linear(self, linear: LinearMap, inputs: Tensor, kernel: NormalWeights, noise: Noise) -> Estimate:
        """Returns `op(x, mu) + op(x * s_in, sigma * eps) * s_out`."""
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        draw = kernel.perturbation(noise)
        shapes = linear.sign_shapes(inputs)
        one_channel = linear.output_axis is not None and shapes.inputs[shapes.channel_axis] == 1
        terms = self._terms_of_channel if one_channel else self._terms
        mean, noisy = terms(linear, inputs, kernel.mean, draw.value, noise, shapes)
        outputs = mean + noisy * noise.signs(shapes.outputs, dtype)
        return Estimate(outputs, draw._replace(value=kernel.mean + draw.value))

    def _terms(
        self, linear: LinearMap, inputs: Tensor, mean: Tensor, perturbation: Tensor, noise: Noise, shapes: SignShapes
    ) -> tuple[Tensor, Tensor]:
        """Returns `op(x, mu)` and `op(x * s_in, sigma * eps)`."""
        flipped = inputs * noise.signs(shapes.inputs, keras.backend.standardize_dtype(inputs.dtype))
        return linear(inputs, mean), linear(flipped, perturbation)

    def _terms_of_channel(
        self, linear: LinearMap, inputs: Tensor, mean: Tensor, perturbation: Tensor, noise: Noise, shapes: SignShapes
    ) -> tuple[Tensor, Tensor]:
        """Returns the same for inputs of one channel, by one operation with twice the outputs.

        The one sign of an example passes through `op` to its outputs, whose own signs are as random without it.
        """
        both = linear(inputs, keras.ops.concatenate([mean, perturbation], axis=linear.output_axis))
        return keras.ops.split(both, 2, axis=shapes.channel_axis)

    def bias(self, bias: NormalWeights, noise: Noise, shape: Sequence[Any]) -> Estimate:
        """Returns `mu + sigma * eps * s_out`."""
        draw = bias.perturbation(noise)
        signs = noise.signs(shape, keras.backend.standardize_dtype(bias.mean.dtype))
        outputs = _along(bias.mean, shape) + _along(draw.value, shape) * signs
        return Estimate(outputs, draw._replace(value=bias.mean + draw.value))


_BY_NAME: dict[str, type[Estimator]] = {
    "flipout": Flipout,
    "reparameterization": Reparameterization,
    "local_reparameterization": LocalReparameterization,
    "antithetic": Antithetic,
}
NAMES = tuple(_BY_NAME)


def get(estimator: "str | Estimator") -> Estimator:
    """Returns the estimator of a name, or the estimator itself.

    Args:
        estimator: "flipout", "reparameterization", "local_reparameterization", "antithetic", or an `Estimator`.

    Raises:
        ValueError: if it is not one of these.

    Example:

    >>> get("flipout")  # doctest: +ELLIPSIS
    <tfp_bnn.estimators.Flipout object at ...>
    """
    if isinstance(estimator, Estimator):
        return estimator
    name = estimator.replace("-", "_") if isinstance(estimator, str) else None
    if name not in _BY_NAME:
        names = ", ".join(f'"{each}"' for each in NAMES)
        raise ValueError(f"`estimator` must be one of {names}, or an Estimator. Received: estimator={estimator!r}")
    return _BY_NAME[name]()


def serialize(estimator: Estimator) -> "str | Estimator":
    """Returns the name of an estimator; one that has none as it is, for Keras to serialize."""
    names = (name for name, named in _BY_NAME.items() if type(estimator) is named)
    name = next(names, None)
    is_named = name is not None and estimator.get_config() == _BY_NAME[name]().get_config()
    return name if is_named else estimator


def _along(vector: Tensor, shape: Sequence[Any]) -> Tensor:
    """Reshapes a bias so that it broadcasts to the outputs."""
    return keras.ops.reshape(vector, (1, *shape[1:]))


def _sqrt(variance: Tensor) -> Tensor:
    """The square root, with gradient 0 instead of infinity where the variance is 0 (an input of zeros)."""
    ops = keras.ops
    positive = variance > 0
    return ops.where(positive, ops.sqrt(ops.where(positive, variance, 1.0)), 0.0)
