"""Fully connected layers."""

from collections.abc import Sequence
from typing import Any

import keras

from tfp_bnn import estimators, posteriors, priors
from tfp_bnn._checks import check_count
from tfp_bnn.estimators import SignShapes
from tfp_bnn.layers.linear import LinearVariationalLayer, check_features

Tensor = Any


class _Dense(LinearVariationalLayer):
    """The family of fully connected layers: `activation(inputs @ kernel + bias)`."""

    def __init__(
        self,
        units: int,
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
            check_count("units", units),
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
        self.units = units
        self.supports_masking = True

    def check_input_shape(self, input_shape: Sequence[int | None]) -> None:
        """Raises ValueError unless inputs have the shape [batch, ..., features], with features known."""
        check_features(input_shape)
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: input_shape[-1]})

    def kernel_shape(self, input_shape: Sequence[int | None]) -> tuple[int, ...]:
        """Returns [features, units]."""
        return (input_shape[-1], self.units)

    def keras_layer(self) -> keras.layers.Dense:
        """Returns Keras's `Dense` of the same arguments, not built."""
        return keras.layers.Dense(
            self.units, activation=self.activation, use_bias=self.use_bias, **self.keras_arguments()
        )

    def linear_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Returns `inputs @ kernel`."""
        return keras.ops.matmul(inputs, kernel)

    def sign_shapes(self, inputs: Tensor) -> SignShapes:
        """Returns [batch, 1, ..., features] and [batch, 1, ..., units]: the positions of an example share its signs."""
        leading = (keras.ops.shape(inputs)[0], *[1] * (len(inputs.shape) - 2))
        return SignShapes((*leading, inputs.shape[-1]), (*leading, self.units))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Returns [batch, ..., units]."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("tfp_bnn")
class DenseReparameterization(_Dense):
    """A Bayesian fully connected layer: one draw of the weights for each batch.

    `activation(x @ (mu + sigma * eps) + bias)`

    Takes inputs of shape [batch, ..., features], gives outputs of shape [batch, ..., units].

    Args:
        units: number of outputs, a positive integer.
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

    >>> layer = DenseReparameterization(10, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 4))).shape)
    (2, 10)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2.
    """

    estimator = estimators.Reparameterization()


@keras.saving.register_keras_serializable("tfp_bnn")
class DenseLocalReparameterization(_Dense):
    """A Bayesian fully connected layer: noise on the outputs instead of the weights.

    `activation(x @ mu + sqrt(x^2 @ sigma^2) * eps + bias)`

    Takes inputs of shape [batch, ..., features], gives outputs of shape [batch, ..., units].

    Args:
        units: number of outputs, a positive integer.
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

    >>> layer = DenseLocalReparameterization(10, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 4))).shape)
    (2, 10)

    Source: Kingma, Salimans and Welling 2015, "Variational Dropout and the Local Reparameterization Trick",
    section 2.2.
    """

    estimator = estimators.LocalReparameterization()


@keras.saving.register_keras_serializable("tfp_bnn")
class DenseFlipout(_Dense):
    """A Bayesian fully connected layer: one draw of the weights, its signs random by example.

    `activation(x @ mu + ((x * s_in) @ (sigma * eps)) * s_out + bias)`

    Takes inputs of shape [batch, ..., features], gives outputs of shape [batch, ..., units].

    Args:
        units: number of outputs, a positive integer.
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

    >>> layer = DenseFlipout(10, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 4))).shape)
    (2, 10)

    Source: Wen et al. 2018, "Flipout: Efficient Pseudo-Independent Weight Perturbations on Mini-Batches",
    equation 4.
    """

    estimator = estimators.Flipout()
