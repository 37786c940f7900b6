"""Attention."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras

from tfp_bnn.layers.plain import given
from tfp_bnn.layers.wrapper import WrapperArguments, WrappingLayer


@keras.saving.register_keras_serializable("tfp_bnn")
class MultiHeadAttention(WrappingLayer):
    """A Bayesian `MultiHeadAttention`: the four projections (query, key, value, output) drawn once a call.

    Called as Keras's layer is: `layer(query, value, key=None, attention_mask=None, use_causal_mask=False, ...)`. Takes
    queries of shape [batch, positions, features], values and keys of shape [batch, other positions, features], gives
    outputs of the queries' shape.

    Example:

    >>> layer = MultiHeadAttention(num_heads=2, key_dim=3, kl_weight=1 / 60_000)
    >>> x = keras.ops.ones((2, 5, 4))
    >>> tuple(layer(x, x).shape), sorted(layer.random_weights)
    ((2, 5, 4), ['attention_output_kernel', 'key_kernel', 'query_kernel', 'value_kernel'])

    Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.2.2; of random weights, Blundell et al. 2015,
    "Weight Uncertainty in Neural Networks", section 3.2.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | Sequence[int] | None = None,
        attention_axes: int | Sequence[int] | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        bias_regularizer: Any = None,
        bias_constraint: Any = None,
        seed: int | None = None,
        **kwargs: Unpack[WrapperArguments],
    ):
        """Makes the layer; its weights are made when it sees an input.

        Args:
            num_heads: number of heads.
            key_dim: length of a head's queries and keys.
            value_dim: length of a head's values; None stands for `key_dim`.
            dropout: share of the attention that dropout sets to 0.
            use_bias: whether the projections add biases.
            output_shape: shape of an output, without batch and positions; None stands for the queries'.
            attention_axes: axes over which attention runs; None stands for all positions.
            flash_attention: whether to use flash attention; None leaves it to Keras.
            kernel_initializer: where the means start.
            bias_initializer: where biases start.
            bias_regularizer: of biases that are plain weights.
            bias_constraint: of biases that are plain weights.
            seed: integer seed of the noise and of dropout; None draws one.
            estimator: "reparameterization", or "antithetic": the draw for one half of a batch and its opposite for the
                other; None stands for "reparameterization".
            prior: a `tfp_bnn.priors.Prior` of the weights; None stands for `Normal(scale=1.0)`.
            posterior: a `tfp_bnn.posteriors.Posterior` of the weights; None stands for `MeanFieldNormal()`. Its means
                start where the initializer says.
            bias_prior: prior of the biases; None stands for `Normal(scale=1.0)`. Only with `bias_posterior`.
            bias_posterior: posterior of the biases; None trains the biases as plain weights.
            kl_weight: what the KL divergence is multiplied by in the loss; None leaves it to `callbacks.KLWeight`.
            name, dtype, trainable, activity_regularizer: of `keras.layers.Layer`.

        Raises:
            ValueError: if an argument is wrong, or if it is trained with no KL weight set.
        """
        super().__init__(keras.layers.MultiHeadAttention, given(locals()), seed=seed, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes, with prior and posterior objects as they are."""
        return self._shared_config()
