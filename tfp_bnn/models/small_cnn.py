"""A Bayesian CNN of 114,000 weights, for small images."""

from collections.abc import Sequence
from typing import Any

import keras

from tfp_bnn import layers, posteriors, priors
from tfp_bnn._checks import check_count, check_image_shape
from tfp_bnn.estimators import Estimator
from tfp_bnn.models.normalization import group_normalization


def small_cnn(
    input_shape: Sequence[int] = (28, 28, 1),
    num_classes: int = 10,
    *,
    filters: Sequence[int] = (32, 64, 128),
    activation: Any = "relu",
    estimator: str | Estimator = "flipout",
    prior: priors.Prior | None = None,
    posterior: posteriors.Posterior | None = None,
) -> keras.Sequential:
    """Returns a Bayesian CNN: convolutions that halve the image, each with group normalization, and a dense layer.

    The first convolution is 5x5, the others 3x3, all with a stride of 2. Strides instead of pooling make it cheap: a
    forward pass takes two million multiplications an image, less than a third of those with pooling.

    Its outputs are logits; compile it with `tfp_bnn.likelihoods.Categorical()`. `tfp_bnn.to_deterministic` gives the
    plain network of the same architecture.

    Args:
        input_shape: (height, width, channels).
        num_classes: number of logits.
        filters: of the convolutions, one each.
        activation: Keras activation behind each normalization.
        estimator: "flipout", "reparameterization", "local_reparameterization", "antithetic", or an `Estimator`.
        prior: prior of all kernels, shared; None stands for `Normal(scale=1.0)`.
        posterior: recipe for their posteriors; None stands for `MeanFieldNormal()`.

    Returns:
        The model, not compiled. `keras.utils.set_random_seed` makes its start and its noise repeatable.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> model = small_cnn()
    >>> model.output_shape, len(layers.variational_layers(model))
    ((None, 10), 4)

    Source: Springenberg et al. 2015, "Striving for Simplicity: The All Convolutional Net" (strides instead of pooling);
    Wu and He 2018, "Group Normalization".
    """
    if not isinstance(filters, Sequence) or not filters:
        raise ValueError(f"`filters` must be the filters of the convolutions, at least one. Received: {filters!r}")
    filters = [check_count("filters", each) for each in filters]
    bayesian = {"estimator": estimator, "prior": priors.Normal() if prior is None else prior, "posterior": posterior}
    hidden = []
    for number, each in enumerate(filters):
        size = 3 if number else 5
        # The normalization has a bias.
        convolution = layers.Conv2D(each, size, strides=2, padding="same", use_bias=False, **bayesian)
        hidden += [convolution, group_normalization(each), keras.layers.Activation(activation)]
    return keras.Sequential(
        [
            keras.Input(check_image_shape(input_shape)),
            *hidden,
            keras.layers.Flatten(),
            layers.Dense(num_classes, **bayesian),
        ],
        name="bayesian_small_cnn",
    )
