"""Depthwise convolutions: each channel is convolved by itself."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras

from tfp_bnn._checks import check_count
from tfp_bnn.estimators import LinearMap
from tfp_bnn.layers.channels import SpatialLayer, of_rank
from tfp_bnn.layers.linear import BayesianArguments, signs_along
from tfp_bnn.layers.plain import given

Tensor = Any


class DepthwiseConvolution(SpatialLayer):
    """Abstract base of depthwise convolutions."""

    initializers = {"kernel": "depthwise_initializer"}  # noqa: RUF012

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        activation: Any = None,
        use_bias: bool = True,
        **kwargs: Unpack[BayesianArguments],
    ):
        """Makes the layer; its weights are made when it sees an input.

        Args:
            kernel_size: an integer, or one for each axis of space.
            strides: an integer, or one for each axis of space.
            padding: "valid" or "same".
            depth_multiplier: number of output channels for each input channel.
            data_format: "channels_last" or "channels_first"; None takes Keras's default.
            dilation_rate: an integer, or one for each axis of space; not together with strides.
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
            depthwise_initializer: where the means start; None leaves it to the posterior.
            bias_initializer, bias_regularizer, bias_constraint: of a bias that is a plain weight.
            name, dtype, trainable, activity_regularizer: of `keras.layers.Layer`.

        Raises:
            ValueError: if an argument or the inputs' shape is wrong, or if it is trained with no KL weight set.
        """
        arguments = given(locals())
        check_count("depth_multiplier", depth_multiplier)
        super().__init__(of_rank("DepthwiseConv{}D", self.rank), arguments, **kwargs)

    def linear_maps(self, input_shape: Sequence[int | None]) -> Sequence[LinearMap]:
        """Returns the convolution with a kernel [*kernel_size, channels, depth_multiplier]."""
        shape = (*self.kernel_size, self.channels_of(input_shape), self.depth_multiplier)
        signs = signs_along(self.channel_axis, *self.bias_shape(input_shape))
        return [LinearMap("kernel", shape, self._convolve, signs)]

    def bias_shape(self, input_shape: Sequence[int | None]) -> tuple[int, ...]:
        """Returns [channels * depth_multiplier]."""
        return (input_shape[self.channel_axis] * self.depth_multiplier,)

    def _convolve(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        return keras.ops.depthwise_conv(
            inputs,
            kernel,
            strides=self.strides,
            padding=self.padding,
            data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )


@keras.saving.register_keras_serializable("tfp_bnn")
class DepthwiseConv1D(DepthwiseConvolution):
    """A Bayesian 1D depthwise convolution: Keras's `DepthwiseConv1D` with random weights.

    Takes inputs of shape [batch, steps, channels] or channels first, as `data_format` says.

    Example:

    >>> layer = DepthwiseConv1D(3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 3))).shape)
    (2, 6, 3)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2; of the estimators see
    `tfp_bnn.estimators`.
    """

    rank = 1


@keras.saving.register_keras_serializable("tfp_bnn")
class DepthwiseConv2D(DepthwiseConvolution):
    """A Bayesian 2D depthwise convolution: Keras's `DepthwiseConv2D` with random weights.

    Takes inputs of shape [batch, height, width, channels] or channels first, as `data_format` says.

    Example:

    >>> layer = DepthwiseConv2D(3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 8, 3))).shape)
    (2, 6, 6, 3)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2; of the estimators see
    `tfp_bnn.estimators`.
    """

    rank = 2
