"""Fully connected layers."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras

from tfp_bnn._checks import check_count
from tfp_bnn.estimators import LinearMap
from tfp_bnn.layers.linear import BayesianArguments, LinearVariationalLayer, check_features, signs_along
from tfp_bnn.layers.plain import given


@keras.saving.register_keras_serializable("tfp_bnn")
class Dense(LinearVariationalLayer):
    """A Bayesian fully connected layer: Keras's `Dense` with random weights, `activation(x @ w + bias)`.

    Takes inputs of shape [batch, ..., features], gives outputs of shape [batch, ..., units].

    Example:

    >>> layer = Dense(10, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 4))).shape)
    (2, 10)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2; of the estimators see
    `tfp_bnn.estimators`.
    """

    def __init__(self, units: int, activation: Any = None, use_bias: bool = True, **kwargs: Unpack[BayesianArguments]):
        """Makes the layer; its weights are made when it sees an input.

        Args:
            units: number of outputs, a positive integer.
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
        check_count("units", units)
        super().__init__(keras.layers.Dense, arguments, **kwargs)
        self.supports_masking = True

    def linear_maps(self, input_shape: Sequence[int | None]) -> Sequence[LinearMap]:
        """Returns the product with a kernel [features, units]."""
        check_features(input_shape)
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: input_shape[-1]})
        shape = (input_shape[-1], self.units)
        return [LinearMap("kernel", shape, keras.ops.matmul, signs_along(-1, self.units))]

    def bias_shape(self, input_shape: Sequence[int | None]) -> tuple[int, ...]:
        """Returns [units]."""
        return (self.units,)
