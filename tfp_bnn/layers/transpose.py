"""Transposed convolutions, which make images larger."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras

from tfp_bnn._checks import check_count
from tfp_bnn.estimators import LinearMap
from tfp_bnn.layers.channels import SpatialLayer, of_rank
from tfp_bnn.layers.linear import BayesianArguments, signs_along
from tfp_bnn.layers.plain import given

Tensor = Any


class TransposedConvolution(SpatialLayer):
    """Abstract base of transposed convolutions."""

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        output_padding: int | Sequence[int] | None = None,
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
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
            output_padding: by how much the outputs are longer, less than `strides`; None leaves it to Keras.
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
            kernel_initializer: where the means start; None leaves it to the posterior.
            bias_initializer, bias_regularizer, bias_constraint: of a bias that is a plain weight.
            name, dtype, trainable, activity_regularizer: of `keras.layers.Layer`.

        Raises:
            ValueError: if an argument or the inputs' shape is wrong, or if it is trained with no KL weight set.
        """
        arguments = given(locals())
        check_count("filters", filters)
        super().__init__(of_rank("Conv{}DTranspose", self.rank), arguments, **kwargs)

    def linear_maps(self, input_shape: Sequence[int | None]) -> Sequence[LinearMap]:
        """Returns the transposed convolution with a kernel [*kernel_size, filters, channels]."""
        shape = (*self.kernel_size, self.filters, self.channels_of(input_shape))
        signs = signs_along(self.channel_axis, self.filters)
        return [LinearMap("kernel", shape, self._convolve, signs, output_axis=-2)]

    def bias_shape(self, input_shape: Sequence[int | None]) -> tuple[int, ...]:
        """Returns [filters]."""
        return (self.filters,)

    def _convolve(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        return keras.ops.conv_transpose(
            inputs,
            kernel,
            strides=self.strides,
            padding=self.padding,
            output_padding=self.output_padding,
            data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )


@keras.saving.register_keras_serializable("tfp_bnn")
class Conv1DTranspose(TransposedConvolution):
    """A Bayesian 1D transposed convolution: Keras's `Conv1DTranspose` with random weights.

    Takes inputs of shape [batch, steps, channels] or channels first, as `data_format` says.

    Example:

    >>> layer = Conv1DTranspose(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 3))).shape)
    (2, 10, 10)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2; of the estimators see
    `tfp_bnn.estimators`.
    """

    rank = 1


@keras.saving.register_keras_serializable("tfp_bnn")
class Conv2DTranspose(TransposedConvolution):
    """A Bayesian 2D transposed convolution: Keras's `Conv2DTranspose` with random weights.

    Takes inputs of shape [batch, height, width, channels] or channels first, as `data_format` says.

    Example:

    >>> layer = Conv2DTranspose(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 8, 3))).shape)
    (2, 10, 10, 10)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2; of the estimators see
    `tfp_bnn.estimators`.
    """

    rank = 2


@keras.saving.register_keras_serializable("tfp_bnn")
class Conv3DTranspose(TransposedConvolution):
    """A Bayesian 3D transposed convolution: Keras's `Conv3DTranspose` with random weights.

    Takes inputs of shape [batch, depth, height, width, channels] or channels first, as `data_format` says.

    Example:

    >>> layer = Conv3DTranspose(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 8, 8, 3))).shape)
    (2, 10, 10, 10, 10)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2; of the estimators see
    `tfp_bnn.estimators`.
    """

    rank = 3
