"""A Bayesian ResNet-20, for small images."""

from collections.abc import Sequence
from typing import Any

import keras

from tfp_bnn import layers, posteriors, priors
from tfp_bnn._checks import check_image_shape
from tfp_bnn.estimators import Estimator
from tfp_bnn.models.normalization import group_normalization

Tensor = Any

_FILTERS = (16, 32, 64)
_BLOCKS = 3


def resnet20(
    input_shape: Sequence[int] = (32, 32, 3),
    num_classes: int = 10,
    *,
    activation: Any = "relu",
    estimator: str | Estimator = "flipout",
    prior: priors.Prior | None = None,
    posterior: posteriors.Posterior | None = None,
) -> keras.Model:
    """Returns a Bayesian ResNet-20: three stages of three residual blocks, with 16, 32 and 64 filters.

    A block is `activation(x + f(x))`, where f has two 3x3 convolutions. Where a stage begins with other filters, x goes
    through a 1x1 convolution; the second and third stage halve the image. Each convolution has group normalization
    behind it, where the paper has batch normalization: see `tfp_bnn.models.normalization` for why.

    Its outputs are logits; compile it with `tfp_bnn.likelihoods.Categorical()`.

    Args:
        input_shape: (height, width, channels).
        num_classes: number of logits.
        activation: Keras activation of all layers but the last.
        estimator: "flipout", "reparameterization", "local_reparameterization", "antithetic", or an `Estimator`.
        prior: prior of all kernels, shared; None stands for `Normal(scale=1.0)`.
        posterior: recipe for their posteriors; None stands for `MeanFieldNormal()`.

    Returns:
        The model, not compiled. `keras.utils.set_random_seed` makes its start and its noise repeatable.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> model = resnet20()
    >>> model.output_shape
    (None, 10)

    Source: He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2, with shortcuts of option B; Wu
    and He 2018, "Group Normalization".
    """
    bayesian = {"estimator": estimator, "prior": priors.Normal() if prior is None else prior, "posterior": posterior}
    activate = keras.layers.Activation

    def normalized(inputs: Tensor, filters: int, size: int, strides: int = 1) -> Tensor:
        # The normalization has a bias.
        convolution = layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False, **bayesian)
        return group_normalization(filters)(convolution(inputs))

    def block(inputs: Tensor, filters: int, strides: int) -> Tensor:
        hidden = activate(activation)(normalized(inputs, filters, 3, strides))
        residual = normalized(hidden, filters, 3)
        is_alike = inputs.shape[-1] == filters
        shortcut = inputs if is_alike else normalized(inputs, filters, 1, strides)
        return activate(activation)(keras.layers.Add()([shortcut, residual]))

    inputs = keras.Input(check_image_shape(input_shape))
    outputs = activate(activation)(normalized(inputs, _FILTERS[0], 3))
    for filters in _FILTERS:
        for _ in range(_BLOCKS):
            outputs = block(outputs, filters, strides=1 if outputs.shape[-1] == filters else 2)
    outputs = layers.Dense(num_classes, **bayesian)(keras.layers.GlobalAveragePooling2D()(outputs))
    return keras.Model(inputs, outputs, name="bayesian_resnet20")
