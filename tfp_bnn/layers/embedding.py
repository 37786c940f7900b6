"""Tables of vectors, one for each token."""

from typing import Any, Unpack

import keras

from tfp_bnn._checks import check_count
from tfp_bnn.layers.plain import given
from tfp_bnn.layers.wrapper import WrapperArguments, WrappingLayer


@keras.saving.register_keras_serializable("tfp_bnn")
class Embedding(WrappingLayer):
    """A Bayesian `Embedding`: the table is drawn once a call, and its KL term is that of the whole table.

    A token has the same vector wherever it stands in a batch. Takes integers of any shape, gives outputs of that shape
    and an axis of `output_dim`.

    Example:

    >>> layer = Embedding(100, 8, kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.array([[1, 2, 3]])).shape)
    (1, 3, 8)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        mask_zero: bool = False,
        seed: int | None = None,
        **kwargs: Unpack[WrapperArguments],
    ):
        """Makes the layer; its weights are made when it sees an input.

        Args:
            input_dim: how many tokens there are; inputs are from 0 to `input_dim - 1`.
            output_dim: length of a token's vector.
            embeddings_initializer: where the means start.
            mask_zero: whether token 0 is padding, which layers behind this one leave out.
            seed: integer seed of the noise; None draws one.
            estimator: "reparameterization", or "antithetic": the draw for one half of a batch and its opposite for the
                other; None stands for "reparameterization".
            prior: a `tfp_bnn.priors.Prior` of the vectors; None stands for `Normal(scale=1.0)`.
            posterior: a `tfp_bnn.posteriors.Posterior` of the vectors; None stands for `MeanFieldNormal()`.
            kl_weight: what the KL divergence is multiplied by in the loss; None leaves it to `callbacks.KLWeight`.
            name, dtype, trainable, activity_regularizer: of `keras.layers.Layer`.

        Raises:
            ValueError: if an argument is wrong, or if it is trained with no KL weight set.
        """
        arguments = {name: value for name, value in given(locals()).items() if name != "seed"}
        check_count("input_dim", input_dim)
        check_count("output_dim", output_dim)
        super().__init__(keras.layers.Embedding, arguments, seed=seed, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes, with prior and posterior objects as they are."""
        return self._shared_config()
