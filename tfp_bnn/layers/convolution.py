"""Convolutional layers."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras

from tfp_bnn._checks import check_count
from tfp_bnn.estimators import LinearMap
from tfp_bnn.layers.channels import SpatialLayer, of_rank
from tfp_bnn.layers.linear import BayesianArguments, signs_along
from tfp_bnn.layers.plain import given

Tensor = Any


class Convolution(SpatialLayer):
    """Abstract base of convolutions: `activation(convolution(inputs, kernel) + bias)`."""

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        **kwargs: Unpack[BayesianArguments],
    ):
        """Makes the layer; its weights are made when it sees an input.

        Args:
            filters: number of output channels, a positive integer.
            kernel_size: an integer, or one for each axis of space.
            strides: an integer, or one for each axis of space.
            padding: "valid", "same", or of 1D convolutions "causal" (no output sees a later input).
            data_format: "channels_last" or "channels_first"; None takes Keras's default.
            dilation_rate: an integer, or one for each axis of space; not together with strides.
            groups: in how many groups the channels are convolved; divides the input channels and `filters`.
            activation: Keras activation, or None.
            use_bias: whether a bias is added.
            estimator: how noise reaches the outputs: "flipout", "reparameterization", "local_reparameterization",
                "antithetic", or a `tfp_bnn.estimators.Estimator`; None stands for "flipout".
            prior: a `tfp_bnn.priors.Prior` of the weights; None stands for `Normal(scale=1.0)`.
            posterior: a `tfp_bnn.posteriors.Posterior` of the weights; None stands for `MeanFieldNormal()`.
            bias_prior: prior of the bias; None stands for `Normal(scale=1.0)`. Only with `bias_posterior`.
            bias_posterior: posterior of the bias; None trains the bias as a plain weight, as TFP's layers do.
            kl_weight: what the KL divergence is multiplied by in the loss; None leaves it to `callbacks.KLWeight`.
            seed: integer seed of the noise; None draws one.
            kernel_initializer: where the means start; None leaves it to the posterior.
            bias_initializer, bias_regularizer, bias_constraint: of a bias that is a plain weight.
            name, dtype, trainable, activity_regularizer: of `keras.layers.Layer`.

        Raises:
            ValueError: if an argument or the inputs' shape is wrong, or if it is trained with no KL weight set.
        """
        if not isinstance(padding, str):
            raise ValueError(f"`padding` must be a string. Received: padding={padding!r}")
        arguments = given(locals())
        check_count("filters", filters)
        check_count("groups", groups)
        super().__init__(of_rank("Conv{}D", self.rank), arguments, **kwargs)
        self.input_spec = keras.layers.InputSpec(ndim=self.rank + 2)

    def linear_maps(self, input_shape: Sequence[int | None]) -> Sequence[LinearMap]:
        """Returns the convolution with a kernel [*kernel_size, channels / groups, filters]."""
        channels = self.channels_of(input_shape, self.groups)
        shape = (*self.kernel_size, channels // self.groups, self.filters)
        return [LinearMap("kernel", shape, self._convolve, signs_along(self.channel_axis, self.filters))]

    def bias_shape(self, input_shape: Sequence[int | None]) -> tuple[int, ...]:
        """Returns [filters]."""
        return (self.filters,)

    def _convolve(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        padding = self.padding
        if padding == "causal":
            inputs, padding = self._padded_causally(inputs), "valid"
        return keras.ops.conv(
            inputs,
            kernel,
            strides=self.strides,
            padding=padding,
            data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )

    def _padded_causally(self, inputs: Tensor) -> Tensor:
        before = (self.dilation_rate[0] * (self.kernel_size[0] - 1), 0)
        steps_first = self.data_format == "channels_last"
        return keras.ops.pad(inputs, ((0, 0), before, (0, 0)) if steps_first else ((0, 0), (0, 0), before))


@keras.saving.register_keras_serializable("tfp_bnn")
class Conv1D(Convolution):
    """A Bayesian 1D convolution: Keras's `Conv1D` with random weights.

    Takes inputs of shape [batch, steps, channels] or channels first, as `data_format` says.

    Example:

    >>> layer = Conv1D(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 3))).shape)
    (2, 6, 10)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2; of the estimators see
    `tfp_bnn.estimators`.
    """

    rank = 1


@keras.saving.register_keras_serializable("tfp_bnn")
class Conv2D(Convolution):
    """A Bayesian 2D convolution: Keras's `Conv2D` with random weights.

    Takes inputs of shape [batch, height, width, channels] or channels first, as `data_format` says.

    Example:

    >>> layer = Conv2D(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 8, 3))).shape)
    (2, 6, 6, 10)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2; of the estimators see
    `tfp_bnn.estimators`.
    """

    rank = 2


@keras.saving.register_keras_serializable("tfp_bnn")
class Conv3D(Convolution):
    """A Bayesian 3D convolution: Keras's `Conv3D` with random weights.

    Takes inputs of shape [batch, depth, height, width, channels] or channels first, as `data_format` says.

    Example:

    >>> layer = Conv3D(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 8, 8, 3))).shape)
    (2, 6, 6, 6, 10)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2; of the estimators see
    `tfp_bnn.estimators`.
    """

    rank = 3
