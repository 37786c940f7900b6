"""Bayesian networks, ready made."""

from collections.abc import Sequence
from typing import Any

import keras

from tfp_bnn import layers, posteriors, priors

_ESTIMATORS = {
    "flipout": "Flipout",
    "reparameterization": "Reparameterization",
    "local-reparameterization": "LocalReparameterization",
}
_FAMILIES = ("Dense", "Conv1D", "Conv2D", "Conv3D")


def layer_class(family: str, estimator: str) -> type[layers.VariationalLayer]:
    """Returns the layer class of a family with an estimator, such as `DenseFlipout`.

    Args:
        family: "Dense", "Conv1D", "Conv2D" or "Conv3D".
        estimator: "flipout", "reparameterization" or "local-reparameterization".

    Returns:
        The class, of `tfp_bnn.layers`.

    Raises:
        ValueError: if family or estimator is unknown.

    Example:

    >>> layer_class("Conv2D", "local-reparameterization").__name__
    'Conv2DLocalReparameterization'
    """
    if family not in _FAMILIES:
        raise ValueError(f"`family` must be one of {', '.join(_FAMILIES)}. Received: family={family!r}")
    ending = _ESTIMATORS.get(str(estimator).replace("_", "-"))
    if ending is None:
        raise ValueError(f"`estimator` must be one of {', '.join(_ESTIMATORS)}. Received: estimator={estimator!r}")
    return getattr(layers, family + ending)


def lenet5(
    input_shape: Sequence[int] = (28, 28, 1),
    num_classes: int = 10,
    *,
    activation: Any = "relu",
    dense_activation: Any = None,
    estimator: str = "flipout",
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
        estimator: "flipout", "reparameterization" or "local-reparameterization".
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
    if len(input_shape) != 3:
        raise ValueError(f"`input_shape` must be (height, width, channels). Received: input_shape={input_shape}")
    convolution, dense = layer_class("Conv2D", estimator), layer_class("Dense", estimator)
    bayesian = {"prior": priors.Normal() if prior is None else prior, "posterior": posterior}
    return keras.Sequential(
        [
            keras.Input(tuple(input_shape)),
            convolution(6, 5, padding="same", activation=activation, **bayesian),
            keras.layers.MaxPooling2D(2, padding="same"),
            convolution(16, 5, padding="same", activation=activation, **bayesian),
            keras.layers.MaxPooling2D(2, padding="same"),
            convolution(120, 5, padding="same", activation=activation, **bayesian),
            keras.layers.Flatten(),
            dense(84, activation if dense_activation is None else dense_activation, **bayesian),
            dense(num_classes, **bayesian),
        ],
        name="bayesian_lenet5",
    )


def mlp(
    input_shape: Sequence[int],
    units: Sequence[int] = (400, 400),
    num_outputs: int = 10,
    *,
    activation: Any = "relu",
    estimator: str = "flipout",
    prior: priors.Prior | None = None,
    posterior: posteriors.Posterior | None = None,
) -> keras.Sequential:
    """Returns a Bayesian multilayer perceptron.

    Args:
        input_shape: shape of one input; it is flattened.
        units: widths of the hidden layers.
        num_outputs: number of outputs, logits or targets; the last layer has no activation.
        activation: Keras activation of the hidden layers.
        estimator: "flipout", "reparameterization" or "local-reparameterization".
        prior: prior of all kernels, shared; None stands for `Normal(scale=1.0)`.
        posterior: recipe for their posteriors; None stands for `MeanFieldNormal()`.

    Returns:
        The model, not compiled. `keras.utils.set_random_seed` makes its start and its noise repeatable.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> model = mlp((28, 28, 1), units=(400, 400), prior=priors.ScaleMixture(1.0, 0.0025, 0.5))
    >>> model.output_shape
    (None, 10)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 5.1.
    """
    if not isinstance(units, Sequence):
        raise ValueError(f"`units` must be the widths of the hidden layers, such as (400, 400). Received: {units!r}")
    dense = layer_class("Dense", estimator)
    bayesian = {"prior": priors.Normal() if prior is None else prior, "posterior": posterior}
    hidden = [dense(width, activation, **bayesian) for width in units]
    return keras.Sequential(
        [keras.Input(tuple(input_shape)), keras.layers.Flatten(), *hidden, dense(num_outputs, **bayesian)],
        name="bayesian_mlp",
    )
