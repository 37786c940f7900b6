"""How the noise of a layer's weights reaches its outputs.

An estimator knows neither shapes nor convolutions. Of a layer it needs its `LinearMap`, a linear operation
`op(inputs, kernel)` with the shapes of random signs for inputs and outputs, and the posterior of the kernel.
All estimators have the same mean, the same variance for each output of one example, and thus the same expected loss;
they differ in how much the noise of one batch cancels out, and in what they cost.
"""

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import keras

from tfp_bnn._numerics.noise import Noise
from tfp_bnn.posteriors import NormalWeights, Posterior, WeightPosterior, WeightSample

Tensor = Any


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
    def linear(
        self, linear: LinearMap, inputs: Tensor, kernel: NormalWeights, noise: Noise, index: int = 0
    ) -> Estimate:
        """Returns `op(inputs, w)` for w from the kernel's posterior.

        Args:
            linear: the layer's operation, and what is known of it.
            inputs: of the operation, [batch, ...].
            kernel: the kernel's posterior with today's values.
            noise: where random numbers come from.
            index: a number that differs from one kernel of a network to the next, as far as layers can know.
        """

    @abc.abstractmethod
    def bias(self, bias: NormalWeights, noise: Noise, shape: Sequence[Any], index: int = 0) -> Estimate:
        """Returns a draw of the bias, broadcastable to the outputs.

        Args:
            bias: the bias's posterior with today's values.
            noise: where random numbers come from.
            shape: one number for each example and bias, [batch, ...]; it broadcasts to the outputs.
            index: that of the layer's last kernel.
        """

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Estimator":
        """Makes the estimator that `get_config` describes."""
        return cls(**config)


class Reparameterization(Estimator):
    """One draw of the weights for the whole batch: `op(x, mu + sigma * eps)`.

    The cheapest, and the noisiest: the examples of a batch share their noise.

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2.
    """

    needs = WeightPosterior

    def linear(
        self, linear: LinearMap, inputs: Tensor, kernel: NormalWeights, noise: Noise, index: int = 0
    ) -> Estimate:
        """Returns `op(x, mu + sigma * eps)`."""
        sample = kernel.sample(noise)
        return Estimate(linear(inputs, sample.value), sample)

    def bias(self, bias: NormalWeights, noise: Noise, shape: Sequence[Any], index: int = 0) -> Estimate:
        """Returns `mu + sigma * eps`."""
        sample = bias.sample(noise)
        return Estimate(_along(sample.value, shape), sample)


class Antithetic(Estimator):
    """One draw for the batch, added to the means for one half of it and taken from them for the other.

    `op(x_a, mu + sigma * eps)` and `op(x_b, mu - sigma * eps)`, so that the noise of the two halves cancels to first
    order, in one pass over the batch. Both draws come from the posterior, so each example alone sees it as it is. Which
    half an example is in goes by its place in the batch, and differs from layer to layer (by their seeds): in turns of
    1, 2 or 4 examples. An odd batch has a half with one example more.

    Source: Hammersley and Morton 1956, "A New Monte Carlo Technique: Antithetic Variates".
    """

    def linear(
        self, linear: LinearMap, inputs: Tensor, kernel: NormalWeights, noise: Noise, index: int = 0
    ) -> Estimate:
        """Returns `op(x_a, mu + sigma * eps)` and `op(x_b, mu - sigma * eps)`, each example in its place."""
        draw = kernel.perturbation(noise)
        size = keras.ops.shape(inputs)[0]
        halves = _halves(inputs, _run(index))
        outputs = [linear(half, kernel.mean + sign * draw.value) for half, sign in zip(halves, (1, -1), strict=True)]
        outputs = _joined(outputs, _run(index), size)
        return Estimate(outputs, draw._replace(value=kernel.mean + draw.value))

    def bias(self, bias: NormalWeights, noise: Noise, shape: Sequence[Any], index: int = 0) -> Estimate:
        """Returns `mu + sigma * eps` for one half of the batch and `mu - sigma * eps` for the other."""
        draw = bias.perturbation(noise)
        place = keras.ops.arange(shape[0], dtype="int32") // _run(index)
        signs = keras.ops.cast(1 - 2 * (place % 2), bias.mean.dtype)
        signs = keras.ops.reshape(signs, (-1, *[1] * (len(shape) - 1)))
        outputs = _along(bias.mean, shape) + _along(draw.value, shape) * signs
        return Estimate(outputs, draw._replace(value=bias.mean + draw.value))


class LocalReparameterization(Estimator):
    """Noise on the outputs instead of the weights: `op(x, mu) + sqrt(op(x^2, sigma^2)) * eps`.

    Every output gets noise of its own. In a convolution the noise of neighbouring positions, which share their
    weights, is taken as independent.

    Source: Kingma, Salimans and Welling 2015, "Variational Dropout and the Local Reparameterization Trick",
    section 2.2.
    """

    def linear(
        self, linear: LinearMap, inputs: Tensor, kernel: NormalWeights, noise: Noise, index: int = 0
    ) -> Estimate:
        """Returns `op(x, mu) + sqrt(op(x^2, sigma^2)) * eps`."""
        ops = keras.ops
        mean = linear(inputs, kernel.mean)
        dtype = keras.backend.standardize_dtype(mean.dtype)
        # In float16 the square of a standard deviation of 0.0002 is 0, and that of an input of 256 infinite.
        widened = ops.cast(inputs, "float32") if dtype == "float16" else inputs
        stddev = ops.cast(_sqrt(linear(ops.square(widened), ops.square(kernel.stddev))), dtype)
        eps = noise.normal(ops.shape(mean), dtype)
        return Estimate(mean + stddev * eps, None)

    def bias(self, bias: NormalWeights, noise: Noise, shape: Sequence[Any], index: int = 0) -> Estimate:
        """Returns `mu + sigma * eps` with other noise for each example."""
        eps = noise.normal(shape, keras.backend.standardize_dtype(bias.mean.dtype))
        return Estimate(_along(bias.mean, shape) + _along(bias.stddev, shape) * eps, None)


class Flipout(Estimator):
    """One draw for the batch, its sign flipped at random: `op(x, mu) + op(x * s_in, sigma * eps) * s_out`.

    The signs, one for each example and channel, make the noise of different examples uncorrelated.

    Source: Wen et al. 2018, "Flipout: Efficient Pseudo-Independent Weight Perturbations on Mini-Batches", equation 4.
    """

    def linear(
        self, linear: LinearMap, inputs: Tensor, kernel: NormalWeights, noise: Noise, index: int = 0
    ) -> Estimate:
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

    def bias(self, bias: NormalWeights, noise: Noise, shape: Sequence[Any], index: int = 0) -> Estimate:
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
        ValueError: if it is none of these.

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
    return next((name for name, named in _BY_NAME.items() if type(estimator) is named), estimator)


def _along(vector: Tensor, shape: Sequence[Any]) -> Tensor:
    """Reshapes a bias so that it broadcasts to the outputs."""
    return keras.ops.reshape(vector, (1, *shape[1:]))


def _run(index: int) -> int:
    """Returns how many neighbours are in one half: these turns have nothing in common over eight examples."""
    return (1, 2, 4)[index % 3]


def _halves(inputs: Tensor, run: int) -> tuple[Tensor, Tensor]:
    """Returns two halves of a batch, of whole runs: rows of zeros fill it up."""
    ops = keras.ops
    size, *rest = ops.shape(inputs)
    missing = -size % (2 * run)
    if not isinstance(missing, int):
        # A copy of the batch only if there is something to add.
        inputs = ops.cond(missing > 0, lambda: _filled(inputs, missing), lambda: inputs)
    elif missing:
        inputs = _filled(inputs, missing)
    runs = ops.reshape(inputs, (-1, 2, run, *rest))
    return tuple(ops.reshape(runs[:, half], (-1, *rest)) for half in (0, 1))


def _filled(inputs: Tensor, missing: Any) -> Tensor:
    return keras.ops.pad(inputs, [(0, missing), *[(0, 0)] * (len(inputs.shape) - 1)])


def _joined(halves: Sequence[Tensor], run: int, size: Any) -> Tensor:
    """Returns a batch of two halves, each row in its place, and `size` rows."""
    ops = keras.ops
    rest = ops.shape(halves[0])[1:]
    runs = ops.stack([ops.reshape(half, (-1, run, *rest)) for half in halves], axis=1)
    return ops.reshape(runs, (-1, *rest))[:size]


def _sqrt(variance: Tensor) -> Tensor:
    """The square root, with gradient 0 instead of infinity where the variance is 0 (an input of zeros)."""
    ops = keras.ops
    positive = variance > 0
    return ops.where(positive, ops.sqrt(ops.where(positive, variance, 1.0)), 0.0)
