"""How the noise of a layer's weights reaches its outputs.

An estimator knows neither shapes nor convolutions. It needs three things of the layer: a linear operation
`op(inputs, kernel)`, the posterior of the kernel, and the shapes of random signs for inputs and outputs.
All three estimators have the same mean, the same variance for each output of one example, and thus the same expected
loss; they differ in how much the noise of one batch cancels out, and in what they cost.
"""

import abc
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras

from tfp_bnn._numerics.noise import Noise
from tfp_bnn.posteriors import NormalWeights, WeightSample

Tensor = Any
LinearOp = Callable[[Tensor, Tensor], Tensor]


class Estimate(NamedTuple):
    """A noisy term of a layer's outputs, and the one draw of the weights behind it, if there was one."""

    outputs: Tensor
    sample: WeightSample | None


class SignShapes(NamedTuple):
    """Shapes of random signs, one for each example and channel: broadcastable to the inputs and to the outputs."""

    inputs: Sequence[Any]
    outputs: Sequence[Any]
    channel_axis: int = -1


class Estimator(abc.ABC):
    """The abstract estimator: a noisy linear operation and a noisy bias.

    Example, of two inputs of 4 features and a kernel of 3 outputs:

    >>> kernel = NormalWeights(keras.ops.ones((4, 3)), keras.ops.full((4, 3), 0.1))
    >>> noise = Noise(keras.random.SeedGenerator(1).next)
    >>> signs = SignShapes(inputs=(2, 4), outputs=(2, 3))
    >>> estimate = Flipout().linear(keras.ops.matmul, keras.ops.ones((2, 4)), kernel, noise, signs)
    >>> tuple(estimate.outputs.shape), tuple(estimate.sample.value.shape)
    ((2, 3), (4, 3))
    """

    @abc.abstractmethod
    def linear(
        self, op: LinearOp, inputs: Tensor, kernel: NormalWeights, noise: Noise, sign_shapes: SignShapes
    ) -> Estimate:
        """Returns `op(inputs, w)` for w from the kernel's posterior."""

    @abc.abstractmethod
    def bias(self, bias: NormalWeights, noise: Noise, sign_shapes: SignShapes) -> Estimate:
        """Returns a draw of the bias, broadcastable to the outputs."""


class Reparameterization(Estimator):
    """One draw of the weights for the whole batch: `op(x, mu + sigma * eps)`.

    The cheapest, and the noisiest: the examples of a batch share their noise.

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2.
    """

    def linear(
        self, op: LinearOp, inputs: Tensor, kernel: NormalWeights, noise: Noise, sign_shapes: SignShapes
    ) -> Estimate:
        """Returns `op(x, mu + sigma * eps)`."""
        sample = kernel.sample(noise)
        return Estimate(op(inputs, sample.value), sample)

    def bias(self, bias: NormalWeights, noise: Noise, sign_shapes: SignShapes) -> Estimate:
        """Returns `mu + sigma * eps`."""
        sample = bias.sample(noise)
        return Estimate(_along_channels(sample.value, sign_shapes), sample)


class LocalReparameterization(Estimator):
    """Noise on the outputs instead of the weights: `op(x, mu) + sqrt(op(x^2, sigma^2)) * eps`.

    Every output gets noise of its own. In a convolution the noise of neighbouring positions, which share their
    weights, is taken as independent.

    Source: Kingma, Salimans and Welling 2015, "Variational Dropout and the Local Reparameterization Trick",
    section 2.2.
    """

    def linear(
        self, op: LinearOp, inputs: Tensor, kernel: NormalWeights, noise: Noise, sign_shapes: SignShapes
    ) -> Estimate:
        """Returns `op(x, mu) + sqrt(op(x^2, sigma^2)) * eps`."""
        ops = keras.ops
        mean = op(inputs, kernel.mean)
        dtype = keras.backend.standardize_dtype(mean.dtype)
        # In float16 the square of a standard deviation of 0.0002 is 0, and that of an input of 256 infinite.
        widened = ops.cast(inputs, "float32") if dtype == "float16" else inputs
        stddev = ops.cast(_sqrt(op(ops.square(widened), ops.square(kernel.stddev))), dtype)
        eps = noise.normal(ops.shape(mean), dtype)
        return Estimate(mean + stddev * eps, None)

    def bias(self, bias: NormalWeights, noise: Noise, sign_shapes: SignShapes) -> Estimate:
        """Returns `mu + sigma * eps` with other noise for each example."""
        eps = noise.normal(sign_shapes.outputs, keras.backend.standardize_dtype(bias.mean.dtype))
        mean, stddev = _along_channels(bias.mean, sign_shapes), _along_channels(bias.stddev, sign_shapes)
        return Estimate(mean + stddev * eps, None)


class Flipout(Estimator):
    """One draw for the batch, its sign flipped at random: `op(x, mu) + op(x * s_in, sigma * eps) * s_out`.

    The signs, one for each example and channel, make the noise of different examples uncorrelated.

    Source: Wen et al. 2018, "Flipout: Efficient Pseudo-Independent Weight Perturbations on Mini-Batches", equation 4.
    """

    def linear(
        self, op: LinearOp, inputs: Tensor, kernel: NormalWeights, noise: Noise, sign_shapes: SignShapes
    ) -> Estimate:
        """Returns `op(x, mu) + op(x * s_in, sigma * eps) * s_out`."""
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        draw = kernel.perturbation(noise)
        terms = self._terms_of_channel if sign_shapes.inputs[sign_shapes.channel_axis] == 1 else self._terms
        mean, noisy = terms(op, inputs, kernel.mean, draw.value, noise, sign_shapes)
        outputs = mean + noisy * noise.signs(sign_shapes.outputs, dtype)
        return Estimate(outputs, draw._replace(value=kernel.mean + draw.value))

    def _terms(
        self, op: LinearOp, inputs: Tensor, mean: Tensor, perturbation: Tensor, noise: Noise, sign_shapes: SignShapes
    ) -> tuple[Tensor, Tensor]:
        """Returns `op(x, mu)` and `op(x * s_in, sigma * eps)`."""
        flipped = inputs * noise.signs(sign_shapes.inputs, keras.backend.standardize_dtype(inputs.dtype))
        return op(inputs, mean), op(flipped, perturbation)

    def _terms_of_channel(
        self, op: LinearOp, inputs: Tensor, mean: Tensor, perturbation: Tensor, noise: Noise, sign_shapes: SignShapes
    ) -> tuple[Tensor, Tensor]:
        """Returns the same for inputs of one channel, by one operation with twice the outputs.

        The one sign of an example passes through `op` to its outputs, whose own signs are as random without it.
        """
        both = op(inputs, keras.ops.concatenate([mean, perturbation], axis=-1))
        return keras.ops.split(both, 2, axis=sign_shapes.channel_axis)

    def bias(self, bias: NormalWeights, noise: Noise, sign_shapes: SignShapes) -> Estimate:
        """Returns `mu + sigma * eps * s_out`."""
        draw = bias.perturbation(noise)
        signs = noise.signs(sign_shapes.outputs, keras.backend.standardize_dtype(bias.mean.dtype))
        outputs = _along_channels(bias.mean, sign_shapes) + _along_channels(draw.value, sign_shapes) * signs
        return Estimate(outputs, draw._replace(value=bias.mean + draw.value))


def _along_channels(vector: Tensor, sign_shapes: SignShapes) -> Tensor:
    """Reshapes a bias so that it broadcasts along the outputs' channels."""
    return keras.ops.reshape(vector, (1, *sign_shapes.outputs[1:]))


def _sqrt(variance: Tensor) -> Tensor:
    """The square root, with gradient 0 instead of infinity where the variance is 0 (an input of zeros)."""
    ops = keras.ops
    positive = variance > 0
    return ops.where(positive, ops.sqrt(ops.where(positive, variance, 1.0)), 0.0)
