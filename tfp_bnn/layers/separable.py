"""Separable convolutions: one over space, channel by channel, then one over the channels; both kernels are random."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras

from tfp_bnn._checks import check_count
from tfp_bnn.estimators import LinearMap
from tfp_bnn.layers.channels import SpatialLayer, of_rank
from tfp_bnn.layers.linear import BayesianArguments, signs_along
from tfp_bnn.layers.plain import given

Tensor = Any


class SeparableConvolution(SpatialLayer):
    """Abstract base of separable convolutions."""

    initializers = {  # noqa: RUF012
        "depthwise_kernel": "depthwise_initializer",
        "pointwise_kernel": "pointwise_initializer",
    }

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        **kwargs: Unpack[BayesianArguments],
    ):
        """Makes the layer; its weights are made when it sees an input.

        Args:
            filters: number of output channels, a positive integer.
            kernel_size: an integer, or one for each axis of space.
            strides: an integer, or one for each axis of space.
            padding: "valid" or "same".
            data_format: "channels_last" or "channels_first"; None takes Keras's default.
            dilation_rate: an integer, or one for each axis of space; not together with strides.
            depth_multiplier: number of channels between the two kernels, for each input channel.
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
            depthwise_initializer, pointwise_initializer: where the means start; None leaves it to the posterior.
            bias_initializer, bias_regularizer, bias_constraint: of a bias that is a plain weight.
            name, dtype, trainable, activity_regularizer: of `keras.layers.Layer`.

        Raises:
            ValueError: if an argument or the inputs' shape is wrong, or if it is trained with no KL weight set.
        """
        arguments = given(locals())
        check_count("filters", filters)
        check_count("depth_multiplier", depth_multiplier)
        super().__init__(of_rank("SeparableConv{}D", self.rank), arguments, **kwargs)

    def linear_maps(self, input_shape: Sequence[int | None]) -> Sequence[LinearMap]:
        """Returns two convolutions, with kernels [*kernel_size, channels, depth_multiplier] and [1, ..., filters]."""
        channels, axis = self.channels_of(input_shape), self.channel_axis
        between = channels * self.depth_multiplier
        depthwise = (*self.kernel_size, channels, self.depth_multiplier)
        pointwise = (*[1] * self.rank, between, self.filters)
        return [
            LinearMap("depthwise_kernel", depthwise, self._convolve_channels, signs_along(axis, between)),
            LinearMap("pointwise_kernel", pointwise, self._mix_channels, signs_along(axis, self.filters)),
        ]

    def bias_shape(self, input_shape: Sequence[int | None]) -> tuple[int, ...]:
        """Returns [filters]."""
        return (self.filters,)

    def _convolve_channels(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        return keras.ops.depthwise_conv(
            inputs,
            kernel,
            strides=self.strides,
            padding=self.padding,
            data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )

    def _mix_channels(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        return keras.ops.conv(inputs, kernel, padding="valid", data_format=self.data_format)


@keras.saving.register_keras_serializable("tfp_bnn")
class SeparableConv1D(SeparableConvolution):
    """A Bayesian 1D separable convolution: Keras's `SeparableConv1D` with random weights.

    Takes inputs of shape [batch, steps, channels] or channels first, as `data_format` says.

    Example:

    >>> layer = SeparableConv1D(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 3))).shape)
    (2, 6, 10)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2; of the estimators see
    `tfp_bnn.estimators`.
    """

    rank = 1


@keras.saving.register_keras_serializable("tfp_bnn")
class SeparableConv2D(SeparableConvolution):
    """A Bayesian 2D separable convolution: Keras's `SeparableConv2D` with random weights.

    Takes inputs of shape [batch, height, width, channels] or channels first, as `data_format` says.

    Example:

    >>> layer = SeparableConv2D(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 8, 3))).shape)
    (2, 6, 6, 10)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2; of the estimators see
    `tfp_bnn.estimators`.
    """

    rank = 2
