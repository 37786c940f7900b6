"""A Bayesian LeNet5, for images."""

from collections.abc import Sequence
from typing import Any

import keras

from tfp_bnn import layers, posteriors, priors
from tfp_bnn._checks import check_image_shape
from tfp_bnn.estimators import Estimator


def lenet5(
    input_shape: Sequence[int] = (28, 28, 1),
    num_classes: int = 10,
    *,
    activation: Any = "relu",
    dense_activation: Any = None,
    estimator: str | Estimator = "flipout",
    prior: priors.Prior | None = None,
    posterior: posteriors.Posterior | None = None,
) -> keras.Sequential:
    """Returns a Bayesian LeNet5: 5x5 convolutions of 6, 16 and 120 filters with 2x2 max-pooling between, 84 units.

    Its outputs are logits; compile it with `tfp_bnn.likelihoods.Categorical()`.

    Args:
        input_shape: (height, width, channels).
        num_classes: number of logits.
        activation: Keras activation of all layers but the last.
        dense_activation: of the layer of 84 units alone; None stands for `activation`. "tanh" bounds what
            images unlike those it has learned can do to the logits.
        estimator: "flipout", "reparameterization", "local_reparameterization", "antithetic", or an `Estimator`.
        prior: prior of all kernels, shared; None stands for `Normal(scale=1.0)`.
        posterior: recipe for their posteriors; None stands for `MeanFieldNormal()`.

    Returns:
        The model, not compiled. `keras.utils.set_random_seed` makes its start and its noise repeatable.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> model = lenet5()
    >>> model.output_shape
    (None, 10)

    Source: LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition", section II.B; with the
    filters, padding and ReLU of TFP's Bayesian example.
    """
    bayesian = {"estimator": estimator, "prior": priors.Normal() if prior is None else prior, "posterior": posterior}
    return keras.Sequential(
        [
            keras.Input(check_image_shape(input_shape)),
            layers.Conv2D(6, 5, padding="same", activation=activation, **bayesian),
            keras.layers.MaxPooling2D(2, padding="same"),
            layers.Conv2D(16, 5, padding="same", activation=activation, **bayesian),
            keras.layers.MaxPooling2D(2, padding="same"),
            layers.Conv2D(120, 5, padding="same", activation=activation, **bayesian),
            keras.layers.Flatten(),
            layers.Dense(84, activation if dense_activation is None else dense_activation, **bayesian),
            layers.Dense(num_classes, **bayesian),
        ],
        name="bayesian_lenet5",
    )
