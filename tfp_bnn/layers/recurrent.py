"""Recurrent layers: one draw of the weights, and one KL term, for a whole sequence."""

from typing import Any, Unpack

import keras

from tfp_bnn._checks import check_count
from tfp_bnn.layers.plain import given
from tfp_bnn.layers.wrapper import WrapperArguments, WrappingLayer


class RecurrentLayer(WrappingLayer):
    """Abstract base of recurrent layers: what `keras.layers.Bidirectional` and users ask of one."""

    def reset_state(self) -> None:
        """Sets the state of a stateful layer to 0."""
        self.layer.reset_state()

    @property
    def zero_output_for_mask(self) -> bool:
        """Whether outputs of masked time steps are 0; if not, they are those of the step before."""
        return self.layer.zero_output_for_mask

    @zero_output_for_mask.setter
    def zero_output_for_mask(self, value: bool) -> None:
        self.layer.zero_output_for_mask = value

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes, with prior and posterior objects as they are."""
        return self._shared_config()


@keras.saving.register_keras_serializable("tfp_bnn")
class SimpleRNN(RecurrentLayer):
    """A Bayesian `SimpleRNN`, `h_t = activation(x_t @ w + h_(t-1) @ u + bias)` with w and u drawn once a sequence.

    Takes inputs of shape [batch, time steps, features], gives outputs of shape [batch, units], or [batch, time steps,
    units] with `return_sequences`.

    Example:

    >>> layer = SimpleRNN(8, kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 5, 4))).shape)
    (2, 8)

    Source: Fortunato et al. 2017, "Bayesian Recurrent Neural Networks", section 3.
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        bias_regularizer: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        seed: int | None = None,
        **kwargs: Unpack[WrapperArguments],
    ):
        """Makes the layer; its weights are made when it sees an input.

        Args:
            units: number of outputs, a positive integer.
            activation: Keras activation of the outputs, or None.
            use_bias: whether a bias is added.
            kernel_initializer: where the means of the kernel start.
            recurrent_initializer: where the means of the recurrent kernel start.
            bias_initializer: where a bias starts.
            bias_regularizer: of a bias that is a plain weight.
            bias_constraint: of a bias that is a plain weight.
            dropout: share of the inputs that dropout sets to 0.
            recurrent_dropout: share of the recurrent state that dropout sets to 0.
            return_sequences: whether to return the outputs of all time steps instead of the last.
            return_state: whether to return the last state too.
            go_backwards: whether to run from the last time step to the first.
            stateful: whether a batch starts with the state in which the one before ended.
            unroll: whether the loop over time is unrolled.
            zero_output_for_mask: whether outputs of masked time steps are 0; if not, they are those of the step before.
            seed: integer seed of the noise and of dropout; None draws one.
            estimator: "reparameterization", or "antithetic": the draw for one half of a batch and its opposite for the
                other; None stands for "reparameterization".
            prior: a `tfp_bnn.priors.Prior` of the weights; None stands for `Normal(scale=1.0)`.
            posterior: a `tfp_bnn.posteriors.Posterior` of the weights; None stands for `MeanFieldNormal()`. Its means
                start where the initializers say.
            bias_prior: prior of the bias; None stands for `Normal(scale=1.0)`. Only with `bias_posterior`.
            bias_posterior: posterior of the bias; None trains the bias as a plain weight.
            kl_weight: what the KL divergence is multiplied by in the loss; None leaves it to `callbacks.KLWeight`.
            name, dtype, trainable, activity_regularizer: of `keras.layers.Layer`.

        Raises:
            ValueError: if an argument is wrong, or if it is trained with no KL weight set.
        """
        arguments = given(locals())
        check_count("units", units)
        super().__init__(keras.layers.SimpleRNN, arguments, seed=seed, **kwargs)


@keras.saving.register_keras_serializable("tfp_bnn")
class LSTM(RecurrentLayer):
    """A Bayesian `LSTM`: kernel and recurrent kernel, of all gates, drawn once a sequence.

    Takes inputs of shape [batch, time steps, features], gives outputs of shape [batch, units], or [batch, time steps,
    units] with `return_sequences`.

    Example:

    >>> layer = LSTM(8, return_sequences=True, kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 5, 4))).shape)
    (2, 5, 8)

    Source: Fortunato et al. 2017, "Bayesian Recurrent Neural Networks", section 3.
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        bias_regularizer: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        use_cudnn: str | bool = "auto",
        seed: int | None = None,
        **kwargs: Unpack[WrapperArguments],
    ):
        """Makes the layer; its weights are made when it sees an input.

        Args:
            units: number of outputs, a positive integer.
            activation: Keras activation of the outputs, or None.
            recurrent_activation: Keras activation of the gates.
            use_bias: whether a bias is added.
            kernel_initializer: where the means of the kernel start.
            recurrent_initializer: where the means of the recurrent kernel start.
            bias_initializer: where a bias starts.
            unit_forget_bias: whether 1 is added to the forget gate's bias at the start.
            bias_regularizer: of a bias that is a plain weight.
            bias_constraint: of a bias that is a plain weight.
            dropout: share of the inputs that dropout sets to 0.
            recurrent_dropout: share of the recurrent state that dropout sets to 0.
            return_sequences: whether to return the outputs of all time steps instead of the last.
            return_state: whether to return the last state too.
            go_backwards: whether to run from the last time step to the first.
            stateful: whether a batch starts with the state in which the one before ended.
            unroll: whether the loop over time is unrolled.
            zero_output_for_mask: whether outputs of masked time steps are 0; if not, they are those of the step before.
            use_cudnn: "auto", True or False: whether a GPU runs it by cuDNN.
            seed: integer seed of the noise and of dropout; None draws one.
            estimator: "reparameterization", or "antithetic": the draw for one half of a batch and its opposite for the
                other; None stands for "reparameterization".
            prior: a `tfp_bnn.priors.Prior` of the weights; None stands for `Normal(scale=1.0)`.
            posterior: a `tfp_bnn.posteriors.Posterior` of the weights; None stands for `MeanFieldNormal()`. Its means
                start where the initializers say.
            bias_prior: prior of the bias; None stands for `Normal(scale=1.0)`. Only with `bias_posterior`.
            bias_posterior: posterior of the bias; None trains the bias as a plain weight.
            kl_weight: what the KL divergence is multiplied by in the loss; None leaves it to `callbacks.KLWeight`.
            name, dtype, trainable, activity_regularizer: of `keras.layers.Layer`.

        Raises:
            ValueError: if an argument is wrong, or if it is trained with no KL weight set.
        """
        arguments = given(locals())
        check_count("units", units)
        super().__init__(keras.layers.LSTM, arguments, seed=seed, **kwargs)


@keras.saving.register_keras_serializable("tfp_bnn")
class GRU(RecurrentLayer):
    """A Bayesian `GRU`: kernel and recurrent kernel, of all gates, drawn once a sequence.

    Takes inputs of shape [batch, time steps, features], gives outputs of shape [batch, units], or [batch, time steps,
    units] with `return_sequences`.

    Example:

    >>> layer = GRU(8, kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 5, 4))).shape)
    (2, 8)

    Source: Fortunato et al. 2017, "Bayesian Recurrent Neural Networks", section 3.
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        bias_regularizer: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        reset_after: bool = True,
        use_cudnn: str | bool = "auto",
        seed: int | None = None,
        **kwargs: Unpack[WrapperArguments],
    ):
        """Makes the layer; its weights are made when it sees an input.

        Args:
            units: number of outputs, a positive integer.
            activation: Keras activation of the outputs, or None.
            recurrent_activation: Keras activation of the gates.
            use_bias: whether a bias is added.
            kernel_initializer: where the means of the kernel start.
            recurrent_initializer: where the means of the recurrent kernel start.
            bias_initializer: where a bias starts.
            bias_regularizer: of a bias that is a plain weight.
            bias_constraint: of a bias that is a plain weight.
            dropout: share of the inputs that dropout sets to 0.
            recurrent_dropout: share of the recurrent state that dropout sets to 0.
            return_sequences: whether to return the outputs of all time steps instead of the last.
            return_state: whether to return the last state too.
            go_backwards: whether to run from the last time step to the first.
            stateful: whether a batch starts with the state in which the one before ended.
            unroll: whether the loop over time is unrolled.
            zero_output_for_mask: whether outputs of masked time steps are 0; if not, they are those of the step before.
            reset_after: whether the reset gate comes after the matrix product.
            use_cudnn: "auto", True or False: whether a GPU runs it by cuDNN.
            seed: integer seed of the noise and of dropout; None draws one.
            estimator: "reparameterization", or "antithetic": the draw for one half of a batch and its opposite for the
                other; None stands for "reparameterization".
            prior: a `tfp_bnn.priors.Prior` of the weights; None stands for `Normal(scale=1.0)`.
            posterior: a `tfp_bnn.posteriors.Posterior` of the weights; None stands for `MeanFieldNormal()`. Its means
                start where the initializers say.
            bias_prior: prior of the bias; None stands for `Normal(scale=1.0)`. Only with `bias_posterior`.
            bias_posterior: posterior of the bias; None trains the bias as a plain weight.
            kl_weight: what the KL divergence is multiplied by in the loss; None leaves it to `callbacks.KLWeight`.
            name, dtype, trainable, activity_regularizer: of `keras.layers.Layer`.

        Raises:
            ValueError: if an argument is wrong, or if it is trained with no KL weight set.
        """
        arguments = given(locals())
        check_count("units", units)
        super().__init__(keras.layers.GRU, arguments, seed=seed, **kwargs)
