"""Convolutional layers."""

from collections.abc import Sequence
from typing import Any, ClassVar

import keras

from tfp_bnn import estimators, posteriors, priors
from tfp_bnn._checks import check_count
from tfp_bnn.estimators import SignShapes
from tfp_bnn.layers.linear import LinearVariationalLayer

Tensor = Any

_KERAS_CONVOLUTIONS = {1: keras.layers.Conv1D, 2: keras.layers.Conv2D, 3: keras.layers.Conv3D}


class _Convolution(LinearVariationalLayer):
    """The family of convolutions: `activation(convolution(inputs, kernel) + bias)`; the rank is data."""

    rank: ClassVar[int]

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
        *,
        prior: priors.Prior | None = None,
        posterior: posteriors.Posterior | None = None,
        bias_prior: priors.Prior | None = None,
        bias_posterior: posteriors.Posterior | None = None,
        kl_weight: float | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(
            check_count("filters", filters),
            activation=activation,
            use_bias=use_bias,
            prior=prior,
            posterior=posterior,
            bias_prior=bias_prior,
            bias_posterior=bias_posterior,
            kl_weight=kl_weight,
            seed=seed,
            **kwargs,
        )
        self.filters = filters
        self.groups = check_count("groups", groups)
        if not isinstance(padding, str):
            raise ValueError(f"`padding` must be a string. Received: padding={padding!r}")
        # Keras's own layer checks the arguments and brings them to one form.
        checked = _KERAS_CONVOLUTIONS[self.rank](
            filters, kernel_size, strides, padding, data_format, dilation_rate, groups, name=self.name
        )
        self.kernel_size = checked.kernel_size
        self.strides = checked.strides
        self.padding = checked.padding
        self.data_format = checked.data_format
        self.dilation_rate = checked.dilation_rate
        self.input_spec = keras.layers.InputSpec(ndim=self.rank + 2)

    def keras_layer(self) -> keras.layers.Layer:
        """Returns Keras's convolution of the same arguments, not built."""
        return _KERAS_CONVOLUTIONS[self.rank](
            self.filters,
            self.kernel_size,
            self.strides,
            self.padding,
            self.data_format,
            self.dilation_rate,
            self.groups,
            activation=self.activation,
            use_bias=self.use_bias,
            **self.keras_arguments(),
        )

    @property
    def _channel_axis(self) -> int:
        return -1 if self.data_format == "channels_last" else 1

    def check_input_shape(self, input_shape: Sequence[int | None]) -> None:
        """Raises ValueError unless inputs have rank + 2 axes and a known number of channels that `groups` divides."""
        if len(input_shape) != self.rank + 2:
            raise ValueError(
                f"{type(self).__name__} takes inputs with {self.rank + 2} axes (batch, {self.rank} of space and "
                f"channels). Received: input_shape={tuple(input_shape)}"
            )
        channels = input_shape[self._channel_axis]
        if not channels or channels % self.groups:
            raise ValueError(
                "The number of input channels must be known, at least 1 and divisible by `groups`. "
                f"Received: groups={self.groups}, input_shape={tuple(input_shape)}"
            )
        self.compute_output_shape(input_shape)
        self.input_spec = keras.layers.InputSpec(ndim=self.rank + 2, axes={self._channel_axis: channels})

    def kernel_shape(self, input_shape: Sequence[int | None]) -> tuple[int, ...]:
        """Returns [*kernel_size, channels / groups, filters]."""
        return (*self.kernel_size, input_shape[self._channel_axis] // self.groups, self.filters)

    def linear_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Returns the convolution of inputs and kernel."""
        padding = self.padding
        if padding == "causal":
            inputs, padding = self._pad_causally(inputs), "valid"
        return keras.ops.conv(
            inputs,
            kernel,
            strides=self.strides,
            padding=padding,
            data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )

    def _pad_causally(self, inputs: Tensor) -> Tensor:
        before = (self.dilation_rate[0] * (self.kernel_size[0] - 1), 0)
        steps_first = self.data_format == "channels_last"
        return keras.ops.pad(inputs, ((0, 0), before, (0, 0)) if steps_first else ((0, 0), (0, 0), before))

    def sign_shapes(self, inputs: Tensor) -> SignShapes:
        """Returns one sign for each example and channel: its positions share their weights, hence their signs."""
        batch = keras.ops.shape(inputs)[0]
        return SignShapes(
            self._channels_only(batch, inputs.shape[self._channel_axis]),
            self._channels_only(batch, self.filters),
            self._channel_axis,
        )

    def _channels_only(self, batch: Any, channels: int) -> tuple[Any, ...]:
        ones = (1,) * self.rank
        return (batch, *ones, channels) if self._channel_axis == -1 else (batch, channels, *ones)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Returns the shape that Keras's convolution of the same arguments gives."""
        return self.keras_layer().compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
        }


@keras.saving.register_keras_serializable("tfp_bnn")
class Conv1DReparameterization(_Convolution):
    """A Bayesian 1D convolution: one draw of the kernel for each batch.

    `activation(conv(x, mu + sigma * eps) + bias)`

    Takes inputs of shape [batch, steps, channels] or channels first, as `data_format` says.

    Args:
        filters: number of output channels, a positive integer.
        kernel_size: an integer, or 1 of them.
        strides: an integer, or 1 of them.
        padding: "valid", "same" or "causal" (no output sees a later input).
        data_format: "channels_last" or "channels_first"; None takes Keras's default.
        dilation_rate: an integer, or 1 of them; not together with strides.
        groups: in how many groups the channels are convolved; divides the input channels and `filters`.
        activation: Keras activation, or None.
        use_bias: whether a bias is added.
        prior: a `tfp_bnn.priors.Prior` of the kernel's weights; None stands for `Normal(scale=1.0)`.
        posterior: a `tfp_bnn.posteriors.Posterior` of the kernel; None stands for `MeanFieldNormal()`.
        bias_prior: prior of the bias; None stands for `Normal(scale=1.0)`. Only with `bias_posterior`.
        bias_posterior: posterior of the bias; None trains the bias as a plain weight, as TFP's layers do.
        kl_weight: what the KL divergence is multiplied by in the loss; None leaves it to `callbacks.KLWeight`.
        seed: integer seed of the noise; None draws one.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`, `trainable`, `activity_regularizer`.

    Raises:
        ValueError: if an argument or the inputs' shape is wrong, or if it is trained with no KL weight set.

    Example:

    >>> layer = Conv1DReparameterization(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 3))).shape)
    (2, 6, 10)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2.
    """

    rank = 1
    estimator = estimators.Reparameterization()


@keras.saving.register_keras_serializable("tfp_bnn")
class Conv1DLocalReparameterization(_Convolution):
    """A Bayesian 1D convolution: noise on the outputs instead of the kernel.

    `activation(conv(x, mu) + sqrt(conv(x^2, sigma^2)) * eps + bias)`

    Takes inputs of shape [batch, steps, channels] or channels first, as `data_format` says.

    Args:
        filters: number of output channels, a positive integer.
        kernel_size: an integer, or 1 of them.
        strides: an integer, or 1 of them.
        padding: "valid", "same" or "causal" (no output sees a later input).
        data_format: "channels_last" or "channels_first"; None takes Keras's default.
        dilation_rate: an integer, or 1 of them; not together with strides.
        groups: in how many groups the channels are convolved; divides the input channels and `filters`.
        activation: Keras activation, or None.
        use_bias: whether a bias is added.
        prior: a `tfp_bnn.priors.Prior` of the kernel's weights; None stands for `Normal(scale=1.0)`.
        posterior: a `tfp_bnn.posteriors.Posterior` of the kernel; None stands for `MeanFieldNormal()`.
        bias_prior: prior of the bias; None stands for `Normal(scale=1.0)`. Only with `bias_posterior`.
        bias_posterior: posterior of the bias; None trains the bias as a plain weight, as TFP's layers do.
        kl_weight: what the KL divergence is multiplied by in the loss; None leaves it to `callbacks.KLWeight`.
        seed: integer seed of the noise; None draws one.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`, `trainable`, `activity_regularizer`.

    Raises:
        ValueError: if an argument or the inputs' shape is wrong, or if it is trained with no KL weight set.

    Example:

    >>> layer = Conv1DLocalReparameterization(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 3))).shape)
    (2, 6, 10)

    Source: Kingma, Salimans and Welling 2015, "Variational Dropout and the Local Reparameterization Trick",
    section 2.2.
    """

    rank = 1
    estimator = estimators.LocalReparameterization()


@keras.saving.register_keras_serializable("tfp_bnn")
class Conv1DFlipout(_Convolution):
    """A Bayesian 1D convolution: one draw of the kernel, its signs random by example.

    `activation(conv(x, mu) + conv(x * s_in, sigma * eps) * s_out + bias)`

    Takes inputs of shape [batch, steps, channels] or channels first, as `data_format` says.

    Args:
        filters: number of output channels, a positive integer.
        kernel_size: an integer, or 1 of them.
        strides: an integer, or 1 of them.
        padding: "valid", "same" or "causal" (no output sees a later input).
        data_format: "channels_last" or "channels_first"; None takes Keras's default.
        dilation_rate: an integer, or 1 of them; not together with strides.
        groups: in how many groups the channels are convolved; divides the input channels and `filters`.
        activation: Keras activation, or None.
        use_bias: whether a bias is added.
        prior: a `tfp_bnn.priors.Prior` of the kernel's weights; None stands for `Normal(scale=1.0)`.
        posterior: a `tfp_bnn.posteriors.Posterior` of the kernel; None stands for `MeanFieldNormal()`.
        bias_prior: prior of the bias; None stands for `Normal(scale=1.0)`. Only with `bias_posterior`.
        bias_posterior: posterior of the bias; None trains the bias as a plain weight, as TFP's layers do.
        kl_weight: what the KL divergence is multiplied by in the loss; None leaves it to `callbacks.KLWeight`.
        seed: integer seed of the noise; None draws one.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`, `trainable`, `activity_regularizer`.

    Raises:
        ValueError: if an argument or the inputs' shape is wrong, or if it is trained with no KL weight set.

    Example:

    >>> layer = Conv1DFlipout(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 3))).shape)
    (2, 6, 10)

    Source: Wen et al. 2018, "Flipout: Efficient Pseudo-Independent Weight Perturbations on Mini-Batches",
    equation 4.
    """

    rank = 1
    estimator = estimators.Flipout()


@keras.saving.register_keras_serializable("tfp_bnn")
class Conv2DReparameterization(_Convolution):
    """A Bayesian 2D convolution: one draw of the kernel for each batch.

    `activation(conv(x, mu + sigma * eps) + bias)`

    Takes inputs of shape [batch, height, width, channels] or channels first, as `data_format` says.

    Args:
        filters: number of output channels, a positive integer.
        kernel_size: an integer, or 2 of them.
        strides: an integer, or 2 of them.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; None takes Keras's default.
        dilation_rate: an integer, or 2 of them; not together with strides.
        groups: in how many groups the channels are convolved; divides the input channels and `filters`.
        activation: Keras activation, or None.
        use_bias: whether a bias is added.
        prior: a `tfp_bnn.priors.Prior` of the kernel's weights; None stands for `Normal(scale=1.0)`.
        posterior: a `tfp_bnn.posteriors.Posterior` of the kernel; None stands for `MeanFieldNormal()`.
        bias_prior: prior of the bias; None stands for `Normal(scale=1.0)`. Only with `bias_posterior`.
        bias_posterior: posterior of the bias; None trains the bias as a plain weight, as TFP's layers do.
        kl_weight: what the KL divergence is multiplied by in the loss; None leaves it to `callbacks.KLWeight`.
        seed: integer seed of the noise; None draws one.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`, `trainable`, `activity_regularizer`.

    Raises:
        ValueError: if an argument or the inputs' shape is wrong, or if it is trained with no KL weight set.

    Example:

    >>> layer = Conv2DReparameterization(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 8, 3))).shape)
    (2, 6, 6, 10)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2.
    """

    rank = 2
    estimator = estimators.Reparameterization()


@keras.saving.register_keras_serializable("tfp_bnn")
class Conv2DLocalReparameterization(_Convolution):
    """A Bayesian 2D convolution: noise on the outputs instead of the kernel.

    `activation(conv(x, mu) + sqrt(conv(x^2, sigma^2)) * eps + bias)`

    Takes inputs of shape [batch, height, width, channels] or channels first, as `data_format` says.

    Args:
        filters: number of output channels, a positive integer.
        kernel_size: an integer, or 2 of them.
        strides: an integer, or 2 of them.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; None takes Keras's default.
        dilation_rate: an integer, or 2 of them; not together with strides.
        groups: in how many groups the channels are convolved; divides the input channels and `filters`.
        activation: Keras activation, or None.
        use_bias: whether a bias is added.
        prior: a `tfp_bnn.priors.Prior` of the kernel's weights; None stands for `Normal(scale=1.0)`.
        posterior: a `tfp_bnn.posteriors.Posterior` of the kernel; None stands for `MeanFieldNormal()`.
        bias_prior: prior of the bias; None stands for `Normal(scale=1.0)`. Only with `bias_posterior`.
        bias_posterior: posterior of the bias; None trains the bias as a plain weight, as TFP's layers do.
        kl_weight: what the KL divergence is multiplied by in the loss; None leaves it to `callbacks.KLWeight`.
        seed: integer seed of the noise; None draws one.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`, `trainable`, `activity_regularizer`.

    Raises:
        ValueError: if an argument or the inputs' shape is wrong, or if it is trained with no KL weight set.

    Example:

    >>> layer = Conv2DLocalReparameterization(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 8, 3))).shape)
    (2, 6, 6, 10)

    Source: Kingma, Salimans and Welling 2015, "Variational Dropout and the Local Reparameterization Trick",
    section 2.2.
    """

    rank = 2
    estimator = estimators.LocalReparameterization()


@keras.saving.register_keras_serializable("tfp_bnn")
class Conv2DFlipout(_Convolution):
    """A Bayesian 2D convolution: one draw of the kernel, its signs random by example.

    `activation(conv(x, mu) + conv(x * s_in, sigma * eps) * s_out + bias)`

    Takes inputs of shape [batch, height, width, channels] or channels first, as `data_format` says.

    Args:
        filters: number of output channels, a positive integer.
        kernel_size: an integer, or 2 of them.
        strides: an integer, or 2 of them.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; None takes Keras's default.
        dilation_rate: an integer, or 2 of them; not together with strides.
        groups: in how many groups the channels are convolved; divides the input channels and `filters`.
        activation: Keras activation, or None.
        use_bias: whether a bias is added.
        prior: a `tfp_bnn.priors.Prior` of the kernel's weights; None stands for `Normal(scale=1.0)`.
        posterior: a `tfp_bnn.posteriors.Posterior` of the kernel; None stands for `MeanFieldNormal()`.
        bias_prior: prior of the bias; None stands for `Normal(scale=1.0)`. Only with `bias_posterior`.
        bias_posterior: posterior of the bias; None trains the bias as a plain weight, as TFP's layers do.
        kl_weight: what the KL divergence is multiplied by in the loss; None leaves it to `callbacks.KLWeight`.
        seed: integer seed of the noise; None draws one.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`, `trainable`, `activity_regularizer`.

    Raises:
        ValueError: if an argument or the inputs' shape is wrong, or if it is trained with no KL weight set.

    Example:

    >>> layer = Conv2DFlipout(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 8, 3))).shape)
    (2, 6, 6, 10)

    Source: Wen et al. 2018, "Flipout: Efficient Pseudo-Independent Weight Perturbations on Mini-Batches",
    equation 4.
    """

    rank = 2
    estimator = estimators.Flipout()


@keras.saving.register_keras_serializable("tfp_bnn")
class Conv3DReparameterization(_Convolution):
    """A Bayesian 3D convolution: one draw of the kernel for each batch.

    `activation(conv(x, mu + sigma * eps) + bias)`

    Takes inputs of shape [batch, depth, height, width, channels] or channels first, as `data_format` says.

    Args:
        filters: number of output channels, a positive integer.
        kernel_size: an integer, or 3 of them.
        strides: an integer, or 3 of them.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; None takes Keras's default.
        dilation_rate: an integer, or 3 of them; not together with strides.
        groups: in how many groups the channels are convolved; divides the input channels and `filters`.
        activation: Keras activation, or None.
        use_bias: whether a bias is added.
        prior: a `tfp_bnn.priors.Prior` of the kernel's weights; None stands for `Normal(scale=1.0)`.
        posterior: a `tfp_bnn.posteriors.Posterior` of the kernel; None stands for `MeanFieldNormal()`.
        bias_prior: prior of the bias; None stands for `Normal(scale=1.0)`. Only with `bias_posterior`.
        bias_posterior: posterior of the bias; None trains the bias as a plain weight, as TFP's layers do.
        kl_weight: what the KL divergence is multiplied by in the loss; None leaves it to `callbacks.KLWeight`.
        seed: integer seed of the noise; None draws one.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`, `trainable`, `activity_regularizer`.

    Raises:
        ValueError: if an argument or the inputs' shape is wrong, or if it is trained with no KL weight set.

    Example:

    >>> layer = Conv3DReparameterization(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 8, 8, 3))).shape)
    (2, 6, 6, 6, 10)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2.
    """

    rank = 3
    estimator = estimators.Reparameterization()


@keras.saving.register_keras_serializable("tfp_bnn")
class Conv3DLocalReparameterization(_Convolution):
    """A Bayesian 3D convolution: noise on the outputs instead of the kernel.

    `activation(conv(x, mu) + sqrt(conv(x^2, sigma^2)) * eps + bias)`

    Takes inputs of shape [batch, depth, height, width, channels] or channels first, as `data_format` says.

    Args:
        filters: number of output channels, a positive integer.
        kernel_size: an integer, or 3 of them.
        strides: an integer, or 3 of them.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; None takes Keras's default.
        dilation_rate: an integer, or 3 of them; not together with strides.
        groups: in how many groups the channels are convolved; divides the input channels and `filters`.
        activation: Keras activation, or None.
        use_bias: whether a bias is added.
        prior: a `tfp_bnn.priors.Prior` of the kernel's weights; None stands for `Normal(scale=1.0)`.
        posterior: a `tfp_bnn.posteriors.Posterior` of the kernel; None stands for `MeanFieldNormal()`.
        bias_prior: prior of the bias; None stands for `Normal(scale=1.0)`. Only with `bias_posterior`.
        bias_posterior: posterior of the bias; None trains the bias as a plain weight, as TFP's layers do.
        kl_weight: what the KL divergence is multiplied by in the loss; None leaves it to `callbacks.KLWeight`.
        seed: integer seed of the noise; None draws one.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`, `trainable`, `activity_regularizer`.

    Raises:
        ValueError: if an argument or the inputs' shape is wrong, or if it is trained with no KL weight set.

    Example:

    >>> layer = Conv3DLocalReparameterization(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 8, 8, 3))).shape)
    (2, 6, 6, 6, 10)

    Source: Kingma, Salimans and Welling 2015, "Variational Dropout and the Local Reparameterization Trick",
    section 2.2.
    """

    rank = 3
    estimator = estimators.LocalReparameterization()


@keras.saving.register_keras_serializable("tfp_bnn")
class Conv3DFlipout(_Convolution):
    """A Bayesian 3D convolution: one draw of the kernel, its signs random by example.

    `activation(conv(x, mu) + conv(x * s_in, sigma * eps) * s_out + bias)`

    Takes inputs of shape [batch, depth, height, width, channels] or channels first, as `data_format` says.

    Args:
        filters: number of output channels, a positive integer.
        kernel_size: an integer, or 3 of them.
        strides: an integer, or 3 of them.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; None takes Keras's default.
        dilation_rate: an integer, or 3 of them; not together with strides.
        groups: in how many groups the channels are convolved; divides the input channels and `filters`.
        activation: Keras activation, or None.
        use_bias: whether a bias is added.
        prior: a `tfp_bnn.priors.Prior` of the kernel's weights; None stands for `Normal(scale=1.0)`.
        posterior: a `tfp_bnn.posteriors.Posterior` of the kernel; None stands for `MeanFieldNormal()`.
        bias_prior: prior of the bias; None stands for `Normal(scale=1.0)`. Only with `bias_posterior`.
        bias_posterior: posterior of the bias; None trains the bias as a plain weight, as TFP's layers do.
        kl_weight: what the KL divergence is multiplied by in the loss; None leaves it to `callbacks.KLWeight`.
        seed: integer seed of the noise; None draws one.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`, `trainable`, `activity_regularizer`.

    Raises:
        ValueError: if an argument or the inputs' shape is wrong, or if it is trained with no KL weight set.

    Example:

    >>> layer = Conv3DFlipout(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 8, 8, 3))).shape)
    (2, 6, 6, 6, 10)

    Source: Wen et al. 2018, "Flipout: Efficient Pseudo-Independent Weight Perturbations on Mini-Batches",
    equation 4.
    """

    rank = 3
    estimator = estimators.Flipout()
